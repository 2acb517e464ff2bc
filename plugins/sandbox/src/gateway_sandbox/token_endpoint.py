"""The token endpoint (RFC 6749 section 3.2) as Microsoft Entra answers it, and its counters."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from gateway.provider import Clock
from gateway_sandbox import directory
from gateway_sandbox.aadsts import AadstsError
from gateway_sandbox.directory import ScopeRequest
from gateway_sandbox.failures import Failure, Failures
from gateway_sandbox.grants import CodeGrant, Grants, RefreshGrant
from gateway_sandbox.tokens import Tokens
from gateway_sandbox.web import Request, Response, Routes, json_response


class TokenEndpoint:
    """Exchanges codes, refresh tokens and the app's secret for tokens.

    Attributes:
        requests: how often it was asked, by grant type, whatever the answer was.
        refusals: how often it refused, by AADSTS code.
    """

    def __init__(self, grants: Grants, tokens: Tokens, failures: Failures, clock: Clock) -> None:
        self._grants = grants
        self._tokens = tokens
        self._failures = failures
        self._clock = clock
        self.requests: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()

    def add_routes(self, routes: Routes) -> None:
        """Register the endpoint."""
        routes.add("POST", "/{tenant}/oauth2/v2.0/token", self._answer)

    async def _answer(self, request: Request) -> Response:
        form = request.form()
        self.requests[form.get("grant_type", "")] += 1
        await asyncio.sleep(self._failures.delay())
        try:
            body = self._exchange(request, form)
        except AadstsError as error:
            self.refusals[str(error.code)] += 1
            correlation_id = request.headers.get("client-request-id")
            headers = () if error.retry_after is None else (("retry-after", f"{error.retry_after:.0f}"),)
            return json_response(error.body(self._clock(), correlation_id), error.answer.status, *headers)
        return json_response(body)

    def _exchange(self, request: Request, form: Mapping[str, str]) -> dict[str, Any]:
        tenant = request.arguments["tenant"]
        if not directory.known_tenant(tenant):
            raise AadstsError(90002, tenant=tenant)
        if self._failures.active(Failure.TEMPORARILY_UNAVAILABLE):
            raise AadstsError(90012)
        if (throttled := self._failures.active(Failure.THROTTLED)) is not None:
            raise AadstsError(90055, retry_after=throttled.seconds)
        self._authenticate(request, form, tenant)
        match form.get("grant_type"):
            case "authorization_code":
                return self._redeem_code(form, tenant)
            case "refresh_token":
                return self._refresh(form)
            case "client_credentials":
                return self._client_credentials(form)
            case None:
                raise AadstsError(900144, parameter="grant_type")
            case other:
                raise AadstsError(70003, grant_type=other)

    def _authenticate(self, request: Request, form: Mapping[str, str], tenant: str) -> None:
        client_id, secret = _client_credentials(request, form)
        if client_id is None:
            raise AadstsError(900144, parameter="client_id")
        if client_id != directory.CLIENT_ID:
            raise AadstsError(700016, client_id=client_id, tenant=tenant)
        if secret is None:
            raise AadstsError(7000218)
        if self._failures.active(Failure.SECRET_EXPIRED):
            raise AadstsError(7000222, client_id=client_id)
        if not hmac.compare_digest(secret.encode(), directory.CLIENT_SECRET.encode()):
            raise AadstsError(7000215, client_id=client_id)

    def _redeem_code(self, form: Mapping[str, str], tenant: str) -> dict[str, Any]:
        code = form.get("code", "")
        if not code:
            raise AadstsError(900144, parameter="code")
        found = self._grants.find_code(code)
        if found is None:
            raise AadstsError(70000)
        grant, state = found
        if state.spent:
            raise AadstsError(54005)
        if state.expired:
            raise AadstsError(70008)
        _check_code(grant, form, tenant)
        scope = _single_resource(form.get("scope") or grant.scope)
        answer = self._delegated(grant.person, grant.client_id, grant.scope, scope, form, grant.nonce)
        self._grants.spend_code(code)
        return answer

    def _refresh(self, form: Mapping[str, str]) -> dict[str, Any]:
        token = form.get("refresh_token", "")
        if not token:
            raise AadstsError(900144, parameter="refresh_token")
        found = self._grants.find_refresh_token(token)
        if found is None:
            raise AadstsError(70000)
        grant, state = found
        if state.spent:
            raise AadstsError(50173)
        if state.expired:
            raise AadstsError(70008)
        blocked = self._failures.active(Failure.CONSENT_NEEDED, grant.person)
        if blocked is not None and not self._grants.consented_since(grant.person, grant.client_id, blocked.since):
            raise _consent_needed(grant.client_id)
        scope = _single_resource(form.get("scope") or grant.scope)
        return self._delegated(grant.person, grant.client_id, grant.scope, scope, form, None)

    def _delegated(
        self,
        address: str,
        client_id: str,
        granted_scope: str,
        scope: ScopeRequest,
        form: Mapping[str, str],
        nonce: str | None,
    ) -> dict[str, Any]:
        person = directory.can_sign_in(address)
        if person is None:
            raise AadstsError(70000)
        resource = next(iter(scope.resources), directory.GRAPH)
        consented = self._grants.consented(address, client_id, resource)
        names = consented if scope.default else scope.names
        if not names <= consented:
            raise _consent_needed(client_id)
        identity = scope.identity | directory.parse_scope(granted_scope).identity
        answer = self._access_token_answer(person, client_id, resource, names, identity)
        if "offline_access" in identity:
            refresh = RefreshGrant(person=address, client_id=client_id, scope=granted_scope)
            answer["refresh_token"] = self._grants.issue_refresh_token(refresh)
        if "openid" in identity:
            answer["id_token"] = self._tokens.id_token(person=person, client_id=client_id, nonce=nonce)
        if form.get("client_info") == "1":
            info = msgspec.json.encode({"uid": person.object_id, "utid": directory.TENANT_ID})
            answer["client_info"] = base64.urlsafe_b64encode(info).rstrip(b"=").decode()
        return answer

    def _access_token_answer(
        self, person: directory.Person, client_id: str, resource: str, names: frozenset[str], identity: frozenset[str]
    ) -> dict[str, Any]:
        token = self._tokens.access_token(person=person, client_id=client_id, resource=resource, scopes=names)
        # Entra names what the access token is good for, and leaves offline_access out.
        scopes = [*sorted(identity - {"offline_access"}), *(f"{resource}/{name}" for name in sorted(names))]
        return {
            "token_type": "Bearer",
            "scope": " ".join(scopes),
            "expires_in": self._tokens.lifetime,
            "ext_expires_in": self._tokens.lifetime,
            "access_token": token,
        }

    def _client_credentials(self, form: Mapping[str, str]) -> dict[str, Any]:
        scope = directory.parse_scope(form.get("scope", ""))
        if len(scope.resources) > 1 or not (scope.resources or scope.names or scope.unknown):
            raise AadstsError(70011, scope=form.get("scope", ""))
        if not scope.default or scope.names or scope.unknown:
            raise AadstsError(1002012, scope=form.get("scope", ""))
        (resource,) = scope.resources
        return {
            "token_type": "Bearer",
            "expires_in": self._tokens.lifetime,
            "ext_expires_in": self._tokens.lifetime,
            "access_token": self._tokens.app_token(client_id=directory.CLIENT_ID, resource=resource),
        }


def _client_credentials(request: Request, form: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return id and secret of the client, from the body or from Basic authentication (RFC 6749 section 2.3.1)."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, secret = base64.b64decode(value).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None, None
        return unquote_plus(client_id), unquote_plus(secret)
    return form.get("client_id"), form.get("client_secret")


def _check_code(grant: CodeGrant, form: Mapping[str, str], tenant: str) -> None:
    if tenant != grant.tenant:
        raise AadstsError(700005)
    if form.get("redirect_uri") != grant.redirect_uri:
        raise AadstsError(500112, uri=form.get("redirect_uri", ""))
    if grant.code_challenge is not None and _challenge(grant, form.get("code_verifier", "")) != grant.code_challenge:
        raise AadstsError(501481)


def _challenge(grant: CodeGrant, verifier: str) -> str:
    """Return the challenge that a verifier answers (RFC 7636 section 4.2)."""
    if grant.code_challenge_method != "S256":
        return verifier
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _single_resource(scope: str) -> ScopeRequest:
    request = directory.parse_scope(scope)
    if len(request.resources) > 1:
        raise AadstsError(700022, scope=scope)
    if request.unknown:
        raise AadstsError(70011, scope=" ".join(request.unknown))
    return request


def _consent_needed(client_id: str) -> AadstsError:
    return AadstsError(65001, client_id=client_id, app_name=directory.APP_NAME)

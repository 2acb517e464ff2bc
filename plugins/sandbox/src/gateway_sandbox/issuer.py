"""The sign-in service: discovery, the authorization endpoint and its page, and the administrator's approval.

Shape: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow and, for the approval,
https://learn.microsoft.com/entra/identity-platform/v2-admin-consent. The pages are served over plain HTTP, so that a
browser on this machine shows no certificate warning; the published addresses say https, which client libraries insist
on and their transport takes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from gateway.provider import Clock
from gateway_sandbox import directory, pages
from gateway_sandbox.aadsts import AadstsError
from gateway_sandbox.failures import Failure, Failures
from gateway_sandbox.grants import EVERYBODY, CodeGrant, Grants
from gateway_sandbox.tokens import Tokens
from gateway_sandbox.web import Request, Response, Routes, html_response, json_response, redirect

_CARRIED = (
    *("client_id", "redirect_uri", "scope", "state", "nonce", "response_type", "response_mode"),
    *("code_challenge", "code_challenge_method", "login_hint", "prompt"),
)


class Issuer:
    """Answers the browser's side of a sign-in."""

    def __init__(self, grants: Grants, tokens: Tokens, failures: Failures, clock: Clock, origin: str) -> None:
        self._grants = grants
        self._tokens = tokens
        self._failures = failures
        self._clock = clock
        self._published = origin

    def add_routes(self, routes: Routes) -> None:
        """Register the endpoints."""
        routes.add("GET", "/", self._home)
        routes.add("GET", "/{tenant}/v2.0/.well-known/openid-configuration", self._discovery)
        routes.add("GET", "/{tenant}/discovery/v2.0/keys", self._keys)
        routes.add("GET", "/{tenant}/oauth2/v2.0/authorize", self._authorize)
        routes.add("POST", "/{tenant}/oauth2/v2.0/decision", self._decide)
        for path in "/{tenant}/adminconsent", "/{tenant}/v2.0/adminconsent":
            routes.add("GET", path, self._ask_administrator)
            routes.add("POST", path, self._administrator_decides)

    async def _home(self, request: Request) -> Response:
        return html_response(pages.home(directory.ADDRESSES, "/sandbox/failures"))

    async def _discovery(self, request: Request) -> Response:
        tenant = request.arguments["tenant"]
        if not directory.known_tenant(tenant):
            error = AadstsError(90002, tenant=tenant)
            return json_response(error.body(self._clock(), None), error.answer.status)
        base = f"{self._published}/{tenant}"
        # Entra publishes this placeholder for the aliases; tokens carry the tenant that signed in.
        alias = tenant.lower() in {"common", "organizations"}
        return json_response(
            {
                "issuer": f"{self._published}/{{tenantid}}/v2.0" if alias else self._tokens.issuer,
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_types_supported": ["code"],
                "response_modes_supported": ["query", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "scopes_supported": sorted(directory.IDENTITY_SCOPES),
                "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "oid", "tid", "preferred_username"],
            }
        )

    async def _keys(self, request: Request) -> Response:
        return json_response(self._tokens.public_keys)

    async def _authorize(self, request: Request) -> Response:
        asked = {name: request.query[name] for name in _CARRIED if name in request.query}
        try:
            _check_client(request.arguments["tenant"], asked)
        except AadstsError as error:
            return self._error_page(error)
        try:
            _check_request(asked)
        except AadstsError as error:
            return self._answer(asked, self._error_fields(error))
        return _sign_in_page(request.arguments["tenant"], asked, "")

    async def _decide(self, request: Request) -> Response:
        form = request.form()
        tenant = request.arguments["tenant"]
        asked = {name: form[name] for name in _CARRIED if name in form}
        try:
            _check_client(tenant, asked)
        except AadstsError as error:
            return self._error_page(error)
        if form.get("action") == "cancel":
            return self._answer(asked, self._error_fields(AadstsError(65004)))
        if form.get("action") == "needs_admin":
            return self._answer(asked, self._error_fields(_admin_needed()))
        address = form.get("user") or form.get("other", "")
        person = directory.can_sign_in(address)
        if person is None:
            return _sign_in_page(tenant, {**asked, "login_hint": address}, "No such account in Contoso: AADSTS50034.")
        return self._accept(tenant, asked, person)

    def _accept(self, tenant: str, asked: Mapping[str, str], person: directory.Person) -> Response:
        client_id = asked["client_id"]
        blocked = self._failures.active(Failure.ADMIN_CONSENT_NEEDED, person.address)
        if blocked is not None and not self._grants.consented_since(EVERYBODY, client_id, blocked.since):
            return self._answer(asked, self._error_fields(_admin_needed()))
        self._record_consent(person.address, client_id, asked.get("scope", ""))
        code = self._grants.issue_code(
            CodeGrant(
                person=person.address,
                client_id=client_id,
                tenant=tenant,
                redirect_uri=asked["redirect_uri"],
                scope=asked.get("scope", ""),
                nonce=asked.get("nonce"),
                code_challenge=asked.get("code_challenge"),
                code_challenge_method=asked.get("code_challenge_method"),
            )
        )
        return self._answer(asked, {"code": code, "session_state": person.object_id})

    def _record_consent(self, person: str, client_id: str, scope: str) -> None:
        request = directory.parse_scope(scope)
        for resource in request.resources:
            names = directory.SCOPES[resource] if request.default else request.names & directory.SCOPES[resource]
            self._grants.consent(person, client_id, resource, names)

    async def _ask_administrator(self, request: Request) -> Response:
        asked = {name: request.query[name] for name in _CARRIED if name in request.query}
        try:
            _check_client(request.arguments["tenant"], asked)
        except AadstsError as error:
            return self._error_page(error)
        scopes = directory.parse_scope(_scope_for_everybody(asked)).names
        return html_response(
            pages.admin_consent(action=request.path, hidden=asked, admin=directory.ADMIN, scopes=scopes)
        )

    async def _administrator_decides(self, request: Request) -> Response:
        form = request.form()
        asked = {name: form[name] for name in _CARRIED if name in form}
        try:
            _check_client(request.arguments["tenant"], asked)
        except AadstsError as error:
            return self._error_page(error)
        if form.get("action") == "cancel":
            return self._answer(asked, self._error_fields(AadstsError(65004)))
        scope = _scope_for_everybody(asked)
        self._record_consent(EVERYBODY, asked["client_id"], scope)
        return self._answer(asked, {"admin_consent": "True", "tenant": directory.TENANT_ID, "scope": scope})

    def _answer(self, asked: Mapping[str, str], fields: Mapping[str, str]) -> Response:
        """Carry the answer to the app in the way it asked for (OAuth 2.0 Multiple Response Types section 2.1)."""
        if "state" in asked:
            fields = {**fields, "state": asked["state"]}
        uri = asked["redirect_uri"]
        if asked.get("response_mode") == "form_post":
            return html_response(pages.form_post(uri, fields))
        return redirect(f"{uri}{'&' if urlsplit(uri).query else '?'}{urlencode(fields)}")

    def _error_fields(self, error: AadstsError) -> dict[str, str]:
        body = error.body(self._clock(), None)
        return {name: body[name] for name in ("error", "error_description", "error_uri")}

    def _error_page(self, error: AadstsError) -> Response:
        body = error.body(self._clock(), None)
        return html_response(pages.problem(f"AADSTS{error.code}", body["error_description"]), 400)


def _check_client(tenant: str, asked: Mapping[str, str]) -> None:
    """Check what has to be right before anything may be sent to the redirect URI."""
    if not directory.known_tenant(tenant):
        raise AadstsError(90002, tenant=tenant)
    for parameter in "client_id", "redirect_uri":
        if not asked.get(parameter):
            raise AadstsError(900144, parameter=parameter)
    if asked["client_id"] != directory.CLIENT_ID:
        raise AadstsError(700016, client_id=asked["client_id"], tenant=tenant)
    if not directory.registered_reply_address(asked["redirect_uri"]):
        raise AadstsError(50011, uri=asked["redirect_uri"], client_id=asked["client_id"])


def _check_request(asked: Mapping[str, str]) -> None:
    if asked.get("response_type") != "code":
        raise AadstsError(70005)
    scope = directory.parse_scope(asked.get("scope", ""))
    if scope.unknown or not (scope.resources or scope.identity):
        raise AadstsError(70011, scope=" ".join(scope.unknown))
    if asked.get("prompt") == "none":
        raise AadstsError(50058)


def _sign_in_page(tenant: str, asked: Mapping[str, str], problem: str) -> Response:
    scope = directory.parse_scope(asked.get("scope", ""))
    page = pages.sign_in(
        action=f"/{tenant}/oauth2/v2.0/decision",
        hidden=asked,
        people=directory.sign_in_choices(),
        chosen=asked.get("login_hint", "").lower(),
        scopes=scope.names | scope.identity,
        problem=problem,
    )
    return html_response(page, 400 if problem else 200)


def _scope_for_everybody(asked: Mapping[str, str]) -> str:
    every = [f"{resource}/{name}" for resource, names in directory.SCOPES.items() for name in sorted(names)]
    return asked.get("scope") or " ".join(every)


def _admin_needed() -> AadstsError:
    return AadstsError(90094, tenant="Contoso", app_name=directory.APP_NAME)

"""Hosted sign-in: links to the form, the way to the provider and back, the account that comes of it.

The OAuth2 ``state`` is bound to the browser that began (RFC 6749 section 10.12): the browser keeps a secret in a
cookie, the pending sign-in its SHA-256. Success uses the link up; failure leaves it usable and goes back to the
client as well.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from gateway.errors import (
    ConflictError,
    GatewayError,
    InvalidRequestError,
    ProviderError,
    ReauthorizationError,
    Remedy,
    RequestError,
    ResourceNotFoundError,
)
from gateway.model.account import AccountCreate, AccountCreated, FormLink, FormRequest, OAuth2Config
from gateway.model.oauth2 import SERVICE_PROVIDERS
from gateway.model.verification import VerifyAccount, VerifyResult
from gateway.provider import CONSENT_STATE, AuthorizationStart, Clock, Grant, SignedInUser
from gateway.services.account_payload import invalid
from gateway.services.accounts import AccountService
from gateway.services.apps import AppService
from gateway.services.form_link import LinkData, encode, invalid_link, make_link, read_link
from gateway.services.runtime_settings import RuntimeSettingsService, origin
from gateway.services.sign_in_payload import (
    BegunSignIn,
    ImapFormData,
    SignInChoice,
    SignInForm,
    SignInOutcome,
    form_payload,
    signed_in_payload,
    typed_servers,
)
from gateway.services.verification import VerificationService
from gateway.store.sign_ins import PendingSignIn, SignInStore

__all__ = [
    "BegunSignIn",
    "ImapFormData",
    "SignInChoice",
    "SignInFailedError",
    "SignInForm",
    "SignInOutcome",
    "SignInService",
]

#: Connection tests that one link is good for: it must not become a port scanner.
MAX_PROBES = 50

#: The `type` of a link that leads straight to the form for IMAP servers.
IMAP_TYPE = "imap"


class SignInFailedError(RequestError):
    """A sign-in did not lead to an account.

    Attributes:
        error: what happened.
        remedy: who has to act, when that is known.
        redirect_url: where the client wants its user back, None for none.
        retry_url: where the person can start again.
    """

    code = "SignInFailed"

    def __init__(self, error: GatewayError, *, redirect_url: str | None = None, retry_url: str | None = None) -> None:
        super().__init__(error.message, code=error.error_code)
        self.error = error
        self.remedy: Remedy | None = error.remedy if isinstance(error, ProviderError) else None
        self.redirect_url = redirect_url
        self.retry_url = retry_url


class SignInService:
    """Everything between a link to the form and an account."""

    def __init__(
        self,
        *,
        sign_ins: SignInStore,
        apps: AppService,
        accounts: AccountService,
        verification: VerificationService,
        settings: RuntimeSettingsService,
        clock: Clock,
    ) -> None:
        self._sign_ins = sign_ins
        self._apps = apps
        self._accounts = accounts
        self._verification = verification
        self._settings = settings
        self._clock = clock

    async def form_link(self, request: FormRequest) -> FormLink:
        """Return a link to the hosted form.

        Raises:
            MissingSettingError: the service URL was never set.
            InvalidRequestError: the redirect URL is not absolute.
        """
        service_url = await self._settings.service_url()
        if request.redirect_url:
            _check_redirect(request.redirect_url)
        kind = request.type
        offered = {app.id for app in await self._apps.offered()}
        if isinstance(kind, str) and kind != IMAP_TYPE and kind not in offered:
            kind = False
        if not offered:
            kind = IMAP_TYPE
        request = msgspec.structs.replace(request, type=kind)
        key = await self._settings.service_secret()
        return FormLink(url=make_link(service_url, key, request, self._clock()))

    async def open_link(self, data: str, sig: str, type: str | None) -> SignInForm:
        """Check a link and return the form it leads to.

        Raises:
            RequestError: the link is forged, expired or used up (code InvalidLink).
        """
        link = await self._read(data, sig)
        choices = tuple(
            SignInChoice(id=app.id, title=app.title or app.name, provider=app.provider)
            for app in await self._apps.offered()
        )
        known = {choice.id for choice in choices} | {IMAP_TYPE}
        service_url = await self._settings.service_url()
        query = {"data": data, "sig": sig, **({"type": type} if type else {})}
        return SignInForm(
            nonce=link.nonce,
            request=link.request,
            link=f"{service_url}/accounts/new?{urlencode(query)}",
            type=type if type in known else None,
            choices=choices,
            redirect_url=link.request.redirect_url or None,
        )

    async def begin(self, form: SignInForm, app_id: str) -> BegunSignIn:
        """Begin a sign-in at the provider."""
        request = form.request
        if app_id not in {choice.id for choice in form.choices}:
            raise ResourceNotFoundError("no such way to sign in", code="AppNotFound")
        hint = None if request.delegated else request.email or request.expected_email
        return await self._begin(
            app_id,
            PendingSignIn(
                app=app_id,
                url="",
                flow={},
                form=request,
                redirect_url=form.redirect_url,
                nonce=form.nonce,
                retry=form.link,
                shared=request.email if request.delegated else None,
            ),
            hint,
        )

    async def authorize(self, request: AccountCreate) -> AccountCreated:
        """Park an account payload and return the provider's link; the redirect creates the account.

        Raises:
            InvalidRequestError: the app cannot sign in users.
        """
        oauth2 = request.oauth2
        if not isinstance(oauth2, OAuth2Config) or not oauth2.provider:
            raise invalid("oauth2.provider", "is required")
        try:
            app = await self._apps.stored(oauth2.provider)
        except ResourceNotFoundError as error:
            raise invalid("oauth2.provider", "names no OAuth2 app") from error
        if app.record.provider in SERVICE_PROVIDERS:
            raise invalid("oauth2.authorize", "is not possible for an app that signs in by itself")
        if oauth2.redirect_url:
            _check_redirect(oauth2.redirect_url)
        shared = oauth2.auth.delegated_user if oauth2.auth is not None else None
        parked = msgspec.structs.replace(request, oauth2=msgspec.UNSET)
        pending = PendingSignIn(
            app=oauth2.provider,
            url="",
            flow={},
            payload=msgspec.json.encode(parked).decode(),
            redirect_url=oauth2.redirect_url,
            shared=shared,
        )
        email = request.email if isinstance(request.email, str) else None
        hint = oauth2.auth.user if oauth2.auth is not None else email
        begun = await self._begin(oauth2.provider, pending, hint, bound=False)
        return AccountCreated(redirect=begun.url)

    async def complete(self, params: Mapping[str, str], browser_secret: str | None) -> SignInOutcome:
        """Finish a sign-in with the parameters of the redirect.

        Raises:
            SignInFailedError: with the reason, who must act, and where the client wants its user back.
        """
        state = params.get("state", "")
        pending = await self._sign_ins.get(state) if 0 < len(state) <= 256 else None
        if pending is None:
            raise SignInFailedError(RequestError("This sign-in is not known or has expired", code="SessionExpired"))
        if not _same_browser(pending, browser_secret):
            raise SignInFailedError(RequestError("This sign-in was started in another browser", code="SessionMismatch"))
        # From here on the state is used up, whatever happens.
        if await self._sign_ins.take(state) is None:
            raise SignInFailedError(RequestError("This sign-in was already finished", code="SessionExpired"))
        try:
            return await self._finish(pending, params)
        except GatewayError as error:
            raise SignInFailedError(error, redirect_url=pending.redirect_url, retry_url=pending.retry) from error

    async def test_imap(self, form: SignInForm, data: ImapFormData) -> VerifyResult:
        """Test the servers of the form without storing anything.

        Raises:
            RequestError: too many tests were made through this link (code TooManyProbes).
        """
        if await self._sign_ins.count_probe(form.nonce) > MAX_PROBES:
            raise RequestError("Too many connection tests; ask for a new link", code="TooManyProbes")
        imap, smtp = typed_servers(data)
        return await self._verification.verify(VerifyAccount(imap=imap, smtp=smtp or False))

    async def create_imap(self, form: SignInForm, data: ImapFormData) -> SignInOutcome:
        """Test the servers of the form and create the account.

        Raises:
            InvalidRequestError: a server refused, or the address is not the expected one.
            RequestError: the link is used up (code InvalidLink).
        """
        request = form.request
        if request.expected_email and data.email.casefold() != request.expected_email.casefold():
            raise _wrong_mailbox()
        result = await self.test_imap(form, data)
        for key, verdict in (("imap", result.imap), ("smtp", result.smtp)):
            if verdict is not None and not verdict.success:
                text = verdict.error if isinstance(verdict.error, str) else "failed"
                code = verdict.code if isinstance(verdict.code, str) else "ConnectionError"
                raise InvalidRequestError(text, code=code, fields=[{"message": text, "key": key}])
        imap, smtp = typed_servers(data)
        payload = msgspec.structs.replace(
            form_payload(request), name=data.name, email=data.email, imap=imap, smtp=smtp or msgspec.UNSET
        )
        return await self._create(payload, None, form.nonce, form.redirect_url)

    async def admin_consented(self, params: Mapping[str, str]) -> None:
        """An administrator came back from the consent page: let the waiting accounts of the app try again."""
        app_id = params.get("state", "").removeprefix(CONSENT_STATE)
        try:
            await self._apps.stored(app_id)
        except ResourceNotFoundError:
            return
        # Anybody can call this; it does no more than a reconnection, and that once in a while.
        if await self._sign_ins.claim_consent(app_id):
            await self._accounts.reconnect_app(app_id)

    async def _begin(self, app_id: str, pending: PendingSignIn, hint: str | None, *, bound: bool = True) -> BegunSignIn:
        state, secret = encode(secrets.token_bytes(24)), secrets.token_urlsafe(24)
        start = (await self._apps.identity(app_id)).authorization(state=state, login_hint=hint)
        pending = msgspec.structs.replace(
            pending, url=start.url, flow=start.flow, browser=_digest(secret) if bound else None
        )
        await self._sign_ins.put(state, pending)
        return BegunSignIn(url=start.url, state=state, browser_secret=secret)

    async def _finish(self, pending: PendingSignIn, params: Mapping[str, str]) -> SignInOutcome:
        identity = await self._apps.identity(pending.app)
        grant = await identity.exchange(AuthorizationStart(url=pending.url, flow=pending.flow), dict(params))
        if grant.user is None:
            raise ReauthorizationError("the identity provider did not say who signed in")
        if pending.payload is not None:
            payload = msgspec.json.decode(pending.payload, type=AccountCreate)
        else:
            payload = form_payload(pending.form or FormRequest(redirect_url=""))
        try:
            self._check_expected(payload, grant.user)
            payload = signed_in_payload(payload, pending, grant.user)
            return await self._create(payload, grant, pending.nonce, pending.redirect_url)
        except GatewayError:
            await identity.revoke(grant)
            raise

    def _check_expected(self, payload: AccountCreate, user: SignedInUser) -> None:
        expected = payload.expected_email
        if isinstance(expected, str) and expected.lower() not in {user.user.lower(), *user.emails}:
            raise _wrong_mailbox()

    async def _create(
        self, payload: AccountCreate, grant: Grant | None, nonce: str | None, redirect_url: str | None
    ) -> SignInOutcome:
        if nonce is not None and not await self._sign_ins.claim_form(nonce):
            raise invalid_link()
        try:
            created = await self._accounts.create(payload, grant)
        except BaseException:
            if nonce is not None:
                await self._sign_ins.release_form(nonce)
            raise
        return SignInOutcome(account=created.account or "", state=created.state or "new", redirect_url=redirect_url)

    async def _read(self, data: str, sig: str) -> LinkData:
        link = read_link(await self._settings.service_secret(), data, sig, self._clock())
        if await self._sign_ins.form_used(link.nonce):
            raise invalid_link()
        return link


def _check_redirect(url: str) -> None:
    try:
        origin(url)
    except InvalidRequestError as error:
        raise invalid("redirectUrl", "must be an absolute http or https URL") from error


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _same_browser(pending: PendingSignIn, secret: str | None) -> bool:
    if pending.browser is None:
        return True
    return secret is not None and hmac.compare_digest(_digest(secret), pending.browser)


def _wrong_mailbox() -> ConflictError:
    return ConflictError(
        "Another mailbox than the expected one was signed in to; choose the right one", code="UnexpectedMailbox"
    )

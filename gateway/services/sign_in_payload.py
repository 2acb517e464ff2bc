"""What the hosted sign-in hands around, and the account payloads that come of it."""

from __future__ import annotations

import msgspec

from gateway.model.account import (
    AccountCreate,
    FormRequest,
    ImapConfig,
    OAuth2Auth,
    OAuth2Config,
    PasswordAuth,
    SmtpConfig,
)
from gateway.provider import SignedInUser
from gateway.store.sign_ins import PendingSignIn


class SignInChoice(msgspec.Struct, frozen=True, kw_only=True):
    """One button of the hosted form."""

    id: str
    title: str
    provider: str


class SignInForm(msgspec.Struct, frozen=True, kw_only=True):
    """What the hosted form shows, and what was asked for by the link."""

    nonce: str
    request: FormRequest
    link: str
    type: str | None = None
    choices: tuple[SignInChoice, ...] = ()
    imap: bool = True
    redirect_url: str | None = None

    @property
    def account(self) -> str | None:
        """The account's id, None for a new one."""
        return self.request.account

    @property
    def name(self) -> str | None:
        """Display name, if the client gave one."""
        return self.request.name

    @property
    def email(self) -> str | None:
        """Address, if the client gave one."""
        return self.request.email

    @property
    def expected_email(self) -> str | None:
        """The only address that may be added."""
        return self.request.expected_email

    @property
    def delegated(self) -> bool:
        """Whether `email` is a shared mailbox that somebody else signs in for."""
        return self.request.delegated


class BegunSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """Where the browser goes, and the secret that it keeps."""

    url: str
    state: str
    browser_secret: str


class SignInOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The account that a sign-in made or renewed."""

    account: str
    state: str
    redirect_url: str | None = None


class ImapFormData(msgspec.Struct, frozen=True, kw_only=True):
    """What a person typed into the form for IMAP servers."""

    name: str
    email: str
    imap_user: str
    imap_password: str
    imap_host: str
    imap_port: int
    imap_secure: bool = True
    smtp_host: str = ""
    smtp_port: int = 0
    smtp_secure: bool = True
    smtp_user: str | None = None
    smtp_password: str | None = None

    def __repr__(self) -> str:
        return "ImapFormData()"


def form_payload(request: FormRequest) -> AccountCreate:
    """Return the account that a form link asks for."""
    return AccountCreate(
        account=request.account,
        name=request.name or "",
        email=request.email or msgspec.UNSET,
        expected_email=request.expected_email or msgspec.UNSET,
        notify_from=request.notify_from or request.sync_from or "now",
        subconnections=request.subconnections if request.subconnections is not None else msgspec.UNSET,
        path=request.path if request.path is not None else msgspec.UNSET,
    )


def signed_in_payload(payload: AccountCreate, pending: PendingSignIn, user: SignedInUser) -> AccountCreate:
    """Return the payload with what the identity provider said of the person."""
    auth = OAuth2Auth(user=user.user, delegated_user=pending.shared)
    email = pending.shared or user.email
    return msgspec.structs.replace(
        payload,
        name=payload.name or user.name or email,
        email=email,
        oauth2=OAuth2Config(provider=pending.app, auth=auth),
        # The service files submitted mail by itself; a shared mailbox's copy would land with the delegate.
        copy=payload.copy if not isinstance(payload.copy, msgspec.UnsetType) else (True if pending.shared else None),
    )


def typed_servers(data: ImapFormData) -> tuple[ImapConfig, SmtpConfig | None]:
    """Return the servers that a person typed in."""
    imap = ImapConfig(
        host=data.imap_host,
        port=data.imap_port,
        secure=data.imap_secure,
        auth=PasswordAuth(user=data.imap_user or data.email, pass_=data.imap_password),
    )
    if not data.smtp_host:
        return imap, None
    smtp = SmtpConfig(
        host=data.smtp_host,
        port=data.smtp_port,
        secure=data.smtp_secure,
        auth=PasswordAuth(
            user=data.smtp_user or data.imap_user or data.email, pass_=data.smtp_password or data.imap_password
        ),
    )
    return imap, smtp

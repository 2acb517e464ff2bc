"""Test connection settings without storing anything.

The API process seals the settings, a worker opens them and tries each server: no process that serves clients ever
connects to an address that a client gave.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import msgspec

from gateway.errors import GatewayError, ProviderError, ReauthorizationError
from gateway.model.account import ImapConfig, PasswordAuth, SmtpConfig
from gateway.model.message import Mailbox
from gateway.model.verification import ServerVerdict, VerifyAccount, VerifyResult
from gateway.provider import Identity, Login, Service, Session
from gateway.queue.client import JobClient
from gateway.queue.operations import ACCOUNT_VERIFY
from gateway.queue.operations import VerifyAccount as VerifyArguments
from gateway.services.account_payload import checked_proxy, invalid
from gateway.services.sessions import SessionService
from gateway.store.accounts import AccountConfig
from gateway.store.store import Store, to_json

#: Seconds for all servers together, unless the caller says.
TIMEOUT = 40.0

_IDENTITY = "verify-account"


class VerificationService:
    """Asks a worker to try connection settings."""

    def __init__(self, store: Store, jobs: JobClient) -> None:
        self._store = store
        self._jobs = jobs

    async def verify(self, request: VerifyAccount, timeout: float = TIMEOUT) -> VerifyResult:
        """Try the servers of a request and tell how each did.

        Args:
            timeout: seconds to wait for the verdicts.

        Raises:
            InvalidRequestError: a server has no host, port or login, or the proxy is none.
            DeadlineError: there are no verdicts yet.
        """
        for key, server in (("imap", request.imap), ("smtp", request.smtp)):
            if server is True:
                raise invalid(key, "must be an object or false")
            if isinstance(server, ImapConfig | SmtpConfig):
                for name in ("host", "port"):
                    if not getattr(server, name):
                        raise invalid(f"{key}.{name}", "is required")
        checked_proxy("proxy", request.proxy)
        sealed = self._store.cipher.seal(to_json(request), _IDENTITY).encode()
        answer = await self._jobs.call(ACCOUNT_VERIFY, "", VerifyArguments(sealed=sealed), timeout=timeout)
        return msgspec.json.decode(answer, type=VerifyResult)


class ProbeService:
    """Tries connection settings, in a worker."""

    def __init__(self, store: Store, sessions: SessionService) -> None:
        self._store = store
        self._sessions = sessions

    async def probe(self, sealed: bytes) -> VerifyResult:
        """Try the servers of a sealed request."""
        text = self._store.cipher.open(sealed.decode(), _IDENTITY)
        request = msgspec.json.decode(text, type=VerifyAccount)
        imap = smtp = None
        mailboxes: tuple[Mailbox, ...] | None = None
        if isinstance(request.imap, ImapConfig):
            imap, mailboxes = await self._try_imap(request)
        if isinstance(request.smtp, SmtpConfig):
            smtp = await self._try_smtp(request)
        return VerifyResult(imap=imap, smtp=smtp, mailboxes=mailboxes if request.mailboxes else None)

    async def _try_imap(self, request: VerifyAccount) -> tuple[ServerVerdict, tuple[Mailbox, ...] | None]:
        try:
            async with await self._open(request) as session:
                await session.check()
                return ServerVerdict(success=True), tuple(await session.mailboxes()) if request.mailboxes else None
        except GatewayError as error:
            return _verdict(error, "AUTHENTICATIONFAILED"), None

    async def _try_smtp(self, request: VerifyAccount) -> ServerVerdict:
        try:
            async with await self._open(request) as session:
                await session.check_submit()
                return ServerVerdict(success=True)
        except GatewayError as error:
            return _verdict(error, "EAUTH")

    async def _open(self, request: VerifyAccount) -> AbstractAsyncContextManager[Session]:
        config = AccountConfig(
            account="verify",
            imap=request.imap if isinstance(request.imap, ImapConfig) else None,
            smtp=request.smtp if isinstance(request.smtp, SmtpConfig) else None,
            smtp_ehlo_name=request.smtp_ehlo_name,
        )
        return await self._sessions.open_config(
            config, GivenCredentials(config), ForgetfulNumbers(), proxy=request.proxy or None
        )


class GivenCredentials:
    """The logins of settings that are not stored."""

    def __init__(self, config: AccountConfig) -> None:
        self._config = config

    async def login(self, service: Service, *, refused: Login | None = None) -> Login:
        """See `gateway.provider.Credentials`."""
        server = self._config.smtp if service == "smtp" else self._config.imap
        auth = server.auth if server is not None and isinstance(server.auth, PasswordAuth) else None
        if auth is None:
            return Login(user="")
        return Login(user=auth.user, password=auth.pass_, access_token=auth.access_token)


class AppCredentials:
    """The login of an app that signs in by itself, for one mailbox; its token is stored nowhere."""

    def __init__(self, identity: Identity, user: str) -> None:
        self._identity = identity
        self._user = user

    async def login(self, service: Service, *, refused: Login | None = None) -> Login:
        """See `gateway.provider.Credentials`."""
        if refused is not None:
            return refused
        grant = await self._identity.client_credentials()
        return Login(user=self._user, access_token=grant.access_token)


class ForgetfulNumbers:
    """A numbering that lasts as long as one probe."""

    def __init__(self) -> None:
        self._names: list[str] = []

    async def number(self, name: str) -> int:
        """See `gateway.provider.Numbers`."""
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name) + 1

    async def name(self, number: int) -> str | None:
        """See `gateway.provider.Numbers`."""
        return self._names[number - 1] if 0 < number <= len(self._names) else None


def _verdict(error: GatewayError, refused: str) -> ServerVerdict:
    """Return what went wrong; `refused` is the protocol's word for a refused login, which clients look for."""
    native = error.native_code if isinstance(error, ProviderError) else None
    code = refused if isinstance(error, ReauthorizationError) else native or error.error_code
    return ServerVerdict(success=False, error=error.message, code=code, response_text=native or msgspec.UNSET)

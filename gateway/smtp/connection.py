"""One connection to a submission server: lazily opened, logged in, reused, and left with QUIT."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable

import aiosmtplib
import msgspec

from gateway.errors import (
    GatewayError,
    MailboxUnavailableError,
    ProviderError,
    ReauthorizationError,
    TransientError,
)
from gateway.model.account_errors import NetworkRouting
from gateway.model.server import Server
from gateway.provider import DIRECT, NOBODY, Envelope, Login, MessageSource, ProtocolLog, Route, SubmitReceipt
from gateway.smtp.answers import Phase
from gateway.smtp.client import PhasedSMTP
from gateway.smtp.dial import dial
from gateway.smtp.errors import Explain, smtp_error
from gateway.smtp.proxies import masked_proxy
from gateway.smtp.tls import client_context
from gateway.smtp.transaction import transact
from gateway.smtp.transcript import Transcript

#: Hands out the login: called with None, or with the login that has just been refused.
LoginSource = Callable[[Login | None], Awaitable[Login]]


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to wait for: connection and greeting, each command, and each answer during a message.

    RFC 5321 section 4.5.3.2 would wait ten minutes for the answer to the final dot.
    """

    connect: float = 15.0
    command: float = 60.0
    message: float = 180.0


class SmtpConnection:
    """Submits mail for one login over a connection that is kept for `idle` seconds after its last use.

    Used from one event loop. Calls are served one at a time.
    """

    def __init__(
        self,
        server: Server,
        login: LoginSource | None,
        *,
        user: str | None = None,
        route: Route = DIRECT,
        explain: Explain | None = None,
        timeouts: Timeouts | None = None,
        idle: float = 60.0,
        log: ProtocolLog | None = None,
    ) -> None:
        """Prepare a connection; no input or output happens.

        Args:
            server: where to submit.
            login: hands out the login; None submits without one.
            user: name to log in with instead of the login's own.
            route: which way to take, and how to greet.
            explain: consulted first about each refusal.
            timeouts: see `Timeouts`.
            idle: seconds after which an unused connection is left with QUIT.
            log: takes what goes over the connection.
        """
        self._server = server
        self._login = login
        self._user = user
        self._route = route
        self._explain = explain
        self._timeouts = timeouts or Timeouts()
        self._idle = idle
        self._log = log
        self._client: PhasedSMTP | None = None
        self._routing: NetworkRouting | None = None
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether a connection is open, as far as is known here."""
        return self._client is not None and self._client.is_connected

    def by(self, route: Route) -> SmtpConnection:
        """Return another connection to the same server, with the same login, that takes another way."""
        return SmtpConnection(
            self._server,
            self._login,
            user=self._user,
            route=route,
            explain=self._explain,
            timeouts=self._timeouts,
            idle=self._idle,
            log=self._log,
        )

    async def check(self) -> None:
        """Connect and log in, or prove that the kept connection still works.

        Raises:
            ConnectError: not reachable.
            ReauthorizationError: the login was refused.
            ServiceUnavailableError, RateLimitError: not now.
        """
        async with self._used():
            if self._client is not None and self._client.is_connected:
                with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                    await self._client.noop(timeout=self._timeouts.command)
                    return
                self._client.close()
            await self._ready()

    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        """Hand over a message, octet for octet, except that bare line ends become CRLF.

        Where the route is not a direct one, the receipt, or the details of an error, tell it as `network_routing`.

        Raises:
            MessageRefusedError: sender, all recipients or content were refused for good.
            MessageTooLargeError: over the server's limit.
            OutcomeUnknownError: the connection broke after the message was handed over.
            ConnectError, ServiceUnavailableError, RateLimitError: not handed over; try again.
            ReauthorizationError: the login was refused.
        """
        async with self._used():
            try:
                receipt = await self._submitted(MessageSource.of(message), envelope)
            except GatewayError as error:
                if self._routing is not None:
                    error.details["network_routing"] = self._routing
                raise
            return msgspec.structs.replace(receipt, network_routing=self._routing)

    async def close(self) -> None:
        """Leave with QUIT, without insisting on an answer."""
        async with self._lock:
            self._stop_timer()
            if self._client is not None and self._client.is_connected:
                with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                    await self._client.quit(timeout=self._timeouts.connect)
                self._client.close()

    @contextlib.asynccontextmanager
    async def _used(self) -> AsyncIterator[None]:
        """Hold the connection; keep it afterwards, except when the call was cancelled in the middle of something."""
        async with self._lock:
            self._stop_timer()
            try:
                yield
            except asyncio.CancelledError:
                if self._client is not None:
                    self._client.close()
                raise
            finally:
                if self.connected:
                    self._timer = asyncio.get_running_loop().call_later(self._idle, self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._expiry = asyncio.get_running_loop().create_task(self.close())

    @property
    def _phase(self) -> Phase:
        return Phase.CONNECT if self._client is None else self._client.phase

    async def _submitted(self, message: MessageSource, envelope: Envelope) -> SubmitReceipt:
        kept = self.connected
        try:
            return await self._transact(message, envelope)
        except TransientError:
            # A kept connection may have died unnoticed; nothing is lost as long as no content was sent.
            if not kept or self.connected or self._phase > Phase.ENVELOPE:
                raise
        return await self._transact(message, envelope)

    async def _transact(self, message: MessageSource, envelope: Envelope) -> SubmitReceipt:
        client = await self._ready()
        try:
            return await transact(client, message, envelope, timeout=self._timeouts.message)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise smtp_error(error, phase=client.phase, explain=self._explain) from error

    async def _ready(self) -> PhasedSMTP:
        """Return a connection that is logged in; a refused access token is renewed once."""
        if self._client is not None and self._client.is_connected:
            return self._client
        if self._login is None:
            return await self._open(None)
        login = await self._login(None)
        try:
            return await self._open(login)
        except (ReauthorizationError, MailboxUnavailableError):
            # Exchange answers 535 5.7.3 to an expired token and to a mailbox that may not be used alike.
            renewed = await self._login(login)
            if renewed == login:
                raise
        return await self._open(renewed)

    async def _open(self, login: Login | None) -> PhasedSMTP:
        client = self._client = self._new_client()
        try:
            await self._greet(client)
            if login is not None:
                client.phase = Phase.LOGIN
                await self._authenticate(client, login)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            found = smtp_error(error, phase=client.phase, explain=self._explain)
            if client.transcript is not None:
                server = self._server
                client.transcript.happened(f"no connection to {server.host}:{server.port}: {found.error_code}")
            raise found from error
        except ProviderError as error:
            client.close()
            if client.transcript is not None:
                client.transcript.happened(f"no connection: {error.error_code}")
            raise
        except asyncio.CancelledError:
            client.close()
            raise
        return client

    def _new_client(self) -> PhasedSMTP:
        server = self._server
        client = PhasedSMTP(
            hostname=server.host,
            # Of a socket that is connected already it must not be told.
            port=server.port if self._route.direct else None,
            # Replaced after connecting; without a name aiosmtplib would ask the resolver for one.
            local_hostname=self._route.ehlo_name or "localhost",
            timeout=self._timeouts.command,
            use_tls=server.security == "tls",
            start_tls=False,
            tls_context=None if server.security == "plain" else client_context(server),
        )
        if self._log is not None:
            client.transcript = Transcript(self._log)
        return client

    async def _greet(self, client: PhasedSMTP) -> None:
        server, route, seconds = self._server, self._route, self._timeouts.connect
        self._routing = None if route.direct else _routing(route, None)
        if not route.direct:
            client.sock = await dial(server.host, server.port, route, timeout=seconds)
        greeting = await client.connect(timeout=seconds)
        if client.transcript is not None:
            way = "" if route.proxy is None else " through a proxy"
            client.transcript.happened(f"connected to {server.host}:{server.port}{way}")
            client.transcript.heard(greeting)
        address = ipaddress.ip_address(client.get_transport_info("sockname")[0].partition("%")[0])
        if route.ehlo_name is None:
            client.local_hostname = f"[{'IPv6:' if address.version == 6 else ''}{address}]"
        if not route.direct:
            self._routing = _routing(route, str(address))
        await client.ehlo()
        security = self._server.security
        if security == "starttls" or (security == "opportunistic" and client.supports_extension("starttls")):
            await client.starttls(timeout=self._timeouts.connect)
            if client.transcript is not None:
                client.transcript.happened("TLS has begun")
            await client.ehlo()

    async def _authenticate(self, client: PhasedSMTP, login: Login) -> None:
        """Log in once, by the best mechanism; trying several would count as several failures."""
        user, offered = self._user or login.user, client.server_auth_methods
        if login == NOBODY:
            return
        if login.access_token is not None:
            if "xoauth2" in offered:
                await client.auth_xoauth2(user, login.access_token)
                return
        elif login.password is not None:
            for mechanism, authenticate in (
                ("plain", client.auth_plain),
                ("login", client.auth_login),
                ("cram-md5", client.auth_crammd5),
            ):
                if mechanism in offered:
                    await authenticate(user, login.password)
                    return
        raise ReauthorizationError("the submission server offers no way to use this login", native_code="AUTH")


def _routing(route: Route, local_address: str | None) -> NetworkRouting:
    """Return what is told of a route, once it is known from where it goes."""
    return NetworkRouting(
        local_address=local_address,
        requested_local_address=route.local_address,
        name=route.ehlo_name,
        proxy=None if route.proxy is None else masked_proxy(route.proxy),
    )

"""One SMTP connection: who brings a message, for which test, and what is made of it."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from dataclasses import dataclass, field
from typing import AnyStr

import dns.resolver
import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from gateway import __version__
from gateway.receiving import Connections, CountedConnection
from gateway.redis import UNREACHABLE
from gateway.services.delivery_tests.evaluation import Received, evaluate
from gateway.services.delivery_tests.lookup import Lookup
from gateway.services.delivery_tests.service import DeliveryTestService
from gateway.store.delivery_tests import DeliveryTest

log = structlog.get_logger(__name__)

#: Octets of a message. Ours has a few hundred, and hosts on the way add some thousands; all of it is hashed more than
#: once, so that this bounds what a message costs as well.
MAX_SIZE = 256 * 1024

#: Connections at a time, and seconds for which one may be silent.
MOST_CONNECTIONS = 100
_SILENCE = 60

#: Recipients that one connection may get wrong.
MOST_FAILURES = 10

#: Messages that are looked at at a time: it takes a thread, and the time of a processor.
_AT_ONCE = 4

LATER = "451 4.3.0 The receiver cannot take mail now; try again later"


@dataclass(slots=True, kw_only=True)
class ReceptionConnections(Connections):
    """The connections of one server, and what they need.

    Attributes:
        tests: which there are.
        resolver: whom to ask for names.
        domain: the receiver's.
        turn: held while a message is looked at.
    """

    tests: DeliveryTestService
    resolver: dns.resolver.Resolver
    domain: str
    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))


class Reception:
    """Answers what aiosmtpd asks about the commands of one connection."""

    def __init__(self, connections: ReceptionConnections) -> None:
        self._connections = connections
        self._failures = 0
        self._test: DeliveryTest | None = None

    async def handle_EHLO(
        self, protocol: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Announce enhanced status codes (RFC 2034) instead of HELP, and no ways to log in, as there are none."""
        session.host_name = hostname
        announced = [line for line in responses[:-1] if not line.startswith("250-AUTH")]
        return [*announced, "250 ENHANCEDSTATUSCODES"]

    async def handle_VRFY(self, protocol: SMTP, session: Session, envelope: Envelope, address: str) -> str:
        """Tell nobody which addresses there are."""
        return "252 2.5.1 Send a message and see"

    async def handle_RCPT(
        self, protocol: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take the address of a test that waits for its message, and no other."""
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient at a time"
        try:
            test = await self._connections.tests.addressed(address)
        except UNREACHABLE as error:
            log.warning("delivery_test_not_found", error=type(error).__name__)
            return LATER
        if test is not None:
            envelope.rcpt_tos.append(address)
            self._test = test
            return "250 2.1.5 Recipient OK"
        self._failures += 1
        if self._failures < MOST_FAILURES:
            return "550 5.1.1 There is no such address here"
        if isinstance(protocol, Connection):
            protocol.end_soon()
        return "421 4.7.0 Too many recipients that do not exist"

    async def handle_DATA(self, protocol: SMTP, session: Session, envelope: Envelope) -> str:
        """Look at the message and note what it is like; only then it is taken."""
        connection, content = protocol, envelope.content
        test = self._test
        if test is None or not isinstance(connection, Connection) or not isinstance(content, bytes):
            return LATER
        self._connections.busy.add(connection)
        try:
            # Whoever was not told that it has arrived brings it again.
            if test.report is None:
                await self._look_at(test, session, envelope.mail_from or "", content)
        except UNREACHABLE as error:
            log.warning("delivery_test_not_noted", error=type(error).__name__)
            return LATER
        finally:
            self._connections.busy.discard(connection)
        return "250 2.0.0 OK, the test has its message"

    async def _look_at(self, test: DeliveryTest, session: Session, mail_from: str, content: bytes) -> None:
        peer = session.peer
        received = Received(
            ip=str(peer[0]) if isinstance(peer, tuple) else "",
            helo=session.host_name or "",
            mail_from=mail_from,
            receiver=self._connections.domain,
            content=content,
        )
        async with self._connections.turn:
            report = await asyncio.to_thread(evaluate, received, Lookup(self._connections.resolver))
        await self._connections.tests.arrived(test, report)
        log.info(
            "delivery_test_arrived",
            spf=report.spf.status.result,
            dkim=report.main_sig.status.result,
            dmarc=report.dmarc.status.result,
        )

    async def handle_exception(self, error: Exception) -> str:
        """Answer when something went wrong that nobody thought of; its text may hold what the client said."""
        log.error("reception_failed", error=type(error).__name__)
        return LATER


class Connection(CountedConnection):
    """One connection. With a certificate TLS is offered, and as between all mail servers it is not required."""

    def __init__(self, connections: ReceptionConnections, *, tls: ssl.SSLContext | None) -> None:
        """Take the certificate for STARTTLS."""
        # aiosmtpd keeps this on the class, so that each EHLO of each connection would raise the limits of all.
        self.command_size_limits = defaultdict(lambda: self.command_size_limit)
        self.connections: ReceptionConnections = connections
        self._ending = False
        super().__init__(
            Reception(connections),
            data_size_limit=MAX_SIZE,
            enable_SMTPUTF8=True,
            hostname=connections.domain,
            ident=f"ESMTP email-gateway {__version__}",
            tls_context=tls,
            timeout=_SILENCE,
            # There is nobody to log in.
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
            loop=asyncio.get_running_loop(),
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection; one too many is closed."""
        super().connection_made(transport)
        if len(self.connections.open) > MOST_CONNECTIONS:
            self.end()

    async def push(self, status: AnyStr) -> None:
        """Answer, and hang up if that was the last word."""
        await super().push(status)
        if self._ending:
            self.end()

    def end_soon(self) -> None:
        """Close the connection after the next answer."""
        self._ending = True

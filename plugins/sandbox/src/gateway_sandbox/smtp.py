"""The submission server (RFC 6409): aiosmtpd with Exchange Online's refusals."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from email import policy
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.utils import getaddresses
from typing import Any
from weakref import WeakSet

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, Envelope, LoginPassword, Session

from gateway_sandbox import directory, sasl
from gateway_sandbox.access import Access, AccessDeniedError, Gate
from gateway_sandbox.delivery import Delivery
from gateway_sandbox.failures import Failure, Failures
from gateway_sandbox.lenient import head_of

_HOST = "SANDBOX.PROD.OUTLOOK.COM"
_MAX_MESSAGE_SIZE = 157286400
_REFUSED = f"535 5.7.3 Authentication unsuccessful [{_HOST}]"
_NO_PASSWORDS = f"535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [{_HOST}]"
_SMTP_AUTH_DISABLED = (
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."
    f" Visit https://aka.ms/smtp_auth_disabled for more information. [{_HOST}]"
)
#: Access tokens of 4 kB arrive in one line, which aiosmtpd would refuse.
_LINE_LIMIT = 16384

_parse_header = BytesHeaderParser(policy=policy.default).parsebytes


class SmtpServer:
    """Accepts submissions.

    Attributes:
        submissions: how many messages were accepted.
    """

    def __init__(self, gate: Gate, delivery: Delivery, failures: Failures, tls: ssl.SSLContext) -> None:
        self.gate = gate
        self.delivery = delivery
        self.failures = failures
        self.submissions = 0
        self._tls = tls
        self._connections: WeakSet[Submission] = WeakSet()

    async def listen(self, port: int) -> asyncio.Server:
        """Listen on a port of 127.0.0.1.

        Raises:
            OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()

        def connect() -> Submission:
            connection = Submission(self, self._tls, loop)
            self._connections.add(connection)
            return connection

        return await loop.create_server(connect, "127.0.0.1", port)

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self._connections):
            if connection.transport is not None:
                connection.transport.close()


class SubmissionHandler:
    """Answers what aiosmtpd asks about one connection's commands."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def handle_EHLO(
        self, protocol: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Announce enhanced status codes (RFC 2034) instead of HELP."""
        session.host_name = hostname
        return [*responses[:-1], "250 ENHANCEDSTATUSCODES"]

    async def handle_MAIL(
        self, protocol: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take any sender: Exchange checks it after DATA."""
        who = _access(session).mailbox.address
        await asyncio.sleep(self._server.failures.delay(who))
        if self._server.failures.active(Failure.THROTTLED, who):
            return f"432 4.3.2 Concurrent connections limit exceeded. [{_HOST}]"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Sender OK"

    async def handle_RCPT(
        self, protocol: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take any recipient: unknown ones come back as a report."""
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient OK"

    async def handle_DATA(self, protocol: SMTP, session: Session, envelope: Envelope) -> str:
        """Check the sender and deliver."""
        access = _access(session)
        content = envelope.content
        if not isinstance(content, bytes) or envelope.mail_from is None:
            return "451 4.3.0 Mail cannot be handled"
        login = access.mailbox.address
        for sender in (envelope.mail_from, *_from_addresses(_parse_header(head_of(content)))):
            if not directory.may_open(login, sender.lower()):
                return (
                    f"554 5.2.252 SendAsDenied; {login} not allowed to send as {sender};"
                    f" STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied [Hostname={_HOST}]"
                )
        message_id = self._server.delivery.submit(access.mailbox, envelope.mail_from, envelope.rcpt_tos, content)
        self._server.submissions += 1
        return f"250 2.0.0 OK {message_id} [Hostname={_HOST}]"


class Submission(SMTP):
    """One connection."""

    line_length_limit = _LINE_LIMIT
    command_size_limit = _LINE_LIMIT

    def __init__(self, server: SmtpServer, tls: ssl.SSLContext, loop: asyncio.AbstractEventLoop) -> None:
        # aiosmtpd keeps this on the class, so that each EHLO of each connection would raise the limits of all.
        self.command_size_limits = defaultdict(lambda: _LINE_LIMIT)
        self._server = server
        super().__init__(
            SubmissionHandler(server),
            hostname=_HOST,
            ident="Microsoft ESMTP MAIL Service ready (sandbox)",
            tls_context=tls,
            require_starttls=True,
            auth_required=True,
            auth_exclude_mechanism=["PLAIN"],
            authenticator=self._check_password,
            data_size_limit=_MAX_MESSAGE_SIZE,
            enable_SMTPUTF8=True,
            loop=loop,
        )

    async def _handle_client(self) -> None:
        if self._server.failures.active(Failure.TEMPORARILY_UNAVAILABLE):
            await self.push(f"421 4.3.2 Service not available [{_HOST}]")
            self._writer.close()
            return
        await super()._handle_client()

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        """Answer AUTH XOAUTH2, with or without an initial response."""
        try:
            if len(args) > 1:
                response = sasl.decode(args[1].encode())
            else:
                challenged = await self.challenge_auth("", encode_to_b64=False)
                if challenged is MISSING:
                    return AuthResult(success=False, handled=True)
                response = bytes(challenged)
            user, token = sasl.xoauth2(response)
        except ValueError:
            return AuthResult(success=False, handled=False, message="501 5.5.4 Invalid arguments")
        failures = self._server.failures
        await asyncio.sleep(failures.delay(user.lower()))
        if failures.active(Failure.SMTP_AUTH_DISABLED, user.lower()):
            return AuthResult(success=False, handled=False, message=_SMTP_AUTH_DISABLED)
        try:
            access = self._server.gate.smtp(user, token)
        except AccessDeniedError:
            return AuthResult(success=False, handled=False, message=_REFUSED)
        return _admitted(access)

    def _check_password(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, credentials: Any
    ) -> AuthResult:
        if not isinstance(credentials, LoginPassword):
            return AuthResult(success=False, handled=False, message=_REFUSED)
        user = credentials.login.decode("utf-8", "replace")
        try:
            access = self._server.gate.password(user, credentials.password.decode("utf-8", "replace"))
        except AccessDeniedError:
            person = directory.find(user)
            needs_oauth = person is not None and person.exchange
            return AuthResult(success=False, handled=False, message=_NO_PASSWORDS if needs_oauth else _REFUSED)
        return _admitted(access)


def _admitted(access: Access) -> AuthResult:
    return AuthResult(success=True, auth_data=access, message="235 2.7.0 Authentication successful")


def _access(session: Session) -> Access:
    access: Any = session.auth_data
    if not isinstance(access, Access):
        raise TypeError("a command that needs a login was let through")
    return access


def _from_addresses(header: EmailMessage) -> list[str]:
    """Return the addresses of the From and Sender fields (RFC 5322 section 3.6.2)."""
    values = [str(value) for name in ("from", "sender") for value in header.get_all(name, [])]
    return [address for _, address in getaddresses(values) if address]

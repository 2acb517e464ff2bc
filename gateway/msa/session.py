"""One SMTP connection: who is there, and what they submit."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections import defaultdict
from dataclasses import dataclass, replace

import structlog
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from gateway import __version__
from gateway.api.guards import admit
from gateway.api.requests import check_idempotency_key
from gateway.api.submissions import submit
from gateway.errors import GatewayError, RateLimitError
from gateway.model.submission import EnvelopePayload, SubmitRequest
from gateway.msa.replies import LATER, reply_to
from gateway.receiving import Connections, CountedConnection
from gateway.redis import UNREACHABLE
from gateway.services.container import Services
from gateway.services.controls import take_controls
from gateway.services.idempotency import idempotency_key

log = structlog.get_logger(__name__)

#: As many recipients as a message may have (RFC 5321 section 4.5.3.1.8 asks for 100 at least).
MOST_RECIPIENTS = 1000

#: Logins that one connection may get wrong.
MOST_FAILURES = 3

#: The longest line of a message: longer ones break RFC 5321 section 4.5.3.1.6, and are written all the same.
_LINE_LIMIT = 65_536
#: Of a command, with an initial response of AUTH in it.
_COMMAND_LIMIT = 4096

#: Exactly this is asked of a token, as of those that call the API, but for the scope.
_SUBMISSION = replace(submit, scope="smtp")


@dataclass(slots=True, kw_only=True)
class SubmissionConnections(Connections):
    """The connections of one server, and the `services` of its process."""

    services: Services


class Submission:
    """Answers what aiosmtpd asks about the commands of one connection."""

    def __init__(self, connections: SubmissionConnections) -> None:
        self._connections = connections

    async def handle_EHLO(
        self, protocol: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Announce enhanced status codes (RFC 2034) instead of HELP."""
        session.host_name = hostname
        return [*responses[:-1], "250 ENHANCEDSTATUSCODES"]

    async def handle_RCPT(
        self, protocol: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient; whether there is one is the account's mail service to say."""
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient OK"

    async def handle_DATA(self, protocol: SMTP, session: Session, envelope: Envelope) -> str:
        """Put the message into the outbox; only then it is taken."""
        connection = protocol
        if not isinstance(connection, Connection) or not isinstance(envelope.content, bytes):
            return LATER
        request = SubmitRequest(
            raw=base64.b64encode(envelope.content).decode(),
            envelope=EnvelopePayload(from_=envelope.mail_from, to=tuple(envelope.rcpt_tos)),
        )
        account = str(session.auth_data)
        self._connections.busy.add(connection)
        try:
            wanted = take_controls(envelope.content).idempotency_key
            key = None if wanted is None else idempotency_key(check_idempotency_key(wanted), "smtp", request)
            submissions = self._connections.services.submissions
            result = await submissions.submit(account, request, key=key, source="smtp")
        except GatewayError as error:
            log.info("submission_refused", account=account, error=type(error).__name__, code=error.error_code)
            return reply_to(error)
        except UNREACHABLE as error:
            log.warning("submission_not_taken", account=account, error=type(error).__name__)
            return LATER
        finally:
            self._connections.busy.discard(connection)
        return f"250 2.0.0 OK queued as {result.queue_id}"

    async def handle_exception(self, error: Exception) -> str:
        """Answer when something went wrong that nobody thought of; its text may hold what the client said."""
        log.error("submission_failed", error=type(error).__name__)
        return LATER


class Connection(CountedConnection):
    """One connection. Passwords are API tokens of the scope `smtp`, user names ids of accounts."""

    line_length_limit = _LINE_LIMIT
    command_size_limit = _COMMAND_LIMIT

    def __init__(
        self, connections: SubmissionConnections, *, tls: ssl.SSLContext | None, implicit: bool, size: int
    ) -> None:
        """Take the certificate for STARTTLS, or that the connection is encrypted from its beginning (`implicit`)."""
        # aiosmtpd keeps this on the class, so that each EHLO of each connection would raise the limits of all.
        self.command_size_limits = defaultdict(lambda: _COMMAND_LIMIT)
        self.connections: SubmissionConnections = connections
        self._failures = 0
        starttls = tls is not None and not implicit
        super().__init__(
            Submission(connections),
            data_size_limit=size,
            enable_SMTPUTF8=True,
            hostname="gateway",
            ident=f"ESMTP email-gateway {__version__}",
            tls_context=tls if starttls else None,
            require_starttls=starttls,
            auth_required=True,
            auth_require_tls=True,
            authenticator=_told,
            loop=asyncio.get_running_loop(),
        )
        # Said afterwards, as it would warn: with `implicit` there is TLS around it, and without a certificate it
        # listens on loopback only.
        self._auth_require_tls = starttls

    async def auth_PLAIN(self, _: SMTP, args: list[str]) -> AuthResult:
        """Answer AUTH PLAIN (RFC 4616)."""
        return await self._judged(await super().auth_PLAIN(_, args))

    async def auth_LOGIN(self, _: SMTP, args: list[str]) -> AuthResult:
        """Answer AUTH LOGIN, which old programs know."""
        return await self._judged(await super().auth_LOGIN(_, args))

    async def _judged(self, told: AuthResult) -> AuthResult:
        """Let in whoever has named an account and a token that may send for it."""
        if not told.success or not isinstance(told.auth_data, LoginPassword):
            return told
        account = told.auth_data.login.decode("utf-8", "replace")
        password = told.auth_data.password.decode("utf-8", "replace")
        peer = self.session.peer if self.session is not None else None
        address = peer[0] if isinstance(peer, tuple) else None
        try:
            await admit(
                _SUBMISSION,
                self.connections.services.tokens,
                headers={"authorization": f"Bearer {password}"},
                query={},
                path={"account": account},
                remote_address=address,
            )
            return AuthResult(success=True, auth_data=account)
        except RateLimitError as error:
            return AuthResult(success=False, handled=False, message=reply_to(error))
        except UNREACHABLE:
            return AuthResult(success=False, handled=False, message="454 4.7.0 Temporary authentication failure")
        except GatewayError as error:
            log.warning("login_refused", address=address, error=type(error).__name__)
        self._failures += 1
        if self._failures < MOST_FAILURES:
            return AuthResult(success=False, handled=False, message="535 5.7.8 Authentication credentials invalid")
        await self.push("421 4.7.0 Too many logins that failed")
        self.end()
        return AuthResult(success=False, handled=True)


def _told(server: SMTP, session: Session, envelope: Envelope, mechanism: str, credentials: LoginPassword) -> AuthResult:
    """Hand on what was said: to find out what it is worth takes a look at Redis, for which aiosmtpd does not wait."""
    return AuthResult(success=True, auth_data=credentials)

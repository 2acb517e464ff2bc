"""The IMAP server: pymap with Exchange Online's manners (its greeting, capabilities, refusals and login).

What the real one says was collected from public transcripts: a bare ``NO AUTHENTICATE failed.``, ``BAD User is
authenticated but not connected.``, ``BAD Request is throttled.`` followed by BYE, ``BYE Session invalidated -
AccessTokenExpired``.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from argparse import Namespace
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, closing, suppress
from typing import cast

from proxyprotocol.sock import SocketInfoLocal
from proxyprotocol.version import ProxyProtocolVersion
from pymap.bytes import WriteStream
from pymap.concurrent import Subsystem
from pymap.config import BackendCapability, IMAPConfig
from pymap.context import connection_exit, current_command
from pymap.exceptions import ResponseError
from pymap.imap import IMAPConnection
from pymap.imap.state import ConnectionState
from pymap.interfaces.login import LoginInterface
from pymap.parsing import EndLine, Params
from pymap.parsing.command import Command, CommandAny, CommandAuth, CommandNoArgs, CommandSelect
from pymap.parsing.command.nonauth import AuthenticateCommand, LoginCommand
from pymap.parsing.commands import Commands
from pymap.parsing.exceptions import NotParseable
from pymap.parsing.response import CommandResponse, Response, ResponseBad, ResponseNo, ResponseOk, UntaggedResponse
from pymap.parsing.response.code import Capability
from pymap.selected import SelectedMailbox
from pysasl.creds.server import ServerCredentials
from pysasl.exception import AuthenticationError
from pysasl.identity import Identity

from gateway_sandbox import sasl
from gateway_sandbox.access import Access, AccessDeniedError, Gate
from gateway_sandbox.failures import Failure, Failures
from gateway_sandbox.imap_backend import MailboxData, MailboxSet, MailSession
from gateway_sandbox.mailstore import MailStore

_COMMON = (b"IMAP4", b"SASL-IR", b"UIDPLUS", b"ID", b"UNSELECT", b"CHILDREN", b"IDLE", b"NAMESPACE", b"LITERAL+")
_BEFORE_LOGIN = (*_COMMON[:1], b"AUTH=PLAIN", b"AUTH=XOAUTH2", *_COMMON[1:])
_AFTER_LOGIN = (*_COMMON, b"MOVE")
#: Access tokens of 4 kB arrive in one line; literals are read without this limit.
_LINE_LIMIT = 65536


class Presented(ServerCredentials):
    """Credentials as the client sent them; the gate checks them, not pysasl."""

    def __init__(self, mechanism: bytes, user: str, secret: str) -> None:
        self.mechanism = mechanism
        self.user = user
        self.secret = secret

    @property
    def authcid(self) -> str:
        return self.user

    @property
    def authzid(self) -> str:
        return self.user

    def verify(self, identity: Identity | None) -> bool:
        return False


class AuthenticateWithResponse(AuthenticateCommand):
    """AUTHENTICATE with or without an initial response (RFC 4959)."""

    _arguments = re.compile(rb" ([A-Za-z0-9_-]+)(?: ([A-Za-z0-9+/]+={0,2}|=))?")

    def __init__(self, tag: bytes, mech_name: bytes, initial_response: bytes | None = None) -> None:
        super().__init__(tag, mech_name)
        self.initial_response = initial_response

    @classmethod
    def parse(cls, buf: memoryview, params: Params) -> tuple[AuthenticateCommand, memoryview]:
        match = cls._arguments.match(buf)
        if match is None:
            raise NotParseable(buf)
        _, after = EndLine.parse(buf[match.end() :], params)
        return cls(params.tag, match[1].upper(), match[2]), after


class NamespaceCommand(CommandNoArgs, CommandAuth):
    """NAMESPACE (RFC 2342)."""

    command = b"NAMESPACE"


class UnselectCommand(CommandNoArgs, CommandSelect):
    """UNSELECT (RFC 3691)."""

    command = b"UNSELECT"


class BadAndGoodbye(ResponseBad):
    """A BAD answer after which the server hangs up."""

    @property
    def is_terminal(self) -> bool:
        return True

    async def async_write(self, writer: WriteStream) -> None:
        await super().async_write(writer)
        writer.write(b"* BYE Connection closed. 14\r\n")


class ServerUnavailableError(ResponseError):
    """The whole server is away for a while."""

    def get_response(self, tag: bytes) -> ResponseNo:
        return ResponseNo(tag, b"Server Unavailable. 15")


class ExchangeConfig(IMAPConfig):
    """How pymap is set up."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        arguments = Namespace(passlib_cfg=None, proxy_protocol="noop")
        super().__init__(
            arguments,
            host=None,
            port=0,
            ssl_context=tls,
            tls_enabled=False,
            proxy_protocol=ProxyProtocolVersion.get("noop"),
            cpu_subsystem=Subsystem.for_asyncio(),
            max_append_len=157286400,
            bad_command_limit=None,
        )

    @property
    def backend_capability(self) -> BackendCapability:
        return BackendCapability(idle=True, object_id=False, multi_append=False)

    @property
    def commands(self) -> Commands:
        commands = Commands()
        for command in AuthenticateWithResponse, NamespaceCommand, UnselectCommand:
            commands.register(command)
        return commands

    @property
    def id_response(self) -> Mapping[bytes, bytes]:
        return {b"name": b"Microsoft.Exchange.Imap4.Imap4Server", b"version": b"15.20"}


class ImapServer:
    """Accepts connections and keeps track of those that are logged in.

    Attributes:
        logins: how many logins succeeded.
    """

    def __init__(self, gate: Gate, store: MailStore, failures: Failures, tls: ssl.SSLContext) -> None:
        self.gate = gate
        self.failures = failures
        self.config = ExchangeConfig(tls)
        self.logins = 0
        self._store = store
        self._tls = tls
        self._commands = self.config.commands
        self._open_mailboxes: dict[int, MailboxData] = {}
        self._states: set[ExchangeState] = set()

    async def listen(self, port: int) -> asyncio.Server:
        """Listen on a port of 127.0.0.1 with implicit TLS (RFC 8314 section 3.2).

        Raises:
            OSError: the port is taken.
        """
        return await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self._tls, limit=_LINE_LIMIT)

    def open_session(self, access: Access) -> MailSession:
        """Return a session for a mailbox that was opened."""
        self.logins += 1
        address = access.mailbox.address
        return MailSession(address, self.config, MailboxSet(self._store, address, self._open_mailboxes))

    def drop_invalid(self) -> None:
        """End the sessions whose token is no longer good."""
        for state in list(self._states):
            if state.access is not None and not self.gate.still_good(state.access):
                state.hang_up(b"Session invalidated - AccessTokenExpired")

    def close(self) -> None:
        """End all sessions."""
        for state in list(self._states):
            state.hang_up(b"Server shutting down.")

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        connection = ExchangeConnection(self._commands, self.config, reader, writer, SocketInfoLocal(writer))
        state = ExchangeState(self, writer)
        self._states.add(state)
        try:
            async with AsyncExitStack() as stack:
                connection_exit.set(stack)
                stack.enter_context(closing(connection))
                # A client speaks before it hears the goodbye, or does not hear it for long: TLS calls both an error.
                stack.enter_context(suppress(OSError))
                await connection.run(state)
        finally:
            self._states.discard(state)
            state.forget_timer()


class _Gathered(WriteStream):
    """Collects the pieces of a response, so that a line is not spread over TLS records without need.

    pymap writes a FETCH response in many pieces; imapclient 4.1 loses half of a line that arrives in two records
    during IDLE (seen November 2026, pinned by test_idle_wakes_up_for_new_mail_and_changed_flags).
    """

    def __init__(self, writer: StreamWriter) -> None:
        self._writer = writer
        self._pieces = bytearray()

    def write(self, data: bytes) -> None:
        self._pieces += data
        if len(self._pieces) > _LINE_LIMIT:
            self.flush()

    def flush(self) -> None:
        """Hand over what was collected."""
        self._writer.write(bytes(self._pieces))
        self._pieces.clear()


class ExchangeConnection(IMAPConnection):
    """Reads the SASL exchange, with or without an initial response."""

    async def write_response(self, resp: Response) -> None:
        gathered = _Gathered(self.writer)
        with suppress(ConnectionError):
            await resp.async_write(gathered)
            gathered.flush()
            await self.writer.drain()

    async def authenticate(self, state: ConnectionState, mech_name: bytes) -> ServerCredentials | None:
        parse = {b"XOAUTH2": sasl.xoauth2, b"PLAIN": sasl.plain}.get(mech_name)
        if parse is None:
            return None
        command = cast("AuthenticateWithResponse", current_command.get())
        response = command.initial_response
        if response is None:
            self.writer.write(b"+ \r\n")
            await self.writer.drain()
            response = bytes(await self.read_continuation(0)).rstrip(b"\r\n")
        if response == b"*":
            raise AuthenticationError("The AUTH protocol exchange was canceled by the client.")
        try:
            user, secret = parse(sasl.decode(response))
        except ValueError as error:
            raise AuthenticationError("Command Argument Error. 12") from error
        return Presented(mech_name, user, secret)


class ExchangeState(ConnectionState):
    """What one connection may do, and how it is refused.

    Attributes:
        access: what the login has opened.
    """

    def __init__(self, server: ImapServer, writer: StreamWriter) -> None:
        # Only the methods replaced below would use pymap's own login.
        super().__init__(cast("LoginInterface", None), server.config)
        self.access: Access | None = None
        self._server = server
        self._writer = writer
        self._timer: asyncio.TimerHandle | None = None

    @property
    def capability(self) -> Capability:
        return Capability(_BEFORE_LOGIN if self._session is None else _AFTER_LOGIN)

    def hang_up(self, reason: bytes) -> None:
        """Say goodbye and close the connection, whatever it is doing."""
        if self._writer.is_closing():
            return  # asyncio's TLS transport cannot be written to any more
        self._writer.write(b"* BYE " + reason + b"\r\n")
        self._writer.close()

    def forget_timer(self) -> None:
        """Stop waiting for the token to run out."""
        if self._timer is not None:
            self._timer.cancel()

    async def do_greeting(self) -> CommandResponse:
        if self._server.failures.active(Failure.TEMPORARILY_UNAVAILABLE):
            raise ServerUnavailableError
        return ResponseOk(b"*", b"The Microsoft Exchange IMAP4 service is ready. [UwBBAE4ARABCAE8AWAA=]")

    async def do_authenticate(
        self, cmd: AuthenticateCommand | LoginCommand, creds: ServerCredentials | None
    ) -> CommandResponse:
        if not isinstance(creds, Presented):
            return ResponseNo(cmd.tag, b"Unsupported authentication mechanism.")
        check = self._server.gate.imap if creds.mechanism == b"XOAUTH2" else self._server.gate.password
        return await self._admit(cmd, check, creds.user, creds.secret)

    async def do_login(self, cmd: LoginCommand) -> tuple[CommandResponse, SelectedMailbox | None]:
        user, password = cmd.userid.decode("utf-8", "replace"), cmd.password.decode("utf-8", "replace")
        return await self._admit(cmd, self._server.gate.password, user, password), None

    async def _admit(
        self, cmd: Command, check: Callable[[str, str], Access], user: str, secret: str
    ) -> CommandResponse:
        await asyncio.sleep(self._server.failures.delay(user.lower()))
        if (refusal := self._throttled(cmd, user.lower())) is not None:
            return refusal
        try:
            access = check(user, secret)
        except AccessDeniedError:
            return ResponseNo(cmd.tag, cmd.command + b" failed.")
        self.access = access
        self._session = self._server.open_session(access)
        if access.bearer is not None:
            left = self._server.gate.seconds_left(access.bearer)
            self._timer = asyncio.get_running_loop().call_later(left, self._server.drop_invalid)
        return ResponseOk(cmd.tag, cmd.command + b" completed.")

    async def do_namespace(self, cmd: NamespaceCommand) -> tuple[CommandResponse, SelectedMailbox | None]:
        """Answer NAMESPACE: one personal namespace (RFC 2342 section 5)."""
        response = ResponseOk(cmd.tag, b"NAMESPACE completed.")
        response.add_untagged(UntaggedResponse(b'NAMESPACE (("" "/")) NIL NIL'))
        return response, None

    async def do_unselect(self, cmd: UnselectCommand) -> tuple[CommandResponse, SelectedMailbox | None]:
        """Answer UNSELECT: leave the mailbox without expunging."""
        self._selected = None
        return ResponseOk(cmd.tag, b"UNSELECT completed."), None

    async def do_command(self, cmd: Command) -> CommandResponse:
        if self.access is not None and not isinstance(cmd, CommandAny):
            address = self.access.mailbox.address
            await asyncio.sleep(self._server.failures.delay(address))
            if self._server.failures.active(Failure.MAILBOX_NOT_CONNECTED, address):
                return ResponseBad(cmd.tag, b"User is authenticated but not connected.")
            if (refusal := self._throttled(cmd, address)) is not None:
                return refusal
        return await super().do_command(cmd)

    def _throttled(self, cmd: Command, address: str) -> CommandResponse | None:
        switch = self._server.failures.active(Failure.THROTTLED, address)
        if switch is None:
            return None
        text = b"Request is throttled. Suggested Backoff Time: %d milliseconds" % int(switch.seconds * 1000)
        return BadAndGoodbye(cmd.tag, text)

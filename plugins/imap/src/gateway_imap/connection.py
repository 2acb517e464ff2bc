"""One IMAP connection (RFC 9051): blocking, for one thread at a time.

imapclient connects, encrypts and reads; commands and answers go through `Connection.command`, which can send any number
of literals, tells NO from BAD, and keeps track of the selected mailbox.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from gateway.errors import MailboxNotFoundError, ProviderError, ReauthorizationError
from gateway.model.server import Server
from gateway.provider import DIRECT, Login, ProtocolLog, Route
from gateway.smtp.tls import client_context
from gateway_imap.dialing import ImapTimeouts, Lent, connect, goodbye_greeting, read_line
from gateway_imap.errors import FAILURES, ExplainImap, OutOfStepError, answer_error, connection_error
from gateway_imap.fetch_parser import Record
from gateway_imap.selected import NEWS, Selected
from gateway_imap.transcript import Transcript
from gateway_imap.wire import Literal, Reply, StreamedLiteral, fetch_record, quoted

# RFC 7888 section 5: LITERAL- allows literals that do not wait up to this size.
_LITERAL_MINUS = 4096

#: Hears a line without its end, and tells whether that was enough: then nothing else is done with it.
Take = Callable[[bytes], bool]


class Connection:
    """A connection that is open from construction on, until `close` or the first failure."""

    def __init__(
        self,
        server: Server,
        *,
        timeouts: ImapTimeouts | None = None,
        explain: ExplainImap | None = None,
        route: Route = DIRECT,
        log: ProtocolLog | None = None,
    ) -> None:
        """Connect and encrypt as `server` says.

        Args:
            server: where to.
            timeouts: see `ImapTimeouts`.
            explain: consulted first about each refusal.
            route: which way to take.
            log: takes what goes over the connection.

        Raises:
            ConnectError: not reachable, not trusted, or not an IMAP server.
        """
        self._explain = explain
        self.selected: Selected | None = None
        self.capabilities: frozenset[str] = frozenset()
        self.enabled: frozenset[bytes] = frozenset()
        # Charset -> those that the server named instead, see `gateway_imap.finding`.
        self.refused_charsets: dict[str, bytes] = {}
        self.alive = True
        self.last_used = time.monotonic()
        self.transcript = None if log is None else Transcript(log)
        try:
            self._client = connect(server, timeouts or ImapTimeouts(), route)
        except FAILURES as error:
            found = connection_error(error, goodbye=goodbye_greeting(error), explain=explain)
            if self.transcript is not None:
                self.transcript.happened(f"no connection to {server.host}:{server.port}: {found.error_code}")
            raise found from error
        self._take: Take | None = None
        self._read_line: Callable[[Any], bytes] = read_line
        if self.transcript is not None:
            self.transcript.happened(f"connected to {server.host}:{server.port}")
            self.transcript.heard(self.imap.welcome)
            self._read_line = self.transcript.attach(self.imap, read_line)
        # Called for each line, and for each response in their order.
        self.imap._get_line, self.imap._append_untagged = self._next_line, self._untagged  # noqa: SLF001
        try:
            self._encrypt(server)
        except FAILURES as error:
            self.close()
            raise connection_error(error) from error

    def _encrypt(self, server: Server) -> None:
        client = self._client
        offered = client.has_capability("STARTTLS")
        if server.security == "starttls" and not offered:
            raise OutOfStepError("STARTTLS is not offered")
        if offered and server.security in ("starttls", "opportunistic"):
            client.starttls(client_context(server))
        self.capabilities = _capabilities(b" ".join(client.capabilities()))

    @property
    def imap(self) -> Any:
        """The object of imaplib under imapclient."""
        return self._client._imap  # noqa: SLF001 - imapclient works on it in the same way

    def has(self, capability: str) -> bool:
        """Tell whether the server offers a capability (upper case)."""
        return capability in self.capabilities

    # --- commands -----------------------------------------------------------------------------------------------------

    def command(
        self,
        name: bytes,
        *arguments: bytes | StreamedLiteral,
        tolerate: bool = False,
        otherwise: type[ProviderError] | None = None,
        take: Take | None = None,
    ) -> Reply:
        """Send a command and return its answer.

        Args:
            name: e.g. ``b"UID FETCH"``.
            arguments: octets as they stand, `Literal`, or `StreamedLiteral`.
            tolerate: return a NO or BAD too.
            otherwise: see `gateway_imap.errors.answer_error`.
            take: asked first about each line of the answer, which saves what imaplib does for thousands of them.

        Raises:
            GatewayError: refused, see `gateway_imap.errors`, or the connection broke and is useless now.
        """
        with self._exchange() as tag, self._taken(take):
            self._send(tag, name, arguments)
            reply = self._reply(tag)
        if reply.status != "OK" and not tolerate:
            raise self.refusal(reply, **({"otherwise": otherwise} if otherwise else {}))
        return reply

    def fetch_and_look(self, numbers: bytes, items: bytes, *, name: bytes = b"FETCH") -> Reply:
        """Send FETCH and NOOP in one write; return the answer of FETCH with the untagged responses of both.

        If it tells of no EXPUNGE, and EXISTS stayed the same, the sequence numbers were right all the time: nothing is
        expunged during a FETCH (RFC 9051 section 7.5.1), which is why NOOP may follow it without waiting, and not the
        other way round (section 5.5).

        Args:
            numbers: a sequence set; one of UIDs for ``UID FETCH``.
            items: what to fetch.
            name: of the command.

        Raises:
            GatewayError: NOOP was refused, or the connection broke. A refused FETCH is for the caller to see.
        """
        with self._exchange() as tag:
            look = self.imap._new_tag()  # noqa: SLF001
            self.imap.send(b"%b %b %b %b\r\n%b NOOP\r\n" % (tag, name, numbers, items, look))
            fetched, looked = self._reply(tag), self._reply(look)
        if looked.status != "OK":
            raise self.refusal(looked)
        for kind, records in looked.untagged.items():
            fetched.untagged.setdefault(kind, []).extend(records)
        return fetched

    def refusal(self, reply: Reply, **how: Any) -> Exception:
        """Return the error for a NO or BAD."""
        return answer_error(reply.status, reply.text, explain=self._explain, **how)

    @contextlib.contextmanager
    def _exchange(self) -> Iterator[bytes]:
        """Hold a new tag; any failure inside makes the connection useless."""
        imap = self.imap
        imap.untagged_responses = {}
        try:
            yield imap._new_tag()  # noqa: SLF001
        except FAILURES as error:
            goodbye = imap.untagged_responses.get("BYE")
            self.abort()
            raise connection_error(error, goodbye=goodbye[-1] if goodbye else None, explain=self._explain) from error
        self.last_used = time.monotonic()

    def _send(self, tag: bytes, name: bytes, arguments: tuple[bytes | StreamedLiteral, ...]) -> None:
        out = tag + b" " + name
        for argument in arguments:
            if not isinstance(argument, Literal | StreamedLiteral):
                out += b" " + argument
                continue
            size = len(argument) if isinstance(argument, Literal) else argument.size
            if self.has("LITERAL+") or (self.has("LITERAL-") and size <= _LITERAL_MINUS):
                out += b" {%d+}\r\n" % size
            else:
                self.imap.send(out + b" {%d}\r\n" % size)
                if not self._go_ahead(tag):
                    return
                out = b""
            if isinstance(argument, Literal):
                out += argument
            else:
                self.imap.send(out)
                self._send_literal(argument)
                out = b""
        self.imap.send(out + b"\r\n")

    def _send_literal(self, literal: StreamedLiteral) -> None:
        try:
            for chunk in literal.chunks:
                self.imap.send(chunk)
        except BaseException:
            # Everything up to the announced size would be taken for the literal.
            self.abort()
            raise

    def _go_ahead(self, tag: bytes) -> bool:
        """Wait for a continuation request; False when the command was answered instead."""
        while self.imap._get_response() is not None:  # noqa: SLF001
            if self.imap.tagged_commands[tag] is not None:
                return False
        return True

    def _reply(self, tag: bytes) -> Reply:
        status, data = self.imap._get_tagged_response(tag)  # noqa: SLF001
        untagged = self.imap.untagged_responses
        self.imap.untagged_responses = {}
        return Reply(status, data[-1] or b"", untagged)

    @contextlib.contextmanager
    def _taken(self, take: Take | None) -> Iterator[None]:
        self._take = take
        try:
            yield
        finally:
            self._take = None

    def _next_line(self) -> bytes:
        """Read the next line that imaplib has to look at; it takes its time with each, and FETCH has thousands."""
        while True:
            line = self._read_line(self.imap)
            if self._take is not None and self._take(line):
                continue
            record = fetch_record(line)
            if record is None:
                return line
            self._untagged("FETCH", record)

    def _untagged(self, kind: str, record: Record | None) -> None:
        """Collect a response as imaplib does, by type; the selected mailbox needs their order."""
        self.imap.untagged_responses.setdefault(kind, []).append(record or b"")
        if kind in NEWS:
            self.hear(kind, record or b"")

    def hear(self, kind: str, record: Record) -> None:
        """Have the selected mailbox take in a response of a type in `NEWS`, which every one of them has to be.

        Raises:
            ValueError: not IMAP.
        """
        if self.selected is not None:
            self.selected.hear(kind, record)

    # --- the selected mailbox -----------------------------------------------------------------------------------------

    def select(self, path: str, name: bytes, *, writable: bool = False) -> Selected:
        """Select a mailbox unless it is already; reading uses EXAMINE, which leaves no traces.

        Args:
            path: how the gateway calls it.
            name: the argument that names it to the server.
            writable: it is going to be changed.

        Raises:
            MailboxNotFoundError: there is no such mailbox.
            GatewayError: it cannot be opened.
        """
        if self.selected is not None and self.selected.path == path and (self.selected.writable or not writable):
            return self.selected
        return self._select(b"SELECT" if writable else b"EXAMINE", path, name)[0]

    def examine(self, path: str, *arguments: bytes, take: Take | None = None) -> tuple[Selected, Reply]:
        """Select a mailbox anew for reading, whatever is selected; raises like `select`.

        Args:
            path: how the gateway calls it.
            arguments: its name, and parameters (RFC 4466 section 2.1).
            take: see `command`.
        """
        return self._select(b"EXAMINE", path, *arguments, take=take)

    def _select(self, command: bytes, path: str, *arguments: bytes, take: Take | None = None) -> tuple[Selected, Reply]:
        self.selected = None
        self.imap.state = "AUTH"
        reply = self.command(command, *arguments, otherwise=MailboxNotFoundError, take=take)
        self.imap.state = "SELECTED"
        self.selected = Selected(
            path=path,
            uid_validity=reply.number("UIDVALIDITY") or 0,
            uid_next=reply.number("UIDNEXT"),
            exists=reply.number("EXISTS"),
            writable=command == b"SELECT",
            highest_modseq=reply.number("HIGHESTMODSEQ"),
        )
        return self.selected, reply

    def refreshed(self, path: str, name: bytes) -> Selected:
        """Select a mailbox, or learn what happened in it since; `Selected.exists` is known afterwards."""
        if self.selected is not None and self.selected.path == path:
            self.command(b"NOOP")
            if self.selected.exists is None:
                self.deselect()
        selected = self.select(path, name)
        if selected.exists is None:
            raise connection_error(OutOfStepError("SELECT did not tell the number of messages"))
        return selected

    def deselect(self) -> None:
        """Forget which mailbox is selected, so that the next `select` asks the server."""
        self.selected = None

    def release(self) -> None:
        """Have no mailbox selected, without expunging anything."""
        if self.imap.state != "SELECTED":
            return
        if self.has("UNSELECT"):
            self.command(b"UNSELECT", tolerate=True)
        elif self.selected is not None and not self.selected.writable:
            # CLOSE expunges only what was opened with SELECT (RFC 9051 section 6.4.1).
            self.command(b"CLOSE", tolerate=True)
        self.selected = None
        self.imap.state = "AUTH"

    def enable(self, extension: bytes) -> None:
        """Enable an extension for the rest of the connection (RFC 5161), without a selected mailbox."""
        if extension not in self.enabled:
            self.release()
            self.command(b"ENABLE", extension)
            self.enabled |= {extension}

    # --- IDLE ---------------------------------------------------------------------------------------------------------

    def lend(self) -> Lent | None:
        """Begin to IDLE (RFC 2177) and hand the socket over; None if the server refuses to.

        A NOOP goes before, in the same write, so that the server tells what happened up to now.
        """
        with self._exchange() as tag:
            idle: bytes = self.imap._new_tag()  # noqa: SLF001
            self.imap.send(b"%b NOOP\r\n%b IDLE\r\n" % (tag, idle))
            self._reply(tag)
            if not self._go_ahead(idle):
                self._reply(idle)
                return None
            del self.imap.tagged_commands[idle]
            connected = self._client.socket()
            connected.setblocking(False)
            ahead = b""
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
                ahead = bytes(self.imap.file.peek(1))
            # Its buffer is not needed meanwhile; thousands of them are.
            self.imap.file.close()
            return Lent(idle, connected, ahead)

    def take_back(self) -> None:
        """Go on with the socket that was lent, after the IDLE was answered."""
        self._client._set_read_timeout()  # noqa: SLF001
        self.imap.file = self.imap.sock.makefile("rb")
        self.last_used = time.monotonic()

    # --- login --------------------------------------------------------------------------------------------------------

    def log_in(self, login: Login, user: str | None = None) -> None:
        """Log in with a token (XOAUTH2) or a password (SASL PLAIN, RFC 4616, or LOGIN).

        Args:
            login: the credentials.
            user: name to log in with instead of the login's own.

        Raises:
            ReauthorizationError: refused.
            GatewayError: not now, or the connection broke.
        """
        if self.imap.state == "AUTH":  # PREAUTH: whoever connects is known already (RFC 9051 section 7.1.4)
            return
        name = user or login.user
        if login.access_token is not None:
            if not self.has("AUTH=XOAUTH2"):
                raise ReauthorizationError("the IMAP server does not offer XOAUTH2", native_code="AUTH")
            reply = self._authenticate(b"XOAUTH2", f"user={name}\1auth=Bearer {login.access_token}\1\1")
        elif self.has("AUTH=PLAIN"):
            reply = self._authenticate(b"PLAIN", f"\0{name}\0{login.password or ''}")
        elif self.has("LOGINDISABLED"):
            raise ReauthorizationError("the IMAP server takes no passwords on this connection", native_code="AUTH")
        else:
            reply = self.command(b"LOGIN", quoted(name), quoted(login.password or ""), tolerate=True)
        if reply.status != "OK":
            raise self.refusal(reply, login=True)
        self.imap.state = "AUTH"
        self._learn_capabilities(reply)

    def _authenticate(self, mechanism: bytes, response: str) -> Reply:
        """Run a mechanism that has one response (RFC 9051 section 6.2.2).

        A challenge after the response explains a refusal; it wants an empty answer before the NO comes. Exchange Online
        sends none.
        """
        encoded = base64.b64encode(response.encode("utf-8"))
        pending = [] if self.has("SASL-IR") else [encoded]
        with self._exchange() as tag:
            self._send(tag, b"AUTHENTICATE " + mechanism, () if pending else (encoded,))
            for _ in range(3):
                if not self._go_ahead(tag):
                    return self._reply(tag)
                self.imap.send((pending.pop() if pending else b"") + b"\r\n")
            raise OutOfStepError("challenges without end")

    def _learn_capabilities(self, reply: Reply) -> None:
        """Take the list that came with the login, else ask: what was offered before does not count any more."""
        lines = reply.lines("CAPABILITY")
        told = reply.code("CAPABILITY") or (lines[-1] if lines else None)
        if told is None:
            lines = self.command(b"CAPABILITY").lines("CAPABILITY")
            told = lines[-1] if lines else b""
        if isinstance(told, bytes):
            self.capabilities = _capabilities(told)

    # --- end ----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Log out without insisting on an answer."""
        if self.alive:
            with contextlib.suppress(OSError):
                self._client.socket().settimeout(1)
                self.imap.send(b"Z LOGOUT\r\n")
        self.abort()
        with contextlib.suppress(OSError, ValueError):
            self.imap.file.close()
            self.imap.sock.close()

    def abort(self) -> None:
        """Cut the connection; also from another thread, whose peer then sees it end."""
        if self.transcript is not None and self.alive:
            self.transcript.happened("connection closed")
        self.alive = False
        self.selected = None
        with contextlib.suppress(OSError):
            # Not through SSLSocket, which would take the session away from a thread that is reading.
            socket.socket.shutdown(self.imap.sock, socket.SHUT_RDWR)


@lru_cache(maxsize=64)
def _capabilities(told: bytes) -> frozenset[str]:
    """Return the names in a list of capabilities; connections to one server share them."""
    return frozenset(told.decode("ascii", "replace").upper().split())

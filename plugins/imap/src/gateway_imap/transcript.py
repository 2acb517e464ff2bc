"""What goes over one IMAP connection, as lines for a protocol log: no password, no SASL exchange, nothing of a message.

Literals are never shown, and of what servers say only names of mailboxes are shown where they are quoted: a server may
send the text of a message as a quoted string, too (RFC 9051 section 4.3).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

from gateway.provider import ProtocolLog

_LITERAL = re.compile(rb"\{(\d{1,10})\+?\}$")
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?$)')
_NAMES = re.compile(rb"\* (?:LIST|LSUB|XLIST|STATUS|NAMESPACE|ID|QUOTA|QUOTAROOT) ", re.IGNORECASE)
_HIDDEN = b"<hidden>"
#: Octets of a command that are kept; the log shows fewer.
_LONGEST = 2000


class Transcript:
    """Follows one connection; used by one thread at a time."""

    def __init__(self, log: ProtocolLog) -> None:
        self._log = log
        self._name = f"imap-{secrets.token_hex(2)}"
        self._command = bytearray()
        self._begun = b""
        self._literal = 0
        self._login: bytes | None = None

    def attach(self, imap: Any, read: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
        """Hear what an object of imaplib sends from now on, and return a way to read lines that hears these."""
        send = imap.send

        def sending(octets: bytes) -> None:
            self.sent(octets)
            send(octets)

        def reading(imap: Any) -> bytes:
            line = read(imap)
            self.heard(line)
            return line

        imap.send = sending
        return reading

    def happened(self, text: str) -> None:
        """Note what nobody said."""
        self._log.note(self._name, "*", text)

    def sent(self, octets: bytes) -> None:
        """Note what the client says: any number of commands, or a part of one."""
        at, octets = 0, self._begun + octets
        while True:
            passed = min(self._literal, len(octets) - at)
            self._literal -= passed
            at += passed
            end = octets.find(b"\r\n", at)
            if self._literal or end < 0:
                self._begun = octets[at:]
                return
            line, at = octets[at:end], end + 2
            self._command += line[: max(0, _LONGEST - len(self._command))]
            if literal := _LITERAL.search(line):
                self._literal = int(literal[1])
            else:
                self._log.note(self._name, "C", self._spoken(bytes(self._command)).decode("utf-8", "replace"))
                self._command.clear()

    def heard(self, line: bytes) -> None:
        """Note a line that the server says, without its end."""
        if self._login is not None:
            if line.startswith(self._login + b" "):
                self._login = None
            elif line.startswith(b"+"):
                line = b"+ " + _HIDDEN
        if not _NAMES.match(line):
            line = _QUOTED.sub(b'"..."', line)
        self._log.note(self._name, "S", line.decode("utf-8", "replace"))

    def _spoken(self, command: bytes) -> bytes:
        """Return a command with what nobody may see left out."""
        if self._login is not None:
            return _HIDDEN
        tag, _, rest = command.partition(b" ")
        name, _, arguments = rest.partition(b" ")
        if name.upper() == b"LOGIN":
            return b"%b %b %b" % (tag, name, _HIDDEN)
        if name.upper() == b"AUTHENTICATE":
            self._login = tag
            return b"%b %b %b %b" % (tag, name, arguments.partition(b" ")[0], _HIDDEN)
        return command

"""Arguments of commands, and answers to them, as octets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gateway_imap.errors import response_code
from gateway_imap.fetch_parser import Record

_FETCH_LINE = re.compile(rb"\* (\d+ )FETCH (?=\()")


class Literal(bytes):
    """An argument that is sent as a literal (RFC 9051 section 4.3)."""


class StreamedLiteral(NamedTuple):
    """An argument that is sent as a literal of so many octets, as they come."""

    size: int
    chunks: Iterator[bytes]


class Reply(NamedTuple):
    """The answer to one command: status, its text, and the untagged responses by type."""

    status: str
    text: bytes
    untagged: dict[str, list[Record]]

    def lines(self, kind: str) -> list[Record]:
        """Return the untagged responses of a type, e.g. "FETCH"."""
        return self.untagged.get(kind, [])

    def code(self, name: str) -> bytes | None:
        """Return the arguments of a response code, wherever the answer has it (COPYUID of MOVE is untagged)."""
        for text in (self.text, *self.untagged.get("OK", ())):
            found, arguments = response_code(text if isinstance(text, bytes) else text[0])
            if found == name:
                return arguments
        return None

    def number(self, kind: str) -> int | None:
        """Return the last number of a type such as "EXISTS", or of a response code such as "UIDVALIDITY"."""
        value = self.lines(kind)[-1] if self.lines(kind) else self.code(kind)
        return int(value) if isinstance(value, bytes) and value.isdigit() else None


def quoted(text: str | bytes) -> bytes:
    """Return an astring argument: quoted if that is possible, else a literal."""
    octets = text.encode("utf-8") if isinstance(text, str) else text
    if not octets.isascii() or any(octet in octets for octet in (b"\r", b"\n", b"\0")):
        return Literal(octets)
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def fetch_record(line: bytes) -> bytes | None:
    """Return what imaplib would make of a line that is a whole FETCH response; None for any other line."""
    found = _FETCH_LINE.match(line)
    return None if found is None or line.endswith(b"}") else found[1] + line[found.end() :]

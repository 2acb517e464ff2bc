"""Write header fields (RFC 5322 section 2.2, RFC 2047), and change those of a finished message in place.

The header writer of the standard library is not used: it puts identifiers longer than a line into encoded-words,
which breaks the threads of the answers (Exchange's Message-IDs are that long).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable

from gateway.errors import InvalidRequestError
from gateway.mime.addresses import ascii_domain
from gateway.model.message import Address

__all__ = ["HeaderBlock", "address_list", "check_line", "check_name", "encode_words", "header_field"]

_NAME = re.compile(r"[!-9;-~]{1,200}")
_PLAIN = re.compile(r"[ -~]*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_ADDRESS = re.compile(r"[^\s<>,;:()\\\"@\[\]\x00-\x1f\x7f]{1,256}@[^\s<>,;()\\\"@\x00-\x1f\x7f]{1,255}")
_Q_SAFE = re.compile(rb"[A-Za-z0-9!*+/-]")
_MBOX_LINE = re.compile(rb"From [^\n]*\n")
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:.*(?:\n[ \t].*)*\n?")
#: RFC 5322 section 2.1.1: lines should have 78 characters and must not have more than 998.
_LINE, _LONGEST = 78, 998
#: RFC 2047 section 2.
_LONGEST_WORD = 75


def check_line(value: str, key: str) -> str:
    """Return a value that goes into a header, or refuse one that could end it.

    Raises:
        InvalidRequestError: with the name `key` of the field.
    """
    if re.search(r"[\r\n\0\ud800-\udfff]", value):
        raise invalid("must be a single line of text", key)
    return value


def check_name(name: str) -> str:
    """Return a name that a header may have (RFC 5322 section 3.6.8), or refuse it as `check_line` does."""
    if not _NAME.fullmatch(name):
        raise invalid("is not the name of a header", f"headers.{name[:80]!a}")
    return name


def invalid(message: str, key: str) -> InvalidRequestError:
    """Return the error for one wrong field."""
    return InvalidRequestError("Invalid input", fields=[{"message": f'"{key}" {message}', "key": key}])


def encode_words(text: str) -> str:
    """Return text as it may stand in an unstructured header: as it is, or in encoded-words (RFC 2047)."""
    if _PLAIN.fullmatch(text) and "=?" not in text and text == text.strip():
        return text if all(len(word) < _LONGEST - 100 for word in text.split(" ")) else _words(text)
    return _words(text)


def _words(text: str) -> str:
    data = text.encode()
    quoted = sum(1 if _Q_SAFE.match(data[i : i + 1]) else 3 for i in range(len(data)))
    encode = _q_word if quoted <= (len(data) + 2) // 3 * 4 else _b_word
    words, current = [], ""
    for character in text:
        # A character is never split between two words (section 5, last paragraph of the numbered list).
        if len(encode(current + character)) > _LONGEST_WORD:
            words.append(encode(current))
            current = ""
        current += character
    return " ".join((*words, encode(current)))


def _q_word(text: str) -> str:
    octets = text.encode()
    pieces = (chr(o) if _Q_SAFE.match(bytes((o,))) else "_" if o == 0x20 else f"={o:02X}" for o in octets)
    return f"=?utf-8?q?{''.join(pieces)}?="


def _b_word(text: str) -> str:
    return f"=?utf-8?b?{binascii.b2a_base64(text.encode(), newline=False).decode('ascii')}?="


def address_list(addresses: Iterable[Address], key: str) -> str:
    """Return addresses as a header value; a local part that is not ASCII stays UTF-8 (RFC 6532).

    Raises:
        InvalidRequestError: something is not an address.
    """
    return ", ".join(_mailbox(address, key) for address in addresses)


def _mailbox(address: Address, key: str) -> str:
    if not _ADDRESS.fullmatch(check_line(address.address, f"{key}.address")):
        raise invalid("must be a valid email", f"{key}.address")
    spec = ascii_domain(address.address)
    name = check_line(address.name, f"{key}.name").strip()
    if not name:
        return spec
    # White space between atoms means no more than one space (RFC 5322 section 3.2.2).
    if not _ATOMS.fullmatch(name) or "=?" in name or "  " in name:
        ascii_name = _PLAIN.fullmatch(name) and "=?" not in name
        name = '"' + re.sub(r'(["\\])', r"\\\1", name) + '"' if ascii_name else encode_words(name)
    return f"{name} <{spec}>"


def header_field(name: str, value: str, line_end: str = "\r\n") -> bytes:
    """Return one header field, folded at spaces; the value is used as it is.

    Raises:
        InvalidRequestError: the name or value cannot stand in a header.
    """
    lines, current = [], f"{check_name(name)}:"
    for word in re.findall(r"[ \t]*[^ \t]+", " " + check_line(value, f"headers.{name}").strip()):
        if len(current) + len(word) > _LINE and current != f"{name}:":
            lines.append(current)
            current = ""
        current += word
    lines.append(current)
    if any(len(line.encode()) > _LONGEST for line in lines):
        raise invalid("holds a word that is too long for a header", f"headers.{name}")
    return (line_end.join(lines) + line_end).encode()


class HeaderBlock:
    """The header section of a finished message. Fields that are not touched keep every octet, as does the body.

    Attributes:
        line_end: as the message has it.
        changed: a field was replaced or removed.
    """

    def __init__(self, raw: bytes) -> None:
        first_end = raw.find(b"\n")
        self.line_end = "\n" if first_end >= 0 and raw[first_end - 1 : first_end] != b"\r" else "\r\n"
        self.changed = False
        self._new: list[tuple[str, bytes]] = []
        self._fields: list[tuple[str, bytes]] = []
        mbox_line = _MBOX_LINE.match(raw)
        position = mbox_line.end() if mbox_line else 0
        while match := _FIELD.match(raw, position):
            self._fields.append((match[1].decode("ascii").lower(), match[0]))
            position = match.end()
        if self._fields and not self._fields[-1][1].endswith(b"\n"):
            self._fields[-1] = (self._fields[-1][0], self._fields[-1][1] + self.line_end.encode())
        self._rest = raw[position:]

    def values(self, name: str) -> list[bytes]:
        """Return the values of every field of this name, undecoded."""
        return [field.partition(b":")[2] for key, field in (*self._new, *self._fields) if key == name.lower()]

    def remove(self, name: str) -> None:
        """Remove every field of this name."""
        self.changed = self.changed or bool(self.values(name))
        self._new = [item for item in self._new if item[0] != name.lower()]
        self._fields = [item for item in self._fields if item[0] != name.lower()]

    def replace(self, name: str, value: str) -> None:
        """Put one field in the place of all that have this name; without any, after the other new ones at the top."""
        item = (name.lower(), header_field(name, value, self.line_end))
        self.changed = True
        for fields in (self._new, self._fields):
            at = next((index for index, (key, _) in enumerate(fields) if key == name.lower()), None)
            if at is not None:
                fields[at] = item
                fields[at + 1 :] = [other for other in fields[at + 1 :] if other[0] != name.lower()]
                return
        self._new.append(item)

    def octets(self) -> bytes:
        """Return the whole message."""
        rest = self._rest
        if not rest.startswith((b"\r\n", b"\n")):
            rest = self.line_end.encode() + rest
        return b"".join((*(field for _, field in (*self._new, *self._fields)), rest))

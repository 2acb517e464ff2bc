"""FETCH responses (RFC 9051 section 7.5.2) as Python values, fast where they are ordinary.

An IMAP response line outside of its quoted strings is nearly JSON: a few replacements, each done in C for the whole
line, make it so, and msgspec decodes it. That takes a twentieth of the time of imapclient's parser, which goes octet by
octet.

Everything unusual goes to imapclient's parser instead: literals, backslashes in quoted strings, section names in
brackets, control characters, octets that are not UTF-8. Only the literal that every listing asks for, fields of the
header, is set aside and put back afterwards. Both ways give the same values.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from imapclient.exceptions import ProtocolError
from imapclient.response_parser import parse_response

from gateway.mime.decode import decode_text

#: What imaplib keeps of an untagged response: octets, and a tuple for each part that ends with a literal.
Record = bytes | tuple[bytes, bytes]
#: Attribute name in upper case -> text, number, list, None, or octets for ``BODY[...]``.
Attributes = dict[str, Any]

# Where quoted strings and NIL stood; neither octet is in what servers usually send.
_STRING, _NIL = b"\n", b"\x01"
_ORDINARY = string.ascii_letters.encode() + string.digits.encode() + b" ()\\$.+/:;,=<>@!#&'*?^_`|~-" + _STRING
_ATOM = re.compile(rb"([^0-9 ()\n\x01][^ ()\n\x01]*)")
_FIELDS = b"BODY[HEADER.FIELDS ("
_FIELDS_LITERAL = re.compile(rb"(BODY\[HEADER\.FIELDS \([A-Z -]+\)\](?:<0>)?) \{[0-9]+\}")
_LITERAL8 = re.compile(rb" ~\{(?=[0-9]+\}$)")
_TO_JSON = bytes.maketrans(b" ()", b",[]")
_decode = msgspec.json.Decoder().decode


class UnusualError(ValueError):
    """The line needs the thorough parser."""


def parse_fetch(records: Iterable[Record | None]) -> Iterator[tuple[int, Attributes]]:
    """Yield sequence number and attributes of each response.

    Args:
        records: what imaplib collected under FETCH.

    Raises:
        ProtocolError: not a FETCH response.
    """
    literals: list[Record] = []
    for record in records:
        if isinstance(record, tuple):
            # What is decoded comes as a literal8 (RFC 3516 section 4.4), which imapclient does not know.
            literals.append((_LITERAL8.sub(rb" {", record[0]), record[1]))
        elif literals:
            yield _message(_parse_literals([*literals, record or b""]))
            literals = []
        elif record:
            yield _message(_parse_line(record))
    if literals:
        raise ProtocolError("response ends within a literal")


def broken_uid(record: Record | None) -> int | None:
    """Return the UID of a response whose rest cannot be parsed, if it can be seen."""
    line = record[0] if isinstance(record, tuple) else record or b""
    found = re.search(rb"[( ]UID (\d{1,10})[ )]", line)
    return int(found[1]) if found else None


def grouped(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield each response of what imaplib keeps apart: one with literals is some tuples and the rest of its line."""
    response: list[Record] = []
    for record in records:
        response.append(record)
        if not isinstance(record, tuple):
            yield response
            response = []


def parse_values(records: Sequence[Record]) -> list[Any]:
    """Return the values of a response of any kind, e.g. LIST or STATUS, with text for octets.

    Raises:
        ProtocolError: not IMAP syntax.
    """
    return _thorough(records)


def _message(values: list[Any]) -> tuple[int, Attributes]:
    if len(values) != 2 or not isinstance(values[0], int) or not isinstance(values[1], list) or len(values[1]) % 2:
        raise ProtocolError("not a FETCH response")
    number, items = values
    try:
        return number, {name.upper(): value for name, value in zip(items[::2], items[1::2], strict=True)}
    except AttributeError:
        raise ProtocolError("a FETCH attribute without a name") from None


def _parse_line(line: bytes) -> list[Any]:
    try:
        return fast_values(line)
    except UnusualError:
        return _thorough([line])


def _parse_literals(records: Sequence[Record]) -> list[Any]:
    head, tail = records[0], records[-1]
    if len(records) == 2 and isinstance(head, tuple) and isinstance(tail, bytes):
        found = _FIELDS_LITERAL.fullmatch(head[0], max(0, head[0].rfind(_FIELDS)))
        if found is not None:
            with suppress(UnusualError, ValueError, IndexError, AttributeError):
                values = fast_values(b'%b"%b" NIL%b' % (head[0][: found.start()], found[1], tail))
                values[1][values[1].index(found[1].decode("ascii")) + 1] = head[1]
                return values
    return _thorough(records)


def fast_values(line: bytes) -> list[Any]:
    """Return the values of one response line without literals.

    Raises:
        UnusualError: the line has something that only the thorough parser understands, or is no IMAP at all.
    """
    segments = line.split(b'"')
    if not len(segments) & 1 or _STRING in line:
        raise UnusualError("a quoted string without an end")
    if b"\\" in line and b"\\" in b"".join(segments[1::2]):
        raise UnusualError("an escape in a quoted string")
    segments[::2] = _outside_as_json(_STRING.join(segments[::2])).split(_STRING)
    try:
        values = _decode(b"[" + b'"'.join(segments) + b"]")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnusualError("control characters, octets outside UTF-8, or parentheses that do not match") from None
    if not isinstance(values, list):
        raise UnusualError("not a list of values")
    return values


def _outside_as_json(outside: bytes) -> bytes:
    """Translate what stands outside of quoted strings to JSON.

    What is no IMAP, such as an atom that runs into a quoted string, does not become JSON either; nor does an atom that
    begins with a digit, or has NIL in it.

    Raises:
        UnusualError: a character has a meaning of its own there.
    """
    if outside.translate(None, _ORDINARY):
        raise UnusualError("a character with a meaning of its own outside of quoted strings")
    pieces = _ATOM.split(outside.replace(b"NIL", _NIL).replace(b"\\", b"\\\\"))
    return b'"'.join(pieces).translate(_TO_JSON).replace(b"][", b"],[").replace(_NIL, b"null")


def _thorough(records: Sequence[Record]) -> list[Any]:
    try:
        values = _texts(parse_response(list(records)))
    except (AssertionError, RecursionError) as error:
        raise ProtocolError("not IMAP syntax") from error
    assert isinstance(values, list)
    return values


def _texts(value: Any) -> Any:
    """Turn octets into text, except the value after a ``BODY[...]`` or ``BINARY[...]`` name."""
    if isinstance(value, tuple):
        texts: list[Any] = []
        for item in value:
            section = bool(texts) and isinstance(texts[-1], str) and texts[-1].endswith(("]", ">"))
            raw = section and isinstance(item, bytes) and _is_section(texts[-1])
            texts.append(item if raw else _texts(item))
        return texts
    if isinstance(value, bytes):
        # Headers that a sender did not encode stand in ENVELOPE and BODYSTRUCTURE as they are.
        return decode_text(value)
    return value


def _is_section(name: str) -> bool:
    return name[:5].upper() == "BODY[" or name[:7].upper() == "BINARY["

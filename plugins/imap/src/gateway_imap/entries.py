"""FETCH attributes as messages of the API."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from gateway.mime.auto_reply import TELLING_FIELDS, is_auto_reply
from gateway.mime.decode import decode_header, unfold
from gateway.mime.identity import MOST_REFERENCES, email_id_of, thread_id_of
from gateway.mime.parse import flag_fields
from gateway.model.message import Address, MessageEntry, SpecialUse
from gateway_imap.fetch_parser import Attributes
from gateway_imap.ids import MessageId
from gateway_imap.structure import EMPTY, Structure, read_structure

_TELLING = " ".join(TELLING_FIELDS).upper()
#: Names the thread of a message; the first octets will do, see `gateway.mime.identity`.
REFERENCES = f"BODY.PEEK[HEADER.FIELDS (REFERENCES)]<0.{MOST_REFERENCES}>"
#: Tells whether a message answers by itself.
ANSWERING = f"BODY.PEEK[HEADER.FIELDS ({_TELLING})]<0.{MOST_REFERENCES}>"
#: Both; a long field of one kind leaves room for the other.
LISTED_FIELDS = f"BODY.PEEK[HEADER.FIELDS (REFERENCES {_TELLING})]<0.{2 * MOST_REFERENCES}>"

Headers = dict[str, tuple[str, ...]]

_FIELD_END = re.compile(rb"\r?\n(?![ \t])")
_NO_FIELDS = (b"\r\n", b"")
_MONTHS = {
    name: f"{number:02}"
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}


def message_entry(message: MessageId, row: Attributes, use: SpecialUse | None) -> MessageEntry:
    """Return a message as a listing shows it; whatever the server left out is absent.

    Args:
        message: its id.
        row: what FETCH told.
        use: what its mailbox is for.
    """
    headers = headers_of(row)
    fields = common_fields(message, row, use, headers)
    structure = structure_of(row)
    return MessageEntry(
        **fields,
        attachments=structure.attachments(message) if structure.others else (),
        text=structure.text_info(message),
        is_auto_reply=is_auto_reply(
            {**headers, "subject": (fields["subject"] or "",), "in-reply-to": (fields["in_reply_to"] or "",)}
        ),
    )


def updated_entry(entry: MessageEntry, row: Attributes) -> MessageEntry:
    """Return a message that was listed before, with what may have changed since.

    Args:
        entry: as `message_entry` made it.
        row: flags, and labels and thread where the server has them.
    """
    return msgspec.structs.replace(entry, **{"thread_id": entry.thread_id, **changing_fields(row)})


def reflagged_entry(entry: MessageEntry, row: Attributes) -> MessageEntry:
    """Return a message with the flags that a server told without being asked."""
    return msgspec.structs.replace(entry, **_flag_fields(visible_flags(row.get("FLAGS"))))


def structure_of(row: Attributes) -> Structure:
    """Return the parts of a message."""
    body = row.get("BODYSTRUCTURE")
    return EMPTY if body is None else read_structure(body)


def common_fields(message: MessageId, row: Attributes, use: SpecialUse | None, headers: Headers) -> dict[str, Any]:
    """Return what listing and reading show alike; ENVELOPE lacks References, which are among the `headers`."""
    envelope = _envelope(row)
    senders = addresses(envelope[2])
    subject, in_reply_to, message_id = map(_text, (envelope[1], *envelope[8:10]))
    own_id = _object_id(row.get("EMAILID") or row.get("X-GM-MSGID"))
    return {
        "id": message.encode(),
        "uid": message.uid,
        "email_id": own_id or own_email_id(row),
        "thread_id": own_thread(row, headers),
        "date": internal_date(row.get("INTERNALDATE")),
        "size": _size(row),
        "subject": None if subject is None else _shown(subject),
        "from_": senders[0] if senders else None,
        "reply_to": () if envelope[4] == envelope[2] else _unless_same(addresses(envelope[4]), senders),
        "to": addresses(envelope[5]),
        "cc": addresses(envelope[6]),
        "message_id": None if message_id is None else unfold(message_id),
        "in_reply_to": None if in_reply_to is None else unfold(in_reply_to),
        "message_special_use": use,
        **changing_fields(row),
    }


def own_email_id(row: Attributes) -> str | None:
    """Return the fingerprint of a message by ENVELOPE and RFC822.SIZE."""
    envelope = _envelope(row)
    return email_id_of(_text(envelope[9]), _size(row), _text(envelope[0]))


def own_thread(row: Attributes, headers: Headers) -> str | None:
    """Return the thread that a message belongs to by what its header says."""
    in_reply_to, message_id = map(_text, _envelope(row)[8:10])
    return thread_id_of(message_id, " ".join(headers.get("references", ())), in_reply_to)


def _envelope(row: Attributes) -> list[Any]:
    envelope = row.get("ENVELOPE")
    return envelope if isinstance(envelope, list) and len(envelope) >= 10 else [None] * 10


def _size(row: Attributes) -> int | None:
    size = row.get("RFC822.SIZE")
    return size if isinstance(size, int) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def changing_fields(row: Attributes) -> dict[str, Any]:
    """Return what can change while a message keeps its UID; no thread where the server has none."""
    thread = _object_id(row.get("THREADID") or row.get("X-GM-THRID"))
    return {
        **({} if thread is None else {"thread_id": thread}),
        "labels": visible_labels(row.get("X-GM-LABELS")),
        **_flag_fields(visible_flags(row.get("FLAGS"))),
    }


_flag_fields = lru_cache(maxsize=4096)(flag_fields)


@lru_cache(maxsize=4096)
def _shown(text: str) -> str:
    """Decode a header value; most need nothing, which is quick to see."""
    return decode_header(text) if "=?" in text or not text.isprintable() else text.strip(" \t")


def visible_flags(value: Any) -> tuple[str, ...]:
    """Return the flags, without ``\\Recent``, which says something about the session (RFC 3501 section 2.3.2)."""
    if not isinstance(value, list):
        return ()
    return tuple(flag for flag in value if isinstance(flag, str) and flag != "\\Recent")


def visible_labels(value: Any) -> tuple[str, ...]:
    """Return Gmail's labels."""
    return tuple(str(label) for label in value) if isinstance(value, list) else ()


def addresses(value: Any) -> tuple[Address, ...]:
    """Return the addresses of an ENVELOPE field; the markers of groups (RFC 9051 section 7.5.2) are left out."""
    if not isinstance(value, list):
        return ()
    found = (
        _address(item[0] if isinstance(item[0], str) else "", item[2], item[3] if isinstance(item[3], str) else "")
        for item in value
        if isinstance(item, list) and len(item) >= 4 and isinstance(item[2], str) and item[3] is not None
    )
    return tuple(address for address in found if address.name or address.address)


# Servers write these for headers without a domain or a mailbox, or with one that they cannot read.
_MISSING = frozenset({"MISSING_DOMAIN", "MISSING_MAILBOX", "SYNTAX_ERROR", ".MISSING-HOST-NAME.", ".SYNTAX-ERROR."})


@lru_cache(maxsize=8192)
def _address(name: str, local: str, domain: str) -> Address:
    local, domain = ("" if word in _MISSING else word for word in (local, domain))
    address = f"{local}@{domain}" if domain else local
    return Address(name=decode_header(name) if name else "", address=address)


def internal_date(value: Any) -> datetime | None:
    """Return the time of an INTERNALDATE such as ``17-Jul-1996 02:44:25 -0700`` in UTC."""
    if not isinstance(value, str):
        return None
    try:
        day, month, year = value[:2].replace(" ", "0"), _MONTHS[value[3:6].lower()], value[7:11]
        moment = datetime.fromisoformat(f"{year}-{month}-{day}T{value[12:20]}{value[21:24]}:{value[24:26]}")
        return moment.astimezone(UTC)
    except (ValueError, KeyError, OverflowError):
        return None


def headers_of(row: Attributes) -> Headers:
    """Return the header fields that were fetched: lower-case name -> decoded values, in the order of the message."""
    return read_headers(_header_octets(row))


def _header_octets(row: Attributes) -> bytes:
    octets = next((value for key, value in row.items() if key.startswith("BODY[HEADER")), b"")
    return octets if isinstance(octets, bytes) else str(octets).encode()


def read_headers(octets: bytes) -> Headers:
    """Return the fields of a header as `headers_of` does."""
    if octets in _NO_FIELDS:
        return {}
    found: dict[str, list[str]] = {}
    for name, value in _fields(octets):
        found.setdefault(name, []).append(decode_header(value))
    return {name: tuple(values) for name, values in found.items()}


def _fields(octets: bytes) -> Iterable[tuple[str, bytes]]:
    for line in _FIELD_END.split(octets):
        if not line:
            break
        name, colon, value = line.partition(b":")
        if colon and name.strip():
            yield name.strip().decode("ascii", "replace").lower(), value.strip()


def _unless_same(reply_to: tuple[Address, ...], senders: tuple[Address, ...]) -> tuple[Address, ...]:
    """Servers fill in Reply-To from From (RFC 9051 section 7.5.2); the header is shown only where it says more."""
    return () if reply_to == senders else reply_to


def _object_id(value: Any) -> str | None:
    """Return an id of RFC 8474, which comes in parentheses, or of Gmail, which is a number."""
    inner = value[0] if isinstance(value, list) and value else value
    return str(inner) if isinstance(inner, (str, int)) else None

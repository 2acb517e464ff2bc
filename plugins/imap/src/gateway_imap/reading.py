"""Reading messages; blocking, one or two round trips each when their mailbox is selected."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from imapclient.exceptions import ProtocolError

from gateway.errors import NotFoundError
from gateway.mime.auto_reply import is_auto_reply
from gateway.mime.body_text import PRESCAN, body_text
from gateway.mime.decode import decode_transfer
from gateway.mime.structure import MAX_TEXTS
from gateway.model.message import MessageDetail, MessageText, SpecialUse, TextType
from gateway_imap.connection import Connection
from gateway_imap.entries import (
    ANSWERING,
    LISTED_FIELDS,
    addresses,
    common_fields,
    headers_of,
    structure_of,
)
from gateway_imap.errors import response_code
from gateway_imap.fetch_parser import Attributes, broken_uid, grouped, parse_fetch
from gateway_imap.ids import MessageId, TextId
from gateway_imap.selected import Selected
from gateway_imap.structure import Part, Structure
from gateway_imap.wire import Reply

#: Octets of a message or attachment that are held at a time.
CHUNK = 1_048_576

#: What a server may tell of a message that nobody asked about (RFC 9051 section 7.5.2, RFC 7162 section 3.2.4).
UNASKED = frozenset({"UID", "FLAGS", "MODSEQ"})
# Text types that want the part.
_PLAIN, _HTML = ("plain", "*"), ("html", "*")
# Of all transfer encodings this one makes the longest of an octet.
_LONGEST_ENCODING = "quoted-printable"
# Octets of a text of which nothing is left out.
_ALL = sys.maxsize
_LISTED = "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE"


class Target(NamedTuple):
    """A message and the mailbox it is in.

    Attributes:
        id: the gateway's id of it.
        path: of the mailbox.
        name: the argument that names the mailbox to the server.
        uid_validity: of the mailbox when the id was given out.
    """

    id: MessageId
    path: str
    name: bytes
    uid_validity: int


def listed_items(connection: Connection, header: str | None = None) -> bytes:
    """Return what to fetch of a message for a listing; of its header, unless told, what is not in ENVELOPE.

    That is whether the message answers by itself, and its thread where Gmail does not tell it.
    """
    items = _LISTED
    if b"QRESYNC" in connection.enabled:
        # Then a message tells whether it changed since the mailbox was selected, see `gateway_imap.selected`.
        items = items.replace("FLAGS", "FLAGS MODSEQ")
    if connection.has("X-GM-EXT-1"):
        items += " X-GM-MSGID X-GM-THRID X-GM-LABELS"
    elif connection.has("OBJECTID"):
        # A server that has no threads tells NIL (RFC 8474 section 5.2).
        items += " EMAILID THREADID"
    header = header or (ANSWERING if connection.has("X-GM-EXT-1") else LISTED_FIELDS)
    return f"({items} {header})".encode("ascii")


def fetched_rows(reply: Reply, wanted: range | None) -> list[Attributes]:
    """Return what was fetched, the highest sequence number first; one broken message does not spoil the page."""
    found: dict[int, Attributes] = {}
    for records in grouped(reply.lines("FETCH")):
        try:
            for number, row in parse_fetch(records):
                # Flags of other messages may come in between.
                found[number] = found[number] | row if number in found else row
        except (ProtocolError, ValueError):
            uid = broken_uid(records[0])
            if uid is not None:
                found[-uid] = {"UID": uid}
    complete = {
        number: row
        for number, row in found.items()
        if isinstance(row.get("UID"), int) and (wanted is None or number < 0 or number in wanted)
    }
    return [complete[number] for number in sorted(complete, key=lambda each: complete[each]["UID"], reverse=True)]


# --- one message ------------------------------------------------------------------------------------------------------


def fetch_one(connection: Connection, target: Target, items: bytes) -> Attributes:
    """Return attributes of one message, in one round trip when its mailbox is selected.

    What others did to it since this session last looked is told by a NOOP in the same write.

    Raises:
        NotFoundError: it is not there, or the mailbox was made anew.
    """
    kept = connection.selected is not None and connection.selected.path == target.path
    open_mailbox(connection, target)
    row = _fetch_uid(connection, target.id.uid, items, look=kept)
    if row is None and kept:
        # It may have arrived since this session last looked (RFC 9051 section 7.4.1: EXISTS comes first).
        row = _fetch_uid(connection, target.id.uid, items)
    if row is None:
        raise _no_message()
    return row


def open_message(connection: Connection, target: Target, *, writable: bool) -> None:
    """Select the mailbox of a message that is going to be changed, and make sure that the message is there now.

    Commands that change messages do not mind when there are none (RFC 9051 section 6.4.9), and a session sees what
    others expunged only when it asks.

    Raises:
        NotFoundError: it is not there, or the mailbox was made anew.
    """
    before = connection.selected
    if open_mailbox(connection, target, writable=writable) is before:
        connection.command(b"NOOP")
    if _fetch_uid(connection, target.id.uid, b"(UID)") is None:
        raise _no_message()


def _no_message() -> NotFoundError:
    return NotFoundError("there is no such message", code="MessageNotFound")


def open_mailbox(connection: Connection, target: Target, *, writable: bool = False) -> Selected:
    """Select the mailbox of a message.

    Raises:
        NotFoundError: it is gone, or was made anew, so that its UIDs mean other messages.
    """
    selected = connection.select(target.path, target.name, writable=writable)
    if selected.uid_validity != target.uid_validity:
        raise NotFoundError("the mailbox was made anew since this id was given out", code="MessageNotFound")
    return selected


#: Requests that are answered by what a server may tell of a message that nobody asked about.
_TOLDUNASKED = (b"(UID)", b"(UID FLAGS)")


def _fetch_uid(
    connection: Connection, uid: int, items: bytes, *, look: bool = False, again: bool = True
) -> Attributes | None:
    if look:
        reply = connection.fetch_and_look(b"%d" % uid, items, name=b"UID FETCH")
    else:
        reply = connection.command(b"UID FETCH", b"%d" % uid, items, tolerate=True)
    if reply.status != "OK" and response_code(reply.text)[0] not in ("EXPUNGEISSUED", "NONEXISTENT"):
        raise connection.refusal(reply)
    if again and (reply.lines("EXPUNGE") or reply.lines("VANISHED")):
        # Others expunged messages; of one that is gone servers may tell empty attributes (RFC 2180 section 4.1.2).
        return _fetch_uid(connection, uid, items, again=False)
    merged: dict[int, Attributes] = {}
    for number, row in parse_fetch(reply.lines("FETCH")):
        merged.setdefault(number, {}).update(row)
    found = next((row for row in merged.values() if row.get("UID") == uid), None)
    if found is not None and items not in _TOLDUNASKED and not found.keys() - UNASKED:
        # Not the answer, but the news that the message has arrived (RFC 9051 section 7.5.2).
        return None
    return found


def read_message(
    connection: Connection,
    target: Target,
    *,
    use: SpecialUse | None,
    text_type: TextType | None,
    max_bytes: int | None,
    mark_as_seen: bool,
    known: TextId | None,
) -> MessageDetail:
    """Return one message, with its text if a type is asked for.

    It takes one round trip if `known` tells where the text is, else one for the structure and one for the text.
    """
    open_mailbox(connection, target, writable=mark_as_seen)
    sections = _sections(known, text_type, max_bytes)
    items = listed_items(connection, "BODY.PEEK[HEADER]")[:-1] + sections + b")"
    row = fetch_one(connection, target, items)
    structure = structure_of(row)
    text = None
    if structure.plain or structure.html:
        info = structure.text_info(target.id)
        text = MessageText(id=info.id if info else None, encoded_size=structure.encoded_size())
        if text_type is not None:
            text = read_text(connection, target, structure, row, text_type=text_type, max_bytes=max_bytes)
    if mark_as_seen and "\\Seen" not in row.get("FLAGS", ()):
        connection.command(b"UID STORE", b"%d" % target.id.uid, b"+FLAGS.SILENT", b"(\\Seen)")
        row["FLAGS"] = [*row.get("FLAGS", ()), "\\Seen"]
    return _detail(target, row, structure, text, use)


def _detail(
    target: Target, row: Attributes, structure: Structure, text: MessageText | None, use: SpecialUse | None
) -> MessageDetail:
    headers = headers_of(row)
    fields = common_fields(target.id, row, use, headers)
    envelope = row.get("ENVELOPE")
    known = envelope if isinstance(envelope, list) and len(envelope) >= 10 else [None] * 10
    senders = addresses(known[3])
    return MessageDetail(
        **fields,
        path=target.path,
        sender=senders[0] if senders else None,
        bcc=addresses(known[7]),
        headers=headers,
        attachments=structure.attachments(target.id),
        text=text,
        special_use=use,
        is_auto_reply=is_auto_reply(headers),
    )


# --- body text --------------------------------------------------------------------------------------------------------


def read_text_id(
    connection: Connection, target: Target, text: TextId, *, text_type: TextType, max_bytes: int | None
) -> MessageText:
    """Return the text that a text id names, in one round trip."""
    sections = _sections(text, text_type, max_bytes)
    row = fetch_one(connection, target, b"(UID BODYSTRUCTURE" + sections + b")")
    structure = structure_of(row)
    named = Structure(
        plain=tuple(part for number in text.plain if (part := structure.part(number)) is not None),
        html=tuple(part for number in text.html if (part := structure.part(number)) is not None),
        others=(),
    )
    return read_text(connection, target, named, row, text_type=text_type, max_bytes=max_bytes)


def read_text(
    connection: Connection,
    target: Target,
    structure: Structure,
    row: Attributes,
    *,
    text_type: TextType,
    max_bytes: int | None,
) -> MessageText:
    """Decode the wanted parts; those that did not come along in `row` are fetched, all in one round trip."""
    plain = structure.plain if text_type in _PLAIN else ()
    html = structure.html if text_type in _HTML else ()
    octets = _octets_of(row)
    asked = dict.fromkeys(octets, _encoded_length(_LONGEST_ENCODING, max_bytes))
    if max_bytes != 0:
        _fetch_texts(connection, target, (*plain, *html), octets, asked, max_bytes)
    cut = False
    texts: dict[str, list[str]] = {"plain": [], "html": []}
    for part in (*plain, *html):
        text, was_cut = _decoded(part, octets.get(part.number, b""), asked.get(part.number, 0), max_bytes)
        texts["plain" if part in plain else "html"].append(text)
        cut = cut or was_cut
    info = structure.text_info(target.id)
    return MessageText(
        id=info.id if info else None,
        plain="\n".join(texts["plain"]) if plain else None,
        html="\n".join(texts["html"]) if html else None,
        has_more=cut,
        encoded_size=structure.encoded_size(),
    )


def _fetch_texts(
    connection: Connection,
    target: Target,
    parts: Sequence[Part],
    octets: dict[str, bytes],
    asked: dict[str, int],
    max_bytes: int | None,
) -> None:
    """Fetch what is missing of texts; twice where their lines are very short.

    Args:
        connection: with the mailbox selected.
        target: the message.
        parts: the texts.
        octets: what is known of them, by the number of the part; it is added to.
        asked: how much of them was asked for; likewise.
        max_bytes: what is wanted of each, after decoding.
    """
    while wanted := [
        part for part in parts if _is_wanted(part, octets.get(part.number, b""), asked.get(part.number, 0), max_bytes)
    ]:
        sections = ""
        for part in wanted:
            offset = len(octets.get(part.number, b""))
            # At least as much again, so that the round trips are few whatever the sender wrote.
            length = max(offset, _encoded_length(part.encoding, max_bytes))
            asked[part.number] = offset + length
            sections += _section(part.number, offset, length)
        found = _octets_of(fetch_one(connection, target, f"(UID{sections})".encode("ascii")))
        for part in wanted:
            octets[part.number] = octets.get(part.number, b"") + found.get(part.number, b"")


def _is_wanted(part: Part, octets: bytes, asked: int, max_bytes: int | None) -> bool:
    if not _is_there_more(part, octets, asked):
        return False
    return not asked or len(decode_transfer(octets, part.encoding, cut=True)) < _needed(max_bytes)


def _is_there_more(part: Part, octets: bytes, asked: int) -> bool:
    """Tell whether these are only the beginning of a part, of which some servers tell too large a size."""
    return asked <= len(octets) < part.size


def _sections(known: TextId | None, text_type: TextType | None, max_bytes: int | None) -> bytes:
    """Return what to fetch of a text whose parts are known by their numbers only; each item after a space."""
    if known is None or max_bytes == 0 or len(known.plain) + len(known.html) > MAX_TEXTS:
        return b""
    numbers = (*(known.plain if text_type in _PLAIN else ()), *(known.html if text_type in _HTML else ()))
    length = _encoded_length(_LONGEST_ENCODING, max_bytes)
    return "".join(_section(number, 0, length) for number in numbers).encode("ascii")


def _section(number: str, offset: int, length: int) -> str:
    return f" BODY.PEEK[{number}]" if length == _ALL else f" BODY.PEEK[{number}]<{offset}.{length}>"


def _needed(max_bytes: int | None) -> int:
    """Return how many octets of a text to have after decoding: one more tells whether it goes on."""
    return _ALL if max_bytes is None else max(max_bytes + 1, PRESCAN)


def _encoded_length(encoding: str, max_bytes: int | None) -> int:
    """Return how much to fetch of a text whose lines, as transferred, are not very short."""
    octets = _needed(max_bytes)
    if octets == _ALL:
        return _ALL
    if encoding == "base64":
        return octets * 3 // 2
    if encoding == "quoted-printable":
        return octets * 10 // 3
    return octets


def _octets_of(row: Attributes) -> dict[str, bytes]:
    """Return the octets of the parts in a row by their numbers, such as "1.2" of ``BODY[1.2]<0>``."""
    return {
        key.partition("[")[2].partition("]")[0]: value
        for key, value in row.items()
        if key.startswith("BODY[") and isinstance(value, bytes)
    }


def _decoded(part: Part, octets: bytes, asked: int, max_bytes: int | None) -> tuple[str, bool]:
    """Return the text of a part, and whether there is more of it."""
    more = _is_there_more(part, octets, asked)
    content = decode_transfer(octets, part.encoding, cut=more)
    return body_text(content, part.content_type, part.parameters, most=max_bytes, more=more)


# --- octets -----------------------------------------------------------------------------------------------------------


def read_chunk(connection: Connection, target: Target, section: str, offset: int) -> bytes:
    """Return up to `CHUNK` octets of a section; fewer only at its end."""
    return section_octets(fetch_one(connection, target, f"(UID {chunk_item(section, offset)})".encode("ascii")))


def chunk_item(section: str, offset: int) -> str:
    """Return what to fetch for `CHUNK` octets of a section."""
    return f"BODY.PEEK[{section}]<{offset}.{CHUNK}>"


def read_size(connection: Connection, target: Target) -> int | None:
    """Return the octets of a message, if the server tells the truth about them.

    Exchange estimates sizes unless it is told otherwise, so the last octet is asked for, and one more.
    """
    size = fetch_one(connection, target, b"(UID RFC822.SIZE)").get("RFC822.SIZE")
    if not isinstance(size, int) or size < 1:
        return None
    end = fetch_one(connection, target, b"(UID BODY.PEEK[]<%d.2>)" % (size - 1))
    return size if len(section_octets(end)) == 1 else None


def section_octets(row: Attributes) -> bytes:
    """Return the octets of the one section that was fetched."""
    for key, value in row.items():
        if key.startswith(("BODY[", "BINARY[")):
            return value if isinstance(value, bytes) else str(value or "").encode("latin-1", "replace")
    return b""

"""Attachments as they arrive, decoded by the server (RFC 3516) or here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import NamedTuple

from gateway.errors import ConnectError, NotFoundError, ProviderError
from gateway.mime.content_type import described_type
from gateway.mime.decode import ENCODED, transfer_decoder
from gateway.provider import AttachmentStream
from gateway_imap.connection import Connection
from gateway_imap.entries import structure_of
from gateway_imap.fetch_parser import Attributes
from gateway_imap.link import Link
from gateway_imap.reading import CHUNK, Target, chunk_item, fetch_one, read_chunk, section_octets
from gateway_imap.structure import Part

#: Octets at a time of an attachment that the server decodes, for which Dovecot begins anew each time.
DECODED_CHUNK = 3 * CHUNK
# Octets of a part, as transferred, that a server is asked to decode; from some 40 MiB on it is more work than it saves.
_MOST_DECODED = 16 * CHUNK


class NotDecodedError(ConnectError):
    """The connection ended when the server was asked to decode: Dovecot hangs up on base64 that is damaged."""


async def open_stream(link: Link, target: Target, number: str) -> AttachmentStream:
    """Return an attachment, see `Session.attachment`.

    Args:
        link: to the account.
        target: the message.
        number: of the part.

    Raises:
        NotFoundError: there is no such message or part.
    """
    try:
        opened = await link.read(open_attachment, target, number)
    except NotDecodedError:
        opened = await link.read(open_attachment, target, number, decode=False)
    part, beginning = opened.part, opened.beginning
    return AttachmentStream(
        content_type=described_type(part.content_type, part.parameters),
        chunks=(_decoded_chunks if opened.decoded else _encoded_chunks)(link, target, part, beginning),
        filename=part.filename or part.subject,
        disposition="inline" if part.disposition == "inline" else "attachment",
        size=opened.size if part.encoding in ENCODED else part.size or None,
        chunks_from=partial(_decoded_chunks, link, target, part, beginning) if opened.decoded else None,
    )


async def _decoded_chunks(
    link: Link, target: Target, part: Part, beginning: bytes, offset: int = 0
) -> AsyncIterator[bytes]:
    chunk, is_all = beginning[offset:], len(beginning) < DECODED_CHUNK
    while True:
        if chunk:
            yield chunk
        if is_all:
            return
        offset += len(chunk)
        try:
            chunk = await link.read(read_decoded, target, part.number, offset)
        except NotDecodedError:
            break
        is_all = len(chunk) < DECODED_CHUNK
    # From here on it is damaged: the same again, decoded here.
    beginning = await link.read(read_chunk, target, part.number, 0)
    async for decoded in _encoded_chunks(link, target, part, beginning):
        if len(decoded) > offset:
            yield decoded[offset:]
        offset = max(0, offset - len(decoded))


async def _encoded_chunks(link: Link, target: Target, part: Part, chunk: bytes) -> AsyncIterator[bytes]:
    decoder = transfer_decoder(part.encoding)
    offset = 0
    while True:
        if decoded := decoder.feed(chunk):
            yield decoded
        offset += len(chunk)
        if len(chunk) < CHUNK:
            break
        chunk = await link.read(read_chunk, target, part.number, offset)
    if decoded := decoder.finish():
        yield decoded


# --- blocking ---------------------------------------------------------------------------------------------------------


class Opened(NamedTuple):
    """An attachment: its description, its first chunk, whether the server decodes it, and its octets after decoding."""

    part: Part
    beginning: bytes
    decoded: bool
    size: int | None


def open_attachment(connection: Connection, target: Target, number: str, *, decode: bool = True) -> Opened:
    """Return a part and its first chunk, in one round trip if it is base64 or the server does not decode (RFC 3516).

    What the server decodes is a quarter shorter on the way. It does so for base64 only: of other encodings, and of
    messages in messages, it may make something else than what was sent.

    Args:
        connection: logged in.
        target: the message.
        number: of the part.
        decode: have the server decode, if it can.

    Raises:
        NotFoundError: there is no such message or part.
        NotDecodedError: see there.
    """
    size = None
    if decode and connection.has("BINARY") and (opened := _opened_decoded(connection, target, number)) is not None:
        if opened.part.size <= _MOST_DECODED:
            return opened
        size = opened.size
    part, row = _opened(connection, target, number, chunk_item(number, 0))
    return Opened(part, section_octets(row), decoded=False, size=size)


def _opened_decoded(connection: Connection, target: Target, number: str) -> Opened | None:
    """Return a part and its beginning as the server decodes it; None when it does not, or not all of it."""
    try:
        part, row = _opened(connection, target, number, f"BINARY.SIZE[{number}] {_decoded_item(number, 0)}")
    except ProviderError as error:
        if connection.alive:
            return None
        raise _not_decoded(error) from error
    size, beginning = row.get(f"BINARY.SIZE[{number}]"), section_octets(row)
    if part.encoding != "base64" or part.content_type.startswith("message/") or not isinstance(size, int):
        return None
    # Of the shortest lines there can be, half is line ends.
    is_whole = size >= part.size // 2 and len(beginning) == min(DECODED_CHUNK, size)
    return Opened(part, beginning, decoded=True, size=size) if is_whole else None


def _opened(connection: Connection, target: Target, number: str, items: str) -> tuple[Part, Attributes]:
    row = fetch_one(connection, target, f"(UID BODYSTRUCTURE {items})".encode("ascii"))
    part = structure_of(row).part(number)
    if part is None:
        raise NotFoundError("there is no such attachment", code="AttachmentNotFound")
    return part, row


def read_decoded(connection: Connection, target: Target, number: str, offset: int) -> bytes:
    """Return up to `DECODED_CHUNK` octets of a part that the server decodes (RFC 3516); fewer only at its end.

    Raises:
        NotDecodedError: the server could not, or the connection broke.
    """
    try:
        return section_octets(fetch_one(connection, target, f"(UID {_decoded_item(number, offset)})".encode("ascii")))
    except ProviderError as error:
        raise _not_decoded(error) from error


def _decoded_item(number: str, offset: int) -> str:
    return f"BINARY.PEEK[{number}]<{offset}.{DECODED_CHUNK}>"


def _not_decoded(error: ProviderError) -> NotDecodedError:
    return NotDecodedError("the IMAP server did not decode an attachment", native_code=error.native_code)

"""Operations that stream octets, whole or in part."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from gateway.errors import ServiceUnavailableError
from gateway.model.stream import OctetRange, Span, StreamHead
from gateway.queue import operations as ask
from gateway_workers.context import JobContext

#: Octets that are read before the head is sent: of what is smaller, the size is known then.
_AHEAD = 1024 * 1024


async def get_source(job: JobContext, arguments: ask.GetSource) -> None:
    """The octets of a message."""
    async with job.session() as session, _closing(session.source(arguments.message)) as chunks:
        # The first step tells whether there is such a message; only then is the caller promised octets.
        beginning, size = await _read_ahead(chunks)
        if size is None:
            size = await session.source_size(arguments.message)
        head = StreamHead(content_type="message/rfc822")
        await _send(job, head, _joined(beginning, chunks), size, arguments.range)


async def get_attachment(job: JobContext, arguments: ask.GetAttachment) -> None:
    """The octets of an attachment."""
    async with job.session() as session:
        found = await session.attachment(arguments.attachment)
        head = StreamHead(content_type=found.content_type, filename=found.file_name, disposition=found.disposition)
        source, start = found.chunks, 0
        if arguments.range is not None and found.size is not None and found.chunks_from is not None:
            start = arguments.range.within(found.size).first
            source = found.chunks_from(start)
        beginning: list[bytes] = []
        size = found.size
        async with _closing(source) as chunks:
            if size is None:
                beginning, size = await _read_ahead(chunks)
            await _send(job, head, _joined(beginning, chunks), size, arguments.range, start)


@asynccontextmanager
async def _closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Close a source that need not have been read to its end: the session is used again."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


async def _read_ahead(chunks: AsyncIterator[bytes]) -> tuple[list[bytes], int | None]:
    """Return the first chunks, and the size of the whole if that is all."""
    read: list[bytes] = []
    size = 0
    while size < _AHEAD:
        chunk = await anext(chunks, None)
        if chunk is None:
            return read, size
        read.append(chunk)
        size += len(chunk)
    return read, None


async def _send(
    job: JobContext,
    head: StreamHead,
    chunks: AsyncIterator[bytes],
    size: int | None,
    range: OctetRange | None,
    start: int = 0,
) -> None:
    if size is not None:
        span = Span(0, size - 1, size) if range is None else range.within(size)
        head = msgspec.structs.replace(head, span=span)
        chunks = _part(chunks, span, start)
    await job.stream(head, chunks)


async def _joined(beginning: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in beginning:
        yield chunk
    beginning.clear()
    async for chunk in rest:
        yield chunk


async def _part(chunks: AsyncIterator[bytes], span: Span, position: int) -> AsyncIterator[bytes]:
    """Yield a span of what begins at a position.

    Raises:
        ServiceUnavailableError: there is less than the size that the caller was told, or more.
    """
    async for chunk in chunks:
        first, position = position, position + len(chunk)
        if position > span.whole:
            break
        if wanted := chunk[max(0, span.first - first) : max(0, span.last + 1 - first)]:
            yield wanted
        if span.last < position < span.whole:
            return
    if position != span.whole:
        raise ServiceUnavailableError("the service sent another number of octets than it told")

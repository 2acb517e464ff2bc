"""Has an account's worker do something, and answers with what it says."""

from __future__ import annotations

import hashlib

import msgspec

from gateway.api.call import Call, Download
from gateway.api.ranges import asked_range
from gateway.model.stream import StreamHead
from gateway.queue.operations import Arguments, DownloadArguments, Operation

_decode_head = msgspec.json.Decoder(StreamHead).decode


async def ask(call: Call, operation: Operation, arguments: Arguments) -> bytes:
    """Return what the worker answers, JSON.

    Raises:
        ResourceNotFoundError, AccountNotReadyError: the account cannot be asked.
        GatewayError: what the operation ended with.
    """
    await call.services.accounts.require_operational(call.account)
    return await call.services.jobs.call(operation, call.account, arguments, timeout=call.timeout)


async def download(
    call: Call, operation: Operation, arguments: DownloadArguments, *, default_filename: str
) -> Download:
    """Return what the worker streams, or the part of it that the request's headers ask for. Raises like `ask`."""
    await call.services.accounts.require_operational(call.account)
    etag = _entity_tag(arguments)
    arguments = msgspec.structs.replace(arguments, range=asked_range(call.headers, etag))
    stream = await call.services.jobs.stream(operation, call.account, arguments, timeout=call.timeout)
    try:
        head = _decode_head(stream.head)
    except BaseException:
        await stream.aclose()
        raise
    return Download(
        chunks=stream.chunks,
        content_type=head.content_type,
        filename=head.filename or default_filename,
        disposition=head.disposition,
        size=head.span.last - head.span.first + 1 if head.span else None,
        close=stream.aclose,
        etag=etag if head.span else None,
        span=head.span,
    )


def _entity_tag(arguments: DownloadArguments) -> str:
    """Return an entity tag: what an id names keeps its octets as long as the id is good (RFC 9051 section 2.3.1.1)."""
    return f'"{hashlib.sha256(msgspec.msgpack.encode(arguments)).hexdigest()[:32]}"'

"""Has an account's worker do something, and answers with what it says."""

from __future__ import annotations

import msgspec

from gateway.api.call import Call, Download
from gateway.model.stream import StreamHead
from gateway.queue.operations import Arguments, Operation

_decode_head = msgspec.json.Decoder(StreamHead).decode


async def ask(call: Call, operation: Operation, arguments: Arguments) -> bytes:
    """Return what the worker answers, JSON.

    Raises:
        ResourceNotFoundError, AccountNotReadyError: the account cannot be asked.
        GatewayError: what the operation ended with.
    """
    await call.services.accounts.require_operational(call.account)
    return await call.services.jobs.call(operation, call.account, arguments, timeout=call.timeout)


async def download(call: Call, operation: Operation, arguments: Arguments, *, default_filename: str) -> Download:
    """Return what the worker streams. Raises like `ask`."""
    await call.services.accounts.require_operational(call.account)
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
        size=head.size,
        close=stream.aclose,
    )

"""Attachments whose size the mail server tells beforehand: whole, in part, and where it was wrong."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gateway.errors import RequestError, ServiceUnavailableError
from gateway.model.stream import OctetRange, Span, StreamHead
from gateway.provider import AttachmentStream
from gateway.queue import operations
from gateway_workers.operations.downloads import get_attachment
from tests.integration.queue.rig import running_client, running_worker

pytestmark = pytest.mark.anyio

ATTACHMENT = operations.MESSAGES_ATTACHMENT
CONTENT = bytes(range(100))
ENDS = (30, 60, 100)


class Server:
    """Gives one attachment out, in pieces, and remembers what it read."""

    def __init__(self, size: int, *, seekable: bool) -> None:
        self.size = size
        self.seekable = seekable
        self.read: list[int] = []

    async def attachment(self, id: str) -> AttachmentStream:
        """Open the attachment."""
        return AttachmentStream(
            content_type="image/png",
            chunks=self.chunks(0),
            size=self.size,
            chunks_from=self.chunks if self.seekable else None,
        )

    async def chunks(self, offset: int) -> AsyncIterator[bytes]:
        """Yield the octets from one on."""
        start = offset
        for end in ENDS:
            if end > start:
                self.read.append(end - start)
                yield CONTENT[start:end]
                start = end


async def _download(redis_url: str, server: Server, range: OctetRange | None) -> tuple[StreamHead, bytes]:
    def opener(account: str) -> Any:
        return contextlib.nullcontext(SimpleNamespace(attachment=server.attachment))

    handlers = {ATTACHMENT.name: get_attachment}
    arguments = operations.GetAttachment(attachment="a-1", range=range)
    async with (
        running_client(redis_url) as client,
        running_worker(redis_url, handlers, opener=opener),
        contextlib.aclosing(await client.stream(ATTACHMENT, "ada", arguments, timeout=5)) as stream,
    ):
        head = msgspec.json.decode(stream.head, type=StreamHead)
        return head, b"".join([chunk async for chunk in stream.chunks])


@pytest.mark.parametrize("seekable", [True, False])
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        (None, 0, 99),
        (OctetRange(0), 0, 99),
        (OctetRange(5, 9), 5, 9),
        (OctetRange(29, 30), 29, 30),
        (OctetRange(60), 60, 99),
        (OctetRange(None, 1), 99, 99),
    ],
)
async def test_a_part_of_a_known_size_is_answered(
    redis_url: str, asked: OctetRange | None, first: int, last: int, seekable: bool
) -> None:
    head, octets = await _download(redis_url, Server(100, seekable=seekable), asked)
    assert (head.span, octets) == (Span(first, last, 100), CONTENT[first : last + 1])


async def test_a_part_that_begins_late_is_not_read_from_the_beginning(redis_url: str) -> None:
    """A download of megabytes that broke off is resumed."""
    server = Server(100, seekable=True)
    await _download(redis_url, server, OctetRange(70, 80))
    assert server.read == [30]


@pytest.mark.parametrize("size", [99, 101])
@pytest.mark.parametrize("asked", [None, OctetRange(90)])
async def test_a_download_of_another_size_than_was_told_breaks(
    redis_url: str, size: int, asked: OctetRange | None
) -> None:
    """The client was promised a length; it must not take a part for the whole."""
    with pytest.raises(ServiceUnavailableError):
        await _download(redis_url, Server(size, seekable=False), asked)


async def test_a_part_that_there_is_not_is_refused(redis_url: str) -> None:
    with pytest.raises(RequestError):
        await _download(redis_url, Server(100, seekable=True), OctetRange(100))

"""Files of a draft: small ones in one call, large ones in pieces that survive broken connections.

https://learn.microsoft.com/graph/outlook-large-attachments
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.errors import ConflictError, ConnectError, NotFoundError, ServiceUnavailableError
from gateway_outlook_graph.client import GraphClient, Request, path, read
from gateway_outlook_graph.resources import Attachments

#: Octets of a piece; a multiple of 320 KiB, below 4 MB.
PIECE = 10 * 320 * 1024
#: Octets of a file up to which Graph wants it in one call, and refuses an upload session.
SMALL = 3 * 1024 * 1024
# After these nobody knows how much of a piece arrived, or it was not the piece that is expected next.
_IN_DOUBT = (ConnectError, ServiceUnavailableError, ConflictError)


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file; one with a `content_id` is shown within the text.

    Attributes:
        size: octets.
        content: streams these, as often as it is called.
    """

    name: str
    content_type: str
    size: int
    content: Callable[[], AsyncIterator[bytes]]
    content_id: str | None = None


class _UploadSession(msgspec.Struct, rename="camel"):
    upload_url: str = ""
    next_expected_ranges: tuple[str, ...] = ()


class Uploading:
    """Attaches files."""

    def __init__(self, client: GraphClient) -> None:
        self._client = client

    async def file(self, draft: str, file: File) -> None:
        """Attach a file to a draft, exactly once.

        Raises:
            ProviderError: it could not be attached, although what broke off was continued a few times.
        """
        place = path("messages", draft, "attachments")
        before = await self._attached(place)
        failed, deadline = 0, self._client.deadline()
        while True:
            try:
                await (self._one_call(place, file) if file.size <= SMALL else self._session(place, file))
                return
            except (ConnectError, ServiceUnavailableError, NotFoundError):
                # The last answer may be what got lost: an upload that is finished has no address any more.
                if await self._attached(place) - before:
                    return
                failed += 1
                if not await self._client.wait_again(failed, deadline):
                    raise

    async def _one_call(self, place: str, file: File) -> None:
        item: dict[str, Any] = {
            "@odata.type": "#microsoft.graph.fileAttachment",
            "name": file.name,
            "contentType": file.content_type,
            "contentBytes": base64.b64encode(b"".join([chunk async for chunk in file.content()])).decode(),
            "isInline": file.content_id is not None,
        }
        if file.content_id is not None:
            item["contentId"] = file.content_id
        await self._client.call(Request(method="POST", path=place, json=item))

    async def _session(self, place: str, file: File) -> None:
        item: dict[str, Any] = {
            "attachmentType": "file",
            "name": file.name,
            "contentType": file.content_type,
            "size": file.size,
            "isInline": file.content_id is not None,
        }
        if file.content_id is not None:
            item["contentId"] = file.content_id
        request = Request(method="POST", path=f"{place}/createUploadSession", json={"AttachmentItem": item})
        address, size = read(await self._client.call(request), _UploadSession).upload_url, file.size
        begin, failed, deadline = 0, 0, self._client.deadline()
        pieces = _pieces(file, begin)
        while begin < size:
            try:
                if failed:
                    begin = _next(read(await self._client.call_upload("GET", address, {}), _UploadSession), size)
                    pieces = _pieces(file, begin)
                piece = await anext(pieces)
                await self._client.call_upload("PUT", address, _described(begin, piece, size), piece)
                begin, failed = begin + len(piece), 0
            except _IN_DOUBT:
                failed += 1
                if not await self._client.wait_again(failed, deadline):
                    raise

    async def _attached(self, place: str) -> set[str]:
        found = await self._client.get(Attachments, place, {"$select": "id"})
        return {each.id for each in found.value}


async def _pieces(file: File, begin: int) -> AsyncIterator[bytes]:
    """Yield a file from an octet on, in pieces of which the last one may be shorter."""
    waiting = bytearray()
    async for chunk in file.content():
        skipped = min(begin, len(chunk))
        begin -= skipped
        waiting += memoryview(chunk)[skipped:]
        while len(waiting) >= PIECE:
            yield bytes(waiting[:PIECE])
            del waiting[:PIECE]
    if waiting:
        yield bytes(waiting)


def _described(begin: int, piece: bytes, size: int) -> dict[str, str]:
    where = f"bytes {begin}-{begin + len(piece) - 1}/{size}"
    return {"Content-Range": where, "Content-Type": "application/octet-stream"}


def _next(session: _UploadSession, size: int) -> int:
    """Return the first octet that the service lacks."""
    begin = session.next_expected_ranges[0].partition("-")[0] if session.next_expected_ranges else ""
    if not begin.isdecimal() or int(begin) >= size:
        raise ServiceUnavailableError("Microsoft Graph does not tell how to go on with an upload")
    return int(begin)

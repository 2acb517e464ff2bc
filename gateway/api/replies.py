"""ASGI responses: a body that is ready, and one that is sent as it arrives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote

import structlog
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

from gateway.api.call import Download

log = structlog.get_logger(__name__)

#: Mail may hold anything: a browser must neither guess its type nor run it with this origin's rights.
_HARMLESS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
    "cache-control": "private, no-store",
}
_TOKEN = r"[\w!#$&^.+-]+"
_QUOTED = r'"[\x20\x21\x23-\x5b\x5d-\x7e]*"'
_CONTENT_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(\s*;\s*{_TOKEN}=({_QUOTED}|{_TOKEN}))*", re.ASCII)
_LONGEST_FILENAME = 200
_LONGEST_ENDING = 16


class StreamBrokenError(Exception):
    """The rest of a download will not come; ends the connection so that the client sees that it is incomplete."""


class Reply:
    """A response whose body is ready; a HEAD request gets its headers."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        body: bytes,
        *,
        status: int = 200,
        media_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.body = body
        self.status = status
        self.headers = {"content-type": media_type, "content-length": str(len(body)), **(headers or {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": self.status,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()],
        }
        await send(start)
        # scope["method"] exists for every HTTP scope; Litestar's type is a union with WebSocket.
        head = scope.get("method") == "HEAD"
        body: HTTPResponseBodyEvent = {
            "type": "http.response.body",
            "body": b"" if head else self.body,
            "more_body": False,
        }
        await send(body)


class DownloadReply:
    """A response that is sent as it arrives; its source is closed whatever happens, also when the client goes away."""

    __slots__ = ("download", "headers", "status")

    def __init__(self, download: Download, headers: Mapping[str, str] | None = None) -> None:
        self.download = download
        self.headers = {**_download_headers(download), **(headers or {})}
        partial = download.span is not None and not download.span.is_whole
        self.status = HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            if scope.get("method") == "HEAD":
                await Reply(b"", status=self.status, headers=self.headers)(scope, receive, send)
                return
            response = ASGIStreamingResponse(
                iterator=self.download.chunks,
                headers=self.headers,
                media_type=self.headers["content-type"],
                status_code=self.status,
            )
            await response(scope, receive, send)
        except Exception as error:  # noqa: BLE001  whatever it was, the client must not take a part for the whole
            log.warning("download_broken", error=_innermost(error))
            raise StreamBrokenError("the source of the download broke off") from None
        finally:
            await self.download.close()


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__


def _download_headers(download: Download) -> dict[str, str]:
    headers = {"content-type": safe_content_type(download.content_type), **_HARMLESS}
    if download.size is not None:
        headers["content-length"] = str(download.size)
    if download.etag is not None:
        headers["etag"] = download.etag
    if download.span is not None:
        headers["accept-ranges"] = "bytes"
        if not download.span.is_whole:
            headers["content-range"] = f"bytes {download.span.first}-{download.span.last}/{download.span.whole}"
    if download.filename is not None:
        headers["content-disposition"] = content_disposition(download.disposition, download.filename)
    return headers


def safe_content_type(content_type: str) -> str:
    """Return a media type as it is if it is one (RFC 9110 section 8.3.1), else ``application/octet-stream``."""
    text = content_type.strip()
    return text if len(text) <= 255 and _CONTENT_TYPE.fullmatch(text) else "application/octet-stream"


def content_disposition(disposition: str, filename: str) -> str:
    """Return a Content-Disposition header (RFC 6266) whose file name cannot leave a directory or the header."""
    name = "".join(character for character in filename.replace("\\", "/").rsplit("/", 1)[-1] if character.isprintable())
    name = _shortened(name.strip(" .")) or "download"
    plain = "".join(character if character.isascii() and character not in '"%;' else "_" for character in name)
    header = f'{disposition}; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe='')}"


def _shortened(name: str) -> str:
    """Return a file name that file systems take; its end, which tells the type, stays."""
    if len(name) <= _LONGEST_FILENAME:
        return name
    stem, dot, end = name.rpartition(".")
    kept = f"{dot}{end}" if stem and len(end) < _LONGEST_ENDING else ""
    return name[: _LONGEST_FILENAME - len(kept)].rstrip(" .") + kept

"""One call of the API: what a controller is given, and what it may answer besides structs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.api.services import Services
from gateway.model.stream import Span
from gateway.model.token import TokenRecord

#: Who asks when an operation needs no token.
ANONYMOUS = TokenRecord(id="")


@dataclass(frozen=True, slots=True)
class Call:
    """What every controller is given.

    Attributes:
        path: path parameters, checked and decoded.
        token: the authenticated token, `ANONYMOUS` for operations that need none.
        timeout: seconds the caller is prepared to wait.
        headers: request headers, names in lower case.
        remote_address: where the call came from, as the server sees it.
    """

    services: Services
    path: Mapping[str, str]
    token: TokenRecord
    timeout: float
    request_id: str
    headers: Mapping[str, str]
    remote_address: str | None

    @property
    def account(self) -> str:
        """The account in the path."""
        return self.path["account"]


async def nothing_to_close() -> None:
    """Close nothing."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text that is ready, and its media type with its parameters."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class EventStream:
    """Server-sent events (HTML standard, section 9.2), sent as they arise until the client goes."""

    frames: AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True)
class Download:
    """Octets that are sent as they arrive.

    Attributes:
        close: ends the source; called once, whether it was read or not.
        content_type: as the mail says; made harmless before it is sent.
        filename: as the mail says; made harmless before it is sent. None leaves Content-Disposition out.
        size: octets, when known beforehand.
        etag: entity tag, quoted, of what does not change.
        span: which part `chunks` are; None when no part can be asked for.
    """

    chunks: AsyncIterator[bytes]
    content_type: str
    filename: str | None = None
    disposition: Literal["inline", "attachment"] = "attachment"
    size: int | None = None
    close: Callable[[], Awaitable[None]] = nothing_to_close
    etag: str | None = None
    span: Span | None = None

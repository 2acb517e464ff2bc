"""The ASGI response that sends server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

from gateway.api.call import EventStream
from gateway.api.replies import Reply

log = structlog.get_logger(__name__)

#: Seconds that a client may take for one piece; a slower one is dropped, and resumes with ``Last-Event-ID``.
SEND_LIMIT = 30.0


class EventStreamReply:
    """A response without end; its source is closed whatever happens, also when the client goes away."""

    __slots__ = ("headers", "stream")

    def __init__(self, stream: EventStream, headers: Mapping[str, str]) -> None:
        self.stream = stream
        # nginx collects what it passes on unless it is told not to.
        self.headers = {"content-type": "text/event-stream", "x-accel-buffering": "no", **headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            if scope.get("method") == "HEAD":
                await Reply(b"", media_type="text/event-stream", headers=self.headers)(scope, receive, send)
                return
            sending = asyncio.create_task(self._send(send))
            gone = asyncio.create_task(_disconnected(receive))
            try:
                await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, gone):
                    task.cancel()
                outcomes = await asyncio.gather(sending, gone, return_exceptions=True)
            if isinstance(outcomes[0], TimeoutError):
                log.info("slow_listener_dropped")
            elif isinstance(outcomes[0], Exception):
                raise outcomes[0]
        finally:
            await self.stream.frames.aclose()

    async def _send(self, send: Send) -> None:
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": 200,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()],
        }
        await send(start)
        async for frame in self.stream.frames:
            async with asyncio.timeout(SEND_LIMIT):
                await send(_body(frame, more=True))
        await send(_body(b"", more=False))


def _body(content: bytes, *, more: bool) -> HTTPResponseBodyEvent:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

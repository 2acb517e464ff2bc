"""The HTTP server: granian embedded in the running event loop, and a table of routes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import msgspec
from granian.constants import HTTPModes, Interfaces
from granian.rsgi import Scope
from granian.server.embed import Server

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_START_TIMEOUT = 10.0
#: Without "incremental" granian's set-up would shut the handlers of the host process' logging.
_LEAVE_LOGGING_ALONE = {"incremental": True, "handlers": {}, "formatters": {}, "loggers": {}}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP request; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    arguments: Mapping[str, str] = {}

    def form(self) -> dict[str, str]:
        """Return the fields of a form body; the first of each name."""
        pairs = parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)
        return dict(reversed(pairs))


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP response."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Awaitable[Response]]


class Exchange(Protocol):
    """What granian's RSGI hands over with a request: its body, and where the answer goes."""

    async def __call__(self) -> bytes: ...
    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


def json_response(value: Any, status: int = 200, *headers: tuple[str, str]) -> Response:
    """Return a JSON answer."""
    return Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json; charset=utf-8", headers=headers
    )


def html_response(page: str, status: int = 200) -> Response:
    """Return a page that may neither load nor run anything."""
    # No form-action: browsers apply it to the redirect that follows a form, which leaves for the app on purpose.
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
    return Response(
        status=status,
        body=page.encode(),
        content_type="text/html; charset=utf-8",
        headers=(("content-security-policy", policy), ("referrer-policy", "no-referrer")),
    )


def redirect(location: str) -> Response:
    """Send the browser on with GET, also after a form (RFC 9110 section 15.4.4)."""
    return Response(status=303, headers=(("location", location),))


class Routes:
    """Which handler answers a method and a path; ``{name}`` in a path matches one segment."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        self._below: list[tuple[str, Handler]] = []

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Register a handler."""
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path))
        self._routes.append((method, re.compile(pattern), handler))

    def add_below(self, prefix: str, handler: Handler) -> None:
        """Hand everything whose path begins with a prefix, in any case, to one handler."""
        self._below.append((prefix.lower(), handler))

    async def answer(self, request: Request) -> Response:
        """Answer a request, or refuse it: 404, 405, and 421 when it came under a name that is not this machine."""
        # A page elsewhere could otherwise reach the control endpoint by rebinding its own name to 127.0.0.1.
        if urlsplit(f"//{request.headers.get('host', '')}").hostname not in _LOOPBACK:
            return json_response({"error": "misdirected_request"}, 421)
        for prefix, handler in self._below:
            if request.path.lower().startswith(prefix):
                return await handler(request)
        status = 404
        for method, pattern, handler in self._routes:
            match = pattern.fullmatch(request.path)
            if match is None:
                continue
            if method == request.method:
                return await handler(msgspec.structs.replace(request, arguments=match.groupdict()))
            status = 405
        return json_response({"error": "not_found" if status == 404 else "method_not_allowed"}, status)


@asynccontextmanager
async def serving(routes: Routes, port: int) -> AsyncIterator[None]:
    """Serve the routes on a port of 127.0.0.1 until the context is left.

    Raises:
        OSError: the port cannot be served.
    """

    async def application(scope: Scope, exchange: Exchange) -> None:
        headers_in: dict[str, str] = {}
        for name, value in scope.headers.items():
            # A field that comes twice counts as one with both values (RFC 9110 section 5.3).
            headers_in[name] = f"{headers_in[name]}, {value}" if name in headers_in else value
        response = await routes.answer(
            Request(
                method=scope.method,
                path=scope.path,
                query=dict(parse_qsl(scope.query_string, keep_blank_values=True)),
                headers=headers_in,
                body=await exchange(),
            )
        )
        headers = [("content-type", response.content_type), ("cache-control", "no-store"), *response.headers]
        exchange.response_bytes(response.status, headers, response.body)

    server = Server(
        application,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
        log_dictconfig=_LEAVE_LOGGING_ALONE,
    )
    stop: Callable[[], None] = server.stop
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(_START_TIMEOUT):
            await _listening(port, task)
        yield
    finally:
        stop()
        await task


async def _listening(port: int, server: asyncio.Task[None]) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            if server.done():
                server.result()
            await asyncio.sleep(0.005)
        else:
            writer.close()
            return

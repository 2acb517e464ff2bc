"""An endpoint that answers validations, takes notifications of Graph, and lets a test wait for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

_TIMEOUT = 15.0


class Subscriber:
    """What came.

    Attributes:
        bodies: every notification request, in the order of arrival.
        validations: the tokens of validation requests, by path.
        valid: whether validations are answered as they should be.
        status: the answer to notifications.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.validations: list[tuple[str, str]] = []
        self.valid = True
        self.status = 202
        self.port = 0
        self._news = threading.Condition()

    def url(self, path: str = "/notify") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def notifications(self) -> list[dict[str, Any]]:
        """The notifications of all bodies that hold any."""
        found: list[dict[str, Any]] = []
        for body in list(self.bodies):
            try:
                found += msgspec.json.decode(body)["value"]
            except (msgspec.DecodeError, TypeError, KeyError):
                continue
        return found

    def wait(self, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Return the notifications when a condition holds."""
        with self._news:
            assert self._news.wait_for(lambda: enough(self.notifications), _TIMEOUT), self.notifications
        return self.notifications

    def take(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Answer a request."""
        parts = urlsplit(path)
        token = parse_qs(parts.query).get("validationToken")
        with self._news:
            self._news.notify_all()
            if token is not None:
                self.validations.append((parts.path, token[0]))
                return (200, token[0].encode()) if self.valid else (200, b"hello")
            self.bodies.append(body)
            return self.status, b""


@contextmanager
def running_subscriber() -> Iterator[Subscriber]:
    """A subscriber for one test."""
    subscriber = Subscriber()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, answer = subscriber.take(self.path, body)
            self.send_response(status)
            self.send_header("content-type", "text/plain")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    subscriber.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield subscriber
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

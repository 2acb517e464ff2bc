"""Token introspection (RFC 7662), through which an access token ends before it expires."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs

from tests.rigs.issuer import TokenIssuer


class IntrospectionEndpoint:
    """Answers a resource server's question whether a token is active, and for whom.

    The path carries the scope that the resource insists on, as Dovecot 2.3 sends no hint of it:
    `/introspect/IMAP.AccessAsUser.All`.
    """

    def __init__(self, issuer: TokenIssuer) -> None:
        """Prepare an endpoint for the tokens of `issuer`."""
        self._issuer = issuer
        self._ended_ms = 0.0
        self._ended_users: dict[str, float] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> IntrospectionEndpoint:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def url(self) -> str:
        """Where to ask, without the scope."""
        return f"http://rig:secret@127.0.0.1:{self._server.server_port}/introspect"

    def end_all(self) -> None:
        """End every access token issued until now."""
        self._ended_ms = time.time() * 1000

    def end_user(self, user: str) -> None:
        """End the access tokens that `user` got until now."""
        self._ended_users[user.lower()] = time.time() * 1000

    def answer(self, token: str, scope: str) -> dict[str, Any]:
        """RFC 7662 section 2.2."""
        claims = self._issuer.claims(token)
        if claims is None or claims["exp"] <= time.time() or scope not in claims["scope"]:
            return {"active": False}
        user = str(claims["upn"])
        if claims["issued_ms"] <= max(self._ended_ms, self._ended_users.get(user.lower(), 0.0)):
            return {"active": False}
        return {"active": True, "username": user, "scope": claims["scope"], "exp": claims["exp"]}


def _handler(endpoint: IntrospectionEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the name that BaseHTTPRequestHandler looks up
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            scope = self.path.rpartition("/")[2]
            body = json.dumps(endpoint.answer(form.get("token", [""])[0], scope)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: request lines are of no use to a test."""

    return Handler

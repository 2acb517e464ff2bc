"""A token endpoint on loopback that answers whatever a test wants, and the app that uses it."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import trustme

from gateway.model.server import Server
from gateway.provider import OAuth2App
from gateway_microsoft import Cloud, MicrosoftIdentity
from gateway_microsoft.transport import Transport

CLIENT_ID = "11111111-2222-4333-8444-555555555555"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    """The present time, as the test says."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TokenServer:
    """An identity service that says what it is told to, and remembers what it was asked.

    Attributes:
        forms: the form of every token request.
        lines: method and path of every request.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.forms: list[dict[str, str]] = []
        self.lines: list[str] = []
        self.cookies: list[str | None] = []
        self.claims: dict[str, Any] = {"preferred_username": "Bob@Contoso.test", "name": "Bob", "aud": CLIENT_ID}
        self.id_token: str | None = None
        self.fault: Callable[[socket.socket], None] | None = None
        self.released = threading.Event()
        self._answer: tuple[int, bytes, dict[str, str]] | None = None
        self._codes: dict[str, dict[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.origin = f"{scheme}://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, body: object, status: int = 200, **headers: str) -> None:
        """Give this answer to every request from now on; JSON unless it is octets."""
        octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._answer = (status, octets, {name.replace("_", "-"): value for name, value in headers.items()})

    def refuse(self, error: str, number: int | None = None, status: int = 400, **more: Any) -> None:
        """Give an error answer in the shape of Microsoft Entra."""
        self.answer(aadsts(error, number, **more), status)

    def sign_in(self, url: str) -> dict[str, str]:
        """Act as the person and the browser: return the parameters of the redirect."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self._codes["the-code"] = asked
        return {"code": "the-code", "state": asked["state"]}

    def respond(self, form: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        if self._answer is not None:
            return self._answer
        tokens: dict[str, Any] = {
            "token_type": "Bearer",
            "access_token": f"access-{len(self.forms)}",
            "expires_in": 3599,
            "scope": form["scope"].replace(" offline_access", "").replace("offline_access ", ""),
        }
        if form["grant_type"] != "client_credentials":
            tokens["refresh_token"] = f"refresh-{len(self.forms)}"
            tokens["id_token"] = self.id_token or jwt({"nonce": self._nonce(form), **self.claims})
        return 200, json.dumps(tokens).encode(), {}

    def _nonce(self, form: dict[str, str]) -> str | None:
        """Redeem a code (RFC 7636 section 4.6)."""
        if form["grant_type"] != "authorization_code":
            return None
        asked = self._codes[form["code"]]
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
        assert (asked["code_challenge_method"], asked["redirect_uri"]) == ("S256", form["redirect_uri"])
        return asked["nonce"]


def aadsts(error: str, number: int | None = None, text: str = "Something.", **more: Any) -> dict[str, Any]:
    """Return an error body as https://learn.microsoft.com/entra/identity-platform/reference-error-codes shows it."""
    ids = "Trace ID: 0d4b1c1e-0000 \r\nCorrelation ID: 7a3f0000-0000\r\nTimestamp: 2026-03-01 12:00:00Z"
    body: dict[str, Any] = {
        "error": error,
        "error_description": f"AADSTS{number}: {text} {ids}" if number else text,
        "timestamp": "2026-03-01 12:00:00Z",
        "trace_id": "0d4b1c1e-0000",
        "correlation_id": "7a3f0000-0000",
        "error_uri": f"https://login.microsoftonline.com/error?code={number}",
    }
    if number:
        body["error_codes"] = [number]
    return {**body, **more}


def jwt(claims: dict[str, Any]) -> str:
    """Return an unsigned token; nobody checks the signature of one that comes straight from the endpoint."""
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in parts) + "."


def _handler(server: TokenServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            octets = self.rfile.read(int(self.headers["content-length"]))
            form = {name: values[0] for name, values in parse_qs(octets.decode()).items()}
            server.forms.append(form)
            self._respond(form)

        def do_GET(self) -> None:
            self._respond({"grant_type": "none", "scope": ""})

        def _respond(self, form: dict[str, str]) -> None:
            server.lines.append(f"{self.command} {self.path}")
            server.cookies.append(self.headers.get("cookie"))
            if server.fault is not None:
                self.close_connection = True
                server.fault(self.connection)
                return
            status, body, headers = server.respond(form)
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def finish(self) -> None:
            try:
                super().finish()
            except OSError:
                return

        def log_message(self, *args: Any) -> None:
            return

    return Handler


@pytest.fixture
def endpoint() -> Iterator[TokenServer]:
    server = TokenServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_endpoint(authority: trustme.CA) -> Iterator[TokenServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = TokenServer(context)
    yield server
    server.close()


@pytest.fixture
def app() -> OAuth2App:
    return OAuth2App(
        id="app",
        provider="outlook",
        base_scopes="imap",
        client_id=CLIENT_ID,
        client_secret="the-secret",
        redirect_url="https://gateway.test/oauth",
    )


@pytest.fixture
def make_cloud() -> Callable[..., Cloud]:
    """Return a function that makes a cloud whose login host is `login`."""

    def make(login: str, **more: Any) -> Cloud:
        return Cloud(
            name="test",
            login=login,
            graph="https://graph.microsoft.com",
            imap=Server(host="localhost", port=993),
            smtp=Server(host="localhost", port=587, security="starttls"),
            scope_host="https://outlook.office.com",
            **more,
        )

    return make


@pytest.fixture
def make_identity(
    endpoint: TokenServer, app: OAuth2App, clock: Clock, make_cloud: Callable[..., Cloud]
) -> Callable[..., MicrosoftIdentity]:
    """Return a function that makes an identity at the endpoint, with fields of the app replaced."""

    def make(**fields: Any) -> MicrosoftIdentity:
        cloud = make_cloud(endpoint.origin)
        transport = Transport(cloud, timeouts=(5.0, 0.2))
        return MicrosoftIdentity(msgspec.structs.replace(app, **fields), cloud, clock, transport=transport)

    return make

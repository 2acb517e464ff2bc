"""A sandbox for tests: it runs in a thread of its own, so that blocking and asynchronous clients can both use it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from gateway_sandbox import directory
from gateway_sandbox.clouds import Endpoints
from gateway_sandbox.server import running

REDIRECT_URI = "http://localhost:3000/oauth"
MAIL_SCOPES = (f"{directory.OUTLOOK}/IMAP.AccessAsUser.All", f"{directory.OUTLOOK}/SMTP.Send")
ALICE, BOB, CAROL = directory.ALICE.address, directory.BOB.address, directory.CAROL.address
_TIMEOUT = 20.0


class MovableClock:
    """The real time plus whatever a test adds to `ahead`."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class RunningSandbox:
    """What a test does with a sandbox.

    Attributes:
        endpoints: where it listens.
        clock: what it takes for the present time.
        http: a client for the sign-in service and the control endpoint.
        tls: for the clients of its IMAP and SMTP servers.
    """

    def __init__(self, endpoints: Endpoints, clock: MovableClock) -> None:
        self.endpoints = endpoints
        self.clock = clock
        self.http = httpx.Client(base_url=endpoints.origin, trust_env=False, timeout=_TIMEOUT)
        self.tls = ssl.create_default_context(cafile=str(endpoints.ca_file))

    def fail(self, failure: str, **more: Any) -> None:
        """Switch a failure on; `more` are ``user`` and ``seconds``."""
        self.http.post("/sandbox/failures", json={"failure": failure, **more}).raise_for_status()

    def reset(self) -> None:
        """Switch all failures off and set the clock right."""
        self.clock.ahead = timedelta()
        self.http.delete("/sandbox/failures").raise_for_status()

    def deliver(self, user: str, message: bytes, mailbox: str = "INBOX") -> int:
        """Put a message into a mailbox behind everybody's back and return its UID."""
        answer = self.http.post("/sandbox/deliver", params={"user": user, "mailbox": mailbox}, content=message)
        uid: int = answer.raise_for_status().json()["uid"]
        return uid

    def statistics(self) -> dict[str, Any]:
        """Return the counters."""
        counters: dict[str, Any] = self.http.get("/sandbox/statistics").json()
        return counters

    def decide(self, uri: str, **fields: str) -> dict[str, str]:
        """Open a sign-in or approval page, post its form and return what comes back to the app."""
        form = _Form(self.http.get(without_tls(uri)).raise_for_status().text)
        answer = self.http.post(form.action, data={**form.hidden, **fields})
        if not answer.has_redirect_location:
            raise AssertionError(f"the sign-in was not finished: {answer.status_code}")
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    def authorization_uri(self, **parameters: str) -> str:
        """Return the address of the sign-in page; `parameters` replace the usual ones."""
        usual = {
            "client_id": directory.CLIENT_ID,
            "response_type": "code",
            "redirect_uri": REDIRECT_URI,
            "scope": " ".join(("openid profile offline_access", *MAIL_SCOPES)),
            "state": "a-state",
        }
        return f"{self.endpoints.origin}/common/oauth2/v2.0/authorize?{urlencode({**usual, **parameters})}"

    def token_request(self, **form: str) -> httpx.Response:
        """Ask the token endpoint, as the registered app if nothing else is said."""
        usual = {"client_id": directory.CLIENT_ID, "client_secret": directory.CLIENT_SECRET}
        return self.http.post("/common/oauth2/v2.0/token", data={**usual, **form})

    def sign_in(self, user: str = ALICE, scopes: tuple[str, ...] = MAIL_SCOPES) -> dict[str, Any]:
        """Go through the code flow with PKCE (RFC 7636) and return the answer of the token endpoint."""
        verifier = "v" * 64
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        scope = " ".join(("openid profile offline_access", *scopes))
        uri = self.authorization_uri(scope=scope, code_challenge=challenge, code_challenge_method="S256")
        code = self.decide(uri, user=user, action="accept")["code"]
        answer = self.token_request(
            grant_type="authorization_code", code=code, redirect_uri=REDIRECT_URI, code_verifier=verifier, scope=scope
        )
        grant: dict[str, Any] = answer.raise_for_status().json()
        return grant

    def access_token(self, user: str = ALICE) -> str:
        """Return a new access token for IMAP and SMTP."""
        token: str = self.sign_in(user)["access_token"]
        return token


class _Form(HTMLParser):
    """Action and hidden fields of the form of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.hidden: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = attributes["action"]
        if tag == "input" and attributes.get("type") == "hidden":
            self.hidden[attributes["name"]] = attributes["value"]


def without_tls(uri: str) -> str:
    """Return a published address as it is really served."""
    return uri.replace("https://localhost", "http://localhost", 1)


def take_any_ports(data_dir: Path) -> Path:
    """Make a new data directory's sandbox take free ports instead of the usual ones: tests run side by side."""
    (data_dir / "sandbox").mkdir(parents=True)
    (data_dir / "sandbox" / "ports.json").write_text('{"http": 0, "imap": 0, "smtp": 0}')
    return data_dir


@contextmanager
def sandbox_in_thread(data_dir: Path) -> Iterator[RunningSandbox]:
    """Run a sandbox until the context is left."""
    clock = MovableClock()
    started: Future[tuple[Endpoints, Callable[[], object]]] = Future()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with running(data_dir, clock) as endpoints:
            started.set_result((endpoints, partial(loop.call_soon_threadsafe, stop.set)))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="sandbox")
    thread.start()
    try:
        endpoints, stop = started.result(_TIMEOUT)
        sandbox = RunningSandbox(endpoints, clock)
        try:
            yield sandbox
        finally:
            sandbox.http.close()
            stop()
    finally:
        thread.join(_TIMEOUT)

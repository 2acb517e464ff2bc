"""The sandbox as the other side, found as an installation finds it: by its entry in the clouds file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import imapclient
import msgspec
import pytest

from gateway.provider import Account, Environment, Grant, Identity, Login, OAuth2App, Service, Session, SessionContext
from gateway.testing.context import AccountUnderTest, MemoryNumbers
from gateway_microsoft.plugin import MicrosoftIdentityProvider
from gateway_outlook_graph import Limits, OutlookGraphProvider
from gateway_outlook_graph.transport import Reply, Transport
from gateway_sandbox import clouds, directory
from gateway_sandbox.testing import ALICE, REDIRECT_URI, RunningSandbox, sandbox_in_thread, take_any_ports
from tests.rigs import graph_document

# By the conformance kit.
_MADE_BY_TESTS = frozenset({"Anew", "Projects", "Done", "Elsewhere"})


class World:
    """A sandbox with the provider under test in front of it.

    Attributes:
        sandbox: switches, pages and counters.
        environment: with the sandbox's cloud in its clouds file.
        provider: of that environment.
        identities: the same for sign-in.
        app: the app that the sandbox knows.
    """

    def __init__(self, sandbox: RunningSandbox, environment: Environment, limits: Limits | None = None) -> None:
        self.sandbox = sandbox
        self.environment = environment
        self.provider = OutlookGraphProvider(environment, limits=limits)
        self.identities = MicrosoftIdentityProvider(environment)
        fields = directory.registered_app()
        self.app = OAuth2App(
            id="sandbox",
            provider=fields["provider"],
            base_scopes="api",
            client_id=fields["clientId"],
            client_secret=fields["clientSecret"],
            authority=fields["authority"],
            cloud=fields["cloud"],
            redirect_url=REDIRECT_URI,
            extra_scopes=("Mail.ReadWrite.Shared", "Mail.Send.Shared"),
        )

    def identity(self, **fields: Any) -> Identity:
        """Return the OAuth2 side of the app, with fields of it replaced."""
        return self.identities.identity(msgspec.structs.replace(self.app, **fields))

    async def grant(self, user: str = ALICE) -> Grant:
        """Sign somebody in through the pages."""
        identity = self.identity()
        start = identity.authorization(state="state", login_hint=user)
        return await identity.exchange(start, self.sandbox.decide(start.url, user=user, action="accept"))

    async def account(self, user: str = ALICE, *, shared: str | None = None) -> AccountUnderTest:
        """Return an account of somebody who has signed in."""
        credentials = GrantCredentials(self.identity(), await self.grant(user))
        context = SessionContext(credentials=credentials, numbers=MemoryNumbers(), app=self.app)
        return AccountUnderTest(Account(id=user, user=user, email=shared or user, shared=shared), context)

    async def app_context(self) -> SessionContext:
        """Return what sessions are opened with when the app signs in as itself (RFC 6749 section 4.4)."""
        app = msgspec.structs.replace(self.app, provider="outlookService", authority=directory.TENANT_ID)
        credentials = AppCredentials(await self.identities.identity(app).client_credentials())
        return SessionContext(credentials=credentials, numbers=MemoryNumbers(), app=app)

    def deliver(self, message: bytes, mailbox: str = "INBOX", user: str = ALICE) -> None:
        """Put a message in, a second after the one before: Graph's times have no fractions."""
        self.sandbox.clock.ahead += timedelta(seconds=1)
        self.sandbox.deliver(user, message, mailbox)

    def client(self, user: str = ALICE) -> imapclient.IMAPClient:
        """Return an IMAP client of another kind that is logged in."""
        port = self.sandbox.endpoints.imap_port
        client = imapclient.IMAPClient("localhost", port, ssl_context=self.sandbox.tls, timeout=10)
        client.oauth2_login(user, self.sandbox.access_token(user))
        return client

    def as_new(self, user: str = ALICE) -> None:
        """Delete the messages of a user's inbox and archive, and the mailboxes that tests made."""
        with self.client(user) as client:
            for _, _, name in client.list_folders():
                if name in _MADE_BY_TESTS:
                    client.delete_folder(name)
        self.empty("INBOX", user)
        self.empty("Archive", user)

    def empty(self, mailbox: str, user: str = ALICE) -> None:
        """Delete all messages of a mailbox."""
        with self.client(user) as client:
            client.select_folder(mailbox)
            if uids := client.search("ALL"):
                client.delete_messages(uids, silent=True)
                client.expunge()


class AppCredentials:
    """The token that an app got for itself."""

    def __init__(self, grant: Grant) -> None:
        self._grant = grant

    async def login(self, service: Service, *, refused: Login | None = None) -> Login:
        return Login(user="", access_token=self._grant.access_token)


class GrantCredentials:
    """Credentials that renew their grant when its access token was refused.

    Attributes:
        renewals: how often that happened.
    """

    def __init__(self, identity: Identity, grant: Grant) -> None:
        self._identity = identity
        self.grant = grant
        self.renewals = 0

    async def login(self, service: Service, *, refused: Login | None = None) -> Login:
        if refused is not None and refused.access_token == self.grant.access_token:
            self.renewals += 1
            self.grant = await self._identity.refresh(self.grant)
        assert self.grant.user is not None
        return Login(user=self.grant.user.user, access_token=self.grant.access_token)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def running_outlook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data_dir = take_any_ports(tmp_path_factory.mktemp("data"))
    with sandbox_in_thread(data_dir) as sandbox:
        clouds.write_entry(data_dir / clouds.FILE_NAME, directory.CLOUD, clouds.entry(sandbox.endpoints))
        yield World(sandbox, Environment(data_dir=data_dir))


@pytest.fixture
def outlook(running_outlook: World) -> Iterator[World]:
    """A running world, shared by a module, with every failure off."""
    yield running_outlook
    running_outlook.sandbox.reset()


@pytest.fixture(autouse=True)
def _described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold every call and its answer against Microsoft's description of Graph, where that is at hand."""
    call = Transport.call

    async def checked(self: Transport, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        _, version, path = unquote(urlsplit(url).path).partition("/v1.0")
        sent = None if body is None or headers.get("Content-Type") != "application/json" else msgspec.json.decode(body)
        reply = await call(self, method, url, headers, body)
        is_json = reply.headers.get("content-type", "").startswith("application/json")
        answered = msgspec.json.decode(reply.body) if reply.body and is_json else None
        if path == "/$batch":
            _check_batch(sent, answered)
        elif version:
            _check(method, path, sent, reply.status, answered, is_text=sent is None and body is not None)
        return reply

    if graph_document.AVAILABLE:
        monkeypatch.setattr(Transport, "call", checked)


def _check_batch(sent: Any, answered: Any) -> None:
    answers = {answer["id"]: answer for answer in (answered or {}).get("responses", ())}
    for step in sent["requests"]:
        answer = answers.get(step["id"], {"status": 200})
        path = unquote(urlsplit(step["url"]).path)
        _check(step["method"], path, step.get("body"), answer["status"], answer.get("body"))


def _check(method: str, path: str, sent: Any, status: int, answered: Any, *, is_text: bool = False) -> None:
    # The document is older than this action.
    if path.endswith("/permanentDelete"):
        return
    if not is_text:
        graph_document.check_request(method, path, sent)
    if answered is not None:
        graph_document.check_answer(method, path, status, answered)


@pytest.fixture
async def session(outlook: World) -> AsyncIterator[Session]:
    """Alice's mailbox, whose inbox and archive are empty."""
    await asyncio.to_thread(outlook.as_new)
    account = await outlook.account()
    async with outlook.provider.open(*account) as opened:
        yield opened

"""An API whose services are fakes that keep the protocols of `gateway.api.services`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import httpx
import msgspec
import pytest
from litestar import Litestar

from gateway.api.catalogue import OPERATIONS
from gateway.api.docs import docs_routes
from gateway.api.endpoint import exception_handlers, route_handlers
from gateway.api.operation import Operation
from gateway.api.paths import keep_encoded_slashes
from gateway.api.services import Services
from gateway.api.shortcut import with_shortcut
from gateway.errors import AccountNotReadyError, ResourceNotFoundError
from gateway.model.message import SearchQuery
from gateway.model.stream import StreamHead
from gateway.model.submission import ComposeFields
from gateway.model.token import Allowance, TokenRecord
from gateway.queue.operations import Operation as QueueOperation

ROOT_TOKEN = "a" * 64


class FakeTokens:
    """Tokens by value; `left` is what a rate limit leaves after the next call."""

    def __init__(self) -> None:
        self.known = {ROOT_TOKEN: TokenRecord(id="root", scopes=("*",))}
        self.left = 0
        self.uses: list[tuple[str, str | None]] = []

    async def authenticate(self, value: str) -> TokenRecord | None:
        return self.known.get(value)

    async def used(self, token: TokenRecord, ip: str | None) -> None:
        self.uses.append((token.id, ip))

    async def count(self, token: TokenRecord) -> Allowance:
        return Allowance(limit=5, remaining=self.left, reset=7.2)


class FakeAccounts:
    """Accounts by id, with their state."""

    def __init__(self) -> None:
        self.states = {"a": "connected", "down": "authenticationError", "x/y": "connected"}

    async def require_operational(self, account: str) -> None:
        if account not in self.states:
            raise ResourceNotFoundError("There is no such account", code="AccountNotFound")
        if self.states[account] != "connected":
            state = self.states[account]
            raise AccountNotReadyError("The account is not connected", code="AuthenticationFails", state=state)


class FakeStream:
    """A stream of these chunks; an exception among them is raised, an event is waited for."""

    def __init__(self, head: StreamHead, chunks: list[bytes | Exception | asyncio.Event]) -> None:
        self.head = msgspec.json.encode(head)
        self.chunks = self._iterate(chunks)
        self.closed = 0

    async def _iterate(self, chunks: list[bytes | Exception | asyncio.Event]) -> AsyncIterator[bytes]:
        for chunk in chunks:
            if isinstance(chunk, Exception):
                raise chunk
            if isinstance(chunk, asyncio.Event):
                await chunk.wait()
            else:
                yield chunk

    async def aclose(self) -> None:
        self.closed += 1


class FakeJobs:
    """Answers every operation with `answer`, or raises it; arguments go through MessagePack as they do in a queue."""

    def __init__(self) -> None:
        self.answer: bytes | Exception = b"{}"
        self.streamed: FakeStream = FakeStream(StreamHead(content_type="text/plain"), [])
        self.calls: list[tuple[str, str, Any, float]] = []

    async def call(
        self, operation: QueueOperation, account: str, arguments: msgspec.Struct, *, timeout: float
    ) -> bytes:
        self._note(operation, account, arguments, timeout)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def stream(
        self, operation: QueueOperation, account: str, arguments: msgspec.Struct, *, timeout: float
    ) -> FakeStream:
        await self.call(operation, account, arguments, timeout=timeout)
        return self.streamed

    def _note(self, operation: QueueOperation, account: str, arguments: msgspec.Struct, timeout: float) -> None:
        decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(arguments), type=operation.arguments)
        self.calls.append((operation.name, account, decoded, timeout))


class FakeListings:
    """An index that answers `found` to everything; None leaves it to a worker."""

    def __init__(self) -> None:
        self.found: bytes | None = None
        self.asked: list[tuple[str, str, int, int, str | None]] = []

    async def page(self, account: str, path: str, *, page: int, size: int, cursor: str | None) -> bytes | None:
        self.asked.append((account, path, page, size, cursor))
        return self.found

    async def search(
        self, account: str, path: str, query: SearchQuery, *, page: int, size: int, cursor: str | None
    ) -> bytes | None:
        return await self.page(account, path, page=page, size=size, cursor=cursor)


class FakeComposer:
    """Makes a message of nothing but its subject."""

    async def compose_draft(self, account: str, fields: ComposeFields) -> tuple[bytes, None]:
        return f"Subject: {fields.subject}\r\n\r\n".encode(), None


class FakeHealth:
    """Says what it was told to say."""

    def __init__(self) -> None:
        self.checks = {"redis": True}

    async def check(self) -> dict[str, bool]:
        return self.checks


class FakeMetrics:
    """Counts nothing."""

    async def text(self) -> bytes:
        return b""


class FakeFeed:
    """A feed that has ended."""

    closed = True

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        yield

    async def end(self) -> str:
        return "0-0"


class FakeServices:
    """What the mail operations need; operations on other resources are tested with the services they are made of."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: one application serves all tests, as building it is what takes time."""
        self.tokens = FakeTokens()
        self.accounts = FakeAccounts()
        self.jobs = FakeJobs()
        self.listings = FakeListings()
        self.composer = FakeComposer()
        self.health = FakeHealth()
        self.metrics = FakeMetrics()
        self.feed = FakeFeed()


def assemble(services: FakeServices, operations: tuple[Operation, ...]) -> Any:
    """Return an ASGI application of operations and their documentation."""
    app = Litestar(
        route_handlers=[*route_handlers(operations, cast(Services, services)), *docs_routes(operations)],
        exception_handlers=exception_handlers(),
        openapi_config=None,
        logging_config=None,
    )
    return keep_encoded_slashes(with_shortcut(app, cast(Services, services), ()))


@pytest.fixture(scope="session")
def whole_api() -> tuple[FakeServices, Any]:
    """Every operation, and the services behind it."""
    services = FakeServices()
    return services, assemble(services, OPERATIONS)


@pytest.fixture
def services(whole_api: tuple[FakeServices, Any]) -> FakeServices:
    whole_api[0].reset()
    return whole_api[0]


@pytest.fixture
def build(services: FakeServices) -> Callable[[tuple[Operation, ...]], Any]:
    """Return a function that makes an ASGI application of other operations."""
    return lambda operations: assemble(services, operations)


def client_of(app: Any, token: str | None = ROOT_TOKEN) -> httpx.AsyncClient:
    """Return a client that speaks to an application without a network."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 40000))
    return httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers)


@pytest.fixture
def connect() -> Callable[..., httpx.AsyncClient]:
    return client_of


@pytest.fixture
async def client(whole_api: tuple[FakeServices, Any], services: FakeServices) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a token that may do everything."""
    async with client_of(whole_api[1]) as opened:
        yield opened

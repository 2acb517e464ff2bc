"""The rigs as pytest fixtures; session fixtures exist once for each pytest-xdist worker."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import redis

from tests.rigs.certificates import Certificates, issue_certificates
from tests.rigs.dovecot import Dovecot
from tests.rigs.exchange_front import ExchangeFront
from tests.rigs.identity_provider import IdentityProvider
from tests.rigs.introspection import IntrospectionEndpoint
from tests.rigs.issuer import TokenIssuer
from tests.rigs.loop_thread import LoopThread
from tests.rigs.ports import reserve_port
from tests.rigs.postfix import Postfix
from tests.rigs.processes import rig_directory
from tests.rigs.real_lab import RealLab, open_real_lab
from tests.rigs.redis_server import DATABASES, RedisServer
from tests.rigs.requirement import require
from tests.rigs.sandbox_lab import SandboxLab, open_sandbox_lab

_databases = itertools.cycle(range(1, DATABASES))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis server without persistence; tests of their own data take `redis_url`."""
    with rig_directory("redis") as directory:
        server = RedisServer(directory)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty database that no other running test uses."""
    url = redis_server.database_url(next(_databases))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def durable_redis() -> Iterator[RedisServer]:
    """A Redis server of the test's own that loses nothing when killed, for tests that kill it."""
    with rig_directory("redis") as directory:
        server = RedisServer(directory, append_only=True)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def certificates() -> Iterator[Certificates]:
    """The authority that signed the certificate of every server here."""
    with rig_directory("tls") as directory:
        yield issue_certificates(directory)


@pytest.fixture(scope="session")
def token_issuer() -> TokenIssuer:
    """Makes access tokens that `dovecot` and `postfix` accept."""
    return TokenIssuer()


@pytest.fixture(scope="session")
def introspection(token_issuer: TokenIssuer) -> Iterator[IntrospectionEndpoint]:
    """Where `revocable_dovecot` asks about tokens."""
    with IntrospectionEndpoint(token_issuer) as endpoint:
        yield endpoint


def _running_dovecot(certificates: Certificates, issuer: TokenIssuer, introspection: str | None) -> Iterator[Dovecot]:
    require("dovecot")
    with rig_directory("dovecot") as directory:
        server = Dovecot(directory, certificates, issuer, introspection=introspection)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def dovecot(certificates: Certificates, token_issuer: TokenIssuer) -> Iterator[Dovecot]:
    """An IMAP server that checks tokens by their signature."""
    yield from _running_dovecot(certificates, token_issuer, None)


@pytest.fixture(scope="session")
def revocable_dovecot(
    certificates: Certificates, token_issuer: TokenIssuer, introspection: IntrospectionEndpoint
) -> Iterator[Dovecot]:
    """An IMAP server that asks about each token, so that `introspection` can end one early."""
    yield from _running_dovecot(certificates, token_issuer, introspection.url)


@pytest.fixture(scope="session")
def postfix(certificates: Certificates, dovecot: Dovecot) -> Iterator[Postfix]:
    """Message submission that delivers into `dovecot`."""
    require("postfix")
    with rig_directory("postfix") as directory:
        server = Postfix(directory, certificates, dovecot)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def identity_provider(certificates: Certificates, token_issuer: TokenIssuer) -> Iterator[IdentityProvider]:
    """The OpenID provider whose tokens `dovecot` and `postfix` accept."""
    require("node")
    with rig_directory("idp") as directory:
        server = IdentityProvider(directory, certificates, token_issuer)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[LoopThread]:
    """An event loop beside the test's own thread."""
    with LoopThread() as loop:
        yield loop


@pytest.fixture
def exchange_front(dovecot: Dovecot, certificates: Certificates, loop_thread: LoopThread) -> Iterator[ExchangeFront]:
    """Exchange Online's behaviour in front of `dovecot`, without faults until the test sets some."""
    front = ExchangeFront(
        dovecot.exchange, certificates.client_context(), certificates.server_context(), reserve_port()
    )
    loop_thread.run(front.__aenter__())
    try:
        yield front
    finally:
        loop_thread.run(front.__aexit__(None, None, None))


@pytest.fixture(scope="session")
def full_lab() -> Iterator[RealLab]:
    """A mail world with everything that Dovecot can do."""
    with open_real_lab("full") as lab:
        yield lab


@pytest.fixture(scope="session")
def exchange_lab() -> Iterator[RealLab]:
    """A mail world that shows the limits and the manners of Exchange Online."""
    with open_real_lab("exchange") as lab:
        yield lab


@pytest.fixture(scope="session")
def sandbox_lab() -> Iterator[SandboxLab]:
    """The pretend Microsoft 365 that the project ships."""
    with open_sandbox_lab() as lab:
        yield lab


@pytest.fixture(scope="session")
def graph_lab() -> Iterator[SandboxLab]:
    """Another one, whose mailboxes are used over Microsoft Graph."""
    with open_sandbox_lab("graph", "api") as lab:
        yield lab

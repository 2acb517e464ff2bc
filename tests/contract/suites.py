"""The conformance suites of the two providers in which bugs are planted."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gateway.provider import Account, Envelope, Grant, Login, OAuth2App, Provider, Session, SessionContext
from gateway.testing.clock import FakeClock
from gateway.testing.conformance import AccountUnderTest, Deliver, IdentityConformance, ProviderConformance
from gateway.testing.context import session_context
from gateway.testing.worlds import FaultWorld, IdentityWorld, SubmissionWorld, Switch
from gateway_maildir import MaildirProvider, MaildirSession, MaildirSettings
from tests.contract.memory_provider import MemoryIdentity, MemoryIdentityProvider, MemoryProvider, MemorySession
from tests.contract.memory_service import IdentityService, MailService, Network

SECRET = "kept secret"
_unique = itertools.count(1)


class MaildirSuite(ProviderConformance):
    """The kit on Maildir, with `session_type` in the place of its session."""

    session_type: ClassVar[type[MaildirSession]] = MaildirSession
    provider_type: ClassVar[type[MaildirProvider]] = MaildirProvider

    @pytest.fixture
    def provider(self, tmp_path: Path) -> Provider:
        return _with_session(self.provider_type, self.session_type)(tmp_path)

    @pytest.fixture
    def account(self, tmp_path: Path) -> AccountUnderTest:
        for name in ("cur", "new", "tmp", ".Archive/cur", ".Archive/new", ".Archive/tmp"):
            (tmp_path / "zoe" / name).mkdir(parents=True)
        return AccountUnderTest(
            Account(id="a1", user="zoe", email="zoe@example.org", settings=MaildirSettings(path="zoe")),
            session_context(Login(user="zoe", password=SECRET)),
        )

    @pytest.fixture
    def deliver(self, tmp_path: Path) -> Deliver:
        async def deliver(mailbox: str, message: bytes) -> None:
            directory = tmp_path / "zoe" / ("" if mailbox == "INBOX" else f".{mailbox}")
            (directory / "new" / f"{int(time.time())}.P1Q{next(_unique)}.mta").write_bytes(message)

        return deliver


def _with_session(provider_type: type[MaildirProvider], session_type: type[MaildirSession]) -> type[MaildirProvider]:
    class Planted(provider_type):  # type: ignore[misc, valid-type]
        @asynccontextmanager
        async def open(self, account: Account, context: SessionContext) -> AsyncIterator[Session]:
            async with super().open(account, context) as session:
                session.__class__ = session_type
                yield session

    return Planted


class MemorySuite(ProviderConformance):
    """The kit on the memory provider, with every optional fixture."""

    session_type: ClassVar[type[MemorySession]] = MemorySession
    provider_type: ClassVar[type[MemoryProvider]] = MemoryProvider

    @pytest.fixture
    def service(self) -> Iterator[MailService]:
        service = MailService(refused={"nobody@example.org"})
        yield service
        service.close()

    @pytest.fixture
    def provider(self, service: MailService) -> Provider:
        return self.provider_type(service, self.session_type)

    @pytest.fixture
    def account(self) -> AccountUnderTest:
        return AccountUnderTest(
            Account(id="a1", user="zoe", email="zoe@example.org"), session_context(Login(user="zoe", password=SECRET))
        )

    @pytest.fixture
    def deliver(self, service: MailService) -> Deliver:
        async def deliver(mailbox: str, message: bytes) -> None:
            service.store(mailbox, message)

        return deliver

    @pytest.fixture
    def submission(self, service: MailService) -> SubmissionWorld:
        async def received() -> Sequence[tuple[Envelope, bytes]]:
            return service.sent

        return SubmissionWorld(recipient="bob@example.org", refused_recipient="nobody@example.org", received=received)

    @pytest.fixture
    def faults(self, provider: Provider, account: AccountUnderTest, service: MailService) -> FaultWorld:
        def network(state: Network) -> Switch:
            return _setting(service, network=state)

        return FaultWorld(
            provider=provider,
            account=account,
            unreachable=network("unreachable"),
            hang_up=network("hang-up"),
            fall_silent=network("silent"),
            heal=network("up"),
            throttle=network("throttled"),
            hang_up_after_submit=network("hang-up after submit"),
        )


class MemoryIdentitySuite(IdentityConformance):
    """The kit on the memory identity provider."""

    identity_type: ClassVar[type[MemoryIdentity]] = MemoryIdentity
    provider_type: ClassVar[type[MemoryIdentityProvider]] = MemoryIdentityProvider

    @pytest.fixture
    def identities(self) -> IdentityService:
        return IdentityService()

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def identity_world(self, identities: IdentityService, clock: FakeClock) -> IdentityWorld:
        provider = self.provider_type(identities, clock, self.identity_type)
        app = OAuth2App(
            id="app", provider="memory", base_scopes="imap", client_id="client-1", client_secret="s3cr3t-of-app"
        )

        async def grant() -> Grant:
            identity = provider.identity(app)
            return await identity.exchange(identity.authorization(state="s"), {"code": "c"})

        return IdentityWorld(
            provider=provider,
            app=app,
            grant=grant,
            lifetime=identities.lifetime,
            clock=clock,
            withdraw=_setting(identities, refresh_tokens=set()),
            disconnect=_setting(identities, reachable=False),
            reconnect=_setting(identities, reachable=True),
            keep_refresh_tokens=_setting(identities, rotates=False),
        )


def _setting(service: object, **values: Any) -> Switch:
    async def switch() -> None:
        for name, value in values.items():
            setattr(service, name, value)

    return switch

"""The promises of the contract, kept on Dovecot in both personalities."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import imapclient
import pytest

from gateway.model.server import Server
from gateway.provider import Account, Envelope, Login, Provider
from gateway.testing.conformance import AccountUnderTest, Deliver, ProviderConformance
from gateway.testing.context import session_context
from gateway.testing.fault_proxy import FaultProxy, Faults
from gateway.testing.worlds import FaultWorld, SubmissionWorld
from gateway_imap import ImapAccountSettings, ImapProvider, ImapTimeouts
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot
from tests.unit.smtp.smtp_sink import HANG_UP, SmtpSink

_REFUSED = "nobody@elsewhere.test"
# Fault tests wait for these.
_IMPATIENT = ImapTimeouts(connect=1.0, read=1.0)


def _under_test(user: str, imap: Server, smtp: Server) -> AccountUnderTest:
    account = Account(id=user, user=user, email=user, settings=ImapAccountSettings(imap=imap, smtp=smtp))
    return AccountUnderTest(account, session_context(Login(user=user, password=GUEST_PASSWORD)))


class _DovecotConformance(ProviderConformance):
    @pytest.fixture
    def provider(self) -> Provider:
        return ImapProvider()

    @pytest.fixture
    def personality(self, dovecot: Dovecot) -> tuple[str, int]:
        return dovecot.full

    @pytest.fixture
    async def sink(self) -> AsyncIterator[SmtpSink]:
        async with SmtpSink() as sink:
            sink.refused.add(_REFUSED)
            yield sink

    @pytest.fixture
    def account(
        self, dovecot: Dovecot, personality: tuple[str, int], sink: SmtpSink, certificates: Certificates
    ) -> AccountUnderTest:
        host, port = personality
        return _under_test(
            dovecot.new_user(), Server(host=host, port=port, ca_file=certificates.authority), sink.server
        )

    @pytest.fixture
    def deliver(self, dovecot: Dovecot, account: AccountUnderTest, certificates: Certificates) -> Deliver:
        """By another IMAP client, because LMTP adds header fields."""

        def store(mailbox: str, message: bytes) -> None:
            host, port = dovecot.full
            with imapclient.IMAPClient(host, port, ssl_context=certificates.client_context(), timeout=10) as client:
                client.login(account.account.user, GUEST_PASSWORD)
                client.append(mailbox, message)

        async def deliver(mailbox: str, message: bytes) -> None:
            await asyncio.to_thread(store, mailbox, message)

        return deliver

    @pytest.fixture
    def submission(self, sink: SmtpSink) -> SubmissionWorld:
        async def received() -> Sequence[tuple[Envelope, bytes]]:
            return sink.received

        return SubmissionWorld(recipient="quinn@example.test", refused_recipient=_REFUSED, received=received)

    @pytest.fixture
    async def faults(
        self, account: AccountUnderTest, sink: SmtpSink, certificates: Certificates
    ) -> AsyncIterator[FaultWorld]:
        settings: ImapAccountSettings = account.account.settings
        assert settings.imap is not None
        async with FaultProxy((settings.imap.host, settings.imap.port)) as proxy:
            yield _fault_world(account, proxy, sink, certificates)


def _fault_world(account: AccountUnderTest, proxy: FaultProxy, sink: SmtpSink, tls: Certificates) -> FaultWorld:
    async def unreachable() -> None:
        proxy.refuse()
        proxy.drop_all()

    async def hang_up() -> None:
        # More than the TLS handshake, less than handshake, login and a listing.
        proxy.to_client = Faults(reset_after=3000)

    async def fall_silent() -> None:
        proxy.to_client = Faults(stall_after=0)

    async def heal() -> None:
        proxy.to_client = Faults()
        await proxy.accept()

    async def hang_up_after_submit() -> None:
        sink.answers[b"."] = HANG_UP

    host, port = proxy.address
    imap = Server(host=host, port=port, ca_file=tls.authority)
    return FaultWorld(
        provider=ImapProvider(imap_timeouts=_IMPATIENT),
        account=AccountUnderTest(_under_test(account.account.user, imap, sink.server).account, account.context),
        unreachable=unreachable,
        hang_up=hang_up,
        fall_silent=fall_silent,
        heal=heal,
        hang_up_after_submit=hang_up_after_submit,
    )


class TestFullDovecot(_DovecotConformance):
    """Everything that Dovecot can do."""


class TestExchangePersonality(_DovecotConformance):
    """The capabilities of Exchange Online, over the same mail store."""

    @pytest.fixture
    def personality(self, dovecot: Dovecot) -> tuple[str, int]:
        return dovecot.exchange

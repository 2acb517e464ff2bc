"""What the contract promises of changes and watches, kept on Dovecot in both personalities."""

from __future__ import annotations

import asyncio
from pathlib import Path

import imapclient
import pytest

from gateway.provider import Account, Environment, Login, OAuth2App, Provider
from gateway.testing.conformance import AccountUnderTest, Deliver
from gateway.testing.conformance.base import ProviderFixtures
from gateway.testing.conformance.changes import ChangesConformance
from gateway.testing.context import session_context
from gateway_outlook_imap import OutlookImapProvider
from gateway_sandbox import clouds
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot
from tests.rigs.issuer import CLIENT_ID, MAIL_RESOURCE, TokenIssuer

_CLOUD = "rig"


class _OnDovecot(ChangesConformance, ProviderFixtures):
    @pytest.fixture
    def personality(self, dovecot: Dovecot) -> tuple[str, int]:
        return dovecot.full

    @pytest.fixture
    def provider(self, tmp_path: Path, personality: tuple[str, int], certificates: Certificates) -> Provider:
        host, port = personality
        entry = {
            "login": "https://localhost",
            "graph": "https://localhost",
            "imap": {"host": host, "port": port, "security": "tls"},
            "smtp": {"host": host, "port": port, "security": "tls"},
            "scope_host": MAIL_RESOURCE,
            "ca_file": str(certificates.authority),
            "instance_discovery": False,
        }
        clouds.write_entry(tmp_path / clouds.FILE_NAME, _CLOUD, entry)
        return OutlookImapProvider(Environment(data_dir=tmp_path))

    @pytest.fixture
    def account(self, dovecot: Dovecot, token_issuer: TokenIssuer) -> AccountUnderTest:
        user = dovecot.new_user()
        app = OAuth2App(id=_CLOUD, provider="outlook", base_scopes="imap", client_id=CLIENT_ID, cloud=_CLOUD)
        context = session_context(Login(user=user, access_token=token_issuer.mint(user)), app=app)
        return AccountUnderTest(Account(id=user, user=user, email=user), context)

    @pytest.fixture
    def deliver(self, dovecot: Dovecot, account: AccountUnderTest, certificates: Certificates) -> Deliver:
        def store(mailbox: str, message: bytes) -> None:
            host, port = dovecot.full
            with imapclient.IMAPClient(host, port, ssl_context=certificates.client_context(), timeout=10) as client:
                client.login(account.account.user, GUEST_PASSWORD)
                client.append(mailbox, message)

        async def deliver(mailbox: str, message: bytes) -> None:
            await asyncio.to_thread(store, mailbox, message)

        return deliver


class TestChangesOnFullDovecot(_OnDovecot):
    """With modification sequences and a history of what was removed."""


class TestChangesOnExchangePersonality(_OnDovecot):
    """With what Exchange Online has: neither."""

    @pytest.fixture
    def personality(self, dovecot: Dovecot) -> tuple[str, int]:
        return dovecot.exchange

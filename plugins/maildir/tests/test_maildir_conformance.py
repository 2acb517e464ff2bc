"""The Maildir provider keeps the contract."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from gateway.provider import Account, Login
from gateway.testing.conformance import AccountUnderTest, Deliver, ProviderConformance
from gateway.testing.context import session_context
from gateway_maildir import MaildirProvider, MaildirSettings

_unique = itertools.count(1)


def make_maildir(directory: Path) -> None:
    for name in ("cur", "new", "tmp"):
        (directory / name).mkdir(parents=True)


class TestMaildir(ProviderConformance):
    """All promises of the kit."""

    @pytest.fixture
    def provider(self, tmp_path: Path) -> MaildirProvider:
        return MaildirProvider(tmp_path)

    @pytest.fixture
    def account(self, tmp_path: Path) -> AccountUnderTest:
        make_maildir(tmp_path / "zoe")
        make_maildir(tmp_path / "zoe" / ".Archive")
        return AccountUnderTest(
            Account(id="a1", user="zoe", email="zoe@example.org", settings=MaildirSettings(path="zoe")),
            session_context(Login(user="zoe", password="kept secret")),
        )

    @pytest.fixture
    def deliver(self, tmp_path: Path) -> Deliver:
        async def deliver(mailbox: str, message: bytes) -> None:
            directory = tmp_path / "zoe" / ("" if mailbox == "INBOX" else f".{mailbox}")
            (directory / "new" / f"{int(time.time())}.P1Q{next(_unique)}.mta").write_bytes(message)

        return deliver

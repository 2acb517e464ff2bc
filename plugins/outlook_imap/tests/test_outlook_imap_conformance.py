"""The promises of the contract, kept on the sandbox's identity service, IMAP and SMTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from gateway.provider import Envelope, Grant, Provider, utc_now
from gateway.testing.conformance import AccountUnderTest, Deliver, ProviderConformance
from gateway.testing.worlds import IdentityWorld, SubmissionWorld
from gateway_sandbox.testing import ALICE, BOB

if TYPE_CHECKING:
    from conftest import World


class TestOutlookOverImap(ProviderConformance):
    """All promises of the kit; what Exchange does differently at submission is in `test_outlook_imap`."""

    @pytest.fixture
    def provider(self, outlook: World) -> Provider:
        return outlook.provider

    @pytest.fixture
    async def account(self, outlook: World) -> AccountUnderTest:
        await asyncio.to_thread(outlook.as_new)
        return await outlook.account()

    @pytest.fixture
    def deliver(self, outlook: World) -> Deliver:
        async def deliver(mailbox: str, message: bytes) -> None:
            await asyncio.to_thread(outlook.sandbox.deliver, ALICE, message, mailbox)

        return deliver

    @pytest.fixture
    async def submission(self, outlook: World) -> SubmissionWorld:
        await asyncio.to_thread(outlook.empty, "INBOX", BOB)

        def inbox() -> list[tuple[Envelope, bytes]]:
            with outlook.client(BOB) as client:
                client.select_folder("INBOX", readonly=True)
                found = client.fetch(client.search("ALL"), ["BODY.PEEK[]"])
                return [(Envelope(mail_from=ALICE, rcpt_to=(BOB,)), each[b"BODY[]"]) for each in found.values()]

        async def received() -> Sequence[tuple[Envelope, bytes]]:
            return await asyncio.to_thread(inbox)

        return SubmissionWorld(recipient=BOB, refused_recipient=None, received=received)

    @pytest.fixture
    def identity_world(self, outlook: World) -> IdentityWorld:
        async def grant() -> Grant:
            return await outlook.grant()

        async def withdraw() -> None:
            outlook.sandbox.fail("grant_revoked", user=ALICE)

        async def disconnect() -> None:
            outlook.sandbox.fail("temporarily_unavailable")

        async def reconnect() -> None:
            outlook.sandbox.reset()

        return IdentityWorld(
            provider=outlook.identities,
            app=outlook.app,
            grant=grant,
            lifetime=3600,
            clock=utc_now,
            withdraw=withdraw,
            disconnect=disconnect,
            reconnect=reconnect,
        )

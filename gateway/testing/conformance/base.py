"""Fixtures of the kit, and how its tests reach a message."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from gateway.model.message import MessageEntry
from gateway.provider import Capability, PageRequest, Provider, Session
from gateway.testing.context import AccountUnderTest
from gateway.testing.worlds import FaultWorld, SubmissionWorld

__all__ = [
    "Conformance",
    "Deliver",
    "ProviderFixtures",
    "arrived",
    "entries",
    "octets",
    "only",
    "requires",
    "same_octets",
    "subjects",
]

T = TypeVar("T")
#: Puts a message (octets with CRLF) into a mailbox; returns when a new listing can show it.
Deliver = Callable[[str, bytes], Awaitable[None]]


def requires(*capabilities: Capability) -> pytest.MarkDecorator:
    """Mark a test as one for providers that declare all of these capabilities."""
    return pytest.mark.gateway_requires(*capabilities)


class Conformance:
    """What both suites have in common."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The event loop of the gateway."""
        return "asyncio"

    def test_no_standard_test_is_overridden(self) -> None:
        """A promise that is not kept can be read: it is waived by ``xfail(reason=...)``, not by an empty test."""
        standard = next(base for base in type(self).__mro__ if base.__module__.startswith("gateway.testing."))
        for name in (name for name in dir(standard) if name.startswith("test_")):
            mine = getattr(type(self), name)
            if mine is not getattr(standard, name):
                marks: list[pytest.Mark] = getattr(mine, "pytestmark", [])
                reasons = [mark.kwargs.get("reason") for mark in marks if mark.name == "xfail"]
                assert any(reasons), f"{name} is overridden without xfail(reason=...)"


class ProviderFixtures(Conformance):
    """What the tests of a provider ask for. Three fixtures have to be supplied, two may be."""

    @pytest.fixture
    def provider(self) -> Provider:
        """The provider under test."""
        raise NotImplementedError("supply the fixture `provider`")

    @pytest.fixture
    def account(self) -> AccountUnderTest:
        """An account whose inbox is empty, and what its sessions are opened with."""
        raise NotImplementedError("supply the fixture `account`")

    @pytest.fixture
    def deliver(self) -> Deliver:
        """Puts a message into a mailbox behind the provider's back."""
        raise NotImplementedError("supply the fixture `deliver`")

    @pytest.fixture
    def submission(self) -> SubmissionWorld:
        """The submission service; for providers that declare SUBMIT or DRAFTS."""
        raise NotImplementedError("a provider that submits supplies the fixture `submission`")

    @pytest.fixture
    def faults(self) -> FaultWorld | None:
        """The service behind a bad network; None skips its tests."""
        return None

    @pytest.fixture(autouse=True)
    def _only_what_is_declared(self, request: pytest.FixtureRequest, provider: Provider) -> None:
        for mark in request.node.iter_markers("gateway_requires"):
            for capability in mark.args:
                if capability not in provider.capabilities:
                    pytest.skip(f"{provider.name} does not declare {capability}")

    @pytest.fixture
    async def session(self, provider: Provider, account: AccountUnderTest) -> AsyncIterator[Session]:
        """An open session."""
        async with provider.open(*account) as session:
            yield session

    @pytest.fixture
    async def inbox(self, session: Session) -> str:
        """The path of the inbox."""
        return (await session.mailboxes())[0].path

    @pytest.fixture
    async def elsewhere(self, session: Session, provider: Provider, inbox: str) -> str:
        """The path of another mailbox that holds messages."""
        for mailbox in await session.mailboxes():
            if mailbox.path != inbox and not mailbox.no_select:
                return mailbox.path
        if Capability.MAILBOXES not in provider.capabilities:
            pytest.fail("the account needs a second mailbox")
        await session.create_mailbox("Elsewhere")
        return "Elsewhere"


def only(found: Sequence[T]) -> T:
    """Return the one item that has to be there."""
    assert len(found) == 1, f"{len(found)} were found, not one"
    return found[0]


async def entries(session: Session, mailbox: str) -> list[MessageEntry]:
    """Return every message of a mailbox that has at most 100."""
    return list((await session.messages(mailbox, PageRequest(size=100))).messages)


async def subjects(session: Session, mailbox: str) -> list[str | None]:
    """Return the subjects in a mailbox, sorted."""
    return sorted((entry.subject for entry in await entries(session, mailbox)), key=str)


async def arrived(session: Session, deliver: Deliver, mailbox: str, message: bytes) -> MessageEntry:
    """Deliver a message and return how it is listed: new mail comes first."""
    await deliver(mailbox, message)
    listed = await entries(session, mailbox)
    assert listed, "a delivered message is listed"
    return listed[0]


async def octets(session: Session, id: str) -> bytes:
    """Return the source of a message."""
    return b"".join([chunk async for chunk in session.source(id)])


def same_octets(found: bytes, expected: bytes) -> None:
    """Fail unless two messages or files are the same; pytest's own comparison of large ones takes minutes."""
    if found == expected:
        return
    at = next((at for at, (one, other) in enumerate(zip(found, expected, strict=False)) if one != other), None)
    where = "one is the beginning of the other" if at is None else f"they differ from octet {at} on"
    pytest.fail(f"{len(found)} octets instead of {len(expected)}; {where}")

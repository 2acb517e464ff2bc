"""What happened in a mailbox since a state, with a second client at work on Dovecot."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import imapclient
import pytest

from gateway.errors import MailboxResetError
from gateway.model.server import Server
from gateway.provider import Account, Changes, Login, PageRequest, Session, SocketWatch
from gateway.testing.context import AccountUnderTest, session_context
from gateway_imap import ImapAccountSettings, ImapProvider
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot

pytestmark = pytest.mark.anyio
MESSAGE = b"From: a@example.org\r\nSubject: x\r\n\r\nx\r\n"
FLAGS = (b"\\Seen", b"\\Flagged", b"\\Answered", b"$label", b"work")


class OtherClient:
    """Somebody else at the same mailbox, who does things by chance.

    Attributes:
        client: to do things on purpose.
    """

    def __init__(self, client: imapclient.IMAPClient, seed: int) -> None:
        self.client = client
        self._random = random.Random(seed)
        client.select_folder("INBOX")

    def work(self, steps: int) -> None:
        """Deliver, flag, expunge, move and copy."""
        for _ in range(steps):
            uids = self.client.search()
            chosen = self._random.sample(uids, self._random.randint(0, min(3, len(uids))))
            self._random.choice((self._deliver, self._flag, self._unflag, self._expunge, self._move, self._copy))(
                chosen
            )

    def messages(self) -> list[tuple[int, frozenset[str]]]:
        """UID and flags of everything that is there."""
        self.client.noop()
        found = self.client.fetch(self.client.search(), ["FLAGS"]) if self.client.search() else {}
        return sorted((uid, _names(row[b"FLAGS"])) for uid, row in found.items())

    def _deliver(self, _: Sequence[int]) -> None:
        for _ in range(self._random.randint(1, 3)):
            self.client.append("INBOX", MESSAGE, self._random.sample(FLAGS, 2))

    def _flag(self, uids: Sequence[int]) -> None:
        if uids:
            self.client.add_flags(uids, [self._random.choice(FLAGS)], silent=True)

    def _unflag(self, uids: Sequence[int]) -> None:
        if uids:
            self.client.remove_flags(uids, [self._random.choice(FLAGS)], silent=True)

    def _expunge(self, uids: Sequence[int]) -> None:
        if uids:
            self.client.delete_messages(uids, silent=True)
            self.client.expunge(uids)

    def _move(self, uids: Sequence[int]) -> None:
        if uids:
            self.client.move(uids, "Archive")

    def _copy(self, uids: Sequence[int]) -> None:
        if uids:
            self.client.copy(uids, "INBOX")


class Known:
    """What somebody knows who learns of changes alone."""

    def __init__(self) -> None:
        self.state: str | None = None
        self.messages: dict[str, tuple[int, frozenset[str]]] = {}
        self.complete = 0

    async def learn(self, session: Session) -> Changes:
        """Ask what happened."""
        changes = await session.changes("INBOX", self.state)
        assert not changes.more
        if changes.complete:
            self.complete += 1
            self.messages = {}
        for id in changes.removed:
            self.messages.pop(id, None)
        for message in changes.changed:
            self.messages[message.id] = (message.position, frozenset(message.flags))
        self.state = changes.state
        return changes

    def listed(self) -> list[tuple[int, frozenset[str]]]:
        """UID and flags."""
        return sorted(self.messages.values())


def _names(flags: Sequence[bytes]) -> frozenset[str]:
    return frozenset(flag.decode() for flag in flags if flag != b"\\Recent")


@pytest.fixture(params=["full", "exchange"])
def personality(request: pytest.FixtureRequest) -> str:
    """Dovecot with all its extensions, and with those of Exchange Online."""
    return str(request.param)


@pytest.fixture
def account(dovecot: Dovecot, certificates: Certificates, personality: str) -> AccountUnderTest:
    """An account with an empty inbox."""
    host, port = dovecot.full if personality == "full" else dovecot.exchange
    user = dovecot.new_user()
    settings = ImapAccountSettings(imap=Server(host=host, port=port, ca_file=certificates.authority))
    return AccountUnderTest(
        Account(id=user, user=user, email=user, settings=settings),
        session_context(Login(user=user, password=GUEST_PASSWORD)),
    )


@pytest.fixture
def other(dovecot: Dovecot, certificates: Certificates, account: AccountUnderTest) -> Iterator[OtherClient]:
    """A second client at the account."""
    host, port = dovecot.full
    with imapclient.IMAPClient(host, port, ssl_context=certificates.client_context(), timeout=10) as client:
        client.login(account.account.user, GUEST_PASSWORD)
        yield OtherClient(client, seed=20)


async def test_changes_add_up_to_the_mailbox(account: AccountUnderTest, other: OtherClient) -> None:
    """Whatever a second client does, between any two questions, and whatever else the session is asked."""
    async with ImapProvider().open(*account) as session:
        known = Known()
        for round_ in range(40):
            other.work(3)
            await known.learn(session)
            assert known.listed() == other.messages(), f"round {round_}"
            if round_ % 5 == 1:
                await session.messages("INBOX", PageRequest())
            if round_ % 7 == 2:
                await session.entries("INBOX", list(known.messages)[:3])
    # Entries and listings are of the same mailbox, which stays selected.
    assert known.complete == 1


async def test_nothing_is_told_twice(account: AccountUnderTest, other: OtherClient) -> None:
    """Each answer has what happened since the last one, not what happened ever."""
    async with ImapProvider().open(*account) as session:
        known = Known()
        await known.learn(session)
        other.work(20)
        await known.learn(session)
        quiet = await known.learn(session)
        assert (quiet.changed, quiet.removed, quiet.complete) == ((), (), False)
        other.client.append("INBOX", MESSAGE)
        news = await known.learn(session)
        assert (len(news.changed), news.removed) == (1, ())


async def test_changes_while_nobody_looked_are_told_to_the_next_session(
    account: AccountUnderTest, other: OtherClient, personality: str
) -> None:
    """With QRESYNC in one answer that has them alone, else in one that has everything."""
    known = Known()
    for _ in range(3):
        other.work(8)
        async with ImapProvider().open(*account) as session:
            changes = await known.learn(session)
            assert known.listed() == other.messages()
    assert changes.complete is (personality == "exchange")


async def test_watch_tells_of_everything_a_second_client_does(account: AccountUnderTest, other: OtherClient) -> None:
    """Also of what it did after the changes were asked for, and before the watch began."""
    async with ImapProvider().open(*account) as session:
        known = Known()
        for _ in range(12):
            await known.learn(session)
            before = known.listed()
            other.work(1)
            watch = await session.watch("INBOX")
            assert isinstance(watch, SocketWatch)
            assert watch.poll() or other.messages() == before
            await watch.close()
            quiet = await _quiet_watch(session, known)
            assert not quiet


async def _quiet_watch(session: Session, known: Known) -> bool:
    await known.learn(session)
    watch = await session.watch("INBOX")
    assert isinstance(watch, SocketWatch)
    told = watch.poll()
    await watch.close()
    return told


async def test_mailbox_made_anew_resets(account: AccountUnderTest, other: OtherClient) -> None:
    """Its ids mean other messages now; both UIDVALIDITYs are told."""
    async with ImapProvider().open(*account) as session:
        await session.create_mailbox("Anew")
        before = await session.changes("Anew", None)
        other.client.delete_folder("Anew")
        other.client.create_folder("Anew")
        async with ImapProvider().open(*account) as later:
            now = await later.changes("Anew", None)
            with pytest.raises(MailboxResetError) as caught:
                await later.changes("Anew", before.state)
    assert before.uid_validity != now.uid_validity
    details = caught.value.details
    assert (details["uid_validity"], details["previous_uid_validity"]) == (now.uid_validity, before.uid_validity)


async def test_history_takes_one_round_trip_without_news(account: AccountUnderTest, dovecot: Dovecot) -> None:
    """A state is a modification sequence where there are some, whatever session it came from."""
    async with ImapProvider().open(*account) as session:
        state = (await session.changes("INBOX", None)).state
        assert (await session.changes("INBOX", state)).state == state
        assert state.split(":")[0] == ("v" if account.account.settings.imap.host == dovecot.full[0] else "f")

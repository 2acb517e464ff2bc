"""What happened in a mailbox since a state: on Dovecot with a second client at work, and on servers of other habits."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import imapclient
import pytest

from gateway.errors import ConnectError, MailboxResetError, ServiceUnavailableError
from gateway.model.server import Server
from gateway.provider import Account, Changes, Login, PageRequest, Session, SocketWatch
from gateway.testing.context import AccountUnderTest, session_context
from gateway_imap import ImapAccountSettings, ImapProvider
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot

pytestmark = pytest.mark.anyio
Start = Callable[..., Awaitable[Any]]
DONE = b"TAG OK done\r\n"
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


# --- other habits -----------------------------------------------------------------------------------------------------

QRESYNC = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN ENABLE CONDSTORE QRESYNC UNSELECT\r\n" + DONE
SELECTED = b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 10] x\r\n"


def _changed(changes: Changes) -> list[tuple[int, tuple[str, ...]]]:
    return [(message.position, message.flags) for message in changes.changed]


async def test_qresync_takes_one_command(scripted: Start) -> None:
    """Flags, arrivals and removals since a modification sequence come with the selection."""
    answers = {
        b"CAPABILITY": QRESYNC,
        b"ENABLE": DONE,
        b"EXAMINE": SELECTED + b"* OK [HIGHESTMODSEQ 90] x\r\n" + DONE,
        b"UID FETCH": b"* 1 FETCH (UID 2 FLAGS ())\r\n* 2 FETCH (UID 4 FLAGS (a))\r\n* 3 FETCH (UID 9 FLAGS ())\r\n"
        + DONE,
    }
    server = await scripted(answers)
    async with ImapProvider().open(*server.account()) as session:
        first = await session.changes("INBOX", None)
        server.commands.clear()
        news = b"* VANISHED (EARLIER) 1:2,5:99\r\n* 1 FETCH (UID 4 FLAGS (b) MODSEQ (91))\r\n"
        server.answers[b"EXAMINE"] = SELECTED + b"* OK [HIGHESTMODSEQ 95] x\r\n" + news + DONE
        after = await session.changes("INBOX", first.state)
        assert server.commands == [b'EXAMINE "INBOX" (QRESYNC (7 90))']
    assert (first.state, first.complete, first.uid_validity) == ("v:7:10:90", True, 7)
    assert (after.state, after.complete, after.uid_validity) == ("v:7:10:95", False, 7)
    assert _changed(after) == [(4, ("b",))]
    # Nobody was told of UIDs from 10 on.
    assert len(after.removed) == len({1, 2, 5, 6, 7, 8, 9})


async def test_mailbox_without_modification_sequences_is_followed(scripted: Start) -> None:
    """NOMODSEQ: the server has the extension and the mailbox does not."""
    fetched = b"".join(b"* %d FETCH (UID %d FLAGS ())\r\n" % (number, number) for number in (1, 2, 3))
    server = await scripted(
        {
            b"CAPABILITY": QRESYNC,
            b"ENABLE": DONE,
            b"EXAMINE": SELECTED + b"* OK [NOMODSEQ] x\r\n" + DONE,
            b"FETCH": fetched + DONE,
            b"UID FETCH": fetched + DONE,
        }
    )
    async with ImapProvider().open(*server.account()) as session:
        first = await session.changes("INBOX", None)
        assert first.state.startswith("f:7:")
        assert len(first.changed) == 3


async def test_server_that_forgot_most_of_its_history_is_asked_for_everything(scripted: Start) -> None:
    """Then it takes all UIDs that are not there for removed ones, which may be millions."""
    examine = b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 4000000000] x\r\n* OK [HIGHESTMODSEQ 90] x\r\n"
    server = await scripted(
        {
            b"CAPABILITY": QRESYNC,
            b"ENABLE": DONE,
            b"EXAMINE": examine + b"* VANISHED (EARLIER) 1:3999999998\r\n" + DONE,
            b"UID FETCH": b"* 1 FETCH (UID 3999999999 FLAGS ())\r\n" + DONE,
        }
    )
    async with ImapProvider().open(*server.account()) as session:
        changes = await session.changes("INBOX", "v:7:4000000000:5")
    assert (changes.complete, changes.removed, len(changes.changed)) == (True, (), 1)


async def test_gmail_tells_labels_with_every_message(scripted: Start) -> None:
    """They change without a word, so everything is asked for each time."""
    labelled = b'* 1 FETCH (X-GM-LABELS ("\\\\Important" Work) UID 5 FLAGS (\\Seen))\r\n'
    rows = labelled + b"* 2 FETCH (X-GM-LABELS () UID 6 FLAGS ())\r\n"
    server = await scripted(
        {
            b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN UNSELECT X-GM-EXT-1 CONDSTORE\r\n" + DONE,
            b"EXAMINE": SELECTED + b"* OK [HIGHESTMODSEQ 90] x\r\n" + DONE,
            b"UID FETCH": rows + DONE,
        }
    )
    async with ImapProvider().open(*server.account()) as session:
        first = await session.changes("INBOX", None)
        again = await session.changes("INBOX", first.state)
    assert [message.labels for message in first.changed] == [("\\Important", "Work"), ()]
    assert (again.complete, again.changed) == (True, first.changed)


@pytest.mark.parametrize("capability", [QRESYNC, b"* CAPABILITY IMAP4rev1 AUTH=PLAIN UNSELECT X-GM-EXT-1\r\n" + DONE])
async def test_interrupted_list_of_messages_is_no_list(scripted: Start, capability: bytes) -> None:
    """Messages that a server did not come to tell would be taken for deleted ones."""
    half = b"* 1 FETCH (UID 2 FLAGS ())\r\nTAG NO [EXPUNGEISSUED] somebody expunged\r\n"
    examine = SELECTED + b"* OK [HIGHESTMODSEQ 90] x\r\n" + DONE
    server = await scripted(
        {b"CAPABILITY": capability, b"ENABLE": DONE, b"EXAMINE": examine, b"UID FETCH": half, b"FETCH": half}
    )
    async with ImapProvider().open(*server.account()) as session:
        with pytest.raises(ServiceUnavailableError):
            await session.changes("INBOX", None)
        server.answers[b"UID FETCH"] = b"* 1 FETCH (UID 2 FLAGS ())\r\n* 2 FETCH (UID 4 FLAGS ())\r\n" + DONE
        assert len((await session.changes("INBOX", None)).changed) == 2


async def test_server_that_keeps_quiet_about_a_message_is_not_followed(scripted: Start) -> None:
    """What it counts and what it tells do not fit together; all that it tells is told."""
    server = await scripted(
        {
            b"EXAMINE": SELECTED + DONE,
            b"FETCH": b"* 1 FETCH (UID 2 FLAGS ())\r\n* 3 FETCH (UID 4 FLAGS ())\r\n" + DONE,
            b"UID FETCH": b"* 1 FETCH (UID 2 FLAGS ())\r\n* 3 FETCH (UID 4 FLAGS ())\r\n" + DONE,
        }
    )
    async with ImapProvider().open(*server.account()) as session:
        first = await session.changes("INBOX", None)
        again = await session.changes("INBOX", first.state)
    assert _changed(first) == [(2, ()), (4, ())]
    assert (again.complete, again.changed) == (True, first.changed)


async def test_server_that_does_not_count_its_messages_cannot_be_asked(scripted: Start) -> None:
    """RFC 9051 section 6.3.2 requires EXISTS; guessing "none" would delete everything."""
    server = await scripted({b"EXAMINE": b"* OK [UIDVALIDITY 7] x\r\n" + DONE})
    async with ImapProvider().open(*server.account()) as session:
        with pytest.raises(ConnectError):
            await session.changes("INBOX", None)


async def test_message_that_arrives_during_the_question_is_told_once(scripted: Start) -> None:
    """The answer to FETCH mentions it before anybody knows it."""
    late = b"* 1 FETCH (UID 2 FLAGS ())\r\n* 2 EXISTS\r\n" + DONE
    rows = iter([late, b"* 2 FETCH (UID 3 FLAGS (new))\r\n" + DONE])
    examine = b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n" + DONE
    server = await scripted({b"EXAMINE": examine, b"FETCH": lambda _: next(rows)})
    async with ImapProvider().open(*server.account()) as session:
        first = await session.changes("INBOX", None)
        assert _changed(first) == [(2, ()), (3, ("new",))]
        assert (await session.changes("INBOX", first.state)).changed == ()


# --- revisions --------------------------------------------------------------------------------------------------------

STATUS = b"* STATUS %b (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 3 HIGHESTMODSEQ %d)\r\n"


@pytest.mark.parametrize("extension", [b"CONDSTORE LIST-EXTENDED LIST-STATUS", b"CONDSTORE"])
async def test_revisions_are_modification_sequences(scripted: Start, extension: bytes) -> None:
    """In one command where the server can do that; a mailbox without them, or that refuses, is unknown."""
    listed = b'* LIST () "/" INBOX\r\n* LIST () "/" Archive\r\n* LIST (\\Noselect) "/" Shared\r\n'
    both = STATUS % (b"INBOX", 77) + STATUS % (b"Archive", 0)
    server = await scripted(
        {
            b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN UNSELECT " + extension + b"\r\n" + DONE,
            b"LIST": lambda command: listed + (both if b"STATUS" in command else b"") + DONE,
            b'STATUS "INBOX"': STATUS % (b"INBOX", 77) + DONE,
            b'STATUS "Archive"': b"TAG NO not this one\r\n",
        }
    )
    async with ImapProvider().open(*server.account()) as session:
        revisions = await session.revisions()
        assert revisions == {"INBOX": "3.2.1.77", "Archive": None}


async def test_server_without_modification_sequences_has_no_revisions(scripted: Start) -> None:
    """Numbers of messages say nothing about flags; nothing is asked in vain."""
    server = await scripted()
    async with ImapProvider().open(*server.account()) as session:
        assert await session.revisions() == {"INBOX": None, "Archive": None}
        assert not [command for command in server.commands if command.startswith(b"STATUS")]

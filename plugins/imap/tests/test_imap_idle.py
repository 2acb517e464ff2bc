"""Watching by IDLE: what the server says is heard in whatever pieces it comes, and a dead connection is noticed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import anyio
import pytest

from gateway.errors import NotFoundError
from gateway.provider import Changes, PollWatch, Session, SocketWatch
from gateway_imap import ImapProvider
from tests.rigs.certificates import Certificates

pytestmark = pytest.mark.anyio
Start = Callable[..., Awaitable[Any]]
HANG_UP, NEXT_LINE = b"<hang up>", b"<next line>"
DONE = b"TAG OK done\r\n"
IDLE = b"+ idling\r\n" + NEXT_LINE + DONE
_PATIENCE = 5.0


def _fetch(command: bytes) -> bytes:
    """Message n has the UID n + 4."""
    first, _, last = command.split(b" ")[1].partition(b":")
    numbers = range(int(first), int(last) + 1)
    return b"".join(b"* %d FETCH (UID %d FLAGS ())\r\n" % (number, number + 4) for number in numbers) + DONE


ANSWERS = {
    b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN UNSELECT IDLE\r\n" + DONE,
    b"FETCH": _fetch,
    b"UID FETCH": b"* 1 FETCH (UID 5 FLAGS ())\r\n" + DONE,
    b"IDLE": IDLE,
}


class Watched(NamedTuple):
    """A session that knows everything up to a state, and its watch."""

    session: Session
    watch: SocketWatch
    state: str

    async def until(self, happened: Callable[[], bool]) -> None:
        """Read what comes, as the worker does, until something is the case."""
        with anyio.fail_after(_PATIENCE):
            while not happened():
                await anyio.wait_readable(self.watch.fileno())
                self.watch.poll()

    async def changes(self) -> Changes:
        """Close the watch and ask."""
        await self.watch.close()
        return await self.session.changes("INBOX", self.state)


@contextlib.asynccontextmanager
async def _watched(server: Any, between: Callable[[Session], Awaitable[Any]] | None = None) -> AsyncIterator[Watched]:
    async with ImapProvider().open(*server.account()) as session:
        known = await session.changes("INBOX", None)
        assert [message.position for message in known.changed] == [5]
        if between is not None:
            await between(session)
        watch = await session.watch("INBOX")
        assert isinstance(watch, SocketWatch)
        yield Watched(session, watch, known.state)
        await watch.close()


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, certificates: Certificates) -> Certificates | None:
    """Without TLS, and with it, where octets may wait in one more place."""
    return certificates if request.param == "tls" else None


async def test_event_that_comes_together_with_the_go_ahead_is_heard(scripted: Start, tls: Certificates | None) -> None:
    """It has left the socket already, so that no selector ever tells of it."""
    server = await scripted(ANSWERS | {b"IDLE": b"+ idling\r\n* 2 EXISTS\r\n" + NEXT_LINE + DONE}, certificates=tls)
    async with _watched(server) as watched:
        assert watched.watch.poll()
        assert [message.position for message in (await watched.changes()).changed] == [6]


async def test_line_in_two_pieces_is_one_line(scripted: Start, tls: Certificates | None) -> None:
    """Half of it tells nothing, and is not lost."""
    server = await scripted(ANSWERS, certificates=tls)
    async with _watched(server) as watched:
        await server.say(b"* 2 EXI")
        with anyio.fail_after(_PATIENCE):
            await anyio.wait_readable(watched.watch.fileno())
        assert not watched.watch.poll()
        await server.say(b"STS\r\n")
        await watched.until(watched.watch.poll)
        changes = await watched.changes()
    assert ([message.position for message in changes.changed], changes.complete) == ([6], False)


async def test_everything_in_one_piece_is_heard(scripted: Start, tls: Certificates | None) -> None:
    """TLS decrypts more than was asked for, and the socket stays silent about the rest."""
    server = await scripted(ANSWERS, certificates=tls)
    async with _watched(server) as watched:
        await server.say(b"* 3 EXISTS\r\n" + b"* OK still here\r\n" * 2000 + b"* 3 EXPUNGE\r\n")
        await watched.until(watched.watch.poll)
        changes = await watched.changes()
    assert [message.position for message in changes.changed] == [6]


async def test_watch_is_quiet_while_nothing_happens(scripted: Start, tls: Certificates | None) -> None:
    """Asking after each line that tells nothing would never end: asking makes servers repeat themselves."""
    server = await scripted(ANSWERS | {b"NOOP": b"* 1 EXISTS\r\n* 0 RECENT\r\n" + DONE}, certificates=tls)
    async with _watched(server) as watched:
        await server.say(b"* OK still here\r\n* 1 EXISTS\r\n* 1 FETCH (FLAGS ())\r\n")
        with anyio.fail_after(_PATIENCE):
            await anyio.wait_readable(watched.watch.fileno())
        assert not watched.watch.poll()


@pytest.mark.parametrize(
    "said",
    [HANG_UP, b"* 2 EX" + HANG_UP, b"* BYE enough\r\n", b"nonsense\r\n"],
)
async def test_dead_connection_is_noticed_and_replaced(scripted: Start, tls: Certificates | None, said: bytes) -> None:
    """A socket that ended is readable for ever; one that cannot be understood is as good as ended."""
    server = await scripted(ANSWERS, certificates=tls)
    async with _watched(server) as watched:
        await server.say(said)
        await watched.until(lambda: watched.watch.dead)
        watched.watch.probe()
        changes = await watched.changes()
        assert (len(changes.changed), changes.complete) == (1, True)
    assert server.connections == 2


async def test_idle_that_the_server_ends_is_over(scripted: Start) -> None:
    """Nothing will ever come again, although the connection lives."""
    server = await scripted(ANSWERS | {b"IDLE": b"+ idling\r\nTAG OK that is enough\r\n"})
    async with _watched(server) as watched:
        watched.watch.poll()
        assert watched.watch.dead


async def test_line_without_end_is_not_collected_for_ever(scripted: Start) -> None:
    """Thousands of watches share one memory."""
    server = await scripted(ANSWERS)
    async with _watched(server) as watched:
        await server.say(b"* " + b"x" * 1_200_000)
        await watched.until(lambda: watched.watch.dead)


async def test_probe_begins_idle_anew(scripted: Start, tls: Certificates | None) -> None:
    """The sign of life, and what keeps the server's limit of half an hour away."""
    server = await scripted(ANSWERS, certificates=tls)
    async with _watched(server) as watched:
        server.commands.clear()
        for _ in range(2):
            watched.watch.probe()
            watched.watch.probe()
            assert not watched.watch.answered
            await watched.until(lambda: watched.watch.answered)
        assert server.commands == [b"DONE", b"NOOP", b"IDLE"] * 2
        assert not watched.watch.poll()


async def test_probe_brings_out_what_idle_kept_back(scripted: Start) -> None:
    """There are servers that accept IDLE and tell nothing; to NOOP they have to."""
    server = await scripted(ANSWERS)
    async with _watched(server) as watched:
        server.answers[b"NOOP"] = b"* 2 EXISTS\r\n" + DONE
        watched.watch.probe()
        await watched.until(watched.watch.poll)


async def test_server_that_says_nothing_does_not_answer(scripted: Start, tls: Certificates | None) -> None:
    """A half-open connection looks like this; closing the watch waits a moment, and the session gets another one."""
    server = await scripted(ANSWERS | {b"IDLE": b"+ idling\r\n" + NEXT_LINE + NEXT_LINE}, certificates=tls)
    async with _watched(server) as watched:
        watched.watch.probe()
        assert not watched.watch.poll()
        with anyio.fail_after(_PATIENCE):
            await watched.watch.close()
        assert (watched.watch.answered, watched.watch.dead) == (False, True)
        assert (await watched.changes()).complete
    assert server.connections == 2


async def test_watch_that_is_just_being_probed_can_be_closed(scripted: Start, tls: Certificates | None) -> None:
    """The server is in the middle of something then; the session goes on with the same connection."""
    server = await scripted(ANSWERS, certificates=tls)
    for happened in ("nothing", "half of it"):
        async with _watched(server) as watched:
            watched.watch.probe()
            if happened == "half of it":
                await anyio.wait_readable(watched.watch.fileno())
                watched.watch.poll()
            assert (await watched.changes()).changed == ()
            assert not watched.watch.dead
    assert server.connections == 2


async def test_change_that_was_heard_before_the_watch_is_not_forgotten(scripted: Start) -> None:
    """While entries are read the server tells of the next message, and then never again."""
    told = b"* 1 FETCH (UID 5 FLAGS () RFC822.SIZE 1)\r\n* 2 EXISTS\r\n" + DONE
    server = await scripted(ANSWERS | {b"UID FETCH": told})

    async def read_entries(session: Session) -> None:
        known = await session.changes("INBOX", None)
        await session.entries("INBOX", [message.id for message in known.changed])

    async with _watched(server, read_entries) as watched:
        assert watched.watch.poll()


@pytest.mark.parametrize(
    ("told", "news"),
    [
        (b"* 1 FETCH (UID 5 FLAGS () MODSEQ (90) RFC822.SIZE 1)\r\n", False),
        (b"* 1 FETCH (UID 5 FLAGS (x) MODSEQ (91) RFC822.SIZE 1)\r\n", True),
        (b"* 1 FETCH (UID 5 FLAGS () RFC822.SIZE 1)\r\n* 1 FETCH (UID 5 FLAGS (x))\r\n", True),
        (b"* 1 FETCH (UID 5 FLAGS () RFC822.SIZE 1)\r\n* VANISHED 5\r\n", True),
    ],
)
async def test_change_of_flags_that_was_heard_before_the_watch_is_not_forgotten(
    scripted: Start, told: bytes, news: bool
) -> None:
    """A server with modification sequences takes flags that it told with an entry for told, and so they are."""
    selected = b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [HIGHESTMODSEQ 90] x\r\n"
    answers = {
        b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN UNSELECT IDLE ENABLE QRESYNC\r\n" + DONE,
        b"ENABLE": DONE,
        b"EXAMINE": selected + DONE,
    }
    server = await scripted(ANSWERS | answers)

    async def read_entries(session: Session) -> None:
        known = await session.changes("INBOX", None)
        server.answers[b"UID FETCH"] = told + DONE
        await session.entries("INBOX", [message.id for message in known.changed])

    async with _watched(server, read_entries) as watched:
        assert watched.watch.poll() is news
        assert [command for command in server.commands if b"ENVELOPE" in command and b"MODSEQ" in command]


async def test_watch_of_a_mailbox_that_nobody_asked_about_says_ask(scripted: Start) -> None:
    """What happened before it was selected cannot be known."""
    server = await scripted(ANSWERS)
    async with _watched(server, lambda session: session.changes("Archive", None)) as watched:
        assert watched.watch.poll()


async def test_flags_that_cannot_be_read_are_asked_for(scripted: Start) -> None:
    """The line may be nonsense, and the connection good."""
    server = await scripted(ANSWERS)
    async with _watched(server) as watched:
        await server.say(b"* 1 FETCH (FLAGS)\r\n")
        await watched.until(watched.watch.poll)
        assert (await watched.changes()).complete
    assert server.connections == 1


async def test_literal_in_what_is_told_keeps_the_lines_apart(scripted: Start) -> None:
    """Flags have none; whoever sends one means something that has to be asked for."""
    server = await scripted(ANSWERS)
    async with _watched(server) as watched:
        await server.say(b"* 1 FETCH (FLAGS () X {5}\r\n* B")
        with anyio.fail_after(_PATIENCE):
            await anyio.wait_readable(watched.watch.fileno())
        assert not watched.watch.poll()
        await server.say(b"YE)\r\n")
        await watched.until(watched.watch.poll)
        assert not watched.watch.dead
        assert (await watched.changes()).complete


@pytest.mark.parametrize(
    "answers", [{b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n" + DONE}, {b"IDLE": b"TAG NO not for you\r\n"}]
)
async def test_mailbox_of_a_server_without_idle_is_polled(scripted: Start, answers: dict[bytes, bytes]) -> None:
    """The session goes on; asking costs a NOOP."""
    server = await scripted(ANSWERS | answers)
    async with ImapProvider().open(*server.account()) as session:
        state = (await session.changes("INBOX", None)).state
        watch = await session.watch("INBOX")
        assert isinstance(watch, PollWatch)
        server.commands.clear()
        assert (await session.changes("INBOX", state)).changed == ()
        assert server.commands == [b"NOOP"]


async def test_watch_of_an_unknown_mailbox_is_not_found(scripted: Start) -> None:
    """It may have been deleted since the list was made."""
    server = await scripted(ANSWERS | {b"EXAMINE": b"TAG NO [NONEXISTENT] no such mailbox\r\n"})
    async with ImapProvider().open(*server.account()) as session:
        with pytest.raises(NotFoundError):
            await session.watch("INBOX")

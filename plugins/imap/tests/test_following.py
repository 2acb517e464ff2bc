"""Following a mailbox by what the server tells by the way: the map of UIDs stays in step, or says that it does not."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from imapclient.exceptions import ProtocolError

from gateway_imap.following import Follower, uid_ranges

_FLAG_SETS = st.sampled_from([(), ("\\Seen",), ("\\Flagged", "\\Seen"), ("$label",)])


class Mailbox(RuleBasedStateMachine):
    """A server that has a mailbox, a session that follows it, and somebody who knows it from changes alone."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[int, tuple[str, ...]]] = []
        self.next_uid = 1
        self.known: dict[int, tuple[str, ...]] = {}

    @initialize(count=st.integers(0, 5))
    def select(self, count: int) -> None:
        for _ in range(count):
            self._arrive(())
        self.follower = Follower(count)
        self.state = ""

    def _arrive(self, flags: tuple[str, ...]) -> None:
        self.messages.append((self.next_uid, flags))
        self.next_uid += 3

    @rule(flags=_FLAG_SETS)
    def deliver(self, flags: tuple[str, ...]) -> None:
        self._arrive(flags)
        self.follower.hear("EXISTS", b"%d" % len(self.messages))

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def expunge(self, data: Any) -> None:
        number = data.draw(st.integers(1, len(self.messages)))
        del self.messages[number - 1]
        self.follower.hear("EXPUNGE", b"%d" % number)

    @precondition(lambda self: self.messages and not self.follower.unknown())
    @rule(data=st.data())
    def vanish(self, data: Any) -> None:
        first = data.draw(st.integers(1, len(self.messages)))
        last = data.draw(st.integers(first, len(self.messages)))
        uids = b"%d:%d" % (self.messages[last - 1][0], self.messages[first - 1][0])
        del self.messages[first - 1 : last]
        self.follower.hear("VANISHED", uids)

    @precondition(lambda self: self.messages)
    @rule(data=st.data(), flags=_FLAG_SETS, way=st.sampled_from(["line", "record", "record with UID"]))
    def change_flags(self, data: Any, flags: tuple[str, ...], way: str) -> None:
        number = data.draw(st.integers(1, len(self.messages)))
        uid, _ = self.messages[number - 1]
        self.messages[number - 1] = (uid, flags)
        told = b"FLAGS (%b)" % " ".join(flags).encode()
        if way == "line":
            assert self.follower.take(b"* %d FETCH (%b)" % (number, told))
        elif way == "record":
            self.follower.hear("FETCH", b"%d (%b)" % (number, told))
        else:
            self.follower.hear("FETCH", b"%d (%b RFC822.SIZE 5 UID %d)" % (number, told, uid))

    @rule(since_the_beginning=st.booleans())
    def ask(self, since_the_beginning: bool) -> None:
        """Somebody asks what happened; the session asks the server about what it does not know yet."""
        for number in self.follower.unknown():
            uid, flags = self.messages[number - 1]
            assert self.follower.take(b"* %d FETCH (UID %d FLAGS (%b))" % (number, uid, " ".join(flags).encode()))
        assert not self.follower.unknown()
        found = None if since_the_beginning else self.follower.since(self.state)
        if found is None:
            self.known = dict(self.follower.everything())
        else:
            changed, gone = found
            self.known = {uid: flags for uid, flags in self.known.items() if uid not in gone} | changed
        self.state = self.follower.state
        assert self.known == dict(self.messages)
        assert self.follower.highest_uid == max(self.known, default=0)

    @invariant()
    def in_step(self) -> None:
        assert not hasattr(self, "follower") or not self.follower.broken


TestMailbox = Mailbox.TestCase
TestMailbox.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


_NUMBERS = st.integers(0, 6)
_NONSENSE = st.one_of(
    st.builds(lambda number: ("EXISTS", b"%d" % number), _NUMBERS),
    st.builds(lambda number: ("EXPUNGE", b"%d" % number), _NUMBERS),
    st.builds(lambda first, last: ("VANISHED", b"%d:%d" % (first, last)), _NUMBERS, _NUMBERS),
    st.builds(lambda number, uid: ("FETCH", b"%d (UID %d FLAGS ())" % (number, uid)), _NUMBERS, _NUMBERS),
    st.builds(lambda octets: ("FETCH", b"1 (" + octets), st.binary(max_size=12)),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 4), st.lists(_NONSENSE, max_size=12))
def test_server_that_contradicts_itself_is_found_out(exists: int, nonsense: list[tuple[str, bytes]]) -> None:
    """What is told after nonsense is in the order of UIDs all the same, each of them once."""
    follower = Follower(exists)
    for kind, record in nonsense:
        with contextlib.suppress(ProtocolError, ValueError):
            follower.hear(kind, record)
    if not follower.broken and not follower.unknown():
        uids = [uid for uid, _ in follower.everything()]
        assert uids == sorted(set(uids))


def test_old_states_are_forgotten_before_they_cost_too_much() -> None:
    """A message whose flag blinks for a year does not fill the memory; who asks too late is told everything."""
    follower = Follower(1)
    follower.take(b"* 1 FETCH (UID 1 FLAGS ())")
    early = follower.state
    for _ in range(15_000):
        follower.take(b"* 1 FETCH (FLAGS (a))")
        late = follower.state
        follower.take(b"* 1 FETCH (FLAGS (b))")
    assert follower.since(early) is None
    assert follower.since(late) == ({1: ("b",)}, [])


def test_state_of_another_session_is_not_understood() -> None:
    """It counts other events."""
    follower = Follower(0)
    assert Follower(0).since(follower.state) is None
    for state in ("0", "", follower.state + "x", follower.state.partition(".")[0] + ".7"):
        assert follower.since(state) is None


def test_ranges_may_be_written_in_any_direction() -> None:
    """RFC 9051 section 9: 2:4 and 4:2 are the same."""
    assert list(uid_ranges(b"5,9:7,1:2")) == [(5, 5), (7, 9), (1, 2)]

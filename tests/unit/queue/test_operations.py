"""The allowlist."""

from __future__ import annotations

import re

from gateway.queue import operations
from gateway.queue.operations import ALLOWLIST, QUEUES, TIME_LIMITS, Operation


def test_every_operation_is_on_the_list_under_its_name() -> None:
    """One that is missing would be refused by every worker."""
    defined = {value.name: value for value in vars(operations).values() if isinstance(value, Operation)}
    assert defined == ALLOWLIST
    assert all(re.fullmatch(r"[a-z0-9]+\.[a-z0-9]+", name) for name in ALLOWLIST)


def test_every_lane_has_a_queue_and_a_time_limit() -> None:
    """A lane without one would have jobs that nobody fetches, or that never end."""
    lanes = {operation.lane for operation in ALLOWLIST.values()}
    assert lanes == set(QUEUES) == set(TIME_LIMITS)
    assert len(set(QUEUES.values())) == len(QUEUES)


def test_nothing_that_sends_stores_or_moves_is_run_a_second_time() -> None:
    """Repeating one of these doubles mail, or fails because the first run did its work."""
    repeatable = {name for name, operation in ALLOWLIST.items() if operation.repeatable}
    assert not repeatable & {
        "outbox.send",
        "messages.append",
        "messages.move",
        "messages.delete",
        "mailboxes.create",
        "mailboxes.change",
        "mailboxes.delete",
        "messages.source",
        "messages.attachment",
    }


def test_a_stream_has_a_session_of_its_own() -> None:
    """A download lasts as long as its reader likes."""
    assert operations.MESSAGES_SOURCE.session_lane != operations.MESSAGES_LIST.session_lane


def test_nothing_that_changes_mail_is_done_beside_other_jobs() -> None:
    """Changes of an account are made in the order in which they were asked for."""
    beside = {name for name, operation in ALLOWLIST.items() if operation.beside}
    downloads = {name for name, operation in ALLOWLIST.items() if operation.streams}
    reads = {"mailboxes.list", "messages.list", "messages.search", "messages.newest", "messages.get", "messages.text"}
    assert beside == reads | downloads
    assert downloads == {"messages.source", "messages.attachment"}
    assert operations.GetMessage(message="m", mark_as_seen=True).changes_mail
    changing = {name for name, operation in ALLOWLIST.items() if operation.changes_mailboxes}
    assert changing == {"mailboxes.create", "mailboxes.change", "mailboxes.delete"}

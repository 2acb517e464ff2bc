"""Changes to all messages that a search finds, through API and workers, in every lab."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.acceptance.client import Client, RefusedError, account_path, message_path
from tests.acceptance.letters import letter
from tests.acceptance.stack import GatewayStack

COUNT = 5


@pytest.fixture
def word(gateway_stack: GatewayStack, api: Client, alice: str) -> str:
    """A word that five new messages in alice's inbox have in their subjects, and no other."""
    user = gateway_stack.lab.users[0]
    word = secrets.token_hex(8)
    for number in range(COUNT):
        gateway_stack.lab.deliver(user, letter(user, subject=f"{word} {number}").raw)
        api.wait_for_message(alice, f"{word} {number}")
    return word


def found(api: Client, account: str, path: str, word: str) -> list[Any]:
    """Return the messages of a mailbox whose subject has a word."""
    answer = api.call("POST", f"{account_path(account)}/search", {"search": {"subject": word}}, path=path)
    return list(answer["messages"])


def change(api: Client, account: str, what: str, body: dict[str, Any], **query: Any) -> Any:
    """Change what a search in the inbox, or the mailbox that the query names, finds."""
    return api.call("PUT", f"{account_path(account)}/messages{what}", body, **{"path": "INBOX", **query})


def test_flags_of_all_messages_found_change_and_no_others(api: Client, alice: str, word: str) -> None:
    """The next listing shows them, from wherever it is answered."""
    before = {entry["id"]: entry.get("flags", []) for entry in api.messages(alice, pageSize=100)["messages"]}
    ids = {entry["id"] for entry in found(api, alice, "INBOX", word)}
    answer = change(api, alice, "", {"search": {"subject": word}, "update": {"flags": {"add": ["\\Flagged"]}}})
    after = {entry["id"]: entry.get("flags", []) for entry in api.messages(alice, pageSize=100)["messages"]}
    assert answer["flags"] == {"add": ["\\Flagged"]}
    assert (set(answer["outcome"]["done"]), answer["outcome"]["failed"], answer["outcome"]["unknown"]) == (ids, [], [])
    assert {id for id, flags in after.items() if flags != before[id]} == ids
    assert all("\\Flagged" in after[id] for id in ids)


def test_flags_are_called_done_only_where_they_are_stored(api: Client, alice: str, word: str) -> None:
    """Exchange has no keywords, and says nothing when it is given one."""
    update = {"flags": {"add": ["\\Flagged", "odd-keyword"]}}
    outcome = change(api, alice, "", {"search": {"subject": word}, "update": update})["outcome"]
    kept = {entry["id"] for entry in found(api, alice, "INBOX", word) if "odd-keyword" in entry.get("flags", [])}
    assert set(outcome["done"]) == kept
    assert len(outcome["done"]) + len(outcome["failed"]) == COUNT
    assert {one["code"] for one in outcome["failed"]} <= {"FlagsNotStored"}


def test_all_messages_found_move_and_their_ids_are_told(api: Client, alice: str, word: str) -> None:
    """New ids name the same messages; where ids stay, they are told, too."""
    before = {entry["id"]: entry["subject"] for entry in found(api, alice, "INBOX", word)}
    answer = change(api, alice, "/move", {"search": {"subject": word}, "path": "\\Archive"})
    assert found(api, alice, "INBOX", word) == []
    after = {entry["id"]: entry["subject"] for entry in found(api, alice, answer["path"], word)}
    assert sorted(after.values()) == sorted(before.values())
    pairs = [*answer.get("idMap", []), *((id, id) for id in answer.get("emailIds", []))]
    assert {after[new]: before[old] for old, new in pairs} == {subject: subject for subject in before.values()}


def test_all_messages_found_go_to_the_trash_and_from_there_for_good(
    gateway_stack: GatewayStack, api: Client, alice: str, word: str
) -> None:
    """Graph's clients know the first as a deletion, too."""
    moved = change(api, alice, "/delete", {"search": {"subject": word}})
    assert (moved["deleted"], len(moved["outcome"]["done"])) == (gateway_stack.lab.name == "graph", COUNT)
    trash = moved["moved"]["destination"]
    assert len(found(api, alice, trash, word)) == COUNT
    gone = change(api, alice, "/delete", {"search": {"subject": word}}, path=trash)
    assert (gone["deleted"], len(gone["outcome"]["done"])) == (True, COUNT)
    assert found(api, alice, trash, word) == []


def test_forced_deletion_leaves_nothing_in_the_trash(api: Client, alice: str, word: str) -> None:
    answer = change(api, alice, "/delete", {"search": {"subject": word}}, force=True)
    assert (answer["deleted"], len(answer["outcome"]["done"])) == (True, COUNT)
    assert found(api, alice, "INBOX", word) == []
    assert found(api, alice, "\\Trash", word) == []


def test_named_messages_are_changed_whatever_else_is_asked_for_and_those_that_are_not_there_are_told(
    gateway_stack: GatewayStack, api: Client, alice: str, word: str
) -> None:
    """By either id; a client that names a message wants to know what became of it."""
    first, second, third, *_ = found(api, alice, "INBOX", word)
    api.delete(message_path(alice, third["id"]), force=True)
    named = [first["id"], second.get("emailId", second["id"]), third["id"], "no such id"]
    search = {"emailIds": named, "subject": "another", "unseen": False, "paths": ["X"], "documentStore": False}
    answer = change(api, alice, "", {"search": search, "update": {"flags": {"add": ["\\Flagged"]}}})
    assert set(answer["outcome"]["done"]) == {first["id"], second["id"]}
    assert {one["id"]: one["code"] for one in answer["outcome"]["failed"]} == dict.fromkeys(
        named[2:], "MessageNotFound"
    )
    assert {entry["id"] for entry in found(api, alice, "INBOX", word) if entry.get("flagged")} == {
        first["id"],
        second["id"],
    }


def test_search_that_finds_nothing_changes_nothing(api: Client, alice: str) -> None:
    answer = change(api, alice, "/delete", {"search": {"subject": secrets.token_hex(8)}}, force=True)
    assert answer["outcome"] == {"done": [], "failed": [], "unknown": []}


def test_move_to_a_mailbox_that_does_not_exist_moves_nothing(api: Client, alice: str, word: str) -> None:
    with pytest.raises(RefusedError) as caught:
        change(api, alice, "/move", {"search": {"subject": word}, "path": "No such mailbox"})
    assert caught.value.status == 404
    assert len(found(api, alice, "INBOX", word)) == COUNT

"""Events of mailboxes that are used over Microsoft Graph: the same as over IMAP."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.acceptance.client import Client, RefusedError, account_path, message_path
from tests.acceptance.graph_telephone import telephone_of
from tests.acceptance.letters import letter
from tests.acceptance.stack import GatewayStack
from tests.rigs.processes import wait_until
from tests.rigs.sandbox_lab import SandboxLab

#: Seconds between two looks at everything.
_PATIENCE = 3.0

#: Seconds that the service asks a refused call to wait.
PAUSE = 3


class Throttled:
    """A mailbox that refuses every call while it is so.

    The share is all of them, as luck decides nothing here.
    """

    def __init__(self, lab: SandboxLab, user: str) -> None:
        self._lab = lab
        self._user = user
        self._before = 0

    def begin(self) -> None:
        """Refuse from now on."""
        self._before = self._count()
        self._lab.fail("throttled", user=self._user, seconds=PAUSE)

    def end(self) -> None:
        """Refuse nothing any more."""
        self._lab.fail("throttled", user=self._user, on=False)

    @property
    def refused(self) -> int:
        """How many calls were refused since the beginning."""
        return self._count() - self._before

    def _count(self) -> int:
        return int(self._lab.statistics()["graph"]["throttled"].get(self._user, 0))


@pytest.fixture
def api(graph_stack: GatewayStack) -> Client:
    return graph_stack.api


@pytest.fixture
def carol(graph_stack: GatewayStack, graph_lab: SandboxLab) -> Iterator[str]:
    """An account whose first look at all mailboxes has ended.

    What came in the very second in which it is made would be news to it, so nothing is there.
    """
    telephone = telephone_of(graph_lab, graph_lab.users[2], random.Random(0))
    telephone.empty()
    telephone.close()
    with graph_stack.connected(graph_stack.lab.users[2]) as account:
        yield account


def deliver(stack: GatewayStack, subject: str) -> None:
    user = stack.lab.users[2]
    stack.lab.deliver(user, letter(user, subject=subject).raw)


def told(api: Client, account: str) -> list[tuple[str, str, Any]]:
    """Return name, path and data of the events that tell of messages and mailboxes."""
    events = api.get("/v1/events", account=account, pageSize=1000)["events"]
    return [
        (event["event"], event.get("path", ""), event.get("data", {}))
        for event in events
        if event["event"].startswith(("message", "mailbox"))
    ]


def wait_for(api: Client, account: str, count: int) -> list[tuple[str, str, Any]]:
    """Have all mailboxes looked at now and then, as the service limits calls, until so many events are there."""
    asked = 0.0

    def there() -> bool:
        nonlocal asked
        if time.monotonic() - asked > _PATIENCE:
            asked = time.monotonic()
            api.put(f"{account_path(account)}/sync", {"sync": True})
        return len(told(api, account)) >= count

    try:
        wait_until(there, f"{count} events", 30)
    except TimeoutError:
        assert len(told(api, account)) >= count, told(api, account)
    return told(api, account)


def test_new_mail_is_told_without_being_asked_for(graph_stack: GatewayStack, api: Client, carol: str) -> None:
    """There is no push without a public address: the inbox is asked every few seconds."""
    subject = secrets.token_hex(8)
    deliver(graph_stack, subject)
    wait_until(lambda: [event for event in told(api, carol) if event[0] == "messageNew"], "new mail is told", 40)
    ((name, path, data),) = told(api, carol)
    assert (name, path, data["subject"]) == ("messageNew", "INBOX", subject)
    assert data["id"] == api.with_subject(carol, subject)[0]["id"]


def test_all_mail_is_listed_and_searched_and_nothing_of_it_is_told_twice(
    graph_stack: GatewayStack, api: Client, carol: str
) -> None:
    """It heads the list of mailboxes and is none of them: what is in it is taken in where it is."""
    subjects = [secrets.token_hex(8) for _ in range(2)]
    for subject in subjects:
        deliver(graph_stack, subject)
    ids = [api.wait_for_message(carol, subject)["id"] for subject in subjects]
    wait_for(api, carol, 2)
    api.put(f"{message_path(carol, ids[0])}/move", {"path": "Archive"})
    virtual, *mailboxes = api.get(f"{account_path(carol)}/mailboxes")["mailboxes"]
    assert (virtual["path"], virtual["specialUse"], virtual["noSelect"]) == ("\\All", "\\All", True)
    assert mailboxes[0]["path"] == "INBOX"
    listed = api.messages(carol, "\\All", pageSize=1000)
    assert listed["total"] == sum(api.messages(carol, box["path"])["total"] for box in mailboxes)
    places = {entry["id"]: entry["path"] for entry in listed["messages"]}
    assert [places[id] for id in ids] == ["Archive", "INBOX"]
    for query, expected in (({}, ids), ({"path": "\\All"}, ids), ({"path": "INBOX"}, ids[1:])):
        found = api.call("POST", f"{account_path(carol)}/search", {"search": {"unseen": True}}, pageSize=1000, **query)
        assert {entry["id"] for entry in found["messages"]} & set(ids) == set(expected)
    wait_for(api, carol, 4)
    api.call("DELETE", message_path(carol, ids[0]), None, force=True)
    assert sorted((name, path) for name, path, _ in wait_for(api, carol, 5)) == [
        ("messageDeleted", "Archive"),
        ("messageDeleted", "INBOX"),
        ("messageNew", "Archive"),
        ("messageNew", "INBOX"),
        ("messageNew", "INBOX"),
    ]


def test_life_of_a_message_is_told_as_over_imap(graph_stack: GatewayStack, api: Client, carol: str) -> None:
    """Flags and labels with what was added and deleted; a move as a deletion and an arrival of the same id."""
    subject = secrets.token_hex(8)
    deliver(graph_stack, subject)
    ((_, _, data),) = wait_for(api, carol, 1)
    message = message_path(carol, data["id"])
    api.put(message, {"flags": {"add": ["\\Seen", "\\Flagged"]}})
    wait_for(api, carol, 2)
    api.put(message, {"flags": {"delete": ["\\Flagged"]}})
    wait_for(api, carol, 3)
    api.put(message, {"labels": {"add": ["Red category"]}})
    wait_for(api, carol, 4)
    api.put(f"{message}/move", {"path": "Archive"})
    wait_for(api, carol, 6)
    api.call("DELETE", message, None, force=True)
    _, seen, changed, labelled, *moved, deleted = wait_for(api, carol, 7)
    assert (seen[0], seen[2]["changes"]["flags"]["added"]) == ("messageUpdated", ["\\Seen", "\\Flagged"])
    assert changed[2]["changes"]["flags"]["deleted"] == ["\\Flagged"]
    assert labelled[2]["changes"]["labels"]["added"] == ["Red category"]
    assert {(name, path) for name, path, _ in moved} == {("messageDeleted", "INBOX"), ("messageNew", "Archive")}
    assert (deleted[0], deleted[1]) == ("messageDeleted", "Archive")
    assert {data["id"] for _, _, data in (seen, changed, labelled, *moved, deleted)} == {data["id"]}


def test_mailbox_that_is_renamed_is_told_and_its_messages_are_no_news(
    graph_stack: GatewayStack, api: Client, carol: str
) -> None:
    first, second = f"A {secrets.token_hex(4)}", f"B {secrets.token_hex(4)}"
    subject = secrets.token_hex(8)
    api.post(f"{account_path(carol)}/mailbox", {"path": first})
    wait_for(api, carol, 1)
    deliver(graph_stack, subject)
    wait_for(api, carol, 2)
    id = api.wait_for_message(carol, subject)["id"]
    api.put(f"{message_path(carol, id)}/move", {"path": first})
    before = wait_for(api, carol, 4)
    api.put(f"{account_path(carol)}/mailbox", {"path": first, "newPath": second})
    wait_for(api, carol, 6)
    api.call("DELETE", f"{account_path(carol)}/mailbox", None, path=second)
    told = wait_for(api, carol, 7)[len(before) :]
    assert [(name, path) for name, path, _ in told] == [
        ("mailboxDeleted", first),
        ("mailboxNew", second),
        ("mailboxDeleted", second),
    ]
    assert (told[0][2]["renamedTo"], told[1][2]["renamedFrom"]) == (second, first)


def test_nothing_is_told_twice_when_the_service_forgets_what_it_told(
    graph_stack: GatewayStack, api: Client, carol: str
) -> None:
    """Everything is read anew and compared."""
    deliver(graph_stack, "before")
    wait_for(api, carol, 1)
    control = graph_stack.lab.control_url  # type: ignore[attr-defined]
    for failure in ("delta_expired", "resync_required"):
        api.http.post(f"{control}/failures", json={"failure": failure, "seconds": 1}).raise_for_status()
        deliver(graph_stack, failure)
    told = wait_for(api, carol, 3)
    # Within one second there is no order.
    assert sorted((name, data["subject"]) for name, _, data in told) == [
        ("messageNew", subject) for subject in ("before", "delta_expired", "resync_required")
    ]


def test_message_that_cannot_be_stored_is_refused_as_documented(api: Client, carol: str) -> None:
    """Graph reads what it stores."""
    with pytest.raises(RefusedError) as caught:
        api.post(f"{account_path(carol)}/message", {"path": "Drafts", "raw": ""})
    assert caught.value.status == 422
    described = api.get("/openapi.json")["paths"]["/v1/account/{account}/message"]["post"]
    assert "422" in described["responses"]


@pytest.fixture
def throttled(graph_lab: SandboxLab) -> Iterator[Throttled]:
    """Carol's mailbox, once somebody says so; it is as it was afterwards."""
    found = Throttled(graph_lab, graph_lab.users[2])
    yield found
    found.end()


def test_call_that_meets_a_throttled_mailbox_waits_and_succeeds(api: Client, carol: str, throttled: Throttled) -> None:
    """Within the time that every call has; nothing is shown of the pause but that it took its time."""
    with ThreadPoolExecutor(1) as pool:
        throttled.begin()
        answer = pool.submit(api.unwatched, carol)
        wait_until(lambda: throttled.refused, "a call was refused", 10)
        throttled.end()
        assert "messages" in answer.result(timeout=15)


def test_caller_who_cannot_wait_for_a_throttled_mailbox_is_told_at_once(
    api: Client, carol: str, throttled: Throttled
) -> None:
    """With the reason, and when to come back."""
    throttled.begin()
    begin = time.monotonic()
    answer = api.http.get(
        f"{account_path(carol)}/messages", params={"path": "\\Sent", "pageSize": 1}, headers={"X-EE-Timeout": "500"}
    )
    assert time.monotonic() - begin < PAUSE
    assert (answer.status_code, answer.json()["code"]) == (429, "RateLimited")
    throttled.end()
    api.wait_for_state(carol, "connected")
    assert "messages" in api.unwatched(carol)

"""Microsoft calls when something happens: it is told at once, in every mailbox, and nothing depends on the calls."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.redis import keys
from tests.acceptance.client import Client, account_path
from tests.acceptance.graph_telephone import GraphTelephone, telephone_of
from tests.acceptance.letters import letter
from tests.acceptance.stack import GatewayStack, open_stack
from tests.rigs.processes import wait_until
from tests.rigs.sandbox_lab import SandboxLab

#: Seconds in which a call has to have its effect; without calls it takes minutes.
_SOON = 10.0


@pytest.fixture(scope="module")
def stack(graph_lab: SandboxLab) -> Iterator[GatewayStack]:
    """A gateway of its own, whose workers may be killed."""
    with open_stack(graph_lab) as opened:
        yield opened


@pytest.fixture
def api(stack: GatewayStack) -> Client:
    return stack.api


@pytest.fixture
def graph(graph_lab: SandboxLab) -> Iterator[GraphTelephone]:
    """Another program that uses the mailbox."""
    telephone = telephone_of(graph_lab, graph_lab.users[2], random.Random(0))
    yield telephone
    telephone.close()


@pytest.fixture
def carol(stack: GatewayStack, api: Client, graph: GraphTelephone) -> Iterator[str]:
    """An account whose service calls; what came in this very second would be news to it, so nothing is there."""
    graph.empty()
    with stack.connected(stack.lab.users[2]) as account:
        wait_until(lambda: pushed(api, account).get("active"), "the service calls", 30)
        yield account


def pushed(api: Client, account: str) -> Any:
    return api.account(account).get("push", {})


def subscription(api: Client, account: str) -> Any:
    return api.account(account).get("outlookSubscription", {})


def told(api: Client, account: str) -> list[tuple[str, str, Any]]:
    """Return name, path and data of the events that tell of messages."""
    events = api.get("/v1/events", account=account, pageSize=1000)["events"]
    return [(one["event"], one["path"], one["data"]) for one in events if one["event"].startswith("message")]


def deliver(lab: SandboxLab, subject: str) -> None:
    lab.deliver(lab.users[2], letter(lab.users[2], subject=subject).raw)


def wait_for(api: Client, account: str, *names: str) -> list[tuple[str, str, Any]]:
    """Return the events about messages once they are these, in any order."""
    try:
        wait_until(lambda: sorted(name for name, _, _ in told(api, account)) == sorted(names), f"{names}", _SOON)
    except TimeoutError:
        assert sorted(name for name, _, _ in told(api, account)) == sorted(names)
    return told(api, account)


def test_what_happens_in_any_mailbox_is_told_at_once(
    api: Client, carol: str, graph: GraphTelephone, graph_lab: SandboxLab
) -> None:
    """A message comes, is moved out of the watched mailbox, changed there by another program, and deleted."""
    subject = secrets.token_hex(8)
    deliver(graph_lab, subject)
    ((_, path, data),) = wait_for(api, carol, "messageNew")
    assert (path, data["subject"]) == ("INBOX", subject)
    message = f"/me/messages/{data['id']}"
    graph.call("POST", f"{message}/move", {"destinationId": "archive"})
    names = ["messageNew", "messageDeleted", "messageNew"]
    events = wait_for(api, carol, *names)
    assert [path for name, path, _ in events if name == "messageDeleted"] == ["INBOX"]
    assert {path for name, path, _ in events if name == "messageNew"} == {"INBOX", "Archive"}
    graph.call("PATCH", message, {"isRead": True})
    names.append("messageUpdated")
    _, path, changed = wait_for(api, carol, *names)[-1]
    assert (path, changed["changes"]["flags"]["added"]) == ("Archive", ["\\Seen"])
    graph.call("POST", f"{message}/permanentDelete")
    names.append("messageDeleted")
    _, path, gone = wait_for(api, carol, *names)[-1]
    assert (path, gone["id"]) == ("Archive", data["id"])


def test_account_shows_its_subscription(api: Client, carol: str) -> None:
    shown = subscription(api, carol)
    assert shown["state"]["state"] == "created"
    assert shown["id"]
    assert datetime.fromisoformat(shown["expirationDateTime"]) > datetime.now(UTC) + timedelta(days=6)


def test_subscription_that_was_removed_is_made_anew_and_nothing_is_missed(
    api: Client, carol: str, graph_lab: SandboxLab
) -> None:
    """What comes in between is told, too."""
    before = subscription(api, carol)["id"]
    graph_lab.fail("notifications_dropped", user=graph_lab.users[2])
    subject = secrets.token_hex(8)
    deliver(graph_lab, subject)
    graph_lab.lifecycle("subscriptionRemoved", graph_lab.users[2])
    try:
        ((_, _, data),) = wait_for(api, carol, "messageNew")
    finally:
        graph_lab.fail("notifications_dropped", user=graph_lab.users[2], on=False)
    assert data["subject"] == subject
    assert subscription(api, carol)["id"] not in (before, None)
    assert pushed(api, carol) == {"active": True, "code": None, "text": None}


def test_silent_subscription_is_renewed(api: Client, carol: str, graph_lab: SandboxLab) -> None:
    before = subscription(api, carol)["state"]["time"]
    graph_lab.lifecycle("reauthorizationRequired", graph_lab.users[2])
    wait_until(lambda: subscription(api, carol)["state"]["time"] > before, "renewed", _SOON)
    deliver(graph_lab, "again")
    wait_for(api, carol, "messageNew")


def test_changes_whose_calls_were_missed_are_looked_for(api: Client, carol: str, graph_lab: SandboxLab) -> None:
    graph_lab.fail("notifications_dropped", user=graph_lab.users[2])
    deliver(graph_lab, "missed")
    graph_lab.fail("notifications_dropped", user=graph_lab.users[2], on=False)
    graph_lab.lifecycle("missed", graph_lab.users[2])
    wait_for(api, carol, "messageNew")


def test_what_is_called_for_while_a_worker_dies_is_told_by_the_next_owner(
    stack: GatewayStack, api: Client, carol: str, graph_lab: SandboxLab
) -> None:
    for worker in stack.running_workers:
        worker.kill()
    deliver(graph_lab, "meanwhile")
    stack.wait_for_worker(stack.start_worker())
    wait_until(lambda: told(api, carol), "it is told", 60)
    assert [(name, data["subject"]) for name, _, data in told(api, carol)] == [("messageNew", "meanwhile")]


def test_validation_is_answered_as_text_whatever_it_says(stack: GatewayStack) -> None:
    token = "<script>alert(1)</script>&amp; Validation: ü"
    for path in ("notification", "lifecycle"):
        answer = httpx.post(f"{stack.url}/oauth/msg/{path}", params={"validationToken": token}, trust_env=False)
        assert (answer.status_code, answer.text) == (200, token)
        assert answer.headers["content-type"].partition(";")[0] == "text/plain"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"value": null}', b'{"value": [null, 1, {}]}', b"\xff" * 1000])
def test_garbage_is_taken_and_does_nothing(stack: GatewayStack, carol: str, body: bytes) -> None:
    answer = httpx.post(f"{stack.url}/oauth/msg/notification", params={"account": carol}, content=body, trust_env=False)
    assert (answer.status_code, answer.content) == (202, b"")


def test_forged_calls_reach_nobody(stack: GatewayStack, api: Client, carol: str) -> None:
    """Who knows the subscription's id and not the secret is answered like everybody, and nothing is looked at."""
    forged = {"subscriptionId": subscription(api, carol)["id"], "clientState": "guessed", "changeType": "created"}
    lifecycle = {**forged, "lifecycleEvent": "subscriptionRemoved"}
    redis = stack.redis()
    with redis.pubsub() as heard:
        heard.subscribe(keys.SIGNALS)
        heard.get_message(timeout=5)
        for account, path, value in (
            (carol, "notification", [forged] * 50),
            (carol, "lifecycle", [lifecycle]),
            ("nobody", "notification", [forged]),
        ):
            url = f"{stack.url}/oauth/msg/{path}"
            answer = httpx.post(url, params={"account": account}, json={"value": value}, trust_env=False)
            assert answer.status_code == 202
        redis.publish(keys.SIGNALS, b"the end")
        assert heard.get_message(timeout=5)["data"] == b"the end"
    assert redis.smembers(keys.push_hints(carol)) == set()
    redis.close()


def test_account_without_a_public_address_says_so_and_is_asked(
    stack: GatewayStack, api: Client, carol: str, graph_lab: SandboxLab
) -> None:
    """Until there is an address: then the service calls again."""
    try:
        api.post("/v1/settings", {"serviceUrl": None})
        api.put(f"{account_path(carol)}/reconnect", {"reconnect": True})
        wait_until(lambda: not pushed(api, carol)["active"], "it says so", 30)
        assert pushed(api, carol)["code"] == "NoPublicAddress"
        assert subscription(api, carol) == {}
        deliver(graph_lab, "polled")
        wait_until(lambda: told(api, carol), "the inbox is asked", 40)
    finally:
        api.post("/v1/settings", {"serviceUrl": stack.url})
    api.put(f"{account_path(carol)}/reconnect", {"reconnect": True})
    wait_until(lambda: pushed(api, carol)["active"], "the service calls", 30)


def test_address_that_does_not_answer_leaves_the_account_working(
    stack: GatewayStack, api: Client, graph_lab: SandboxLab
) -> None:
    api.post("/v1/settings", {"notificationBaseUrl": "http://127.0.0.1:9"})
    try:
        with stack.connected(graph_lab.users[2]) as account:
            wait_until(lambda: pushed(api, account).get("code"), "it says so", 30)
            assert pushed(api, account)["code"] == "ValidationError"
            shown = subscription(api, account)["state"]
            assert (shown["state"], shown["createRetryCount"]) == ("error", 1)
            assert api.account(account)["state"] == "connected"
    finally:
        api.post("/v1/settings", {"notificationBaseUrl": None})

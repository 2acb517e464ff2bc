"""Subscriptions: their life, what is notified, and how notifications go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import imapclient
import pytest

from gateway_sandbox import directory
from gateway_sandbox.testing import ALICE, BOB, CAROL, RunningSandbox
from tests.rigs import graph_document
from tests.rigs.graph_client import GraphClient
from tests.rigs.graph_subscriber import Subscriber, running_subscriber

Connect = Callable[..., GraphClient]
Login = Callable[..., imapclient.IMAPClient]
SUPPORT = directory.SUPPORT.address
MESSAGE = b"From: x@outside.example\r\nTo: x@contoso.test\r\nSubject: %s\r\n\r\nHello\r\n"


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    with running_subscriber() as running:
        yield running


@pytest.fixture
def client(graph: Connect) -> Iterator[GraphClient]:
    """Bob, who has no subscription yet, and afterwards none any more."""
    connected = graph(BOB)
    yield connected
    connected.sandbox.reset()
    for subscription in connected.get("/subscriptions")["value"]:
        connected.call("DELETE", f"/subscriptions/{subscription['id']}")


def wanted(client: GraphClient, subscriber: Subscriber, minutes: int = 60, **more: Any) -> dict[str, Any]:
    expires = client.sandbox.clock() + timedelta(minutes=minutes)
    return {
        "changeType": "created,updated,deleted",
        "notificationUrl": subscriber.url(),
        "resource": "me/mailFolders('inbox')/messages",
        "expirationDateTime": expires.strftime("%Y-%m-%dT%H:%M:%S.0000000Z"),
        "clientState": "secret \N{SNOWMAN}",
        **more,
    }


def kinds(notifications: list[dict[str, Any]]) -> list[str]:
    return [one["changeType"] for one in notifications if "changeType" in one]


def test_both_addresses_are_validated(client: GraphClient, subscriber: Subscriber) -> None:
    """Before anything is kept; an answer other than the token is refused."""
    body = wanted(client, subscriber, lifecycleNotificationUrl=subscriber.url("/lifecycle"))
    created = client.post("/subscriptions", body)
    assert [path for path, _ in subscriber.validations] == ["/notify", "/lifecycle"]
    assert created["clientState"] == body["clientState"]
    assert client.get(f"/subscriptions/{created['id']}") == created
    client.call("DELETE", f"/subscriptions/{created['id']}")
    subscriber.valid = False
    assert client.refusal("POST", "/subscriptions", body) == (400, "ValidationError")
    elsewhere = {**body, "notificationUrl": "https://elsewhere.example/notify"}
    assert client.refusal("POST", "/subscriptions", elsewhere) == (400, "ValidationError")
    assert client.get("/subscriptions")["value"] == []


def test_changes_are_notified_whoever_made_them(
    client: GraphClient, subscriber: Subscriber, sandbox: RunningSandbox, imap: Login
) -> None:
    """With the ids that the subscription was created for."""
    client.prefer = ('IdType="ImmutableId"',)
    created = client.post("/subscriptions", wanted(client, subscriber))
    uid = sandbox.deliver(BOB, MESSAGE % b"notified")
    (first,) = subscriber.wait(lambda found: len(found) == 1)
    message = client.get("/" + first["resource"])
    assert message["subject"] == "notified"
    assert first["resourceData"]["id"] == message["id"]
    assert (first["subscriptionId"], first["clientState"]) == (created["id"], created["clientState"])
    session = imap(BOB)
    session.select_folder("INBOX")
    session.add_flags(uid, [rb"\Seen"])
    subscriber.wait(lambda found: kinds(found) == ["created", "updated"])
    session.delete_messages([uid])
    session.expunge()
    found = subscriber.wait(lambda found: kinds(found)[-1] == "deleted")
    assert {one["resourceData"]["id"] for one in found} == {message["id"]}
    if graph_document.AVAILABLE:
        for one in found:
            graph_document.check_schema("microsoft.graph.changeNotification", {**one, "id": "x"})


def test_only_what_was_asked_for_is_notified(
    client: GraphClient, subscriber: Subscriber, sandbox: RunningSandbox
) -> None:
    """This folder, this kind of change."""
    client.post("/subscriptions", wanted(client, subscriber, changeType="deleted"))
    client.post("/subscriptions", wanted(client, subscriber, changeType="created", resource="/me/messages"))
    sandbox.deliver(BOB, MESSAGE % b"one", "Archive")
    sandbox.deliver(BOB, MESSAGE % b"two")
    message = client.get("/me/mailFolders/inbox/messages?$top=1")["value"][0]
    client.post(f"/me/messages/{message['id']}/move", {"destinationId": "archive"})
    found = subscriber.wait(lambda found: len(found) == 4)
    assert sorted(kinds(found)) == ["created", "created", "created", "deleted"]


def test_a_subscription_is_renewed_and_runs_out(
    client: GraphClient, subscriber: Subscriber, sandbox: RunningSandbox
) -> None:
    """Then it is as if it had never been."""
    created = client.post("/subscriptions", wanted(client, subscriber))
    later = wanted(client, subscriber, 600)["expirationDateTime"]
    renewed = client.patch(f"/subscriptions/{created['id']}", {"expirationDateTime": later})
    assert renewed["expirationDateTime"] > created["expirationDateTime"]
    sandbox.clock.ahead = timedelta(hours=11)
    client.token = sandbox.sign_in(BOB, ("https://graph.microsoft.com/Mail.Read",))["access_token"]
    again = {"expirationDateTime": wanted(client, subscriber)["expirationDateTime"]}
    assert client.refusal("PATCH", f"/subscriptions/{created['id']}", again) == (404, "ResourceNotFound")
    client.post("/subscriptions", wanted(client, subscriber))


def test_lifetimes_have_limits(client: GraphClient, subscriber: Subscriber, sandbox: RunningSandbox) -> None:
    """Seven days, or with the old limit not quite three; never less than 45 minutes."""
    assert client.refusal("POST", "/subscriptions", wanted(client, subscriber, 10_090)) == (400, "InvalidRequest")
    assert client.refusal("POST", "/subscriptions", wanted(client, subscriber, -1)) == (400, "InvalidRequest")
    sandbox.fail("old_subscription_limit")
    assert client.refusal("POST", "/subscriptions", wanted(client, subscriber, 10_000)) == (400, "InvalidRequest")
    created = client.post("/subscriptions", wanted(client, subscriber, 5))
    assert created["expirationDateTime"] > wanted(client, subscriber, 40)["expirationDateTime"]


def test_a_second_one_for_the_same_changes_conflicts(client: GraphClient, subscriber: Subscriber) -> None:
    """However the resource is written."""
    client.post("/subscriptions", wanted(client, subscriber))
    same = wanted(client, subscriber, resource="/Me/MailFolders/Inbox/Messages")
    assert client.refusal("POST", "/subscriptions", same) == (409, "Conflict")
    client.post("/subscriptions", wanted(client, subscriber, resource="me/messages"))


@pytest.mark.parametrize(
    "change",
    [
        {"changeType": "exploded"},
        {"notificationUrl": None},
        {"expirationDateTime": "soon"},
        {"resource": "me/contacts"},
        {"clientState": "x" * 129},
        {"includeResourceData": True},
    ],
)
def test_wrong_subscriptions_are_refused(client: GraphClient, subscriber: Subscriber, change: dict[str, Any]) -> None:
    """And nothing is asked of the addresses."""
    assert client.refusal("POST", "/subscriptions", {**wanted(client, subscriber), **change}) == (400, "InvalidRequest")
    assert subscriber.validations == []


def test_a_delegated_token_gets_no_push_for_another_mailbox(
    graph: Connect, subscriber: Subscriber, sandbox: RunningSandbox
) -> None:
    """It is taken, and stays silent, as in reality; the app's own is not."""
    resource = f"users/{SUPPORT}/mailFolders('inbox')/messages"
    alice, app = graph(ALICE), graph(None)
    alice.post("/subscriptions", wanted(alice, subscriber, resource=resource))
    created = app.post("/subscriptions", wanted(app, subscriber, resource=resource))
    sandbox.deliver(SUPPORT, MESSAGE % b"shared")
    found = subscriber.wait(lambda found: len(found) >= 1)
    assert [one["subscriptionId"] for one in found] == [created["id"]]


def test_lifecycle_notifications(client: GraphClient, subscriber: Subscriber, sandbox: RunningSandbox) -> None:
    """Without new authorization nothing comes; a removed one is gone."""
    body = wanted(client, subscriber, lifecycleNotificationUrl=subscriber.url("/lifecycle"))
    created = client.post("/subscriptions", body)

    def lifecycle(event: str) -> None:
        answer = sandbox.http.post("/sandbox/lifecycle", json={"event": event, "user": BOB})
        assert answer.json() == {"subscriptions": 1}

    lifecycle("reauthorizationRequired")
    found = subscriber.wait(lambda found: len(found) == 1)
    assert (found[0]["lifecycleEvent"], found[0]["clientState"]) == ("reauthorizationRequired", body["clientState"])
    sandbox.deliver(BOB, MESSAGE % b"unheard")
    assert client.call("POST", f"/subscriptions/{created['id']}/reauthorize").status_code == 204
    sandbox.deliver(BOB, MESSAGE % b"heard")
    found = subscriber.wait(lambda found: len(found) == 2)
    assert client.get("/" + found[1]["resource"])["subject"] == "heard"
    lifecycle("missed")
    lifecycle("subscriptionRemoved")
    found = subscriber.wait(lambda found: len(found) == 4)
    assert {one["lifecycleEvent"] for one in found[2:]} == {"missed", "subscriptionRemoved"}
    assert client.refusal("GET", f"/subscriptions/{created['id']}") == (404, "ResourceNotFound")


def test_a_refused_notification_is_sent_again(
    client: GraphClient, subscriber: Subscriber, sandbox: RunningSandbox
) -> None:
    """Until it is taken."""
    client.post("/subscriptions", wanted(client, subscriber))
    subscriber.status = 503
    sandbox.deliver(BOB, MESSAGE % b"again")
    subscriber.wait(lambda found: len(found) == 1)
    subscriber.status = 202
    found = subscriber.wait(lambda found: len(found) == 2)
    assert found[0] == found[1]


def deliver_many(sandbox: RunningSandbox, user: str, number: int) -> None:
    for count in range(number):
        sandbox.deliver(user, MESSAGE % str(count).encode())


def test_notifications_can_be_lost(graph: Connect, subscriber: Subscriber, sandbox: RunningSandbox) -> None:
    """A share of them, or all."""
    carol = graph(CAROL)
    carol.post("/subscriptions", wanted(carol, subscriber))
    sandbox.fail("notifications_dropped", user=CAROL, share=0.3)
    deliver_many(sandbox, CAROL, 60)
    sandbox.reset()
    deliver_many(sandbox, CAROL, 1)
    last = carol.get("/me/mailFolders/inbox/messages?$top=1")["value"][0]["id"]
    found = subscriber.wait(lambda found: any(one["resourceData"]["id"] == last for one in found))
    assert 30 <= len(found) <= 54


def test_notifications_can_come_twice_and_in_another_order(
    client: GraphClient, subscriber: Subscriber, sandbox: RunningSandbox
) -> None:
    """Each says enough to be taken on its own."""
    client.post("/subscriptions", wanted(client, subscriber))
    sandbox.fail("notifications_duplicated", user=BOB)
    deliver_many(sandbox, BOB, 1)
    found = subscriber.wait(lambda found: len(found) == 2)
    assert found[0] == found[1]
    sandbox.reset()
    sandbox.fail("notifications_reordered", user=BOB)
    deliver_many(sandbox, BOB, 5)
    found = subscriber.wait(lambda found: len(found) == 7)[2:]
    received = [client.get("/" + one["resource"] + "?$select=subject")["subject"] for one in found]
    assert sorted(received) == ["0", "1", "2", "3", "4"]
    assert received != sorted(received)


def test_poisoned_notifications_come_beside_good_ones(
    client: GraphClient, subscriber: Subscriber, sandbox: RunningSandbox
) -> None:
    """No JSON, no list, another's secret, another's subscription."""
    created = client.post("/subscriptions", wanted(client, subscriber))
    sandbox.fail("poison", user=BOB)
    deliver_many(sandbox, BOB, 1)
    subscriber.wait(lambda found: len(subscriber.bodies) == 9)
    good = [
        one
        for one in subscriber.notifications
        if isinstance(one, dict)
        and one.get("clientState") == created["clientState"]
        and one.get("subscriptionId") == created["id"]
        and one.get("changeType") == "created"
        and one.get("resourceData")
    ]
    assert len(good) == 1

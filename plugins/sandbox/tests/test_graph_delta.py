"""Change tracking over Graph: what is told, and what happens when tokens are not known any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imapclient
import pytest

from gateway_sandbox.testing import BOB, RunningSandbox
from tests.rigs.graph_client import GraphClient

Connect = Callable[..., GraphClient]
Login = Callable[..., imapclient.IMAPClient]
MESSAGE = b"From: x@outside.example\r\nTo: bob@contoso.test\r\nSubject: %s\r\nMessage-ID: <%s@x>\r\n\r\nHello\r\n"
INBOX = "/me/mailFolders/inbox/messages/delta"


def deliver(sandbox: RunningSandbox, subject: str, mailbox: str = "INBOX") -> int:
    name = subject.encode()
    return sandbox.deliver(BOB, MESSAGE % (name, name), mailbox)


def round_of(client: GraphClient, link: str, **headers: str) -> tuple[list[dict[str, Any]], str]:
    """Return all that one round tells, and the link for the next."""
    told: list[dict[str, Any]] = []
    answer = client.get(link, headers=headers)
    while "@odata.nextLink" in answer:
        told += answer["value"]
        answer = client.get(answer["@odata.nextLink"], headers=headers)
    return told + answer["value"], answer["@odata.deltaLink"]


def test_the_first_round_tells_everything_and_the_next_only_changes(
    sandbox: RunningSandbox, graph: Connect, imap: Login
) -> None:
    """New, changed and gone messages, whoever changed them."""
    client, session = graph(BOB), imap(BOB)
    deliver(sandbox, "d1")
    doomed = deliver(sandbox, "d2")
    everything = client.all("/me/mailFolders/inbox/messages?$select=id")
    told, link = round_of(client, INBOX + "?$select=subject,isRead", prefer="odata.maxpagesize=3")
    assert {message["id"] for message in told} == {message["id"] for message in everything}
    assert round_of(client, link)[0] == []
    gone = next(message["id"] for message in told if message["subject"] == "d2")
    new = deliver(sandbox, "d3")
    session.select_folder("INBOX")
    session.add_flags(new, [rb"\Seen"])
    session.delete_messages([doomed])
    session.expunge()
    told, link = round_of(client, link)
    assert {"id": gone, "@removed": {"reason": "deleted"}} in told
    assert [(message["subject"], message["isRead"]) for message in told if "@removed" not in message] == [("d3", True)]
    assert "from" not in next(message for message in told if "subject" in message)
    assert round_of(client, link)[0] == []


def test_a_move_is_a_removal_here_and_a_creation_there(sandbox: RunningSandbox, graph: Connect) -> None:
    """With immutable ids it is the same id in both; back again before the next round it is no removal."""
    client = graph(BOB)
    client.prefer = ('IdType="ImmutableId"',)
    deliver(sandbox, "mover")
    archive = "/me/mailFolders/archive/messages/delta"
    told, here = round_of(client, INBOX)
    _, there = round_of(client, archive)
    number = next(message["id"] for message in told if message["subject"] == "mover")
    client.post(f"/me/messages/{number}/move", {"destinationId": "archive"})
    told, here = round_of(client, here)
    assert told == [{"id": number, "@removed": {"reason": "deleted"}}]
    told, there = round_of(client, there)
    assert [message["id"] for message in told] == [number]
    client.post(f"/me/messages/{number}/move", {"destinationId": "inbox"})
    client.post(f"/me/messages/{number}/move", {"destinationId": "archive"})
    told, _ = round_of(client, there)
    assert [message.get("subject") for message in told] == ["mover"]


def test_changes_between_pages_are_not_lost(sandbox: RunningSandbox, graph: Connect) -> None:
    """A round takes time, and mail does not wait."""
    client = graph(BOB)
    for name in ("p1", "p2", "p3", "p4"):
        deliver(sandbox, name, "Junk Email")
    headers = {"prefer": "odata.maxpagesize=2"}
    first = client.get("/me/mailFolders/junkemail/messages/delta", headers=headers)
    others = {message["subject"] for message in client.all("/me/mailFolders/junkemail/messages")}
    others -= {message["subject"] for message in first["value"]}
    gone = first["value"][0]["id"]
    client.call("POST", f"/me/messages/{gone}/permanentDelete")
    deliver(sandbox, "p5", "Junk Email")
    told, _ = round_of(client, first["@odata.nextLink"], **headers)
    assert {"id": gone, "@removed": {"reason": "deleted"}} in told
    assert {message["subject"] for message in told if "subject" in message} == others | {"p5"}


def test_folders_are_tracked(graph: Connect) -> None:
    """New, renamed, counted anew, gone; ids stay."""
    client = graph(BOB)
    told, link = round_of(client, "/me/mailFolders/delta", prefer="odata.maxpagesize=4")
    assert {"Inbox", "Archive"} <= {folder["displayName"] for folder in told}
    assert round_of(client, link)[0] == []
    folder = client.post("/me/mailFolders", {"displayName": "Tracked"})
    told, link = round_of(client, link)
    assert [one["displayName"] for one in told] == ["Tracked"]
    client.patch(f"/me/mailFolders/{folder['id']}", {"displayName": "Renamed"})
    told, link = round_of(client, link)
    assert [(one["id"], one["displayName"]) for one in told] == [(folder["id"], "Renamed")]
    client.call("POST", f"/me/mailFolders/{folder['id']}/permanentDelete")
    told, link = round_of(client, link)
    assert told == [{"id": folder["id"], "@removed": {"reason": "deleted"}}]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        ("delta_expired", (410, "syncStateNotFound")),
        ("resync_required", (410, "resyncRequired")),
        ("delta_invalid", (400, "SyncStateInvalid")),
    ],
)
def test_old_tokens_can_be_forgotten(
    sandbox: RunningSandbox, graph: Connect, failure: str, expected: tuple[int, str]
) -> None:
    """Those from before the failure; a new round works."""
    client = graph(BOB)
    _, messages = round_of(client, INBOX)
    _, folders = round_of(client, "/me/mailFolders/delta")
    sandbox.fail(failure, user=BOB)
    for link in messages, folders:
        assert client.refusal("GET", link.partition("/graph/v1.0")[2]) == expected
    _, link = round_of(client, INBOX)
    assert round_of(client, link)[0] == []


def test_token_of_messages_is_none_of_folders(graph: Connect) -> None:
    client = graph(BOB)
    _, link = round_of(client, INBOX)
    query = link.partition("?")[2]
    assert client.refusal("GET", f"/me/mailFolders/delta?{query}") == (400, "BadRequest")


def test_a_gone_token_says_where_to_begin_anew(sandbox: RunningSandbox, graph: Connect) -> None:
    """410 with a Location."""
    client = graph(BOB)
    _, link = round_of(client, INBOX)
    sandbox.fail("delta_expired")
    answer = client.call("GET", link)
    assert answer.status_code == 410
    assert "value" in client.get(answer.headers["location"])


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/me/messages/delta", "BadRequest"),
        (INBOX + "?$deltatoken=latest", "BadRequest"),
        (INBOX + "?$deltatoken=rubbish", "BadRequest"),
        (INBOX + "?$filter=isRead eq true", "ErrorInvalidUrlQueryFilter"),
        (INBOX + "?$orderby=subject", "ErrorInvalidUrlQuery"),
        (INBOX + '?$search="x"', "ErrorInvalidUrlQuery"),
        (INBOX + "?changeType=exploded", "ErrorInvalidUrlQuery"),
    ],
)
def test_what_delta_cannot_do(graph: Connect, path: str, code: str) -> None:
    """Tracking is per folder, with few options."""
    assert graph(BOB).refusal("GET", path) == (400, code)


def test_options_last_for_the_whole_round(sandbox: RunningSandbox, graph: Connect) -> None:
    """They are in the token: links have no other options."""
    client = graph(BOB)
    query = "?$filter=receivedDateTime ge 2100-01-01T00:00:00Z&$select=subject"
    told, link = round_of(client, INBOX + query)
    assert told == []
    _, created = round_of(client, INBOX + "?changeType=created")
    deliver(sandbox, "late")
    assert round_of(client, link)[0] == []
    told, created = round_of(client, created)
    assert [message["subject"] for message in told] == ["late"]
    client.patch(f"/me/messages/{told[0]['id']}", {"isRead": True})
    assert round_of(client, created)[0] == []

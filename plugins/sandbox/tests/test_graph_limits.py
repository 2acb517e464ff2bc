"""Throttling, ``$batch``, upload sessions, and Graph's failures on switch."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gateway_sandbox.testing import ALICE, BOB, RunningSandbox
from tests.rigs import graph_document
from tests.rigs.graph_client import GraphClient

Connect = Callable[..., GraphClient]
MEGABYTE = 1024 * 1024


def at_once(client: GraphClient, number: int) -> list[httpx.Response]:
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda _: client.call("GET", "/me/messages?$top=1"), range(number)))


def test_the_fifth_parallel_call_is_throttled(sandbox: RunningSandbox, graph: Connect) -> None:
    """Per mailbox; the statistics tell how many there were at once."""
    client = graph(ALICE)
    sandbox.fail("slow", seconds=0.3, user=ALICE)
    answers = at_once(client, 7)
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [429] * 3
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "ApplicationThrottled"
    counted = sandbox.statistics()["graph"]
    assert counted["peak"][ALICE] >= 5
    assert counted["throttled"][ALICE] == 3


def test_four_calls_are_let_through(sandbox: RunningSandbox, graph: Connect) -> None:
    """And four of another mailbox beside them."""
    clients = [graph(ALICE), graph(BOB)]
    sandbox.fail("slow", seconds=0.2)
    with ThreadPoolExecutor(2) as pool:
        answers = [answer for found in pool.map(lambda client: at_once(client, 4), clients) for answer in found]
    assert {answer.status_code for answer in answers} == {200}


def batch(client: GraphClient, *requests: dict[str, Any]) -> dict[str, dict[str, Any]]:
    answer = client.post("/$batch", {"requests": list(requests)})
    return {response["id"]: response for response in answer["responses"]}


def test_a_batch_answers_each_call_for_itself(graph: Connect) -> None:
    """Status, headers and body of each; what depends on a failed call is not tried."""
    client = graph(ALICE)
    json = {"Content-Type": "application/json"}
    answers = batch(
        client,
        {"id": "a", "method": "GET", "url": "/me/messages?$top=1"},
        {"id": "b", "method": "GET", "url": "/me/messages/nonsense"},
        {"id": "c", "method": "POST", "url": "/me/messages", "headers": json, "body": {"subject": "batched"}},
        {"id": "d", "method": "GET", "url": "/me", "dependsOn": ["b"]},
        {"id": "e", "method": "GET", "url": "/me/mailFolders/inbox", "dependsOn": ["c"]},
    )
    assert {name: answer["status"] for name, answer in answers.items()} == {
        "a": 200,
        "b": 400,
        "c": 201,
        "d": 424,
        "e": 200,
    }
    assert len(answers["a"]["body"]["value"]) == 1
    assert answers["b"]["body"]["error"]["code"] == "ErrorInvalidIdMalformed"
    source = batch(client, {"id": "1", "method": "GET", "url": f"/me/messages/{answers['c']['body']['id']}/$value"})
    assert b"Subject: batched" in base64.b64decode(source["1"]["body"])


def test_calls_of_a_batch_may_have_whole_addresses(graph: Connect) -> None:
    """Microsoft's own client sends them, against Microsoft's own description."""
    client = graph(ALICE)
    url = f"{client.sandbox.endpoints.origin}/graph/v1.0/me/messages?$top=1"
    undescribed = json.dumps({"requests": [{"id": "1", "method": "GET", "url": url}]})
    answer = client.call("POST", "/$batch", content=undescribed, headers={"content-type": "application/json"})
    assert [each["status"] for each in answer.json()["responses"]] == [200]


def test_calls_of_a_batch_can_be_throttled_one_by_one(sandbox: RunningSandbox, graph: Connect) -> None:
    """The batch itself is answered with 200."""
    client = graph(ALICE)
    sandbox.fail("throttled", user=ALICE, seconds=7, share=0.5)
    answers = batch(client, *({"id": str(number), "method": "GET", "url": "/me"} for number in range(20)))
    assert {answer["status"] for answer in answers.values()} == {200, 429}
    refused = next(answer for answer in answers.values() if answer["status"] == 429)
    assert refused["headers"]["Retry-After"] == "7"


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [{"id": str(number), "method": "GET", "url": "/me"} for number in range(21)],
        [{"id": "1", "method": "GET", "url": "/me"}] * 2,
        [{"id": "1", "method": "POST", "url": "/me/messages", "body": {}}],
        [{"id": "1", "method": "GET", "url": "/me", "dependsOn": ["2"]}],
    ],
)
def test_batches_that_make_no_sense(graph: Connect, requests: list[Any]) -> None:
    """Refused as a whole."""
    assert graph(ALICE).refusal("POST", "/$batch", {"requests": requests}) == (400, "BadRequest")


def begin_upload(client: GraphClient, size: int) -> tuple[str, dict[str, Any]]:
    draft = client.post("/me/messages", {"subject": "large"})["id"]
    item = {"attachmentType": "file", "name": "big.bin", "size": size, "contentType": "application/x-big"}
    path = f"/me/messages/{draft}/attachments/createUploadSession"
    return draft, client.post(path, {"AttachmentItem": item})


def put(session: dict[str, Any], content: bytes, begin: int, size: int, **headers: str) -> httpx.Response:
    end = begin + len(content) - 1
    headers["content-range"] = f"bytes {begin}-{end}/{size}"
    return httpx.put(session["uploadUrl"], content=content, headers=headers, trust_env=False)


def test_large_attachments_are_uploaded_in_pieces(graph: Connect) -> None:
    """In order, resumable, without a token; the last piece is answered with the attachment's address."""
    client, content = graph(ALICE), bytes(range(256)) * (5 * MEGABYTE // 256)
    draft, session = begin_upload(client, len(content))
    first = put(session, content[: 3 * MEGABYTE], 0, len(content))
    assert first.json()["nextExpectedRanges"] == [f"{3 * MEGABYTE}-{len(content) - 1}"]
    assert put(session, content[:100], 0, len(content)).status_code == 416
    assert (
        httpx.get(session["uploadUrl"], trust_env=False).json()["nextExpectedRanges"]
        == first.json()["nextExpectedRanges"]
    )
    assert put(session, b"x", 3 * MEGABYTE, len(content), authorization="Bearer x").status_code == 401
    last = put(session, content[3 * MEGABYTE :], 3 * MEGABYTE, len(content))
    assert last.status_code == 201
    assert client.call("GET", last.headers["location"] + "/$value").content == content
    assert client.get(f"/me/messages/{draft}")["hasAttachments"]
    assert put(session, b"x", 0, len(content)).status_code == 404


def test_upload_sessions_end(sandbox: RunningSandbox, graph: Connect) -> None:
    """By cancelling, and by themselves; small attachments have none."""
    client, size = graph(ALICE), 4 * MEGABYTE
    _, session = begin_upload(client, size)
    assert httpx.delete(session["uploadUrl"], trust_env=False).status_code == 204
    assert put(session, b"x", 0, size).status_code == 404
    draft, session = begin_upload(client, size)
    sandbox.clock.ahead = timedelta(hours=2)
    assert put(session, b"x", 0, size).status_code == 404
    sandbox.reset()
    small = {"attachmentItem": {"attachmentType": "file", "name": "small", "size": 10}}
    refused = client.refusal("POST", f"/me/messages/{draft}/attachments/createUploadSession", small)
    assert refused == (400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize")


def test_too_large_for_one_call(graph: Connect) -> None:
    """Three megabytes are the limit of an attachment without an upload session."""
    client = graph(ALICE)
    draft = client.post("/me/messages", {"subject": "large"})["id"]
    content = base64.b64encode(b"x" * (3 * MEGABYTE + 1)).decode()
    body = {"@odata.type": "#microsoft.graph.fileAttachment", "name": "big", "contentBytes": content}
    assert client.refusal("POST", f"/me/messages/{draft}/attachments", body) == (
        413,
        "ErrorAttachmentSizeLimitExceeded",
    )


def test_storms_of_429_and_503(sandbox: RunningSandbox, graph: Connect) -> None:
    """For one mailbox or all; a share of the calls or every one."""
    client, other = graph(ALICE), graph(BOB)
    sandbox.fail("throttled", user=ALICE, seconds=12)
    answer = client.call("GET", "/me/messages")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "12")
    assert other.call("GET", "/me/messages").status_code == 200
    sandbox.reset()
    sandbox.fail("graph_unavailable", share=0.5)
    statuses = {client.call("GET", "/me").status_code for _ in range(30)}
    assert statuses == {200, 503}
    sandbox.reset()
    sandbox.fail("temporarily_unavailable")
    assert client.refusal("GET", "/me") == (503, "ServiceUnavailable")


def test_a_mailbox_that_is_not_there(sandbox: RunningSandbox, graph: Connect) -> None:
    """No licence, on-premises, or a guest."""
    client = graph(ALICE)
    sandbox.fail("mailbox_not_connected", user=ALICE)
    assert client.refusal("GET", "/me/messages") == (404, "MailboxNotEnabledForRESTAPI")


def test_poisoned_messages_are_still_within_the_description(sandbox: RunningSandbox, graph: Connect) -> None:
    """They lack what may be null: a client that relies on it fails here and not in production."""
    client = graph(ALICE)
    sandbox.fail("poison", user=ALICE)
    message = client.get("/me/mailFolders/inbox/messages?$top=1")["value"][0]
    assert (message["from"], message["subject"], message["body"]) == (None, None, None)
    assert message["id"]


def test_the_description_is_checked_strictly() -> None:
    """A checker that let everything through would make all these tests worthless."""
    if not graph_document.AVAILABLE:
        pytest.skip("Microsoft's description of Graph is not at hand")
    for wrong in ({"id": 1}, {"isRead": "yes"}, {"unknown": 1}, {"from": {"name": "x"}}, {"receivedDateTime": "today"}):
        with pytest.raises(graph_document.NotInDocumentError):
            graph_document.check_answer("GET", "/me/messages/x", 200, wrong)
    for method, path in (("GET", "/me/nonsense"), ("PUT", "/me/messages")):
        with pytest.raises(graph_document.NotInDocumentError):
            graph_document.check_answer(method, path, 200, {})
    graph_document.check_answer("GET", "/Me/Messages('x')", 200, {"id": "x", "@odata.etag": "y", "isRead": None})

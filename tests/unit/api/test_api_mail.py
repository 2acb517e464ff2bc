"""What mail operations ask of a worker, and what of its answer reaches the client."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.replies import StreamBrokenError, content_disposition, safe_content_type
from gateway.errors import WorkerLostError
from gateway.model.message import FlagUpdate, MessageUpdate, SearchQuery
from gateway.model.stream import OctetRange, Span, StreamHead
from gateway.queue import operations

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("method", "path", "body", "name", "arguments"),
    [
        ("GET", "mailboxes?counters=Y", None, "mailboxes.list", operations.ListMailboxes(counters=True)),
        ("POST", "mailbox", {"path": "A/B"}, "mailboxes.create", operations.CreateMailbox(path="A/B")),
        ("POST", "mailbox", {"path": ["A"]}, "mailboxes.create", operations.CreateMailbox(path="A")),
        (
            "PUT",
            "mailbox",
            {"path": "A", "newPath": "B"},
            "mailboxes.change",
            operations.ChangeMailbox(path="A", new_path="B"),
        ),
        (
            "PUT",
            "mailbox",
            {"path": "A", "subscribed": False},
            "mailboxes.change",
            operations.ChangeMailbox(path="A", subscribed=False),
        ),
        (
            "PUT",
            "mailbox",
            {"path": "A", "newPath": ["B"], "subscribed": True},
            "mailboxes.change",
            operations.ChangeMailbox(path="A", new_path="B", subscribed=True),
        ),
        ("DELETE", "mailbox?path=A%20%26%20B", None, "mailboxes.delete", operations.DeleteMailbox(path="A & B")),
        (
            "GET",
            "messages?path=INBOX&page=2&pageSize=5",
            None,
            "messages.list",
            operations.ListMessages(path="INBOX", page=2, page_size=5),
        ),
        (
            "GET",
            "messages?path=%5CSent&cursor=c",
            None,
            "messages.list",
            operations.ListMessages(path="\\Sent", cursor="c"),
        ),
        (
            "POST",
            "search?path=Sent&page=1&pageSize=7&useOutlookSearch=true",
            {"search": {"from": "ann", "unseen": True}},
            "messages.search",
            operations.SearchMessages(path="Sent", query=SearchQuery(from_="ann", unseen=True), page=1, page_size=7),
        ),
        (
            "POST",
            "search",
            {"search": {}},
            "messages.search",
            operations.SearchMessages(query=SearchQuery()),
        ),
        ("GET", "message/m", None, "messages.get", operations.GetMessage(message="m")),
        (
            "GET",
            "message/m?textType=*&maxBytes=10&markAsSeen=1",
            None,
            "messages.get",
            operations.GetMessage(message="m", text_type="*", max_bytes=10, mark_as_seen=True),
        ),
        ("GET", "text/t?textType=html", None, "messages.text", operations.GetText(text="t", text_type="html")),
        ("GET", "message/m/source", None, "messages.source", operations.GetSource(message="m")),
        ("GET", "attachment/t", None, "messages.attachment", operations.GetAttachment(attachment="t")),
        (
            "PUT",
            "message/m",
            {"flags": {"add": "\\Seen"}},
            "messages.update",
            operations.UpdateMessage(message="m", update=MessageUpdate(flags=FlagUpdate(add="\\Seen"))),
        ),
        (
            "PUT",
            "message/m/move",
            {"path": "B", "source": "A"},
            "messages.move",
            operations.MoveMessage(message="m", path="B"),
        ),
        ("DELETE", "message/m?force=true", None, "messages.delete", operations.DeleteMessage(message="m", force=True)),
        (
            "POST",
            "message",
            {"path": "Drafts", "subject": "Hi", "flags": ["\\Draft"]},
            "messages.append",
            operations.AppendMessage(path="Drafts", content=b"Subject: Hi\r\n\r\n", flags=("\\Draft",)),
        ),
    ],
)
async def test_an_operation_reaches_the_worker_as_meant(
    method: str, path: str, body: Any, name: str, arguments: Any, client: httpx.AsyncClient, services: Any
) -> None:
    """Query, path and body become the arguments of the right operation of the right account."""
    answer = await client.request(method, f"/v1/account/a/{path}", json=body, headers={"X-EE-Timeout": "2500"})
    assert answer.status_code == 200, answer.text
    assert services.jobs.calls == [(name, "a", arguments, 2.5)]


async def test_the_workers_json_is_passed_on_untouched(client: httpx.AsyncClient, services: Any) -> None:
    services.jobs.answer = b'{"mailboxes": [ ] }'
    answer = await client.get("/v1/account/a/mailboxes")
    assert answer.content == services.jobs.answer
    assert answer.headers["content-type"] == "application/json"


async def test_head_answers_with_the_headers_of_get(client: httpx.AsyncClient, services: Any) -> None:
    services.jobs.answer = b'{"mailboxes":[]}'
    answer = await client.head("/v1/account/a/mailboxes")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "16")


@pytest.mark.parametrize(
    ("path", "status", "key"),
    [
        ("messages", 400, "path"),
        ("messages?path=", 400, "path"),
        ("messages?path=A%0d%0aB", 400, "path"),
        ("messages?path=A&pageSize=1001", 400, "pageSize"),
        ("messages?path=A&pagesize=1", 400, "pagesize"),
        ("message/m?textType=rtf", 400, "textType"),
        ("mailboxes?counters=maybe", 400, "counters"),
        ("message/m/source?x=1", 400, "x"),
        (f"message/{'m' * 257}", 400, "message"),
        (f"message/{'m' * 4096}", 400, "message"),
        ("message/m%00", 400, "message"),
        ("message/m%0a", 400, "message"),
        ("message/m%ff", 400, "message"),
    ],
)
async def test_what_is_wrong_is_named(
    path: str, status: int, key: str, client: httpx.AsyncClient, services: Any
) -> None:
    answer = await client.get(f"/v1/account/a/{path}")
    assert answer.status_code == status
    assert [field["key"] for field in answer.json()["fields"]] == [key]
    assert services.jobs.calls == []


@pytest.mark.parametrize(
    "account", ["*", "..", "../", "..%2f..%2fx", "\U0001f4a9", "a" * 4096, "%00", "a%00b", "?", "#", "a*"]
)
async def test_hostile_account_ids_are_answered_cleanly(account: str, client: httpx.AsyncClient, services: Any) -> None:
    """Neither a glob nor a path nor an overlong id finds somebody else's account."""
    escaped = account if "%" in account else quote(account, safe="")
    answer = await client.get(f"/v1/account/{escaped}/mailboxes")
    assert answer.status_code in (400, 404)
    assert answer.json()["code"]
    assert services.jobs.calls == []


async def test_an_account_id_may_hold_a_slash(client: httpx.AsyncClient, services: Any) -> None:
    """Ids are the caller's choice; an encoded slash does not end a path segment."""
    for escaped in ("x%2Fy", "x%2fy"):
        assert (await client.get(f"/v1/account/{escaped}/mailboxes")).status_code == 200
    assert {call[1] for call in services.jobs.calls} == {"x/y"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("webSafeHtml=true", {"text_type": "*", "safe_html": True, "embed_images": True}),
        ("webSafeHtml=true&textType=plain", {"text_type": "*", "safe_html": True, "embed_images": True}),
        ("webSafeHtml=true&embedAttachedImages=false", {"text_type": "*", "safe_html": True}),
        ("textType=html&preProcessHtml=true", {"text_type": "html", "safe_html": True}),
        ("textType=html&embedAttachedImages=true", {"text_type": "html", "embed_images": True}),
        ("webSafeHtml=false&embedAttachedImages=false", {}),
    ],
)
async def test_safe_html_stands_for_what_it_needs(
    query: str, expected: dict[str, Any], client: httpx.AsyncClient, services: Any
) -> None:
    """It implies both texts and images in their place, unless those are refused by name."""
    assert (await client.get(f"/v1/account/a/message/m?{query}")).status_code == 200
    assert services.jobs.calls[-1][2] == operations.GetMessage(message="m", **expected)


async def test_segments_are_joined_by_the_servers_delimiter(client: httpx.AsyncClient, services: Any) -> None:
    services.jobs.answer = b'{"mailboxes":[{"path":"INBOX","delimiter":"."}]}'
    await client.post("/v1/account/a/mailbox", json={"path": ["A", "B"]})
    assert services.jobs.calls[-1][2] == operations.CreateMailbox(path="A.B")


@pytest.mark.parametrize("body", [{}, {"path": []}, {"path": None}])
async def test_a_new_mailbox_needs_a_path(body: Any, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/account/a/mailbox", json=body)
    assert (answer.status_code, answer.json()["fields"][0]["key"]) == (400, "path")


async def test_a_change_of_a_mailbox_says_what_to_change(client: httpx.AsyncClient) -> None:
    answer = await client.put("/v1/account/a/mailbox", json={"path": "A"})
    assert (answer.status_code, answer.json()["fields"][0]["key"]) == (400, "newPath")


# --- downloads --------------------------------------------------------------------------------------------------------


def stream(services: Any, chunks: list[Any], **head: Any) -> Any:
    services.jobs.streamed = type(services.jobs.streamed)(StreamHead(**{"content_type": "text/plain", **head}), chunks)
    return services.jobs.streamed


async def test_an_attachment_arrives_whole_with_its_headers(client: httpx.AsyncClient, services: Any) -> None:
    opened = stream(services, [b"ab", b"", b"c"], content_type="image/png", filename="ä.png", span=Span(0, 2, 3))
    answer = await client.get("/v1/account/a/attachment/x")
    assert answer.content == b"abc"
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == "3"
    assert answer.headers["content-disposition"] == "attachment; filename=\"_.png\"; filename*=UTF-8''%C3%A4.png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert opened.closed == 1


async def test_a_part_of_a_download_is_asked_of_the_worker(client: httpx.AsyncClient, services: Any) -> None:
    """RFC 9110 section 14; the worker tells which part it sends."""
    stream(services, [b"bc"], span=Span(1, 2, 5))
    for path in ("attachment/x", "message/x/source"):
        whole = await client.get(f"/v1/account/a/{path}")
        tag = whole.headers["etag"]
        for headers, asked in (
            ({}, None),
            ({"range": "bytes=1-2"}, OctetRange(1, 2)),
            ({"range": "bytes=-4"}, OctetRange(None, 4)),
            ({"range": "bytes=1-", "if-range": tag}, OctetRange(1, None)),
            ({"range": "bytes=1-", "if-range": '"another"'}, None),
            ({"range": "bytes=2-1"}, None),
            ({"range": "bytes=0-1,3-4"}, None),
        ):
            answer = await client.get(f"/v1/account/a/{path}", headers=headers)
            assert services.jobs.calls[-1][2].range == asked
            assert (answer.status_code, answer.headers["content-range"]) == (206, "bytes 1-2/5")
            assert (answer.headers["content-length"], answer.headers["etag"]) == ("2", tag)


async def test_a_download_of_unknown_size_offers_no_parts(client: httpx.AsyncClient, services: Any) -> None:
    stream(services, [b"abc"])
    answer = await client.get("/v1/account/a/attachment/x", headers={"range": "bytes=1-"})
    assert (answer.status_code, answer.content) == (200, b"abc")
    assert not {"accept-ranges", "content-range", "content-length", "etag"} & set(answer.headers)


@pytest.mark.parametrize("id", ['"', "\u00e9\U0001f4a9", "a'b;c"])
async def test_the_entity_tag_is_harmless_whatever_the_id(id: str, client: httpx.AsyncClient, services: Any) -> None:
    stream(services, [b"abc"], span=Span(0, 2, 3))
    answer = await client.get(f"/v1/account/a/attachment/{quote(id, safe='')}")
    assert answer.headers["etag"].strip('"').isalnum()


async def test_head_of_a_download_reads_nothing_and_closes_it(client: httpx.AsyncClient, services: Any) -> None:
    opened = stream(services, [RuntimeError("read")], content_type="message/rfc822", span=Span(0, 8, 9))
    answer = await client.head("/v1/account/a/message/m/source")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "9", b"")
    assert opened.closed == 1


async def test_an_error_before_the_first_octet_is_an_ordinary_error(client: httpx.AsyncClient, services: Any) -> None:
    services.jobs.answer = WorkerLostError("gone")
    answer = await client.get("/v1/account/a/attachment/x")
    assert (answer.status_code, answer.json()["code"]) == (503, "WorkerNotAvailable")


async def test_a_download_that_breaks_off_ends_the_connection(client: httpx.AsyncClient, services: Any) -> None:
    """A client must not take half a file for a whole one; the native error goes nowhere."""
    opened = stream(services, [b"half", RuntimeError("secret")])
    with pytest.raises(Exception) as caught:
        await client.get("/v1/account/a/attachment/x")
    chain = [caught.value, caught.value.__cause__]
    assert any(isinstance(error, StreamBrokenError) for error in chain)
    assert "secret" not in repr(chain)
    assert opened.closed == 1


async def test_a_client_that_goes_away_closes_the_source(whole_api: Any, services: Any) -> None:
    """The worker is told to stop, and nothing is left open."""
    endless = stream(services, [b"first", asyncio.Event()])
    gone = asyncio.Event()
    sent: list[Any] = []

    async def receive() -> Any:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        sent.append(event)
        if event.get("body") == b"first":
            gone.set()

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/account/a/attachment/x",
        "raw_path": b"/v1/account/a/attachment/x",
        "query_string": b"access_token=" + b"a" * 64,
        "headers": [],
        "client": ("192.0.2.7", 1),
        "server": ("api", 80),
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }
    await asyncio.wait_for(whole_api[1](scope, receive, send), 10)
    assert [event.get("body") for event in sent][1] == b"first"
    assert endless.closed == 1


@given(st.text(max_size=300))
def test_no_file_name_leaves_its_header_or_its_directory(filename: str) -> None:
    """RFC 6266: whatever a sender called the file, the header is one line, quoted, and names no directory."""
    header = content_disposition("attachment", filename)
    assert header.isascii() and header.isprintable()
    assert header.count('"') == 2
    plain = header.split('"')[1]
    assert plain and "/" not in plain and "\\" not in plain and not plain.startswith(".")


@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("x" * 300, "x" * 200),
        ("x." + "y" * 300, "x." + "y" * 198),
        ("x" * 195 + " ..." + "z.tar.gz", "x" * 195 + ".gz"),
    ],
)
def test_long_file_name_keeps_its_ending(filename: str, shown: str) -> None:
    """File systems take 255 octets, and programs go by the ending."""
    assert content_disposition("attachment", filename) == f'attachment; filename="{shown}"'


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/html; charset=utf-8", "text/html; charset=utf-8"),
        ('text/calendar; method="REQUEST"', 'text/calendar; method="REQUEST"'),
        ("image/svg+xml", "image/svg+xml"),
        ("text/html\r\nX: y", "application/octet-stream"),
        ("nonsense", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("text/plain; name=\u00e4", "application/octet-stream"),
        ("a/" + "b" * 300, "application/octet-stream"),
    ],
)
def test_only_a_media_type_becomes_a_media_type(content_type: str, expected: str) -> None:
    assert safe_content_type(content_type) == expected


async def test_health_needs_no_token_and_tells_what_is_missing(client: httpx.AsyncClient, services: Any) -> None:
    del client.headers["authorization"]
    well = await client.get("/health")
    services.health.checks = {"redis": True, "workers": False}
    ill = await client.get("/health")
    assert (well.status_code, well.json()) == (200, {"success": True, "checks": {"redis": True}})
    assert (ill.status_code, ill.json()["checks"]["workers"]) == (503, False)

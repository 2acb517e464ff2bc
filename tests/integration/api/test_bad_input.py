"""Whatever a client sends, to whichever operation: a clean refusal, and nothing is changed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from gateway.api.catalogue import OPERATIONS
from gateway.api.operation import BODY_LIMIT, PATH_PARAMETER, Operation
from gateway.api.paths import OTHER, PATH_PARAMETERS
from gateway.settings import MAIL_BODY_LIMIT
from tests.integration.api.installation import ROOT_TOKEN, Installation
from tests.integration.api.payloads import bad, bad_in_query, valid
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}
with_body = pytest.mark.parametrize(
    "op", [op for op in OPERATIONS if op.body is not None], ids=lambda op: op.operation_id
)
with_path = pytest.mark.parametrize("op", [op for op in OPERATIONS if op.parameters], ids=lambda op: op.operation_id)
every_operation = pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.operation_id)


def url(op: Operation, **ids: str) -> str:
    """Return the URL of an operation, its query as short as can be; ids that are not given name things that exist."""

    def filled(match: re.Match[str]) -> str:
        values = PATH_PARAMETERS.get(match[1], OTHER).values or ("known",)
        return quote(ids.get(match[1], values[0]), safe="%")

    path = PATH_PARAMETER.sub(filled, op.path)
    return f"{path}?{urlencode(query)}" if op.query is not None and (query := valid(op.query)) else path


@pytest.fixture
async def stocked(gateway: Installation, client: httpx.AsyncClient) -> Installation:
    """A gateway with an account, so that there is something to be changed by mistake."""
    created = await client.post("/v1/account", json={"account": "known", "name": "Known", "email": "known@example.com"})
    assert created.status_code == 200
    return gateway


@pytest.fixture
def problems(stocked: Installation) -> Iterator[list[str]]:
    """A list to note mistakes in, so that a test names all of them; what is stored must not change meanwhile."""
    found: list[str] = []
    before = stocked.keyspace()
    yield found
    assert stocked.keyspace() == before
    assert found == [], "\n".join(found)


def judge(problems: list[str], label: str, answer: httpx.Response, *statuses: int) -> str | None:
    try:
        return refusal(answer, *statuses)
    except AssertionError as error:
        problems.append(f"{label}: {error}")
        return None


@with_body
async def test_every_mistake_in_a_body_is_refused(
    op: Operation, client: httpx.AsyncClient, problems: list[str]
) -> None:
    """Wrong types, unknown and missing members, sizes over every limit, at every depth."""
    assert op.body is not None
    for label, body in bad(op.body):
        answer = await client.request(op.method, url(op), json=body)
        code = judge(problems, label, answer, 400, 413)
        if code not in (None, "InvalidRequest") and len(answer.request.content) <= BODY_LIMIT:
            problems.append(f"{label}: {code}")


@with_body
async def test_a_mistake_is_named_by_its_path(op: Operation, client: httpx.AsyncClient, problems: list[str]) -> None:
    """A client can show it at the right place of its form."""
    assert op.body is not None
    answer = await client.request(op.method, url(op), json={**valid(op.body), "noSuchMember": 1})
    judge(problems, "noSuchMember", answer, 400)
    if [field["key"] for field in answer.json()["fields"]] != ["noSuchMember"]:
        problems.append(answer.text)


@every_operation
async def test_every_mistake_in_a_query_is_refused(
    op: Operation, client: httpx.AsyncClient, problems: list[str]
) -> None:
    """Also by operations that take no query: a misspelt member must not be silently ignored."""
    body = valid(op.body) if op.body is not None else None
    for label, query in bad_in_query(op.query):
        code = judge(problems, label, await client.request(op.method, url(op), params=query, json=body), 400)
        if code not in (None, "InvalidRequest"):
            problems.append(f"{label}: {code}")


def not_json(op: Operation) -> Iterator[tuple[str, bytes]]:
    """Bodies that are no JSON, or no object."""
    assert op.body is not None
    base = json.dumps(valid(op.body))[:-1] + ("," if valid(op.body) else "")
    yield "cut off", b"{"
    yield "an array", b"[]"
    yield "a string", b'"x"'
    yield "null", b"null"
    yield "two values", b"{}{}"
    yield "single quotes", b"{'a': 1}"
    yield "a comment", b"{} // x"
    yield "a trailing comma", b'{"a": 1,}'
    yield "UTF-16", "{}".encode("utf-16")
    yield "broken UTF-8", b'{"name": "\xff"}'
    yield "a lone surrogate", b'{"name": "\\ud800"}'
    yield "a control character", b'{"name": "\x01"}'
    yield "deep arrays", b"[" * 10_000
    yield "closed deep arrays", b"[" * 10_000 + b"]" * 10_000
    yield "deep objects", b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    for number in ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000):
        yield f"{number[:9]}", f'{base} "noSuchMember": {number}}}'.encode()
    for name in list(op.body.__struct_encode_fields__)[:3]:
        yield f"{name} deep", f'{base} "{name}": {"[" * 10_000}{"]" * 10_000}}}'.encode()
    # Of a name that is given twice, the last one counts (RFC 8259 section 4 leaves it open).
    yield "a name twice", f'{base} "noSuchMember": 1, "noSuchMember": 2}}'.encode()


@with_body
async def test_a_body_that_is_not_json_is_refused(
    op: Operation, client: httpx.AsyncClient, problems: list[str]
) -> None:
    for label, body in not_json(op):
        answer = await client.request(op.method, url(op), content=body, headers=JSON)
        code = judge(problems, label, answer, 400)
        if code not in (None, "InvalidJson", "InvalidRequest"):
            problems.append(f"{label}: {code}")


@pytest.mark.parametrize(
    "op", [op for op in OPERATIONS if op.body is not None and valid(op.body)], ids=lambda op: op.operation_id
)
async def test_an_absent_body_is_an_empty_object(op: Operation, client: httpx.AsyncClient, problems: list[str]) -> None:
    """What is missing is named, as if `{}` had been sent."""
    for body in (b"", b"{}"):
        judge(problems, repr(body), await client.request(op.method, url(op), content=body, headers=JSON), 400)


@with_body
async def test_a_body_of_another_type_is_refused(op: Operation, client: httpx.AsyncClient, problems: list[str]) -> None:
    assert op.body is not None
    body = json.dumps(valid(op.body)).encode()
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "x"):
        answer = await client.request(op.method, url(op), content=body, headers={"content-type": media_type})
        if judge(problems, media_type, answer, 415) not in (None, "UnsupportedMediaType"):
            problems.append(f"{media_type}: {answer.text}")


@with_body
async def test_a_body_of_60_megabytes_is_refused(op: Operation, client: httpx.AsyncClient, problems: list[str]) -> None:
    """Whether its size is announced or not."""
    size = 60 * 1024 * 1024
    assert size > MAIL_BODY_LIMIT

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(60):
            yield b" " * (1024 * 1024)

    for label, headers in (("announced", {**JSON, "content-length": str(size)}), ("in pieces", JSON)):
        answer = await client.request(op.method, url(op), content=pieces(), headers=headers)
        if judge(problems, label, answer, 413) not in (None, "RequestTooLarge"):
            problems.append(f"{label}: {answer.text}")


# --- path parameters --------------------------------------------------------------------------------------------------

HOSTILE = (
    *("*", "?", "[a-z]*", "kn*wn", "kno[w]n", "know?", "\\known", "known\\", "^known", "-"),
    # Clients resolve dots themselves (RFC 3986 section 5.2.4) unless they are encoded.
    *("%2e%2e", "..%2f", "..%2F..%2Fknown", "%2e%2e%2f", "%2e", "known%2f", "%2fknown", "%2e%2e%2fknown"),
    *("known%00", "%00", "known%0a", "known%0d%0aX", "%7f", "known%c2%a0", "%20known"),
    *("\U0001f4a9", "%f0%9f%92%a9", "%ff", "%ed%a0%80", "%c0%af", "\u202eknown", "KNOWN", "kno\u0077n\u0301"),
    *("a" * 4096, "\U0001f4a9" * 257, "{a:known}", "{gw}:accounts", "known}:record", "known}:", "{a:known}:record"),
    *("__proto__", "constructor", "__class__", "known:accounts", "known:calls:1", "'", '"', "' OR 1=1 --", "<script>"),
    *("$(id)", "`id`", "%25s%25n", "${x}", "known;", "known,known", "known known", "known%20"),
)


def finds_nothing(answer: httpx.Response) -> bool:
    """Whether an answer says, without an error, that there is no such thing; it may repeat the id."""
    if answer.status_code != 200:
        return False
    told = {name: value for name, value in answer.json().items() if name not in ("id", "listId")}
    return told in (
        {"deleted": False},
        {"deleted": False, "account": None},
        {"total": 0, "page": 0, "pages": 0, "addresses": []},
    )


@with_path
async def test_a_hostile_id_names_nothing(op: Operation, client: httpx.AsyncClient, problems: list[str]) -> None:
    """It is refused, or answered exactly as an id is that nobody has."""
    body = valid(op.body) if op.body is not None else None
    for name in op.parameters:
        unknown = await client.request(op.method, url(op, **{name: "nobody"}), json=body)
        for id in HOSTILE:
            answer = await client.request(op.method, url(op, **{name: id}), json=body)
            if finds_nothing(answer) and finds_nothing(unknown):
                continue
            code = judge(problems, f"{name}={id[:40]}", answer, 400, 404, unknown.status_code)
            if code not in (None, "InvalidRequest", "NotFound") and code != unknown.json().get("code"):
                problems.append(f"{name}={id[:40]}: {code}")


@pytest.mark.parametrize("id", ["known%00", "%ff", "%ed%a0%80", "%0a", "a" * 20_000])
@with_path
async def test_an_id_that_nothing_can_have_is_refused(
    op: Operation, id: str, client: httpx.AsyncClient, problems: list[str]
) -> None:
    """Control characters, octets that are not UTF-8, and lengths beyond the documented one."""
    body = valid(op.body) if op.body is not None else None
    for name in op.parameters:
        answer = await client.request(op.method, url(op, **{name: id}), json=body)
        if judge(problems, name, answer, 400) is not None and answer.json()["fields"][0]["key"] != name:
            problems.append(f"{name}: {answer.text}")


@with_body
async def test_a_body_that_ends_in_the_middle_is_the_clients_fault(op: Operation, stocked: Installation) -> None:
    """It went away, or its chunks are none; an error of the gateway would only fill the log."""

    async def cut(scope: Any, receive: Any, send: Any) -> None:
        events = iter([{"type": "http.request", "body": b'{"na', "more_body": True}])

        async def interrupted() -> Any:
            return next(events, {"type": "http.disconnect"})

        await stocked._app(scope, interrupted, send)

    transport = httpx.ASGITransport(app=cut)
    headers = {**JSON, "authorization": f"Bearer {ROOT_TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
        assert refusal(await client.request(op.method, url(op)), 400) == "IncompleteBody"


LOOKALIKES = ("a*b", "axb", "a?b", "a[x]b", "a\\b", "ab", "a", "a}", "a}:b", "a}:out", "a}:record", "{a", "a%7D", "a:b")


async def furnish(client: httpx.AsyncClient, account: str) -> None:
    """Create an account that sends, with a token and a message in its outbox."""
    created = await client.post(
        "/v1/account",
        json={
            "account": account,
            "name": account,
            "email": "somebody@example.com",
            "smtp": {"host": "mail.example.com", "port": 587, "auth": {"user": "u", "pass": "p"}},
        },
    )
    assert created.json() == {"account": account, "state": "new"}
    token = await client.post("/v1/tokens", json={"description": account, "scopes": ["api"], "account": account})
    assert token.status_code == 200
    later = {"to": {"address": "other@example.com"}, "text": "x", "sendAt": "2099-01-01T00:00:00Z"}
    queued = await client.post(f"/v1/account/{quote(account, safe='')}/submit", json=later)
    assert queued.status_code == 200


@pytest.mark.parametrize("account", LOOKALIKES)
async def test_deleting_an_account_leaves_every_other_one_as_it_is(
    account: str, gateway: Installation, client: httpx.AsyncClient
) -> None:
    """Ids are the caller's choice: globs, braces and colons in them are nothing but characters."""
    for other in LOOKALIKES:
        if other != account:
            await furnish(client, other)
    before = gateway.keyspace()
    await furnish(client, account)
    assert len(gateway.keyspace()) > len(before)
    deleted = await client.delete(f"/v1/account/{quote(account, safe='')}")
    assert deleted.json() == {"account": account, "deleted": True}
    assert gateway.keyspace() == before


def test_every_operation_is_put_to_the_test() -> None:
    """The parameters above come from the catalogue; an empty one would let everything pass."""
    bodies: list[Any] = [op.body for op in OPERATIONS if op.body is not None]
    assert len(OPERATIONS) > 35
    assert sum(1 for body in bodies for _ in bad(body)) > 2000

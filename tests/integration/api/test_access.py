"""Who may call what, with tokens as they are really issued and stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, get_args

import httpx
import pytest

from gateway.api.catalogue import OPERATIONS
from gateway.api.operation import PATH_PARAMETER, Operation
from gateway.model.token import Group, TokenPermissions, TokenRestrictions
from tests.integration.api.installation import ADDRESS, ROOT_TOKEN, Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

CLOSED = [op for op in OPERATIONS if op.scope is not None]
Issue = Callable[..., Awaitable[str]]


def path_of(op: Operation, account: str = "mine") -> str:
    return PATH_PARAMETER.sub(lambda match: account if match[1] == "account" else "id", op.path)


async def ask(gateway: Installation, op: Operation, token: str | None, **headers: str) -> httpx.Response:
    """Call an operation with a query that none of them takes, so that what is let in changes nothing."""
    async with gateway.client(token, **headers) as client:
        named = {"account": "mine"} if op.binding == "optional" else {}
        return await client.request(op.method, path_of(op), params={"noSuchMember": "1", **named})


@pytest.fixture
async def issue(gateway: Installation) -> AsyncIterator[Issue]:
    """Issues a token through the API and returns its value; there are the accounts `mine` and `yours`."""
    async with gateway.client(ROOT_TOKEN) as client:
        for account in ("mine", "yours"):
            await client.post("/v1/account", json={"account": account, "name": account})

        async def make(**members: Any) -> str:
            wanted = {"description": "a token", "scopes": ["api"], **members}
            if "account" not in wanted:
                wanted.setdefault("permissions", {"actions": ["read", "write", "send", "destructive"]})
            answer = await client.post("/v1/tokens", json=wanted)
            assert answer.status_code == 200, answer.text
            value: str = answer.json()["token"]
            return value

        yield make


async def refused(gateway: Installation, op: Operation, token: str | None, status: int, **headers: str) -> Any:
    """Check that an operation refuses a token and changes nothing; return what it says."""
    before = gateway.keyspace()
    answer = await ask(gateway, op, token, **headers)
    refusal(answer, status)
    assert gateway.keyspace() == before
    return answer.json()


MALFORMED = ("", "x", "a" * 63, "a" * 65, "g" * 64, "a1" * 31 + "\u00e4\u00e4", "../" * 21 + "x", "*" * 64, "a1 " * 21)


@pytest.mark.parametrize("op", CLOSED, ids=lambda op: op.operation_id)
async def test_without_a_valid_token_nothing_is_answered(op: Operation, gateway: Installation) -> None:
    unknown = "0" * 64
    for token in (None, unknown, ROOT_TOKEN[::-1]):
        assert (await refused(gateway, op, token, 401))["code"] == "Unauthorized"
    for value in MALFORMED:
        header = f"Bearer {value}".encode()
        async with gateway.client(None) as client:
            answer = await client.request(op.method, path_of(op), headers={b"authorization": header})
        assert refusal(answer, 401) == "Unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("op", CLOSED, ids=lambda op: op.operation_id)
async def test_a_token_ends_when_it_expires_or_is_deleted(op: Operation, gateway: Installation, issue: Issue) -> None:
    """The same answer as for one that never was."""
    expires = gateway.clock().replace(year=gateway.clock().year + 1).isoformat()
    brief, deleted = await issue(account="mine", expires=expires), await issue(account="mine")
    assert (await ask(gateway, op, brief)).status_code in (400, 403)
    async with gateway.client(ROOT_TOKEN) as client:
        assert (await client.delete(f"/v1/tokens/{deleted}")).json() == {"deleted": True}
    gateway.clock.advance(366 * 24 * 3600)
    assert (await refused(gateway, op, brief, 401))["code"] == "Unauthorized"
    assert (await refused(gateway, op, deleted, 401))["code"] == "Unauthorized"


@pytest.mark.parametrize("op", CLOSED, ids=lambda op: op.operation_id)
async def test_tokens_that_do_not_reach_an_operation(op: Operation, gateway: Installation, issue: Issue) -> None:
    """Another scope, another account, narrowed to something else, from elsewhere."""
    others = ["smtp", "api" if op.scope == "metrics" else "metrics"]
    assert (await refused(gateway, op, await issue(scopes=others), 403))["requestedScope"] == op.scope
    issue = partial(issue, scopes=[op.scope])
    if op.binding != "controller":
        assert (await refused(gateway, op, await issue(account="yours"), 403))["message"] == "Unauthorized account"
    required = {"action": op.action, "group": op.group}
    every_other_action = [action for action in ("read", "write", "send", "destructive") if action != op.action]
    every_other_group = [group for group in get_args(Group) if group != op.group]
    narrowed: list[dict[str, Any]] = [{"actions": every_other_action}, {"groups": every_other_group}]
    narrowed.append({"actions": [op.action], "groups": every_other_group})
    for permissions in narrowed:
        answer = await refused(gateway, op, await issue(permissions=permissions), 403)
        assert answer["requiredPermission"] == required
    elsewhere = await issue(restrictions={"addresses": ["198.51.100.0/24", "2001:db8::/32"]})
    assert (await refused(gateway, op, elsewhere, 403))["remoteAddress"] == ADDRESS
    linked = await issue(restrictions={"referrers": ["https://app.example/*"]})
    assert (await refused(gateway, op, linked, 403, referer="https://other.example/"))["message"]


@pytest.mark.parametrize("op", CLOSED, ids=lambda op: op.operation_id)
async def test_tokens_that_reach_an_operation(op: Operation, gateway: Installation, issue: Issue) -> None:
    """The refusals above would be worth nothing if these were refused as well: here only the query is wrong."""
    let_in = [ROOT_TOKEN]
    issue = partial(issue, scopes=[op.scope])
    if op.binding in ("path", "optional", "controller"):
        let_in.append(await issue(account="mine"))
    if op.group != "admin":
        let_in.append(await issue(permissions={"actions": [op.action], "groups": [op.group]}))
        let_in.append(await issue(restrictions={"addresses": ["192.0.2.0/24"]}))
    for token in let_in:
        assert refusal(await ask(gateway, op, token), 400) == "InvalidRequest"


async def test_tokens_of_an_account_are_listed_by_it_alone(gateway: Installation, issue: Issue) -> None:
    """The one operation whose account stands in the query."""
    token = await issue(account="mine")
    async with gateway.client(token) as client:
        mine = await client.get("/v1/tokens", params={"account": "mine"})
        assert [found["account"] for found in mine.json()["tokens"]] == ["mine"]
        for query in ({}, {"account": "yours"}, {"account": ["mine", "yours"]}):
            refusal(await client.get("/v1/tokens", params=query), 403)


async def test_a_token_of_the_command_line_administers(gateway: Installation) -> None:
    """Only those without `permissions` do: the API issues none that are not narrowed."""
    value = (await gateway.services.tokens.issue_unrestricted("administration", ("api",))).token
    async with gateway.client(value) as client:
        assert (await client.get("/v1/oauth2")).status_code == 200


async def test_the_token_may_stand_in_the_query(gateway: Installation, issue: Issue) -> None:
    token = await issue(account="mine")
    async with gateway.client(None) as client:
        assert (await client.get(f"/v1/account/mine?access_token={token}")).status_code == 200
        refusal(await client.get(f"/v1/account/yours?access_token={token}"), 403)


async def test_a_rate_limit_counts_in_windows(gateway: Installation, issue: Issue) -> None:
    """What is left is told with every answer; over the limit, how long to wait, and waiting helps."""
    token = await issue(restrictions={"rateLimit": {"maxRequests": 2, "timeWindow": 60}})
    gateway.clock.advance(60 - gateway.clock.time() % 60 + 0.5)
    async with gateway.client(token) as client:
        first, second = await client.get("/v1/accounts"), await client.get("/v1/accounts")
        third = await client.get("/v1/accounts")
        limits = [answer.headers["x-ratelimit-limit"] for answer in (first, second, third)]
        assert limits == ["2", "2", "2"]
        assert (first.headers["x-ratelimit-remaining"], second.headers["x-ratelimit-remaining"]) == ("1", "0")
        assert refusal(third, 429) == "RateLimited"
        assert third.headers["retry-after"] == "60"
        assert third.json()["ttl"] == 60
        gateway.clock.advance(60)
        assert (await client.get("/v1/accounts")).status_code == 200


async def test_a_refused_call_is_not_counted_against_the_limit(gateway: Installation, issue: Issue) -> None:
    """Somebody else who tries a stolen token from elsewhere does not use it up."""
    limit = {"addresses": [ADDRESS], "rateLimit": {"maxRequests": 1, "timeWindow": 60}}
    token = await issue(restrictions=limit)
    async with gateway.client(token, address="198.51.100.9") as elsewhere:
        for _ in range(3):
            refusal(await elsewhere.get("/v1/accounts"), 403)
    async with gateway.client(token) as client:
        assert (await client.get("/v1/accounts")).status_code == 200


@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"])
async def test_addresses_of_either_version(address: str, gateway: Installation, issue: Issue) -> None:
    token = await issue(restrictions={"addresses": ["192.0.2.7", "2001:db8::/32"]})
    async with gateway.client(token, address=address) as client:
        assert (await client.get("/v1/accounts")).status_code == 200


async def test_the_use_of_a_token_is_remembered(gateway: Installation, issue: Issue, client: httpx.AsyncClient) -> None:
    token = await issue(account="mine")
    async with gateway.client(token, address="198.51.100.9") as user:
        await user.get("/v1/account/mine")
    (found,) = (await client.get("/v1/tokens", params={"account": "mine"})).json()["tokens"]
    assert found["access"] == {"time": gateway.clock().isoformat().replace("+00:00", "Z"), "ip": "198.51.100.9"}


async def test_health_asks_for_no_token(gateway: Installation) -> None:
    """Without a worker it is not well, and says so to anybody."""
    async with gateway.client(None) as client:
        answer = await client.get("/health")
    assert refusal(answer, 503) == "Unhealthy"
    assert answer.json()["checks"] == {"redis": True, "workers": False}


def test_restrictions_and_permissions_are_what_the_matrix_covers() -> None:
    """A new kind of restriction belongs into the tests above."""
    assert TokenRestrictions.__struct_fields__ == ("referrers", "addresses", "rate_limit")
    assert TokenPermissions.__struct_fields__ == ("actions", "groups")

"""Who may call what: every operation against every kind of token that must not reach it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import httpx
import pytest

from gateway.api.call import Call
from gateway.api.catalogue import OPERATIONS
from gateway.api.operation import PATH_PARAMETER, Operation, operation
from gateway.model.base import Payload, Resource
from gateway.model.token import Action, Group, TokenPermissions, TokenRateLimit, TokenRecord, TokenRestrictions

pytestmark = pytest.mark.anyio

OTHER = "b" * 64
CLOSED = [found for found in OPERATIONS if found.scope is not None]
every_closed_operation = pytest.mark.parametrize("op", CLOSED, ids=lambda op: op.operation_id)


def url(op: Operation, account: str = "a") -> str:
    return PATH_PARAMETER.sub(lambda match: account if match[1] == "account" else "id", op.path)


async def send(client: httpx.AsyncClient, op: Operation, **kwargs: Any) -> httpx.Response:
    return await client.request(op.method, url(op), **kwargs)


def give(services: Any, **members: Any) -> dict[str, str]:
    """Make a token and return the header that carries it."""
    services.tokens.known[OTHER] = TokenRecord(id="other", **{"scopes": ("api",), **members})
    return {"authorization": f"Bearer {OTHER}"}


@every_closed_operation
@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", f"Basic {'a' * 64}", f"Bearer {'c' * 64}", f"Bearer {'a' * 63}", f"Bearer {'a' * 65}"],
)
async def test_no_operation_answers_without_a_valid_token(
    op: Operation, header: str, client: httpx.AsyncClient, services: Any
) -> None:
    answer = await send(client, op, headers={"authorization": header})
    assert answer.status_code == 401
    assert answer.json()["code"] == "Unauthorized"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert services.jobs.calls == []


@every_closed_operation
async def test_no_operation_answers_a_token_of_another_scope(
    op: Operation, client: httpx.AsyncClient, services: Any
) -> None:
    answer = await send(
        client, op, headers=give(services, scopes=("smtp", "api" if op.scope == "metrics" else "metrics"))
    )
    body = answer.json()
    assert (body["statusCode"], body["error"], body["message"]) == (403, "Forbidden", "Unauthorized scope")
    assert body["requestedScope"] == op.scope


@pytest.mark.parametrize("op", [op for op in CLOSED if op.binding != "controller"], ids=lambda op: op.operation_id)
async def test_no_operation_answers_a_token_of_another_account(
    op: Operation, client: httpx.AsyncClient, services: Any
) -> None:
    named = {"account": "a"} if op.binding == "optional" else {}
    answer = await send(client, op, headers=give(services, scopes=(op.scope,), account="somebody-else"), params=named)
    assert (answer.status_code, answer.json()["message"]) == (403, "Unauthorized account")
    assert services.jobs.calls == []


@every_closed_operation
@pytest.mark.parametrize(
    "permissions",
    [
        TokenPermissions(),
        TokenPermissions(actions=()),
        TokenPermissions(groups=()),
    ],
)
async def test_no_operation_answers_a_token_narrowed_to_something_else(
    op: Operation, permissions: TokenPermissions, client: httpx.AsyncClient, services: Any
) -> None:
    """Narrowing that names nothing allows nothing."""
    answer = await send(client, op, headers=give(services, scopes=(op.scope,), permissions=permissions))
    assert answer.status_code == 403


@every_closed_operation
async def test_no_operation_answers_a_token_for_all_other_groups(
    op: Operation, client: httpx.AsyncClient, services: Any
) -> None:
    others = tuple(group for group in get_args(Group) if group != op.group)
    permissions = TokenPermissions(actions=get_args(Action), groups=others)
    answer = await send(client, op, headers=give(services, scopes=(op.scope,), permissions=permissions))
    assert answer.status_code == 403
    assert answer.json()["requiredPermission"] == {"action": op.action, "group": op.group}


@every_closed_operation
async def test_every_operation_lets_its_own_token_in(op: Operation, client: httpx.AsyncClient, services: Any) -> None:
    """The other tests would pass if nothing answered anybody."""
    permissions = None if op.group == "admin" else TokenPermissions(actions=(op.action,), groups=(op.group,))
    account = "a" if op.binding == "path" else None
    await send(
        client, op, headers=give(services, scopes=(op.scope,), account=account, permissions=permissions), json={}
    )
    assert services.tokens.uses == [("other", "192.0.2.7")]


async def test_a_token_may_stand_in_the_query(client: httpx.AsyncClient) -> None:
    del client.headers["authorization"]
    assert (await client.get(f"/v1/account/a/mailboxes?access_token={'a' * 64}")).status_code == 200


async def test_a_wrong_header_is_not_mended_by_the_query(client: httpx.AsyncClient) -> None:
    """Which of two credentials counts must not depend on which one is valid."""
    headers = {"authorization": "Bearer x"}
    answer = await client.get(f"/v1/account/a/mailboxes?access_token={'a' * 64}", headers=headers)
    assert answer.status_code == 401


async def test_the_token_is_checked_before_anything_else_is_told(client: httpx.AsyncClient) -> None:
    """Neither accounts nor parameters can be probed without a token."""
    del client.headers["authorization"]
    assert (await client.get("/v1/account/none/messages?nope=1")).status_code == 401


@pytest.mark.parametrize(
    ("addresses", "status"),
    [(("192.0.2.0/24",), 200), (("192.0.2.7",), 200), (("198.51.100.1",), 403), (("nonsense",), 403)],
)
async def test_a_token_bound_to_addresses(
    addresses: tuple[str, ...], status: int, client: httpx.AsyncClient, services: Any
) -> None:
    headers = give(services, restrictions=TokenRestrictions(addresses=addresses))
    answer = await client.get("/v1/account/a/mailboxes", headers=headers)
    assert answer.status_code == status
    assert status == 200 or answer.json()["remoteAddress"] == "192.0.2.7"


@pytest.mark.parametrize(("referrer", "status"), [("https://app.example.com/x", 200), ("https://evil.test/", 403)])
async def test_a_token_bound_to_referrers(referrer: str, status: int, client: httpx.AsyncClient, services: Any) -> None:
    headers = give(services, restrictions=TokenRestrictions(referrers=("https://*.example.com/*",)))
    answer = await client.get("/v1/account/a/mailboxes", headers={**headers, "referer": referrer})
    assert answer.status_code == status


async def test_a_token_with_a_rate_limit(client: httpx.AsyncClient, services: Any) -> None:
    """The client sees what is left, and after that how long to wait; the mail service is not asked."""
    limit = TokenRateLimit(max_requests=5, time_window=10)
    headers = give(services, restrictions=TokenRestrictions(rate_limit=limit))
    allowed = await client.get("/v1/account/a/mailboxes", headers=headers)
    services.tokens.left = -1
    refused = await client.get("/v1/account/a/mailboxes", headers=headers)
    assert (allowed.status_code, allowed.headers["x-ratelimit-remaining"]) == (200, "0")
    assert (refused.status_code, refused.json()["ttl"]) == (429, 8)
    assert refused.headers["x-ratelimit-limit"] == "5"
    assert len(services.jobs.calls) == 1


async def test_only_an_admitted_use_of_a_token_is_noted(client: httpx.AsyncClient, services: Any) -> None:
    await client.get("/v1/account/a/mailboxes", headers=give(services, scopes=("smtp",)))
    await client.get("/v1/account/a/mailboxes")
    assert services.tokens.uses == [("root", "192.0.2.7")]


class Answer(Resource, frozen=True, kw_only=True):
    """Nothing."""


class AccountQuery(Payload, frozen=True, kw_only=True):
    """An account."""

    account: str | None = None


def sample(path: str, **members: Any) -> Operation:
    async def controller(call: Call, query: AccountQuery) -> Answer:
        return Answer()

    controller.__annotations__ = {"call": Call, "query": AccountQuery}
    return operation(
        "GET",
        path,
        operation_id=path,
        summary="x",
        tag="x",
        action="read",
        group=members.pop("group", "template"),
        returns=Answer,
        **members,
    )(controller)


@pytest.mark.parametrize(
    ("binding", "query", "status"),
    [
        ("none", "?account=a", 403),
        ("query", "?account=a", 200),
        ("query", "", 403),
        ("query", "?account=b", 403),
        ("query", "?account=a&account=b", 403),
        ("controller", "", 200),
        ("optional", "", 200),
        ("optional", "?account=a", 200),
        ("optional", "?account=b", 403),
        ("optional", "?account=a&account=b", 403),
    ],
)
async def test_operations_without_an_account_in_the_path(
    binding: Any, query: str, status: int, build: Callable[..., Any], connect: Any, services: Any
) -> None:
    """A token of one account reaches them only as the operation says."""
    async with connect(build((sample("/v1/things", binding=binding),))) as client:
        assert (await client.get(f"/v1/things{query}", headers=give(services, account="a"))).status_code == status


async def test_administration_is_never_open_to_a_narrowed_token(
    build: Callable[..., Any], connect: Any, services: Any
) -> None:
    """Not even to one whose narrowing does not speak of groups."""
    permissions = TokenPermissions(actions=("read", "write", "send", "destructive"))
    async with connect(build((sample("/v1/things", group="admin"),))) as client:
        refused = await client.get("/v1/things", headers=give(services, permissions=permissions))
        allowed = await client.get("/v1/things", headers=give(services))
    assert (refused.status_code, allowed.status_code) == (403, 200)

"""API tokens: known by their hash alone, bound, limited, ended."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.errors import InvalidRequestError, ResourceNotFoundError
from gateway.model.token import TokenCreate
from tests.integration.services.world import World

pytestmark = pytest.mark.anyio


def request(**members: Any) -> TokenCreate:
    """The payload of POST /v1/tokens."""
    wire = {"description": "t", "scopes": ["api"], "permissions": {"actions": ["read"]}, **members}
    return msgspec.convert(wire, TokenCreate)


async def test_a_token_is_known_by_its_hash_alone(world: World) -> None:
    """Whoever reads Redis must not be able to call the API."""
    made = await world.services.tokens.issue(request())
    assert made.id == hashlib.sha256(made.token.encode()).hexdigest()
    database = world.services.databases.control
    async for key in database.scan_iter(count=1000):
        kind = await database.type(key)
        value = await (database.hgetall(key) if kind == b"hash" else database.dump(key))
        assert made.token not in f"{key!r}{value!r}"
    found = await world.services.tokens.authenticate(made.token)
    assert found is not None
    assert found.id == made.id


@pytest.mark.parametrize("value", ["", "0" * 64, "x" * 64, "A" * 64, "0" * 63])
async def test_what_is_no_token_opens_nothing(world: World, value: str) -> None:
    """Also the id, which is shown in lists, and capitals of the right digits."""
    made = await world.services.tokens.issue(request())
    assert await world.services.tokens.authenticate(value) is None
    assert await world.services.tokens.authenticate(made.id) is None


async def test_an_ended_or_deleted_token_opens_nothing(world: World) -> None:
    """At once."""
    tokens = world.services.tokens
    ending = await tokens.issue(request(expires=(world.clock() + timedelta(hours=1)).isoformat()))
    assert await tokens.authenticate(ending.token) is not None
    world.clock.advance(3600)
    assert await tokens.authenticate(ending.token) is None
    by_id, by_value = await tokens.issue(request()), await tokens.issue(request())
    assert (await tokens.delete(by_id.id)).deleted is True
    assert (await tokens.delete(by_value.token)).deleted is True
    assert (await tokens.delete(by_value.token)).deleted is False
    assert await tokens.authenticate(by_id.token) is None
    assert await tokens.authenticate(by_value.token) is None


@pytest.mark.parametrize(
    "members",
    [
        {"permissions": None},
        {"permissions": {}},
        {"scopes": []},
        {"metadata": "{not json"},
        {"restrictions": {"addresses": ["999.0.0.1"]}},
    ],
    ids=["unrestricted", "no-permission", "no-scope", "metadata", "address"],
)
async def test_a_token_from_the_api_is_always_narrowed(world: World, members: dict[str, Any]) -> None:
    """A token with every right comes from the command line only."""
    with pytest.raises(InvalidRequestError):
        await world.services.tokens.issue(request(**members))


async def test_a_bound_token_needs_its_account(world: World) -> None:
    """And goes with it."""
    with pytest.raises(ResourceNotFoundError):
        await world.services.tokens.issue(request(account="nobody"))
    await world.add_account()
    made = await world.services.tokens.issue(request(account="ann", permissions=None))
    await world.services.accounts.delete("ann")
    assert await world.services.tokens.authenticate(made.token) is None


async def test_calls_are_counted_in_windows(world: World) -> None:
    """The counter ends with its window, and what is left can go below zero."""
    limit = {"maxRequests": 2, "timeWindow": 60}
    made = await world.services.tokens.issue(request(restrictions={"rateLimit": limit}))
    token = await world.services.tokens.authenticate(made.token)
    assert token is not None
    assert [(await world.services.tokens.count(token)).remaining for _ in range(3)] == [1, 0, -1]
    world.clock.advance(60)
    assert (await world.services.tokens.count(token)).remaining == 1
    database = world.services.databases.control
    counters = [key async for key in database.scan_iter(match="*calls*", count=1000)]
    assert counters
    for key in counters:
        assert 0 < await database.ttl(key) <= 60


async def test_the_prepared_token_is_made_once(world: World) -> None:
    """Every process prepares it at its start."""
    value = secrets.token_hex(32)
    for _ in range(3):
        await world.services.tokens.prepare(value)
    assert (await world.services.tokens.list(page=0, page_size=10)).total == 1
    found = await world.services.tokens.authenticate(value)
    assert found is not None
    assert found.scopes == ("*",)

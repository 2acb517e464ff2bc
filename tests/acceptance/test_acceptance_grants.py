"""The life of a grant: tokens end, are renewed, revoked and replaced, in every lab."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from gateway.redis import keys
from tests.acceptance.client import Client, RefusedError, account_path
from tests.acceptance.letters import letter
from tests.acceptance.stack import GatewayStack
from tests.rigs.processes import wait_until


def test_an_ended_access_token_recovers_by_itself(gateway_stack: GatewayStack, api: Client) -> None:
    """The mail server refuses a token before its time is up: one refresh, and the caller notices nothing."""
    lab = gateway_stack.lab
    with gateway_stack.connected(lab.users[2]) as account:
        api.unwatched(account)
        before = lab.refresh_count()
        lab.expire_access_tokens(lab.users[2])
        assert api.unwatched(account)["messages"] is not None
        assert lab.refresh_count() == before + 1
        api.unwatched(account)
        assert lab.refresh_count() == before + 1
        assert api.account(account)["state"] == "connected"


def test_twenty_calls_on_three_workers_refresh_once(gateway_stack: GatewayStack, api: Client) -> None:
    """Of two refreshes at a time one presents a rotated token, on which strict providers end the whole grant."""
    lab = gateway_stack.lab
    assert len(gateway_stack.running_workers) == 3
    with gateway_stack.connected(lab.users[2]) as account:
        # Every worker has a warm connection first.
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: api.unwatched(account), range(20)))
        before = lab.refresh_count()
        lab.expire_access_tokens(lab.users[2])
        with ThreadPoolExecutor(20) as pool:
            pages = list(pool.map(lambda _: api.unwatched(account), range(20)))
        assert lab.refresh_count() == before + 1
        assert len(pages) == 20
        assert api.account(account)["state"] == "connected"


def test_a_revoked_grant_is_asked_about_once_and_tells_who_must_act(gateway_stack: GatewayStack, api: Client) -> None:
    """No storm of refreshes: until somebody signs in again, the identity provider hears nothing more."""
    lab = gateway_stack.lab
    user = lab.users[2]
    with gateway_stack.connected(user) as account:
        lab.revoke(user)
        with pytest.raises(RefusedError) as refused:
            api.unwatched(account)
        assert refused.value.status == 503
        assert refused.value.code == "AuthenticationFails"
        found = api.wait_for_state(account, "authenticationError")
        assert found["lastError"]["remedy"]["who"] == "user"
        assert found["lastError"]["remedy"]["steps"]
        asked = lab.refresh_count()
        for _ in range(10):
            with pytest.raises(RefusedError) as again:
                api.messages(account)
            assert again.value.status == 503
        assert lab.refresh_count() == asked
        listed = api.get("/v1/accounts", state="authenticationError", query=account)
        assert [entry["account"] for entry in listed["accounts"]] == [account]
        gateway_stack.sign_in(user, account)
        api.wait_for_state(account, "connected")
        subject = letter(user).subject
        lab.deliver(user, letter(user, subject=subject).raw)
        api.wait_for_message(account, subject)


def test_a_reconnect_asks_a_refused_grant_once_more(gateway_stack: GatewayStack, api: Client) -> None:
    """Somebody says that the trouble is mended: one try, no more."""
    lab = gateway_stack.lab
    user = lab.users[2]
    with gateway_stack.connected(user) as account:
        lab.revoke(user)
        with pytest.raises(RefusedError):
            api.unwatched(account)
        api.wait_for_state(account, "authenticationError")
        before = lab.refresh_count()
        api.put(f"{account_path(account)}/reconnect", {"reconnect": True})
        wait_until(lambda: lab.refresh_count() > before, "another try", 30)
        api.wait_for_state(account, "authenticationError")
        assert lab.refresh_count() == before + 1


def test_access_tokens_are_handed_out_only_when_that_is_switched_on(
    gateway_stack: GatewayStack, api: Client, alice: str
) -> None:
    """Off by default: an API token must not be worth a mailbox password."""
    with pytest.raises(RefusedError) as refused:
        api.get(f"{account_path(alice)}/oauth-token")
    assert (refused.value.status, refused.value.code) == (403, "ApiEndpointDisabled")


def test_deleting_an_account_leaves_nothing_behind(gateway_stack: GatewayStack, api: Client) -> None:
    """Not its tokens, not its queued mail, not its numbering, not its name in any index."""
    lab = gateway_stack.lab
    user = lab.users[2]
    with gateway_stack.connected(user) as account, gateway_stack.redis() as client:
        bound = api.post("/v1/tokens", {"account": account, "description": "bound", "scopes": ["api"]})
        api.messages(account)
        later = {"to": [{"address": lab.users[1]}], "subject": "x", "text": "x", "sendAt": "2099-01-01T00:00:00Z"}
        queued = api.post(f"{account_path(account)}/submit", later)
        words = (account, bound["id"], queued["queueId"])
        assert len(leftovers(client, *words, address=user)) > 5
        assert api.delete(account_path(account))["deleted"] is True
        # A worker takes back how many connections it holds with its next beat.
        wait_until(lambda: leftovers(client, *words, address=user) == [], "nothing is left", 10)
    visitor = Client(gateway_stack.url, bound["token"])
    with pytest.raises(RefusedError) as refused:
        visitor.get(account_path(account))
    visitor.close()
    assert refused.value.status == 401
    # The mailbox is free for another account.
    with gateway_stack.connected(user):
        pass


def leftovers(client: redis.Redis, *words: str, address: str) -> list[str]:
    """Return every key of Redis that names one of the words or the address, or holds it in the clear.

    What the queue keeps of finished jobs ends by itself within minutes and is passed over if it does. The mail of other
    accounts may be from this address. The feed tells that there was an account of this id.
    """
    account = words[0].encode().lower()
    found = []
    for key in client.scan_iter(count=1000):
        content = (key + b"\n" + _content(client, key)).lower()
        of_another = key.startswith(b"{a:") and account not in key.lower()
        wanted = {word.encode().lower() for word in (*words, address)}
        wanted -= {address.encode().lower()} if of_another else set()
        wanted -= {account} if key.decode() == keys.FEED else set()
        if any(word in content for word in wanted):
            passing = b":rq:" in key and 0 < client.ttl(key) <= 600
            if not passing:
                found.append(key.decode())
    return found


def _content(client: redis.Redis, key: bytes) -> bytes:
    readers: dict[Any, Callable[[], Any]] = {
        b"string": lambda: client.get(key),
        b"hash": lambda: client.hgetall(key),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"list": lambda: client.lrange(key, 0, -1),
        b"stream": lambda: client.xrange(key),
    }
    read = readers.get(client.type(key))
    return repr(read()).encode() if read is not None else b""

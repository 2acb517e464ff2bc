"""Many accounts on three workers while those are killed, restarted, and robbed of what they know.

``FLEET_ACCOUNTS`` sets how many; what took how long is in the output (`-s`).
"""

from __future__ import annotations

import contextlib
import email
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from signal import SIGCONT, SIGSTOP, SIGTERM
from typing import Any

import httpx
import pytest

from gateway.redis import keys
from tests.acceptance.callers import Balancer, Flagger, Load, Reader, Submitter, asked
from tests.acceptance.client import account_path, message_path
from tests.acceptance.fleet import Event, Fleet, open_fleet
from tests.acceptance.replay import Content, replay
from tests.acceptance.stack import GatewayStack
from tests.rigs.processes import wait_until
from tests.rigs.real_lab import RealLab

# One gateway for all of them: it takes longer to start than the tests do.
pytestmark = pytest.mark.xdist_group("fleet")

ACCOUNTS = int(os.environ.get("FLEET_ACCOUNTS", "150"))

#: Seconds in which every mailbox of a killed worker answers again.
ANSWERING = 10.0

#: Seconds for what takes longer the more accounts there are: logins, above all.
PATIENCE = 60.0 + ACCOUNTS / 10


@pytest.fixture(scope="module")
def fleet(full_lab: RealLab) -> Iterator[Fleet]:
    """Accounts on a gateway of this module's own."""
    with open_fleet(full_lab, ACCOUNTS, durable=True, timeout=PATIENCE) as opened:
        yield opened


@pytest.fixture
def settled(fleet: Fleet) -> Fleet:
    """All of them watched, by workers that have about as many each."""
    fleet.wait_until_spread(PATIENCE)
    fleet.wait_until_watched(PATIENCE)
    return fleet


def test_the_mailboxes_of_a_killed_worker_answer_again_and_nothing_is_lost_or_invented(settled: Fleet) -> None:
    fleet, since, subjects = settled, settled.ends(), {account: ["after"] for account in settled.users}
    victim = fleet.stack.running_workers[0]
    orphans = fleet.owned_by(victim)
    assert orphans
    victim.kill()
    killed = time.monotonic()
    for account in orphans[:20]:
        subjects[account].append("meanwhile")
    fleet.deliver(orphans[:20], "meanwhile")
    wait_until(lambda: not fleet.owned_by(victim), "others own the accounts", ANSWERING)
    freed = time.monotonic() - killed
    answers = asked(fleet, orphans)
    answered = time.monotonic() - killed
    fleet.wait_until_watched(PATIENCE)
    watched = time.monotonic() - killed
    print(f"{len(orphans)} accounts: freed {freed:.1f} s, answered {answered:.1f} s, watched {watched:.1f} s")
    assert set(answers.values()) == {200}
    assert answered < ANSWERING
    fleet.deliver(fleet.users, "after")
    fleet.check_announced(since, subjects)
    fleet.stack.wait_for_worker(fleet.stack.start_worker())


def test_a_worker_that_was_taken_for_dead_leaves_its_mailboxes_to_those_who_watch_them_now(settled: Fleet) -> None:
    """It goes on while others watch what was its own, and ends what it did for them."""
    fleet, sleeper = settled, settled.stack.running_workers[0]
    assert fleet.owned_by(sleeper)
    sleeper.send(SIGSTOP)
    try:
        wait_until(lambda: not fleet.owned_by(sleeper), "others own the accounts", 2 * ANSWERING)
        fleet.wait_until_watched(PATIENCE)
    finally:
        sleeper.send(SIGCONT)
    fleet.wait_until_spread(PATIENCE)
    fleet.wait_until_watched(PATIENCE)


def test_a_restart_of_every_process_one_by_one_fails_no_call(settled: Fleet) -> None:
    """Listings, reads and changes go on meanwhile, over a load balancer in front of two API processes."""
    fleet, stack = settled, settled.stack
    urls = [stack.url, stack.start_server()]
    wait_until(lambda: _healthy(urls[1]), "the other API process", 30)
    flagged = sorted(fleet.users)[:20]
    balancers = [Balancer(urls, stack.token) for _ in range(6)]
    flagger = Flagger(balancers[0], {account: stack.api.messages(account)["messages"][0] for account in flagged})
    others = sorted(set(fleet.users) - set(flagged))
    readers = [Reader(balancer, others) for balancer in balancers[1:]]
    with Load([flagger, *readers]) as load:
        for worker in stack.running_workers:
            stack.wait_for_worker(stack.start_worker())
            assert worker.stop(SIGTERM) == 0
        for url, server in zip(urls, stack.servers, strict=True):
            assert server.stop(SIGTERM) == 0
            server.start()
            wait_until(lambda url=url: _healthy(url), "a new API process", 30)  # type: ignore[misc]
    for balancer in balancers:
        balancer.close()
    print(dict(load.outcomes), f"slowest {load.slowest:.1f} s")
    assert not load.failures
    assert set(load.outcomes) == {(200, "")}
    wait_until(lambda: _flags(fleet, flagger.messages) == flagger.acknowledged, "the last flags show")


def test_accounts_whose_index_is_lost_read_their_mail_again_and_announce_none_of_it(settled: Fleet) -> None:
    fleet, since = settled, settled.ends()
    accounts = {account: fleet.stack.api.account(account) for account in list(fleet.users)[:20]}
    before = {account: fleet.stack.api.messages(account)["messages"] for account in accounts}
    records = _records(fleet)
    assert _lose_index(fleet) >= 4 * len(fleet.users)
    lost = time.monotonic()
    wait_until(lambda: all(map(_read_again, fleet.told(since).values())), "all is read again", PATIENCE, 0.2)
    fleet.wait_until_watched(PATIENCE)
    print(f"{len(fleet.users)} accounts: read and watched again after {time.monotonic() - lost:.1f} s")
    for account, told in fleet.told(since).items():
        assert {(event["event"], event["data"]["reason"]) for event in told} == {("mailboxReset", "syncStateLost")}, (
            account,
            told,
        )
    assert _records(fleet) == records
    for account, shown in accounts.items():
        changing = ("syncTime", "aliveTime", "counters", "connections")
        now = fleet.stack.api.account(account)
        assert {**now, **dict.fromkeys(changing)} == {**shown, **dict.fromkeys(changing)}
        assert fleet.stack.api.messages(account)["messages"] == before[account]
    since = fleet.ends()
    fleet.deliver(fleet.users, "news")
    fleet.check_announced(since, {account: ["news"] for account in fleet.users})


def test_nothing_acknowledged_is_lost_when_redis_is_killed_in_mid_load(settled: Fleet) -> None:
    """Calls are refused in time meanwhile, and everything goes on by itself once Redis is back."""
    fleet, stack = settled, settled.stack
    recipient, *accounts = sorted(fleet.users)[:31]
    before, since = fleet.content([recipient, *accounts]), fleet.ends()
    balancers = [Balancer([stack.url], stack.token) for _ in range(5)]
    flagger = Flagger(balancers[0], {account: stack.api.messages(account)["messages"][0] for account in accounts[:10]})
    submitters = [
        Submitter(balancers[number], accounts[10:20], fleet.users[recipient], f"sent-{number}") for number in (1, 2)
    ]
    readers = [Reader(balancers[number], accounts[20:]) for number in (3, 4)]
    with Load([flagger, *submitters, *readers]) as load:
        wait_until(lambda: min(len(one.accepted) for one in submitters) >= 10, "submissions", 30)
        stack.redis_server.kill()
        wait_until(lambda: _refused(load) >= 10, "refusals", 30)
        stack.redis_server.start()
        back = time.monotonic()
        answered = load.outcomes[200, ""]
        wait_until(lambda: load.outcomes[200, ""] >= answered + 200, "answers again", 30)
    print(dict(load.outcomes), f"slowest {load.slowest:.1f} s, works after {time.monotonic() - back:.1f} s")
    for balancer in balancers:
        balancer.close()
    assert not load.failures
    assert {outcome for outcome in load.outcomes if outcome[0] != 200} <= {(503, "Unhealthy")}, load.outcomes
    assert load.slowest < 15
    fleet.wait_until_watched(PATIENCE)
    accepted = [subject for one in submitters for subject in one.accepted]
    tried = [subject for one in submitters for subject in one.tried]
    wait_until(lambda: set(accepted) <= _subjects(fleet, recipient).keys(), "delivery of all that was accepted", 60)
    assert {count for subject, count in _subjects(fleet, recipient).items() if subject in tried} == {1}
    after = fleet.content([recipient, *accounts])
    for account, message in flagger.messages.items():
        flags = after[account]["INBOX"][_uid(stack, account, message)]
        assert flagger.acknowledged[account] in (None, "\\Flagged" in flags)
    # The copies of what was sent lie in mailboxes that nobody watches.
    fleet.each(after, lambda account: stack.api.put(f"{account_path(account)}/sync", {"sync": True}))
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: not _untold(fleet, since, before, after), "the log tells it all", 60, 0.2)
    assert _untold(fleet, since, before, after) == {}


def _untold(
    fleet: Fleet, since: Mapping[str, str], before: Mapping[str, Content], after: Mapping[str, Content]
) -> dict[str, tuple[Content, Content]]:
    """What accounts hold by their logs, and in truth, where that differs."""
    told = fleet.told(since)
    found = {account: (replay(told[account], before[account]), content) for account, content in after.items()}
    return {account: both for account, both in found.items() if both[0] != both[1]}


def _refused(load: Load) -> int:
    return sum(count for (status, _), count in load.outcomes.items() if status == 503)


def _subjects(fleet: Fleet, account: str) -> Counter[str]:
    letters = map(email.message_from_bytes, fleet.lab.dovecot.raw_messages(fleet.users[account]))
    return Counter(letter["Subject"] for letter in letters)


def _uid(stack: GatewayStack, account: str, message: str) -> int:
    return int(stack.api.get(message_path(account, message))["uid"])


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _flags(fleet: Fleet, messages: dict[str, str]) -> dict[str, bool]:
    found = {}
    for account, message in messages.items():
        (entry,) = [entry for entry in fleet.stack.api.messages(account)["messages"] if entry["id"] == message]
        found[account] = "\\Flagged" in entry.get("flags", ())
    return found


def _lose_index(fleet: Fleet) -> int:
    """Delete every key of index and sync of every account; returns how many there were."""
    client, deleted = fleet.redis(), 0
    for account in fleet.users:
        kept = {keys.account(account), keys.grant(account), keys.events(account)}
        kept |= {keys.numbers(account), keys.numbers_back(account)}
        found = [name.decode() for name in client.scan_iter(keys.account_pattern(account), count=100_000)]
        deleted += client.unlink(*(name for name in found if name not in kept))
    return deleted


def _records(fleet: Fleet) -> dict[str, list[Any]]:
    """What accounts were given: settings and secrets."""
    client = fleet.redis()
    return {account: client.hmget(keys.account(account), "config", "secrets") for account in fleet.users}


def _read_again(told: list[Event]) -> bool:
    return any(event["event"] == "mailboxReset" and event["path"] == "INBOX" for event in told)

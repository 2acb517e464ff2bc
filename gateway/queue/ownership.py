"""Which worker owns which account, settled by Redis alone.

An account is owned as long as the worker that the map names gives signs of life. Jobs of an account go to its owner,
which keeps the connections and watches the mailboxes. Every change of hands has a higher epoch than all before; what is
written for an account carries the epoch, so that a worker that was thought dead cannot write over its successor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.queue.operations import QUEUES
from gateway.queue.scripts import BALANCE, CLAIM, FORGET, FREE, OWNER, RECONCILE, RELEASE, RETURN_JOBS
from gateway.redis import Script, keys
from gateway.redis.coalescer import Coalescer, Sent

_KEYS = (keys.OWNERS, keys.UNOWNED, keys.ACCOUNTS, keys.EPOCH, keys.WORKERS, keys.RQ_QUEUES)
_PREFIXES = (keys.worker(""), keys.owned(""))


class Owner(msgspec.Struct, frozen=True):
    """The worker that owns an account, and the epoch in which it took it."""

    worker: str
    epoch: int


class Balance(msgspec.Struct, frozen=True):
    """How what a worker owns has changed.

    Attributes:
        lost: accounts that are no longer its own.
        gained: accounts that it owns from now on, with their epochs.
        surplus: how many accounts it should release now, because others have too few.
    """

    lost: tuple[str, ...]
    gained: Mapping[str, int]
    surplus: int


class Repairs(msgspec.Struct, frozen=True):
    """What `OwnershipClient.reconcile` found: accounts that nobody knew to be free, and owners of deleted accounts."""

    freed: int
    struck: int


class OwnershipClient:
    """Reads and changes the map; every method is one script."""

    def __init__(self, caller: Coalescer) -> None:
        """Take the control plane."""
        self._caller = caller

    def owner(self, account: str) -> Sent[Owner | None]:
        """Ask who owns an account; None when nobody does who lives."""
        sent = self._run(OWNER, account)

        async def answer() -> Owner | None:
            found = await sent
            return Owner(found[0].decode(), int(found[1])) if found else None

        return Sent(answer)

    async def claim(self, worker: str, account: str) -> int | None:
        """Take an account for a worker and return the new epoch.

        None when another living worker owns it, there is no such account, or the worker is itself not at work.
        """
        return int(await self._run(CLAIM, worker, account)) or None

    async def balance(self, worker: str, known: Mapping[str, int], *, limit: int) -> Balance | None:
        """Compare what a worker believes to own with the map, and adopt accounts without an owner.

        Args:
            worker: its name.
            known: account -> epoch as the worker knows them; 0 while a claim is under way.
            limit: how many accounts to adopt at most. It never adopts more than its fair share of all accounts.

        Returns:
            None when the worker is not at work: it was declared dead, or is about to stop.
        """
        found = await self._run(BALANCE, worker, limit, msgspec.msgpack.encode(known))
        if found is None:
            return None
        lost, gained, surplus = found
        pairs = zip(gained[::2], gained[1::2], strict=True)
        return Balance(
            lost=tuple(account.decode() for account in lost),
            gained={account.decode(): int(epoch) for account, epoch in pairs},
            surplus=int(surplus),
        )

    async def release(self, worker: str, accounts: Sequence[str]) -> int:
        """Give up accounts of a worker for others to adopt, and return how many it owned."""
        return int(await self._run(RELEASE, worker, *accounts))

    async def return_jobs(self, worker: str) -> int | None:
        """Move the jobs that wait for a worker to the queues of all, and return how many there were.

        None, and nothing is moved, when the worker is at work.
        """
        lanes = [
            name
            for queue in QUEUES.values()
            for name in (
                *(keys.rq_queue(queue), queue),
                *(keys.rq_queue(keys.own_queue(queue, worker)), keys.taken(worker, queue)),
            )
        ]
        return _count(await self._run(RETURN_JOBS, worker, keys.rq_job(""), *lanes))

    async def free(self, worker: str) -> int | None:
        """Give up every account of a worker and return how many there were; None when the worker is at work.

        After `return_jobs`: a new owner must not be waiting for jobs that nobody moves.
        """
        return _count(await self._run(FREE, worker))

    async def reconcile(self) -> Repairs:
        """Put right what lost keys have left behind: every account has an owner or is known to have none."""
        prefixes = [keys.rq_queue(keys.own_queue(queue, "")) for queue in QUEUES.values()]
        return Repairs(*await self._run(RECONCILE, *prefixes))

    async def forget(self, account: str) -> None:
        """Leave no trace of an account; after its record was deleted, so that nobody can claim it any more."""
        await self._run(FORGET, account)

    def _run(self, script: Script, *arguments: Any) -> Sent[Any]:
        return script.run(self._caller, _KEYS, *_PREFIXES, *arguments)


def _count(answer: Any) -> int | None:
    return None if answer is None else int(answer)

"""The accounts that this worker owns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any

import structlog

from gateway.queue.ownership import OwnershipClient
from gateway.queue.signals import Signal, Signals

log = structlog.get_logger()

#: Accounts adopted by one script; a longer one would hold up everybody else in Redis.
_SLICE = 1000

#: Seconds that a listener may take.
_PATIENCE = 10.0


class Listener:
    """Told of the accounts that this worker owns; a subclass overrides what it needs to know.

    A job or a beat waits for these methods: they begin things and do not wait for mail servers. Should two calls about
    one account overlap, the one with the higher epoch counts.
    """

    async def on_gained(self, account: str, epoch: int) -> None:
        """The account is this worker's from now on, or still, but in a new epoch."""

    async def on_lost(self, account: str) -> None:
        """The account is no longer this worker's, or will not be when this returns; what holds on to it has to end."""

    async def on_drop(self, account: str) -> None:
        """Connections of the account, owned or not, have to be built anew, or are no longer wanted."""

    async def on_kick(self, account: str) -> None:
        """Something has changed, or may have, in an account that this worker owns."""

    async def on_push(self, account: str) -> None:
        """The service of an account that this worker owns has called."""


class Ownership:
    """Claims, adopts and gives up accounts for one worker.

    Attributes:
        owned: account -> epoch.
        listeners: told of every change, see `Listener`.
    """

    def __init__(
        self, worker: str, client: OwnershipClient, signals: Signals, *, listeners: Iterable[Listener] = ()
    ) -> None:
        """Begin without accounts."""
        self._owned: dict[str, int] = {}
        self.owned: Mapping[str, int] = MappingProxyType(self._owned)
        self.listeners = list(listeners)
        self._worker = worker
        self._client = client
        self._signals = signals
        self._claiming: dict[str, asyncio.Task[int | None]] = {}
        self._releasing: set[str] = set()
        self._stopping = False
        self._lock = asyncio.Lock()

    async def claim(self, account: str) -> int | None:
        """Return the epoch in which the account is this worker's, taking it if nobody owns it.

        None when another worker owns it, there is no such account, or this worker is about to give it up.

        Raises:
            redis.exceptions.RedisError: Redis is away.
        """
        epoch = self._owned.get(account)
        if epoch is not None:
            return epoch
        if self._stopping or account in self._releasing:
            return None
        task = self._claiming.get(account)
        if task is None:
            # Every claim that reaches Redis begins an epoch: jobs that arrive together share one.
            task = self._claiming[account] = asyncio.create_task(self._claim(account))
            task.add_done_callback(lambda _: self._claiming.pop(account))
        return await asyncio.shield(task)

    async def beat(self) -> None:
        """Find out what was lost, adopt up to the fair share, and release what others have too little of.

        Raises:
            redis.exceptions.RedisError: Redis is away.
        """
        async with self._lock:
            while not self._stopping:
                known = {**dict.fromkeys(self._claiming, 0), **self._owned}
                balance = await self._client.balance(self._worker, known, limit=_SLICE)
                if balance is None:
                    return  # declared dead: the next sign of life tells
                await self._lose(balance.lost)
                await asyncio.gather(*(self._gain(account, epoch) for account, epoch in balance.gained.items()))
                if len(balance.gained) >= _SLICE:
                    continue
                if balance.surplus:
                    await self._release(list(islice(self._owned, balance.surplus)))
                return

    async def lost(self) -> None:
        """Drop everything: this worker was declared dead, and others may own its accounts by now."""
        async with self._lock:
            await self._lose(list(self._owned))

    async def release_all(self) -> None:
        """Hand over before this worker stops; it has to have ceased to be at work, see `Liveness.retire`.

        Raises:
            redis.exceptions.RedisError: Redis is away.
        """
        self._stopping = True
        await asyncio.gather(*self._claiming.values(), return_exceptions=True)
        async with self._lock:
            await self._client.return_jobs(self._worker)
            await self._lose(list(self._owned))
            # Redis may have handed over one more job in the moment in which the waiting ended.
            await self._client.return_jobs(self._worker)
            await self._client.free(self._worker)
        await self._signals.send(Signal("wake"))

    async def hear(self, signal: Signal) -> None:
        """Do what another process calls for."""
        if signal.kind == "wake":
            await self.beat()
        elif signal.kind == "drop":
            await self._tell(signal.account, lambda listener: listener.on_drop(signal.account))
        elif signal.account not in self._owned:
            return
        elif signal.kind == "push":
            await self._tell(signal.account, lambda listener: listener.on_push(signal.account))
        else:
            await self._tell(signal.account, lambda listener: listener.on_kick(signal.account))

    async def _claim(self, account: str) -> int | None:
        epoch = await self._client.claim(self._worker, account)
        if epoch is not None:
            await self._gain(account, epoch)
        return self._owned.get(account)

    async def _release(self, accounts: list[str]) -> None:
        self._releasing.update(accounts)
        try:
            await self._lose(accounts)
            await self._client.release(self._worker, accounts)
        finally:
            self._releasing.difference_update(accounts)
        log.info("accounts_released", worker=self._worker, count=len(accounts))
        await self._signals.send(Signal("wake"))

    async def _gain(self, account: str, epoch: int) -> None:
        if epoch > self._owned.get(account, 0):
            self._owned[account] = epoch
            await self._tell(account, lambda listener: listener.on_gained(account, epoch))

    async def _lose(self, accounts: Iterable[str]) -> None:
        lost = [account for account in accounts if self._owned.pop(account, None) is not None]
        await asyncio.gather(*map(self._tell_lost, lost))

    async def _tell_lost(self, account: str) -> None:
        await self._tell(account, lambda listener: listener.on_lost(account))

    async def _tell(self, account: str, call: Callable[[Listener], Coroutine[Any, Any, None]]) -> None:
        for listener in self.listeners:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await call(listener)
            except Exception as error:  # noqa: BLE001 (no listener may cost the others, or the worker, the account)
                log.warning("listener_failed", account=account, error=type(error).__name__)

"""What processes call out to all workers. Nobody waits for it, and whoever does not listen just then misses it."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.redis import keys
from gateway.redis.coalescer import Coalescer

#: - drop: the account's connections have to be built anew, or are no longer wanted
#: - kick: something was changed in the account by the gateway itself; look now
#: - push: the account's service called
#: - wake: accounts became free; adopt now
SignalKind = Literal["drop", "kick", "push", "wake"]


class Signal(msgspec.Struct, frozen=True, array_like=True):
    """One call; `wake` concerns no single account."""

    kind: SignalKind
    account: str = ""


_decode = msgspec.msgpack.Decoder(Signal).decode


class Signals:
    """Calls out to the workers."""

    def __init__(self, caller: Coalescer) -> None:
        """Take the control plane."""
        self._caller = caller

    async def send(self, signal: Signal) -> None:
        """Tell every worker that listens."""
        await self._caller.call("PUBLISH", keys.SIGNALS, msgspec.msgpack.encode(signal))


def read_signal(data: bytes) -> Signal | None:
    """Decode a signal; None when it is not one that this version knows."""
    try:
        return _decode(data)
    except msgspec.MsgspecError:
        return None

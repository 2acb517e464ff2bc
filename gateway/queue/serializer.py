"""MessagePack in RQ's shape."""

from __future__ import annotations

from typing import Any

import msgspec


class MessagePackSerializer:
    """RQ's serializer interface without pickle, which runs code of whoever can write to Redis.

    Give it to every part of RQ that takes a serializer, on the command line ``rq -S
    gateway.queue.serializer.MessagePackSerializer``.
    """

    @staticmethod
    def dumps(value: Any) -> bytes:
        """Encode job data, meta or a return value."""
        return msgspec.msgpack.encode(value)

    @staticmethod
    def loads(data: bytes) -> Any:
        """Decode what `dumps` made."""
        return msgspec.msgpack.decode(data)

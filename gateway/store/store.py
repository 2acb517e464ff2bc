"""What every kind of record shares: the two tiers of Redis, coalesced calls, and the cipher."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.redis import Coalescer, Databases
from gateway.store.cipher import Cipher

#: Redis speaks octets; records are read as text.
Fields = dict[str, str]


class Store:
    """The state of the gateway.

    Attributes:
        control, data: coalesced calls to the two tiers.
        databases: the clients themselves, for pipelines and transactions.
    """

    def __init__(self, databases: Databases, cipher: Cipher) -> None:
        self.databases = databases
        self.cipher = cipher
        self.control = Coalescer(databases.control)
        self.data = self.control if databases.data is databases.control else Coalescer(databases.data)


def text_fields(answer: dict[bytes, bytes] | list[Any]) -> Fields:
    """Return the answer of HGETALL as text, from either protocol version."""
    pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
    return {name.decode(): value.decode() for name, value in pairs}


def to_json(value: Any) -> str:
    """Return the JSON text of a struct or plain value."""
    return msgspec.json.encode(value).decode()

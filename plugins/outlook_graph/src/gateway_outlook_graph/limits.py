"""How long things may take, and how much there may be of them."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one provider; seconds and octets.

    Attributes:
        connect: to a connection.
        read: between two pieces of an answer.
        call: from a call to the end of its answer; streams have no such limit, only `read`.
        patience: that a call waits altogether because the service asked for pauses, where nobody told its session a
            deadline (`gateway.provider.Session.deadline`). What would last longer is told to the caller at once.
        floor: of the first pause; it doubles with each refusal in a row, because ``Retry-After`` may always be 1.
        parallel: calls of one mailbox at once
            (https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits).
        calls: of one mailbox within `window` (the same page).
        attempts: of a call that does no harm twice.
    """

    connect: float = 10.0
    read: float = 30.0
    call: float = 60.0
    patience: float = 60.0
    floor: float = 0.5
    parallel: int = 4
    calls: int = 10_000
    window: float = 600.0
    attempts: int = 4

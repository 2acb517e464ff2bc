"""Changes to many messages for a service that changes only one at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from gateway.errors import (
    AccountError,
    ConnectError,
    GatewayError,
    OutcomeUnknownError,
    TransientError,
    UnsupportedOperationError,
)
from gateway.model.bulk import Sorted


async def one_by_one(ids: Sequence[str], change: Callable[[str], Awaitable[str | None]]) -> Sorted:
    """Change one message after the other; what breaks the session leaves the rest undone."""
    done: dict[str, str | None] = {}
    failed: dict[str, GatewayError] = {}
    for position, id in enumerate(ids):
        try:
            done[id] = await change(id)
        except UnsupportedOperationError:
            raise
        except (ConnectError, OutcomeUnknownError) as error:
            return Sorted(done=done, failed=failed | dict.fromkeys(ids[position + 1 :], error), unknown=(id,))
        except (TransientError, AccountError) as error:
            return Sorted(done=done, failed=failed | dict.fromkeys(ids[position:], error))
        except GatewayError as error:
            failed[id] = error
    return Sorted(done=done, failed=failed)

"""The answers of `Session.changes`, put together."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.provider import MessageState, Session
from gateway.services.sync.payloads import same
from gateway.store.index import KnownState


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a mailbox told since a state: see `gateway.provider.Changes`."""

    changed: dict[str, MessageState]
    removed: set[str]
    complete: bool
    state: str
    uid_validity: int | None

    @property
    def touched(self) -> list[str]:
        """Every id that is named."""
        return [*self.changed, *self.removed]

    @property
    def top(self) -> int:
        """The highest position that is named."""
        return max((message.position for message in self.changed.values()), default=0)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What that means for what is known.

    Attributes:
        gone: ids, and what was known.
        altered: what was known, and what is now.
        new: in the order of their positions.
    """

    gone: list[tuple[str, KnownState]]
    altered: list[tuple[KnownState, MessageState]]
    new: list[MessageState]


async def collect(session: Session, path: str, since: str | None) -> Collected:
    """Ask for changes until there are no more. Raises as `Session.changes` does."""
    changed: dict[str, MessageState] = {}
    removed: set[str] = set()
    while True:
        changes = await session.changes(path, since)
        for id in changes.removed:
            changed.pop(id, None)
            removed.add(id)
        for message in changes.changed:
            changed[message.id] = message
            removed.discard(message.id)
        if not changes.more:
            return Collected(
                changed=changed,
                removed=removed,
                complete=changes.complete,
                state=changes.state,
                uid_validity=changes.uid_validity,
            )
        since = changes.state


def difference(found: Collected, known: Mapping[str, KnownState]) -> Difference:
    """Compare with what is known: of the messages that are named, or of all when the answer was complete."""
    if found.complete:
        gone = [(id, state) for id, state in known.items() if id not in found.changed]
    else:
        gone = [(id, known[id]) for id in found.removed if id in known]
    new, altered = [], []
    for message in found.changed.values():
        before = known.get(message.id)
        if before is None:
            new.append(message)
        elif not same(before, message):
            altered.append((before, message))
    return Difference(
        gone=sorted(gone, key=lambda each: each[1].position),
        altered=sorted(altered, key=lambda each: each[1].position),
        new=sorted(new, key=lambda message: message.position),
    )

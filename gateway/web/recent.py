"""Events as pages show them: which, when, where, and a few words that hold nothing of a message's content."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from gateway.model.event import Event
from gateway.web.words import sentence

#: Those that somebody may have to see to.
_BAD = frozenset(
    {
        "authenticationError",
        "connectError",
        "mailboxReset",
        "messageDeliveryError",
        "messageFailed",
        "messageMissing",
        "messageQuarantined",
    }
)


class ShownEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One line; `told` is empty where the name says it all."""

    date: datetime
    name: str
    bad: bool
    path: str | None
    told: str


def shown(event: Event) -> ShownEvent:
    """Return an event as it is shown."""
    told = _told(event.event, msgspec.json.decode(event.data))
    return ShownEvent(date=event.date, name=event.event, bad=event.event in _BAD, path=event.path, told=told)


def _told(name: str, data: dict[str, Any]) -> str:
    if name == "messageUpdated":
        return ", ".join(_change(change) for change in data["changes"].values())
    if "renamedFrom" in data:
        return f"Renamed from {data['renamedFrom']}"
    if "renamedTo" in data:
        return f"Renamed to {data['renamedTo']}"
    if name not in _BAD:
        return ""
    return sentence(next((str(data[member]) for member in ("response", "error", "reason") if member in data), ""))


def _change(change: dict[str, Any]) -> str:
    added = [f"+{flag}" for flag in change.get("added", ())]
    return " ".join(added + [f"-{flag}" for flag in change.get("deleted", ())])

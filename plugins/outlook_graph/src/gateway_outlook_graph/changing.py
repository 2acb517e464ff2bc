"""Changing messages: flags, categories, place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import ConflictError, ServiceUnavailableError
from gateway.model.message import FlagUpdate
from gateway.provider import check_flags
from gateway_outlook_graph import mapping
from gateway_outlook_graph.client import GraphClient, Request, path, read
from gateway_outlook_graph.folders import Mailboxes
from gateway_outlook_graph.ids import checked_id
from gateway_outlook_graph.reading import Reading
from gateway_outlook_graph.resources import LAST_VERB, REPLIED, Message

_SETTABLE = ("\\Seen", "\\Flagged", "\\Answered")
_ATTEMPTS = 4


class Changing:
    """Changes single messages."""

    def __init__(self, client: GraphClient, mailboxes: Mailboxes, reading: Reading) -> None:
        self._client = client
        self._mailboxes = mailboxes
        self._reading = reading

    async def flags(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        """Change ``\\Seen``, ``\\Flagged`` and ``\\Answered``; Graph has no place for others.

        Raises:
            InvalidRequestError: no flag can have this name.
        """
        check_flags(named_flags(update))
        body = flag_properties(wanted_flags(update, await self._reading.state(id)))
        if body:
            await self._client.call(Request(method="PATCH", path=path("messages", checked_id(id)), json=body))
        return mapping.flags(await self._reading.state(id))

    async def labels(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        """Change categories. The list is replaced as a whole, so nobody else may change it meanwhile."""
        for _ in range(_ATTEMPTS):
            before = await self._reading.state(id)
            old = tuple(before.categories or ())
            new = changed_labels(old, update)
            if new == old:
                return old
            request = Request(
                method="PATCH",
                path=path("messages", checked_id(id)),
                json={"categories": new},
                headers={} if before.etag is None else {"If-Match": before.etag},
            )
            try:
                return tuple(read(await self._client.call(request), Message).categories or ())
            except ConflictError:
                continue
        raise ServiceUnavailableError("the message is being changed all the time")

    async def move(self, id: str, mailbox: str) -> str:
        """Move a message; its id stays."""
        return await self._place(id, mailbox, "move")

    async def copy(self, id: str, mailbox: str) -> str:
        """Copy a message and return the id of the copy."""
        return await self._place(id, mailbox, "copy")

    async def delete(self, id: str) -> None:
        """Delete a message for good."""
        await self._client.call(Request(method="POST", path=path("messages", checked_id(id), "permanentDelete")))

    async def _place(self, id: str, mailbox: str, action: str) -> str:
        folder = await self._mailboxes.folder(mailbox)
        request = Request(method="POST", path=path("messages", checked_id(id), action), json={"destinationId": folder})
        return read(await self._client.call(request), Message).id


def changed_labels(old: tuple[str, ...], update: FlagUpdate) -> tuple[str, ...]:
    """Return the categories after a change."""
    new = _listed(update.set) if update.set is not None else (*old, *_listed(update.add))
    removed = () if update.set is not None else _listed(update.delete)
    return tuple(label for label in dict.fromkeys(new) if label not in removed)


def _listed(value: tuple[str, ...] | str | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value or ()


def named_flags(update: FlagUpdate) -> tuple[str, ...]:
    """Return all flags that a change names."""
    return (*_listed(update.add), *_listed(update.delete), *_listed(update.set))


def lacks_a_place(update: FlagUpdate, message: Message) -> bool:
    """Tell whether a message is to have a flag that it has not, and that Graph cannot give to it."""
    wanted = {flag.lower() for flag in _listed(update.add if update.set is None else update.set)}
    return not wanted <= {flag.lower() for flag in (*_SETTABLE, *mapping.flags(message))}


def wanted_flags(update: FlagUpdate, message: Message) -> dict[str, bool]:
    """Return which of the flags that can be changed are to be there afterwards.

    The property that tells of an answer tells of a forward as well: it is left alone where there is no answer.
    """
    add, delete = ({flag.lower() for flag in _listed(value)} for value in (update.add, update.delete))
    if update.set is not None:
        add = {flag.lower() for flag in _listed(update.set)}
        delete = {flag.lower() for flag in _SETTABLE} - add
    wanted = {flag: flag.lower() not in delete for flag in _SETTABLE if flag.lower() in add | delete}
    if wanted.get("\\Answered") is False and "\\Answered" not in mapping.flags(message):
        del wanted["\\Answered"]
    return wanted


def flag_properties(wanted: Mapping[str, bool]) -> dict[str, Any]:
    """Return the properties that stand for flags."""
    body: dict[str, Any] = {}
    if "\\Seen" in wanted:
        body["isRead"] = wanted["\\Seen"]
    if "\\Flagged" in wanted:
        body["flag"] = {"flagStatus": "flagged" if wanted["\\Flagged"] else "notFlagged"}
    if "\\Answered" in wanted:
        value = REPLIED if wanted["\\Answered"] else "0"
        body["singleValueExtendedProperties"] = [{"id": LAST_VERB, "value": value}]
    return body

"""Change tracking: messages of a folder, and folders.

https://learn.microsoft.com/graph/delta-query-messages
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from gateway_sandbox import graph_ids, graph_tokens
from gateway_sandbox.failures import Failures
from gateway_sandbox.graph_call import Call, Table
from gateway_sandbox.graph_errors import bad_request
from gateway_sandbox.graph_filter import parse_filter
from gateway_sandbox.graph_folder_calls import SELECTABLE as FOLDER_PROPERTIES
from gateway_sandbox.graph_folders import ROOT
from gateway_sandbox.graph_listing import SELECTABLE
from gateway_sandbox.graph_mail import PLACES, Mail
from gateway_sandbox.graph_query import selection
from gateway_sandbox.graph_resources import PROPERTIES
from gateway_sandbox.graph_tokens import Position
from gateway_sandbox.items import Item, Removal
from gateway_sandbox.web import Response

_PAGE = 10
_END = 2**62
_KEPT_STATES = 1000
_CHANGE_TYPES = frozenset({"created", "updated", "deleted"})


class Delta:
    """Answers delta calls."""

    def __init__(self, mail: Mail, failures: Failures, database: sqlite3.Connection) -> None:
        self._mail = mail
        self._failures = failures
        self._database = database

    def add_routes(self, table: Table) -> None:
        """Register the calls."""
        for place in PLACES[1:]:
            table.add("GET", f"{place}/delta", self._messages)
        table.add("GET", "messages/delta", _no_tracking)
        table.add("GET", "mailFolders/delta", self._folders)
        table.add("GET", "mailFolders/{folder}/childFolders/delta", self._folders)

    async def _messages(self, call: Call) -> Response:
        folder = self._mail.folder(call)
        position = graph_tokens.decode(call, self._failures) or self._beginning(call, folder)
        box = self._mail.store.mailbox_by_id(folder)
        if box is None or position.folder != folder:
            raise bad_request("Badly formed token.")
        size = _page_size(call)
        changes = self._changes(position, size + 1)
        page = changes[:size]
        value = [entry for change in page if (entry := self._entry(call, position, change)) is not None]
        if len(changes) > size:
            told = msgspec.structs.replace(position, modseq=page[-1].modseq, uid=page[-1].uid)
            return self._answer(call, value, "$skiptoken", told, "messages")
        told = msgspec.structs.replace(position, modseq=box.modseq, uid=_END, start=box.modseq, uid_next=box.uid_next)
        return self._answer(call, value, "$deltatoken", told, "messages")

    def _beginning(self, call: Call, folder: int) -> Position:
        box = self._mail.store.mailbox_by_id(folder)
        if "$search" in call.query:
            raise bad_request("The query parameter '$search' is not supported.", "ErrorInvalidUrlQuery")
        text = call.query.get("$filter", "")
        if text and parse_filter(text).paths != ("receivedDateTime",):
            raise bad_request("Only receivedDateTime can be filtered.", "ErrorInvalidUrlQueryFilter")
        if call.query.get("$orderby", "receivedDateTime desc").lower() != "receiveddatetime desc":
            raise bad_request("Only 'receivedDateTime desc' is supported.", "ErrorInvalidUrlQuery")
        types = tuple(name for name in call.query.get("changetype", "").lower().split(",") if name)
        if not _CHANGE_TYPES.issuperset(types):
            raise bad_request("The value of changeType is not valid.", "ErrorInvalidUrlQuery")
        return Position(
            folder=folder,
            start=0 if box is None else box.modseq,
            issued=self._mail.clock(),
            select=selection(call.query, SELECTABLE, "Message"),
            filter=text,
            change_types=types,
            expand=call.query.get("$expand", ""),
        )

    def _changes(self, position: Position, limit: int) -> list[Item | Removal]:
        """Return at least so many changes after a position, if there are, in their order; every item once."""
        since = (position.modseq, position.uid)
        items = self._mail.items.of_mailbox(position.folder, since, limit)
        gone = self._mail.items.departed(position.folder, max(position.start, position.modseq - 1))
        last = {removal.item_id: removal for removal in gone}
        changes: list[Item | Removal] = [*items, *last.values()]
        return sorted((change for change in changes if _place(change) > since), key=_place)

    def _entry(self, call: Call, position: Position, change: Item | Removal) -> dict[str, Any] | None:
        kind = "created" if change.uid >= position.uid_next else "updated"
        if isinstance(change, Removal):
            kind = "deleted"
        if position.change_types and kind not in position.change_types:
            return None
        if isinstance(change, Removal):
            number = graph_ids.message(call.owner, change.item_id, position.folder, immutable=call.immutable)
            return {"@removed": {"reason": "deleted"}, "id": number}
        shown = self._mail.shown(call, change)
        if position.filter:
            received = {"receivedDateTime": PROPERTIES["receivedDateTime"](shown)}
            if not parse_filter(position.filter).matches(received):
                return None
        resource = self._mail.resource(shown, position.select, position.expand)
        return {"@odata.type": "#microsoft.graph.message", **resource}

    async def _folders(self, call: Call) -> Response:
        position = graph_tokens.decode(call, self._failures)
        if position is None:
            select = selection(call.query, FOLDER_PROPERTIES, "MailFolder")
            position = Position(folder=0, issued=self._mail.clock(), select=select)
        elif position.folder:
            raise bad_request("Badly formed token.")
        told = self._state(call, position)
        now = {folder["id"]: folder for folder in self._current(call)}
        changed = [folder for key, folder in now.items() if told.get(key) != _summary(folder)]
        changes = changed + [{"id": key, "@removed": {"reason": "deleted"}} for key in told if key not in now]
        size = _page_size(call)
        for change in changes[:size]:
            if "@removed" in change:
                del told[change["id"]]
            else:
                told[change["id"]] = _summary(change)
        value = [_selected(change, position.select) for change in changes[:size]]
        name = "$skiptoken" if len(changes) > size else "$deltatoken"
        return self._answer(call, value, name, self._remembered(position, told), "mailFolders")

    def _current(self, call: Call) -> list[dict[str, Any]]:
        tree = self._mail.folders.tree(call.owner)
        if "folder" in call.arguments:
            parent = self._mail.folders.number(call.owner, call.arguments["folder"])
            if parent != ROOT:
                self._mail.folders.find(call.owner, call.arguments["folder"])
            tree = [folder for folder in tree if folder.parent == parent]
        return self._mail.folders.json(call.owner, tree)

    def _state(self, call: Call, position: Position) -> dict[str, list[Any]]:
        if position.modseq == 0:
            return {}
        row = self._database.execute("SELECT state FROM folder_states WHERE id = ?", (position.modseq,)).fetchone()
        if row is None:
            raise graph_tokens.gone(call)
        return msgspec.json.decode(row[0], type=dict[str, list[Any]])

    def _remembered(self, position: Position, state: dict[str, list[Any]]) -> Position:
        text = msgspec.json.encode(state).decode()
        number = self._database.execute("INSERT INTO folder_states (state) VALUES (?)", (text,)).lastrowid or 0
        self._database.execute("DELETE FROM folder_states WHERE id <= ?", (number - _KEPT_STATES,))
        return msgspec.structs.replace(position, modseq=number)

    def _answer(self, call: Call, value: list[Any], name: str, position: Position, what: str) -> Response:
        token = graph_tokens.encode(msgspec.structs.replace(position, issued=self._mail.clock()))
        link = f"{call.base}/{'/'.join(call.path)}?{name}={token}"
        annotation = "@odata.nextLink" if name == "$skiptoken" else "@odata.deltaLink"
        context = call.context(f"{what}(*)/$delta")
        return call.answer({"@odata.context": context, annotation: link, "value": value})


async def _no_tracking(call: Call) -> Response:
    raise bad_request("Change tracking is not supported against 'microsoft.graph.message'.")


def _place(change: Item | Removal) -> tuple[int, int]:
    return change.modseq, change.uid


def _page_size(call: Call) -> int:
    text = call.preferences().get("odata.maxpagesize", call.query.get("$top", ""))
    return int(text) if text.isdecimal() and int(text) > 0 else _PAGE


def _summary(folder: dict[str, Any]) -> list[Any]:
    return [folder["displayName"], folder["parentFolderId"], folder["totalItemCount"], folder["unreadItemCount"]]


def _selected(folder: dict[str, Any], select: tuple[str, ...] | None) -> dict[str, Any]:
    if select is None or "@removed" in folder:
        return folder
    return {name: value for name, value in folder.items() if name == "id" or name in select}

"""What the handlers of Graph's mail calls share: finding messages, and showing them as the caller prefers."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any

from gateway.provider import Clock
from gateway_sandbox import graph_ids, graph_resources
from gateway_sandbox.failures import Failure, Failures
from gateway_sandbox.graph_call import Call
from gateway_sandbox.graph_errors import GraphError, bad_request, item_not_found, malformed_id
from gateway_sandbox.graph_folders import ROOT, Folders
from gateway_sandbox.graph_ids import Kind, MalformedIdError
from gateway_sandbox.graph_mime import Parsed, Parser
from gateway_sandbox.graph_resources import Shown
from gateway_sandbox.items import Item, Items
from gateway_sandbox.mailstore import MailStore

_EXTENDED_ID = re.compile(r"id\s+eq\s+'([^']+)'", re.IGNORECASE)
#: Paths under which the same messages can be addressed.
PLACES = ("messages", "mailFolders/{folder}/messages", "mailFolders/{above}/childFolders/{folder}/messages")

#: May be null by their description, and hardly ever are.
_POISONED = frozenset({"subject", "from", "sender", "body", "bodyPreview", "internetMessageId", "sentDateTime", "flag"})


class Mail:
    """The mail of everybody, as Graph sees it.

    Attributes:
        store: writes messages.
        items: reads them.
    """

    def __init__(self, store: MailStore, items: Items, folders: Folders, failures: Failures, clock: Clock) -> None:
        self.store = store
        self.items = items
        self.folders = folders
        self.clock = clock
        self._failures = failures
        self._parser = Parser()

    def shown(self, call: Call, item: Item) -> Shown:
        """Return an item in the form that the call prefers."""
        body_type = call.preferences().get("outlook.body-content-type", "").lower()
        return Shown(
            owner=call.owner,
            item=item,
            load=partial(self._load, item),
            immutable=call.immutable,
            body_type=body_type if body_type in {"text", "html"} else None,
        )

    def find(self, call: Call) -> Shown:
        """Return the message that the path names.

        Raises:
            GraphError: it is gone, or not in the folder that the path names.
        """
        shown = self.shown(call, self.item(call.owner, call.arguments["message"]))
        if "folder" in call.arguments and shown.item.mailbox_id != self.folder(call):
            raise item_not_found()
        return shown

    def item(self, owner: str, text: str) -> Item:
        """Return the item of an id of either kind.

        Raises:
            GraphError: it is gone, or moved away from where a mutable id says it is.
        """
        try:
            identifier = graph_ids.decode(owner, text)
        except MalformedIdError as error:
            raise malformed_id() from error
        if identifier.kind not in (Kind.MESSAGE, Kind.IMMUTABLE):
            raise malformed_id()
        item = self.items.find(owner, identifier.number)
        if item is None or (identifier.kind is Kind.MESSAGE and identifier.place != item.mailbox_id):
            raise item_not_found()
        return item

    def at(self, call: Call, mailbox_id: int, uid: int) -> Shown:
        """Return the message with a UID.

        Raises:
            GraphError: it is gone.
        """
        item = self.items.at(mailbox_id, uid)
        if item is None:
            raise item_not_found()
        return self.shown(call, item)

    def folder(self, call: Call, name: str | None = None) -> int:
        """Return the id of the mailbox that the path, or a part of the body, names.

        Raises:
            GraphError: it is not there.
        """
        number = self.folders.number(call.owner, name if name is not None else call.arguments["folder"])
        box = self.store.mailbox_by_id(number)
        if number == ROOT or box is None or box.owner != call.owner:
            raise item_not_found()
        return number

    def resource(self, shown: Shown, select: Collection[str] | None, expand: str) -> dict[str, Any]:
        """Return a message resource with what is to be expanded."""
        resource = graph_resources.message(shown, select)
        if self._failures.happens(Failure.POISON, shown.owner):
            resource.update(dict.fromkeys(_POISONED & resource.keys()))
        for part in _parts(expand):
            name = re.split(r"[(/]", part)[0].strip().lower()
            if name == "attachments":
                attachments = shown.parsed.attachments
                resource["attachments"] = [
                    graph_resources.attachment(shown, attached, with_content=True) for attached in attachments
                ]
            elif name == "singlevalueextendedproperties":
                known = graph_resources.extended_properties(shown.item)
                wanted = [identifier for identifier in _EXTENDED_ID.findall(part) if identifier in known]
                if wanted:
                    resource["singleValueExtendedProperties"] = [{"id": key, "value": known[key]} for key in wanted]
            else:
                message = f"Parsing OData Select and Expand failed: Could not find a property named '{name}'."
                raise bad_request(message, "RequestBroker--ParseUri")
        return resource

    def _load(self, item: Item) -> Parsed:
        return self._parser.parsed((item.mailbox_id, item.uid), partial(self.items.octets, item.content_id))


def sorted_by(shown: Iterable[Shown], keys: Sequence[tuple[Callable[[Shown], Any], bool]]) -> list[Shown]:
    """Return messages in an order: each key with whether it descends. Of equals the newest comes first."""
    ordered = sorted(shown, key=lambda one: (one.item.received, one.item.id), reverse=True)
    for key, descending in reversed(keys):
        ordered.sort(key=key, reverse=descending)
    return ordered


def required(body: dict[str, Any], name: str) -> str:
    """Return a member of a body that must be a text.

    Raises:
        GraphError: it is missing or something else.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise GraphError(400, "ErrorInvalidParameter", f"The parameter '{name}' is missing or empty.")
    return value


def _parts(text: str) -> list[str]:
    """Split at the commas that are not inside parentheses."""
    parts, depth, begin = [], 0, 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(text[begin:position])
            begin = position + 1
    return [part for part in (*parts, text[begin:]) if part.strip()]

"""Tells subscribers what changed: compares each mailbox with what it was when they were last told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from gateway_sandbox import directory, graph_ids
from gateway_sandbox.graph_notifier import Notifier
from gateway_sandbox.graph_resources import Shown
from gateway_sandbox.graph_subscription import Subscription
from gateway_sandbox.items import Item, Items
from gateway_sandbox.mailstore import MailStore

_ANY_UID = 2**62


class Watcher:
    """Watches all mailboxes."""

    def __init__(
        self, store: MailStore, items: Items, notifier: Notifier, active: Callable[[], list[Subscription]]
    ) -> None:
        self._store = store
        self._items = items
        self._notifier = notifier
        self._active = active
        self._due: set[int] = set()
        self._seen: dict[int, tuple[int, int]] = {}
        for person in directory.PEOPLE:
            for box in store.mailboxes(person.address):
                self._seen[box.id] = box.modseq, box.uid_next
        store.watch_all(self._changed)

    def _changed(self, mailbox_id: int) -> None:
        # Later: the change may be a part of a bigger one that is not finished.
        if not self._due:
            asyncio.get_running_loop().call_soon(self._look)
        self._due.add(mailbox_id)

    def _look(self) -> None:
        due, self._due = self._due, set()
        subscriptions = self._active()
        notifications: list[tuple[Subscription, dict[str, Any]]] = []
        for mailbox_id in sorted(due):
            notifications.extend(self._notifications(mailbox_id, subscriptions))
        if notifications:
            self._notifier.changes(notifications)

    def _notifications(
        self, mailbox_id: int, subscriptions: list[Subscription]
    ) -> Iterable[tuple[Subscription, dict[str, Any]]]:
        box = self._store.mailbox_by_id(mailbox_id)
        modseq, uid_next = self._seen.get(mailbox_id, (0, 1))
        if box is None:
            return
        self._seen[mailbox_id] = box.modseq, box.uid_next
        concerned = [one for one in subscriptions if one.mailbox == box.owner and one.folder in (0, mailbox_id)]
        if not concerned:
            return
        for item in self._items.of_mailbox(mailbox_id, (modseq, _ANY_UID)):
            kind = "created" if item.uid >= uid_next else "updated"
            for one in concerned:
                if one.wants(box.owner, mailbox_id, kind):
                    yield one, _change(one, kind, item.id, mailbox_id, item)
        for removal in self._items.departed(mailbox_id, modseq):
            for one in concerned:
                if one.wants(box.owner, mailbox_id, "deleted"):
                    yield one, _change(one, "deleted", removal.item_id, mailbox_id, None)


def _change(one: Subscription, kind: str, item_id: int, mailbox_id: int, item: Item | None) -> dict[str, Any]:
    person = directory.find(one.mailbox)
    identifier = graph_ids.message(one.mailbox, item_id, mailbox_id, immutable=one.immutable)
    resource = f"Users/{person.object_id if person else one.mailbox}/Messages/{identifier}"
    data = {"@odata.type": "#Microsoft.Graph.Message", "@odata.id": resource, "id": identifier}
    if item is not None:
        data["@odata.etag"] = f'W/"{Shown(owner=one.mailbox, item=item, load=_unread).change_key}"'
    return {"changeType": kind, "resource": resource, "resourceData": data}


def _unread() -> Any:
    raise LookupError("a notification says nothing that is in the message")

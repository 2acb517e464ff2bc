"""Folders as Graph shows them: a tree with display names over the mail store's paths.

A slash in a display name is stored as ``%2F``, because it separates levels in IMAP.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from gateway_sandbox import graph_ids
from gateway_sandbox.graph_errors import GraphError, bad_request, item_not_found, malformed_id
from gateway_sandbox.graph_ids import Kind, MalformedIdError
from gateway_sandbox.items import Items
from gateway_sandbox.mailstore import DELIMITER, INBOX, Mailbox, MailStore

ROOT = 0
#: Well-known names: https://learn.microsoft.com/graph/api/resources/mailfolder
WELL_KNOWN: Mapping[str, str] = MappingProxyType(
    {
        "archive": "Archive",
        "conversationhistory": "Conversation History",
        "deleteditems": "Deleted Items",
        "drafts": "Drafts",
        "inbox": INBOX,
        "junkemail": "Junk Email",
        "outbox": "Outbox",
        "sentitems": "Sent Items",
    }
)
_DEFAULTS = frozenset(WELL_KNOWN.values())
#: IMAP lists these, Graph does not: they hold no mail.
_NO_MAIL = frozenset({"Calendar", "Contacts", "Journal", "Notes", "Tasks"})
_OTHER_NAMES = frozenset(
    {"clutter", "conflicts", "localfailures", "recoverableitemsdeletions", "scheduled", "searchfolders"}
    | {"serverfailures", "syncissues"}
)


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder; `parent` is the id of the mailbox above it, 0 below the root."""

    mailbox: Mailbox
    name: str
    parent: int


class Folders:
    """The folders of everybody."""

    def __init__(self, store: MailStore, items: Items) -> None:
        self._store = store
        self._items = items

    def tree(self, owner: str) -> list[Folder]:
        """Return the folders of somebody that can hold mail, by display name."""
        mailboxes = {box.name: box for box in self._store.mailboxes(owner) if box.name not in _NO_MAIL}
        return sorted(
            (_placed(box, mailboxes) for box in mailboxes.values()), key=lambda folder: folder.name.casefold()
        )

    def children(self, owner: str, parent: int) -> list[Folder]:
        """Return the folders right below one."""
        return [folder for folder in self.tree(owner) if folder.parent == parent]

    def find(self, owner: str, name: str) -> Folder:
        """Return a folder by its id or well-known name.

        Raises:
            GraphError: there is none.
        """
        number = self.number(owner, name)
        for folder in self.tree(owner):
            if folder.mailbox.id == number:
                return folder
        raise item_not_found()

    def number(self, owner: str, name: str) -> int:
        """Return the id of the mailbox that an id or well-known name means; 0 is the root.

        Raises:
            GraphError: it means none.
        """
        key = name.lower()
        if key == "msgfolderroot":
            return ROOT
        if key in WELL_KNOWN:
            return self._store.mailbox(owner, WELL_KNOWN[key]).id
        if key in _OTHER_NAMES:
            message = f"The specified object was not found in the store., Default folder {name} not found."
            raise GraphError(404, "ErrorItemNotFound", message)
        try:
            identifier = graph_ids.decode(owner, name)
        except MalformedIdError as error:
            raise malformed_id() from error
        if identifier.kind is not Kind.FOLDER:
            raise malformed_id()
        return identifier.number

    def json(self, owner: str, folders: list[Folder]) -> list[dict[str, Any]]:
        """Return mailFolder resources."""
        counts = self._items.counts(owner)
        children: dict[int, int] = {}
        for folder in self.tree(owner):
            children[folder.parent] = children.get(folder.parent, 0) + 1
        return [_resource(owner, folder.mailbox.id, folder.name, folder.parent, children, counts) for folder in folders]

    def root(self, owner: str) -> dict[str, Any]:
        """Return the mailFolder above all others."""
        children = {ROOT: len(self.children(owner, ROOT))}
        return _resource(owner, ROOT, "Top of Information Store", ROOT, children, {})

    def create(self, owner: str, parent: int, name: object) -> Folder:
        """Create a folder.

        Raises:
            GraphError: no name, or it is taken.
        """
        display = _checked_name(name)
        self._check_free(owner, parent, display)
        box = self._store.create_mailbox(owner, self._path(parent, display))
        return Folder(mailbox=box, name=display, parent=parent)

    def rename(self, owner: str, folder: Folder, name: object) -> Folder:
        """Give a folder another display name.

        Raises:
            GraphError: a default folder, no name, or it is taken.
        """
        return self._place(owner, folder, folder.parent, _checked_name(name))

    def move(self, owner: str, folder: Folder, parent: int) -> Folder:
        """Put a folder with those below it elsewhere.

        Raises:
            GraphError: a default folder, a name that is taken there, or a place inside itself.
        """
        above, tree = parent, {folder.mailbox.id: folder for folder in self.tree(owner)}
        while above != ROOT:
            if above == folder.mailbox.id:
                raise GraphError(400, "ErrorMoveCopyFailed", "The move or copy operation failed.")
            above = tree[above].parent
        return self._place(owner, folder, parent, folder.name)

    def delete(self, owner: str, folder: Folder, *, permanently: bool) -> None:
        """Move a folder to Deleted Items; from there, or if so wanted, delete it.

        Raises:
            GraphError: a default folder.
        """
        _refuse_default(folder)
        trash = self._store.mailbox(owner, WELL_KNOWN["deleteditems"])
        if permanently or folder.mailbox.name.startswith(trash.name + DELIMITER):
            below = folder.mailbox.name + DELIMITER
            for box in self._store.mailboxes(owner):
                if box.name == folder.mailbox.name or box.name.startswith(below):
                    self._store.delete_mailbox(box)
            return
        name, number = folder.name, 0
        while any(child.name.casefold() == name.casefold() for child in self.children(owner, trash.id)):
            number += 1
            name = f"{folder.name}{number}"
        self._place(owner, folder, trash.id, name)

    def _place(self, owner: str, folder: Folder, parent: int, name: str) -> Folder:
        _refuse_default(folder)
        self._check_free(owner, parent, name, folder)
        path = self._path(parent, name)
        if path != folder.mailbox.name:
            self._store.rename_mailbox(folder.mailbox, path)
        return Folder(mailbox=self._store.mailbox(owner, path), name=name, parent=parent)

    def _check_free(self, owner: str, parent: int, name: str, itself: Folder | None = None) -> None:
        if parent != ROOT and self._store.mailbox_by_id(parent) is None:
            raise item_not_found()
        for child in self.children(owner, parent):
            if child.name.casefold() == name.casefold() and (itself is None or child.mailbox.id != itself.mailbox.id):
                raise GraphError(409, "ErrorFolderExists", "A folder with the specified name already exists.")

    def _path(self, parent: int, name: str) -> str:
        encoded = name.replace("%", "%25").replace(DELIMITER, "%2F")
        above = self._store.mailbox_by_id(parent)
        return encoded if above is None else f"{above.name}{DELIMITER}{encoded}"


def _placed(box: Mailbox, mailboxes: Mapping[str, Mailbox]) -> Folder:
    above, _, last = box.name.rpartition(DELIMITER)
    while above and above not in mailboxes:
        # IMAP can have a mailbox below one that is not there.
        above, _, middle = above.rpartition(DELIMITER)
        last = f"{middle}{DELIMITER}{last}"
    name = "Inbox" if box.name == INBOX else last.replace("%2F", DELIMITER).replace("%25", "%")
    return Folder(mailbox=box, name=name, parent=mailboxes[above].id if above else ROOT)


def _resource(
    owner: str,
    number: int,
    name: str,
    parent: int,
    children: Mapping[int, int],
    counts: Mapping[int, tuple[int, int]],
) -> dict[str, Any]:
    total, unread = counts.get(number, (0, 0))
    return {
        "id": graph_ids.folder(owner, number),
        "displayName": name,
        "parentFolderId": graph_ids.folder(owner, parent),
        "childFolderCount": children.get(number, 0),
        "unreadItemCount": unread,
        "totalItemCount": total,
        "isHidden": False,
    }


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise bad_request("The folder name is empty or missing.", "ErrorInvalidRequest")
    if len(name) > 255:
        raise bad_request("The folder name is too long.", "ErrorInvalidRequest")
    return name.strip()


def _refuse_default(folder: Folder) -> None:
    if folder.mailbox.name in _DEFAULTS:
        message = "Distinguished folders cannot be deleted, renamed or moved."
        raise GraphError(403, "ErrorDeleteDistinguishedFolder", message)

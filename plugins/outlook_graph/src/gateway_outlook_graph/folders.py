"""Mailboxes: Graph's folders have ids and display names, the gateway's have paths.

A path is the display names from the top, joined by slashes; in a name ``%`` is written ``%25`` and ``/`` ``%2F``. The
inbox is ``INBOX`` whatever it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

import msgspec

from gateway.errors import ConflictError, InvalidRequestError, MailboxNotFoundError, NotFoundError, PermanentError
from gateway.model.message import Mailbox, MailboxStatus, SpecialUse
from gateway_outlook_graph.batch import batched
from gateway_outlook_graph.client import GraphClient, Request, decoded, path, read
from gateway_outlook_graph.resources import Folder, Folders

DELIMITER = "/"
INBOX = "INBOX"
#: Seconds that a list of folders is good for: others may rename them.
_KEPT = 30.0
_PAGE = "250"
_ROOT = "msgfolderroot"
#: https://learn.microsoft.com/graph/api/resources/mailfolder
WELL_KNOWN: Mapping[str, SpecialUse] = MappingProxyType(
    {
        "inbox": "\\Inbox",
        "drafts": "\\Drafts",
        "sentitems": "\\Sent",
        "deleteditems": "\\Trash",
        "junkemail": "\\Junk",
        "archive": "\\Archive",
    }
)
_SELECT = {"$select": "id,displayName,parentFolderId,childFolderCount,totalItemCount,unreadItemCount"}


class _Id(msgspec.Struct):
    id: str


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """The folders by path and the paths by id, both in the order of the listing."""

    folders: Mapping[str, Folder]
    paths: Mapping[str, str]


class Place(NamedTuple):
    """Where a message is: path and special use of its mailbox."""

    path: str | None = None
    use: SpecialUse | None = None


class Mailboxes:
    """The folders of one mailbox."""

    def __init__(self, client: GraphClient, special_use: Mapping[str, str], clock: Callable[[], float]) -> None:
        """Prepare.

        Args:
            client: of the mailbox.
            special_use: uses that the account's owner fixed, to paths.
            clock: monotonic seconds.
        """
        self._client = client
        self._fixed = {special_use[use]: use for use in get_args(SpecialUse) if use in special_use}
        self._clock = clock
        self._well_known: dict[str, SpecialUse] | None = None
        self._tree: Tree | None = None
        self._read_at = 0.0

    async def listed(self, *, counters: bool) -> list[Mailbox]:
        """Return the mailboxes, the inbox first."""
        tree = await self._read()
        uses = await self._uses()
        found = [self._mailbox(path, folder, tree, uses, counters=counters) for path, folder in tree.folders.items()]
        return sorted(found, key=lambda mailbox: mailbox.special_use != "\\Inbox")

    async def folder(self, path: str) -> str:
        """Return the id of the folder at a path, or with a special use such as ``\\Sent``.

        Raises:
            NotFoundError: there is none.
        """
        if path.startswith("\\"):
            path = await self._with_use(path.lower()) or path
        folder = _at(path, await self._current())
        if folder is None and self._read_at < self._clock():
            folder = _at(path, await self._read())
        if folder is None:
            raise MailboxNotFoundError("there is no such mailbox")
        return folder.id

    async def path(self, path: str) -> str:
        """Return the path by which a folder is listed, for another way to write it, or its special use.

        Raises:
            NotFoundError: there is none.
        """
        folder = await self.folder(path)
        return (await self._current()).paths[folder]

    async def place(self, folder: str | None) -> Place:
        """Return what is known of a folder; nothing when it is not listed."""
        return (await self.places({folder}))[folder]

    async def places(self, folders: Collection[str | None]) -> dict[str | None, Place]:
        """Return likewise what is known of each of some folders."""
        named = {folder for folder in folders if folder is not None}
        found: dict[str | None, Place] = dict.fromkeys(folders, Place())
        if not named:
            return found
        tree = await self._current()
        if not named <= tree.paths.keys():
            tree = await self._read()
        for folder in named & tree.paths.keys():
            path = tree.paths[folder]
            found[folder] = Place(path=path, use=self._use(path, folder, await self._uses()))
        return found

    def forget(self) -> None:
        """Read the folders anew at the next use: something about them was not as expected."""
        self._tree = None

    async def create(self, path: str) -> bool:
        """Create a mailbox with those above it; False when it existed."""
        names = _names(path)
        parent, created = _ROOT, False
        for depth in range(1, len(names) + 1):
            above = _joined(names[:depth])
            try:
                parent, created = await self.folder(above), False
            except NotFoundError:
                parent, created = await self._create(parent, names[depth - 1]), True
        return created

    async def rename(self, path_: str, new_path: str) -> None:
        """Give a folder another name, or put it below another one."""
        folder = await self.folder(path_)
        *above, name = _names(_canonical(new_path))
        *before, old_name = _names(await self.path(path_))
        if above != before:
            parent = await self.folder(_joined(above)) if above else _ROOT
            await self._client.call(
                Request(method="POST", path=path("mailFolders", folder, "move"), json={"destinationId": parent})
            )
        if name != old_name:
            await self._client.call(
                Request(method="PATCH", path=path("mailFolders", folder), json={"displayName": name})
            )
        self.forget()

    async def delete(self, path_: str) -> None:
        """Delete a folder for good, with what is in it."""
        folder = await self.folder(path_)
        if folder in await self._uses():
            raise PermanentError("a default mailbox cannot be deleted")
        await self._client.call(Request(method="POST", path=path("mailFolders", folder, "permanentDelete")))
        self.forget()

    async def _create(self, parent: str, name: str) -> str:
        where = path("mailFolders") if parent == _ROOT else path("mailFolders", parent, "childFolders")
        try:
            reply = await self._client.call(Request(method="POST", path=where, json={"displayName": name}))
        except ConflictError:
            # Somebody else was faster.
            self.forget()
            raise
        self.forget()
        return read(reply, Folder).id

    async def _current(self) -> Tree:
        if self._tree is None or self._clock() - self._read_at > _KEPT:
            return await self._read()
        return self._tree

    async def _read(self) -> Tree:
        """Read all folders, level by level."""
        found: dict[str, list[Folder]] = {}
        level = [""]
        while level:
            for parent in level:
                found[parent] = await self._below(parent)
            level = [folder.id for parent in level for folder in found[parent] if folder.child_folder_count]
        uses = await self._uses()
        self._tree = _tree(found, {folder for folder, use in uses.items() if use == "\\Inbox"})
        self._read_at = self._clock()
        return self._tree

    async def _below(self, parent: str) -> list[Folder]:
        where = path("mailFolders", parent, "childFolders") if parent else path("mailFolders")
        query = {**_SELECT, "$top": _PAGE}
        found: list[Folder] = []
        while True:
            page = await self._client.get(Folders, where, {**query, "$skip": str(len(found))} if found else query)
            found += page.value
            if page.next_link is None or not page.value:
                return found

    async def _uses(self) -> Mapping[str, SpecialUse]:
        """Return the uses of folders by id. They never change; a mailbox may lack an archive."""
        if self._well_known is None:
            requests = [Request(path=path("mailFolders", name), query={"$select": "id"}) for name in WELL_KNOWN]
            answers = await batched(self._client, requests)
            known: dict[str, SpecialUse] = {}
            for use, answer in zip(WELL_KNOWN.values(), answers, strict=True):
                if isinstance(answer, msgspec.Raw):
                    known[decoded(answer, _Id).id] = use
                elif not isinstance(answer, NotFoundError):
                    raise answer
            self._well_known = known
        return self._well_known

    def _mailbox(
        self, path: str, folder: Folder, tree: Tree, uses: Mapping[str, SpecialUse], *, counters: bool
    ) -> Mailbox:
        parent, _, _ = path.rpartition(DELIMITER)
        use = self._use(path, folder.id, uses)
        source: Literal["user", "extension"] = "extension" if use == uses.get(folder.id) else "user"
        status = MailboxStatus(messages=folder.total_item_count, unseen=folder.unread_item_count)
        return Mailbox(
            id=folder.id,
            path=path,
            name=folder.display_name or path,
            delimiter=DELIMITER,
            parent_path=parent if parent in tree.folders else "",
            listed=True,
            subscribed=True,
            special_use=use,
            special_use_source=None if use is None else source,
            status=status if counters else None,
        )

    def _use(self, path: str, folder: str, uses: Mapping[str, SpecialUse]) -> SpecialUse | None:
        """Return the use of a folder: one that the owner fixed for another folder is not that of this one."""
        own = uses.get(folder)
        if own == "\\Inbox" or (own is not None and own not in self._fixed.values()):
            return own
        return self._fixed.get(path)

    async def _with_use(self, use: str) -> str | None:
        uses = await self._uses()
        for where, folder in (await self._current()).folders.items():
            found = self._use(where, folder.id, uses)
            if found is not None and found.lower() == use:
                return where
        return None


def escaped(name: str) -> str:
    """Return a display name as a segment of a path."""
    return name.replace("%", "%25").replace(DELIMITER, "%2F")


def _names(path: str) -> list[str]:
    """Return the display names of a path, without the spaces around them, which Exchange does not keep.

    Raises:
        InvalidRequestError: one of them is empty.
    """
    names = [
        segment.replace("%2F", DELIMITER).replace("%2f", DELIMITER).replace("%25", "%").strip()
        for segment in path.split(DELIMITER)
    ]
    if not all(names):
        raise InvalidRequestError("a mailbox needs a name")
    return names


def _joined(names: Iterable[str]) -> str:
    return DELIMITER.join(escaped(name) for name in names)


def _at(path: str, tree: Tree) -> Folder | None:
    """Return the folder at a path, which may be written otherwise than it is listed."""
    if (folder := tree.folders.get(_inbox_path(path))) is not None:
        return folder
    try:
        return tree.folders.get(_canonical(path))
    except InvalidRequestError:
        return None


def _canonical(path: str) -> str:
    return _inbox_path(_joined(_names(path)))


def _inbox_path(path: str) -> str:
    """Return a path with the inbox in capitals: its name is the same in any case (RFC 9051 section 5.1)."""
    first, slash, rest = path.partition(DELIMITER)
    return f"{INBOX}{slash}{rest}" if first.upper() == INBOX else path


def _tree(found: Mapping[str, list[Folder]], inbox: set[str]) -> Tree:
    folders: dict[str, Folder] = {}

    def add(parent: str, prefix: str) -> None:
        for folder in found.get(parent, ()):
            name = INBOX if folder.id in inbox else escaped(folder.display_name or folder.id)
            path = f"{prefix}{name}"
            folders[path] = folder
            add(folder.id, f"{path}{DELIMITER}")

    add("", "")
    return Tree(folders=folders, paths={folder.id: path for path, folder in folders.items()})

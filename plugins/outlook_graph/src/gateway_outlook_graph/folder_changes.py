"""Whether folders are new, renamed or gone: a delta query, which tells of folders with new messages, too.

https://learn.microsoft.com/graph/api/mailfolder-delta
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from gateway.errors import PermanentError, ServiceUnavailableError
from gateway.provider import MailboxChanges
from gateway_outlook_graph.client import GraphClient, Request, path, read
from gateway_outlook_graph.following import token_of
from gateway_outlook_graph.ids import FoldersState, KnownFolders, decode_folders_state
from gateway_outlook_graph.priority import Priority
from gateway_outlook_graph.resources import Folder, Folders

#: Folders in one answer.
_PAGE = "odata.maxpagesize=200"
_FROM_THE_BEGINNING = {"$select": "displayName,parentFolderId"}


class FolderChanges:
    """Tells whether folders changed; what was known of them is in the state, as fingerprints."""

    def __init__(self, client: GraphClient) -> None:
        self._client = client

    async def since(self, since: str | None) -> MailboxChanges:
        """See `gateway.provider.Session.mailbox_changes`."""
        before = None if since is None else decode_folders_state(since)
        if before is not None:
            try:
                return await self._answer({"$deltatoken": before.token}, before.known, before.known)
            except PermanentError:
                # The token is forgotten, in one of several words; what there is now is compared with what was.
                return await self._answer(_FROM_THE_BEGINNING, {}, before.known)
        answer = await self._answer(_FROM_THE_BEGINNING, {}, {})
        return MailboxChanges(state=answer.state, changed=since is not None)

    async def _answer(self, query: Mapping[str, str], base: KnownFolders, before: KnownFolders) -> MailboxChanges:
        """Ask, take in what is told to what it is told about, and compare with what was."""
        now = base
        while True:
            request = Request(path=path("mailFolders", "delta"), query=query, prefer=(_PAGE,))
            page = read(await self._client.call(request, Priority.BACKGROUND), Folders)
            now = _taken_in(now, page.value)
            if page.delta_link is not None:
                _, token = token_of(page.delta_link, "$deltatoken")
                return MailboxChanges(state=FoldersState(token=token, known=now).encode(), changed=now != before)
            if page.next_link is None:
                raise ServiceUnavailableError("Microsoft Graph answered neither with a next page nor with a state")
            query = dict([token_of(page.next_link, "$skiptoken", "$deltatoken")])


def _taken_in(known: KnownFolders, told: Sequence[Folder]) -> KnownFolders:
    """Return what is known after an answer, which may hold only what changed of a folder."""
    now = dict(known)
    for folder in told:
        id = _mark(folder.id)
        if folder.removed is not None:
            now.pop(id, None)
            continue
        name, parent = now.get(id, (b"", b""))
        if folder.display_name is not None:
            name = _mark(folder.display_name)
        if folder.parent_folder_id is not None:
            parent = _mark(folder.parent_folder_id)
        now[id] = name, parent
    return now


def _mark(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()

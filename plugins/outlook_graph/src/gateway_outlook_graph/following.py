"""What changed in a folder: delta queries (https://learn.microsoft.com/graph/delta-query-messages)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

from gateway.errors import (
    CursorExpiredError,
    InvalidIdentifierError,
    MailboxNotFoundError,
    MailboxResetError,
    NotFoundError,
    PermanentError,
    ServiceUnavailableError,
)
from gateway.model.message import MessageEntry
from gateway.provider import Changes
from gateway_outlook_graph import mapping
from gateway_outlook_graph.client import GraphClient, Request, path, read
from gateway_outlook_graph.folders import Mailboxes
from gateway_outlook_graph.ids import DeltaState, decode_state
from gateway_outlook_graph.priority import Priority
from gateway_outlook_graph.reading import Reading
from gateway_outlook_graph.resources import EXPAND_VERB, STATE, Message, Messages

#: Messages in one answer.
_PAGE = "odata.maxpagesize=200"
_FROM_THE_BEGINNING = {"$select": ",".join(STATE), "$expand": EXPAND_VERB}


class Following:
    """Tells changes."""

    def __init__(self, client: GraphClient, mailboxes: Mailboxes, reading: Reading) -> None:
        self._client = client
        self._mailboxes = mailboxes
        self._reading = reading

    async def changes(self, mailbox: str, since: str | None) -> Changes:
        """Return one page of what changed; see `gateway.provider.Session.changes`."""
        folder = await self._mailboxes.folder(mailbox)
        before = None if since is None else decode_state(since)
        if before is not None and before.folder != folder:
            raise MailboxResetError("the mailbox was made anew")
        page = await self._page(folder, before)
        complete = before is None or before.complete
        more = page.delta_link is None
        if (link := page.next_link if more else page.delta_link) is None:
            raise ServiceUnavailableError("Microsoft Graph answered neither with a next page nor with a state")
        option, token = token_of(link, "$deltatoken", "$skiptoken")
        state = DeltaState(folder=folder, option=option, token=token, complete=complete and more)
        changed, removed = await self._sorted(folder, page.value)
        return Changes(
            state=state.encode(),
            changed=tuple(mapping.state(message) for message in changed),
            removed=tuple(removed),
            complete=complete,
            more=more,
        )

    async def entries(self, mailbox: str, ids: Sequence[str]) -> list[MessageEntry]:
        """Return messages of a mailbox as a listing shows them."""
        folder = await self._mailboxes.folder(mailbox)
        place = await self._mailboxes.place(folder)
        found = await self._reading.several(ids, Priority.BACKGROUND)
        return [mapping.entry(message, *place) for message in found if message.parent_folder_id == folder]

    async def _page(self, folder: str, before: DeltaState | None) -> Messages:
        query = _FROM_THE_BEGINNING if before is None else {before.option: before.token}
        request = Request(path=path("mailFolders", folder, "messages", "delta"), query=query, prefer=(_PAGE,))
        try:
            return read(await self._client.call(request, Priority.BACKGROUND), Messages)
        except (NotFoundError, InvalidIdentifierError):
            self._mailboxes.forget()
            raise MailboxNotFoundError("there is no such mailbox") from None
        except CursorExpiredError:
            raise
        except PermanentError as error:
            if before is None:
                raise
            raise CursorExpiredError("the state cannot be continued from", native_code=error.native_code) from error

    async def _sorted(self, folder: str, told: Sequence[Message]) -> tuple[list[Message], list[str]]:
        """Return which messages are in the folder and which are not.

        The order is not promised and an answer may hold only what changed of a message: what is not clear is asked.
        """
        gone = {message.id for message in told if message.removed is not None}
        there = {message.id: message for message in told if message.removed is None}
        unclear = [id for id, message in there.items() if id in gone or _lacks(message)]
        if unclear:
            answers = await self._reading.states_there(unclear, Priority.BACKGROUND)
            now = {message.id: message for message in answers}
            for id in unclear:
                del there[id]
                if id in now and now[id].parent_folder_id == folder:
                    there[id] = now[id]
                    gone.discard(id)
                else:
                    gone.add(id)
        return list(there.values()), sorted(gone)


def _lacks(message: Message) -> bool:
    return message.is_read is None or message.received_date_time is None or message.categories is None


def token_of(link: str, *options: str) -> tuple[str, str]:
    """Return which of some query options a link has, and its value; only they are kept, the rest is built again.

    Raises:
        ServiceUnavailableError: none of them.
    """
    for name, value in parse_qsl(urlsplit(link).query):
        if name.lower() in options:
            return name.lower(), value
    raise ServiceUnavailableError("Microsoft Graph answered with a link that cannot be read")

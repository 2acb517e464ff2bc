"""Which message of a thread is answered."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from gateway.errors import InvalidRequestError, NotFoundError, UnsupportedOperationError
from gateway.model.message import MessageEntry, SearchQuery
from gateway.provider import PageRequest, Session

#: What lies there is not answered: it is not sent, or thrown away.
_PASSED_OVER = ("\\Drafts", "\\Trash", "\\Junk")
#: Newest messages of a thread that are looked at in each mailbox.
_LOOKED_AT = 50
_NO_DATE = datetime.min.replace(tzinfo=UTC)


async def newest_of_thread(session: Session, thread: str, own: Collection[str]) -> str:
    """Return the id of the newest message of a thread that is no draft, wherever it lies but in trash and junk.

    Every mailbox is searched, unless all mail can be searched at once (``\\All``, RFC 6154).

    Args:
        session: of the account.
        thread: id of the thread.
        own: addresses whose messages are taken only when there are no others.

    Raises:
        NotFoundError: there is none.
        UnsupportedOperationError: the service cannot search for this thread.
    """
    mailboxes = [each for each in await session.mailboxes() if not each.no_select]
    everything = [each for each in mailboxes if each.special_use == "\\All"]
    if session.all_mail is not None:
        everything = [session.all_mail]
    found: list[MessageEntry] = []
    for mailbox in everything or mailboxes:
        if mailbox.special_use not in _PASSED_OVER:
            found += await _of_thread(session, mailbox.path, thread)
    if not found:
        raise NotFoundError("there is no message of this thread")
    written = {address.lower() for address in own}
    others = [each for each in found if each.from_ is None or each.from_.address.lower() not in written]
    return max(others or found, key=lambda each: each.date or _NO_DATE).id


async def _of_thread(session: Session, path: str, thread: str) -> list[MessageEntry]:
    try:
        page = await session.search(path, SearchQuery(thread_id=thread), PageRequest(size=_LOOKED_AT))
    except (NotFoundError, InvalidRequestError):
        # The mailbox is gone meanwhile, or no thread of the account can have this id.
        return []
    except UnsupportedOperationError as error:
        if error.error_code == "MissingServerExtension":
            # An id of a service that has threads of its own, as this one has not.
            return []
        raise
    return [entry for entry in page.messages if not entry.draft and entry.message_special_use not in _PASSED_OVER]

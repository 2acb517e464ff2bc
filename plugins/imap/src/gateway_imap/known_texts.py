"""Which parts of messages are body text, as was learned before: then a message comes with text in one round trip.

Under its UID a message stays what it is (RFC 9051 section 2.3.1.1), so this never has to be forgotten. What is known is
only what to ask for: the structure comes along each time, and has the last word.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

from gateway.model.message import MessageDetail, MessageEntry
from gateway_imap.ids import TextId, decode_text_id

# Messages of all accounts of the process, some 350 octets each.
_LIMIT = 10_000


class KnownTexts:
    """Remembers the newest ids of body text, for all sessions and their threads."""

    def __init__(self, limit: int = _LIMIT) -> None:
        """Make an empty memory of at most `limit` messages."""
        self._limit = limit
        self._ids: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def keep(self, account: str, entries: Iterable[MessageEntry | MessageDetail]) -> None:
        """Remember where the texts of messages are; those without one are left out."""
        found = {(account, entry.id): entry.text.id for entry in entries if entry.text is not None and entry.text.id}
        with self._lock:
            for message in found:
                self._ids.pop(message, None)
            self._ids |= found
            for oldest in list(islice(self._ids, max(0, len(self._ids) - self._limit))):
                del self._ids[oldest]

    def of(self, account: str, message: str) -> TextId | None:
        """Return where the text of a message is; None when that is not known."""
        found = self._ids.get((account, message))
        return None if found is None else decode_text_id(found)


@lru_cache(maxsize=1)
def shared_texts() -> KnownTexts:
    """Return what all IMAP sessions of the process know."""
    return KnownTexts()

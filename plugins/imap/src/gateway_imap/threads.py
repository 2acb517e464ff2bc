"""The messages of a thread on servers that have no threads of their own; blocking."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import InvalidRequestError, UnsupportedOperationError
from gateway.mime.identity import HASHED, thread_root
from gateway_imap.connection import Connection
from gateway_imap.entries import REFERENCES, headers_of, own_thread
from gateway_imap.matching import matching
from gateway_imap.wire import quoted

#: Messages whose headers are looked at: more of them have nothing to do with one thread.
_MOST = 5000
_FIELDS = (b"References", b"In-Reply-To", b"Message-ID")
_ITEMS = f"(UID ENVELOPE {REFERENCES})".encode("ascii")


def thread_criteria(id: str) -> list[bytes]:
    """Return criteria that the messages of a thread meet, and others that refer to its root, too.

    Raises:
        UnsupportedOperationError: the id does not tell the root, because that has too long a name.
        InvalidRequestError: the id cannot be one.
    """
    root = thread_root(id)
    if id.startswith(HASHED):
        raise UnsupportedOperationError("this thread cannot be searched for", code="UnsupportedSearchTerm")
    if root is None or "\0" in root:
        raise InvalidRequestError(
            "a search criterion cannot be written in IMAP", fields=[{"message": "no thread", "key": "search.threadId"}]
        )
    first, second, third = ([b"HEADER", field, quoted(root)] for field in _FIELDS)
    return [b"OR", *first, b"OR", *second, *third]


def of_thread(connection: Connection, id: str, found: Sequence[range]) -> list[range]:
    """Return those of the UIDs found in the selected mailbox whose thread this is; a round trip for a thousand.

    Raises:
        UnsupportedOperationError: there are too many to look at.
        GatewayError: the server does not tell their headers.
    """
    if sum(map(len, found)) > _MOST:
        raise UnsupportedOperationError("too many messages refer to this thread", code="UnsupportedSearchTerm")
    return matching(connection, found, _ITEMS, lambda row: own_thread(row, headers_of(row)) == id)

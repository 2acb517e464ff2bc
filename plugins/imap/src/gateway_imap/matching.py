"""Messages of which SEARCH tells too many, because it only knows parts of what is asked for; blocking."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from gateway_imap.connection import Connection
from gateway_imap.errors import response_code
from gateway_imap.fetch_parser import Attributes
from gateway_imap.finding import united
from gateway_imap.reading import fetched_rows
from gateway_imap.uid_sets import uid_sets


def matching(
    connection: Connection, found: Iterable[range], items: bytes, accept: Callable[[Attributes], bool]
) -> list[range]:
    """Return those of the UIDs of the selected mailbox whose messages are accepted; a round trip for a thousand.

    Args:
        connection: with the mailbox selected.
        found: UIDs.
        items: what to fetch of each message, UID and ENVELOPE included.
        accept: is given what was fetched.

    Raises:
        GatewayError: the server does not tell.
    """
    members: list[range] = []
    for part in uid_sets(chain.from_iterable(found)):
        reply = connection.command(b"UID FETCH", part.octets, items, tolerate=True)
        if reply.status != "OK" and response_code(reply.text)[0] not in ("EXPUNGEISSUED", "NONEXISTENT"):
            raise connection.refusal(reply)
        wanted = frozenset(part.uids)
        # A row without ENVELOPE is told of a message that nobody asked about.
        uids = {row["UID"] for row in fetched_rows(reply, None) if "ENVELOPE" in row and accept(row)}
        members += [range(uid, uid + 1) for uid in uids & wanted]
    return united(members)

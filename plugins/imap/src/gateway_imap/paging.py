"""Pages of a mailbox by number, and from a cursor's UID on; blocking.

A page from a cursor is looked for where it was when the cursor was given out, with one message more from the other side
to tell whether it is still there: mostly one round trip, as by number. When messages came or went in between, the UIDs
around the place are read, and then the page by its UIDs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from gateway.errors import CursorExpiredError
from gateway.model.message import SpecialUse
from gateway.provider import Listed, MessagePage, PageRequest, Place, cursors, numbered_place, read_cursor
from gateway_imap.connection import Connection
from gateway_imap.errors import response_code
from gateway_imap.gathering import read_entries
from gateway_imap.ids import CURSOR_KIND
from gateway_imap.listing import LastPage, Page, read_page
from gateway_imap.reading import fetched_rows
from gateway_imap.selected import Selected

# Messages on either side of a place whose UIDs are read at first; some 25 octets each.
_REACH = 500


def requested_place(page: PageRequest) -> Place:
    """Return where the page that is asked for lies.

    Raises:
        CursorExpiredError: not a cursor of this provider.
    """
    if page.cursor is None:
        return numbered_place(page.page, page.size)
    return read_cursor(CURSOR_KIND, page.cursor)


def message_page(found: Page, place: Place, size: int) -> MessagePage:
    """Return a page with its cursors."""
    uids = [entry.uid for entry in found.entries]
    newest, oldest = (uids[0], uids[-1]) if uids else (None, None)
    listed = Listed(found.total, found.first, len(uids), newest, oldest, found.uid_validity)
    following, preceding = cursors(CURSOR_KIND, place, size, listed)
    return MessagePage(
        total=found.total,
        page=place.page,
        messages=found.entries,
        next_cursor=following,
        previous_cursor=preceding,
    )


def check_validity(place: Place, uid_validity: int) -> None:
    """See that the UIDs of a cursor still mean something (RFC 9051 section 2.3.1.1).

    Raises:
        CursorExpiredError: they do not.
    """
    if (place.below, place.above) != (None, None) and place.validity != uid_validity:
        raise CursorExpiredError("the mailbox was made anew since the cursor was given out")


def read_place(
    connection: Connection,
    path: str,
    name: bytes,
    place: Place,
    *,
    size: int,
    use: SpecialUse | None,
    number: Callable[[str], int],
    last: LastPage,
) -> Page:
    """Return the page at a place.

    Args:
        connection: logged in.
        path: of the mailbox.
        name: the argument that names it to the server.
        place: where the page begins or ends.
        size: messages on it.
        use: what the mailbox is for.
        number: numbers a name durably, see `gateway.provider.Numbers`.
        last: what the session listed before.

    Raises:
        CursorExpiredError: the mailbox was made anew since the cursor was given out.
    """
    edge = _edge(place)
    if edge is None:
        return read_page(connection, path, name, first=place.first, size=size, use=use, number=number, last=last)
    forward = place.below is not None
    start = max(0, place.first - (1 if forward else size))
    end = place.first + (size if forward else 1)
    page = read_page(connection, path, name, first=start, size=end - start, use=use, number=number, last=last)
    check_validity(place, page.uid_validity)
    newer = sum(entry.uid is not None and entry.uid >= edge for entry in page.entries)
    if _stands(page, place.first, start, newer):
        if forward:
            return page._replace(first=place.first, entries=page.entries[newer:])
        return page._replace(first=start, entries=page.entries[:newer])
    selected = connection.refreshed(path, name)
    check_validity(place, selected.uid_validity)
    first, uids = _around(connection, selected, edge, place.first, size, forward=forward)
    entries = read_entries(connection, uids, use=use, mailbox=number(f"{selected.uid_validity}:{path}"))
    return Page(selected.uid_validity, selected.exists or 0, first, entries)


def _edge(place: Place) -> int | None:
    """Return the lowest UID that lies above the place."""
    if isinstance(place.below, int):
        return place.below
    return place.above + 1 if isinstance(place.above, int) else None


def _stands(page: Page, first: int, start: int, newer: int) -> bool:
    """Tell whether as many messages lie above the place as the cursor says.

    Args:
        page: what was read, from message `start` on.
        first: messages above the place.
        start: see there.
        newer: messages of the page that lie above the place.
    """
    if newer != first - start or page.first != min(start, page.total):
        return False
    at_end = newer == len(page.entries)
    return (newer > 0 or first == 0) and (not at_end or start + newer == page.total)


def _around(
    connection: Connection, selected: Selected, edge: int, first: int, size: int, *, forward: bool
) -> tuple[int, list[int]]:
    """Return how many messages lie above the page at an edge, and its UIDs, the highest first.

    Sequence numbers are read around where the place was, further and further until the place and the page are among
    them. It is a FETCH, whose answer has a line for each message: lines have limits, and not every server has ESEARCH.
    """
    total, reach = selected.exists or 0, _REACH + size
    while True:
        low, high = max(1, total - first - reach), min(total, total - first + reach)
        uids = _uids(connection, low, high) if low <= high else []
        split = bisect_left(uids, edge)
        above, below = len(uids) - split, split
        if (high >= total or above >= (1 if forward else size)) and (low == 1 or below >= (size if forward else 1)):
            break
        reach *= 8
    newer = max(0, total - high) + above
    if forward:
        return newer, uids[max(0, split - size) : split][::-1]
    chosen = uids[split : split + size]
    return newer - len(chosen), chosen[::-1]


def _uids(connection: Connection, low: int, high: int) -> list[int]:
    """Return the UIDs of a range of sequence numbers, ascending."""
    reply = connection.command(b"FETCH", b"%d:%d" % (low, high), b"(UID)", tolerate=True)
    if reply.status != "OK" and response_code(reply.text)[0] != "EXPUNGEISSUED":
        raise connection.refusal(reply)
    return [row["UID"] for row in reversed(fetched_rows(reply, range(low, high + 1)))]

"""Cursors that stay right while messages come and go.

A cursor names a place between two messages by the position of one of them, not by counting. Pages that are followed by
cursors hold the mailbox as it was at the first of them, without what was deleted meanwhile: new messages come above all
places that were given out, and a place stays when the message that names it goes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from gateway.errors import CursorExpiredError
from gateway.provider.mail import PageRequest
from gateway.provider.structs import Struct

#: Characters of a cursor: the address of a request has an end, and what a client encodes becomes longer there.
LONGEST_CURSOR = 4096

#: Text is printable ASCII, so that cursors are no longer than that; one is made by `_next`.
Position: TypeAlias = (
    Annotated[int, Meta(ge=0, lt=2**53)] | Annotated[str, Meta(max_length=1024, pattern=r"^[\x20-\x7e]*\x00?\Z")]
)
_Count: TypeAlias = Annotated[int, Meta(ge=0, lt=2**53)]


class Place(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a page begins, or, when it lies above a position, where it ends.

    Attributes:
        page: its number, from 0; only for display when there is a position.
        first: how many messages lay above the place when the cursor was given out; a hint where to look.
        below: the page holds the next messages below this position.
        above: the page holds the next messages above this position.
        validity: of the positions (UIDVALIDITY); 0 where there is none.
    """

    page: _Count
    first: _Count
    below: Position | None = None
    above: Position | None = None
    validity: _Count = 0

    def window(self, size: int, newer: Callable[[Any, bool], int]) -> tuple[int, int]:
        """Return how many messages lie above the page, and how many it may hold.

        Args:
            size: of a page.
            newer: counts the messages above a position; the one at it, too, if the second argument says so.
        """
        if self.below is not None:
            return newer(self.below, True), size
        if self.above is not None:
            end = newer(self.above, False)
            return max(0, end - size), min(end, size)
        return self.first, size


class Listed(NamedTuple):
    """A page as it turned out.

    Attributes:
        total: messages in the listing.
        first: messages above the page.
        size: messages on it.
        newest, oldest: positions of its ends; None when it is empty.
        validity: see `Place`.
    """

    total: int
    first: int
    size: int
    newest: Position | None
    oldest: Position | None
    validity: int = 0


class Slice(NamedTuple):
    """Which messages of a listing are on a page, its number and its cursors."""

    messages: slice
    page: int
    next_cursor: str | None
    previous_cursor: str | None


_decode = msgspec.json.Decoder(Place).decode
_encode = msgspec.json.Encoder().encode


def numbered_place(page: int, size: int) -> Place:
    """Return the place of a page that is asked for by its number."""
    return Place(page=page, first=page * size)


def read_cursor(kind: str, cursor: str, position: type[object] = int) -> Place:
    """Return the place that a cursor names; `position` is what this provider's positions are.

    Raises:
        CursorExpiredError: another provider's (InvalidCursorType), or none that this version gives out
            (InvalidCursorValue).
    """
    prefix, _, value = cursor.partition("_")
    if prefix != kind:
        raise CursorExpiredError("the cursor is of another kind of account", code="InvalidCursorType")
    try:
        place = _decode(base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True))
    except (ValueError, msgspec.MsgspecError):
        place = None
    if place is None or not isinstance(place.above if place.below is None else place.below, position):
        raise CursorExpiredError("the cursor is damaged, or of an earlier version", code="InvalidCursorValue")
    return place


def cursors(kind: str, place: Place, size: int, listed: Listed) -> tuple[str | None, str | None]:
    """Return the cursors of the next and of the previous page, None where there is none."""
    after, before = place.page + 1, max(0, place.page - 1)
    total, first, shown, newest, oldest, validity = listed
    following = preceding = None
    if newest is not None:
        if first + shown < total:
            following = Place(page=after, first=first + shown, below=oldest, validity=validity)
        if first:
            preceding = Place(page=before, first=first, above=newest, validity=validity)
    elif place.above is not None:
        # Everything above was deleted: what is left begins at this position.
        if total:
            following = Place(page=after, first=0, below=_next(place.above), validity=validity)
    elif total and place.page:
        # Nothing is left below: the last page there is.
        least = "" if isinstance(place.below, str) else 0
        before = min(place.page, -(-total // size)) - 1
        preceding = Place(page=before, first=total, above=least, validity=validity)
    return _written(kind, following), _written(kind, preceding)


def slice_page(kind: str, request: PageRequest, positions: Sequence[Any]) -> Slice:
    """Return which of all messages are on a page, for providers that have the whole listing at hand.

    Args:
        kind: of the cursors.
        request: which page.
        positions: of the messages, the newest first; all integers above 0, or all text, and no two alike.

    Raises:
        CursorExpiredError: see `read_cursor`.
    """
    if request.cursor is None:
        place = numbered_place(request.page, request.size)
    else:
        place = read_cursor(kind, request.cursor, type(positions[0]) if positions else object)
    first, size = place.window(
        request.size, lambda edge, including: sum(one > edge or (including and one == edge) for one in positions)
    )
    shown = positions[first : first + size]
    ends = (shown[0], shown[-1]) if shown else (None, None)
    listed = Listed(len(positions), min(first, len(positions)), len(shown), *ends)
    return Slice(slice(first, first + size), place.page, *cursors(kind, place, request.size, listed))


def _next(position: Position) -> Position:
    return position + 1 if isinstance(position, int) else f"{position}\0"


def _written(kind: str, place: Place | None) -> str | None:
    if place is None:
        return None
    return f"{kind}_{base64.urlsafe_b64encode(_encode(place)).rstrip(b'=').decode()}"

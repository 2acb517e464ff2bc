"""Cursors of listings: what is given out is read back, everything else is refused, and pages are a partition."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CursorExpiredError
from gateway.provider import LONGEST_CURSOR, PageRequest, read_cursor, slice_page


def _list(positions: set[int], size: int, asked: str | int) -> tuple[list[int], str | None, str | None]:
    newest_first = sorted(positions, reverse=True)
    cursor, number = (asked, 0) if isinstance(asked, str) else (None, asked)
    messages, _, following, preceding = slice_page(
        "kind", PageRequest(page=number, size=size, cursor=cursor), newest_first
    )
    return newest_first[messages], following, preceding


_SETS = st.sets(st.integers(1, 30))


@given(_SETS, st.integers(1, 7), st.lists(st.tuples(_SETS, st.integers(0, 4))))
def test_pages_after_each_other_are_the_mailbox_at_the_start_without_what_was_deleted(
    start: set[int], size: int, changes: list[tuple[set[int], int]]
) -> None:
    now, gone, top = set(start), set[int](), 31
    shown, following, _ = _list(now, size, 0)
    for deleted, arrived in [*changes, *[(set[int](), 0)] * 40]:
        gone |= deleted & now
        now = (now - deleted) | set(range(top, top + arrived))
        top += arrived
        if following is None:
            break
        page, following, _ = _list(now, size, following)
        shown += page
    assert shown == sorted(set(shown), reverse=True)
    assert start - gone <= set(shown) <= start


@given(_SETS, st.integers(1, 7), st.integers(0, 9))
def test_pages_backwards_are_those_of_the_way_there(positions: set[int], size: int, number: int) -> None:
    """From any page by number, also from one past the end, one comes to the newest message and stops there."""
    page, _, preceding = _list(positions, size, number)
    shown = page[::-1]
    while preceding is not None:
        page, _, preceding = _list(positions, size, preceding)
        shown += page[::-1]
    assert shown == (sorted(positions)[-len(shown) :] if shown else [])
    assert bool(shown) == bool(positions and (number or page))


def test_the_way_on_is_found_from_a_page_whose_messages_were_all_deleted() -> None:
    _, _, preceding = _list({1, 2, 3, 4, 5, 6}, 2, 1)
    assert preceding is not None
    page, following, before = _list({1, 2, 3, 4}, 2, preceding)
    assert (page, before) == ([], None)
    assert following is not None
    assert _list({1, 2, 3, 4}, 2, following)[0] == [4, 3]


def _cursor(value: object) -> str:
    return "kind_" + base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("cursor", "code"),
    [
        ("graph_eyJwYWdlIjoxfQ", "InvalidCursorType"),
        ("", "InvalidCursorType"),
        ("kind", "InvalidCursorValue"),
        ("kind_", "InvalidCursorValue"),
        ("kind_\u00e9", "InvalidCursorValue"),
        (_cursor({}), "InvalidCursorValue"),
        (_cursor([1, 2]), "InvalidCursorValue"),
        (_cursor({"page": 1}), "InvalidCursorValue"),
        (_cursor({"page": 1, "first": 20}), "InvalidCursorValue"),
        (_cursor({"page": -1, "first": 20, "below": 3}), "InvalidCursorValue"),
        (_cursor({"page": 1, "first": -20, "below": 3}), "InvalidCursorValue"),
        (_cursor({"page": 1, "first": 20, "below": "3"}), "InvalidCursorValue"),
        (_cursor({"page": 1, "first": 20, "below": 2**53}), "InvalidCursorValue"),
        (_cursor({"page": 1, "first": 20, "below": -1}), "InvalidCursorValue"),
        (_cursor({"page": 1, "first": 20, "above": "3"}), "InvalidCursorValue"),
        (_cursor({"page": 1, "first": 20, "above": "\u00fc"}), "InvalidCursorValue"),
    ],
)
def test_foreign_and_damaged_cursors_and_those_of_an_earlier_version_are_refused(cursor: str, code: str) -> None:
    """The first means that the account changed its kind, the second that the client did something wrong."""
    with pytest.raises(CursorExpiredError) as caught:
        read_cursor("kind", cursor)
    assert caught.value.error_code == code


def test_longest_cursor_fits_an_address() -> None:
    """Positions of text may need two octets for each character."""
    most = 2**53 - 1
    quotes = '"' * 1023
    positions = [quotes + mark for mark in ("c", "b", "a")]
    page = slice_page("kind", PageRequest(size=1), positions)
    assert page.next_cursor is not None
    place = msgspec.structs.replace(read_cursor("kind", page.next_cursor, str), page=most, first=most, validity=most)
    longest = _cursor(msgspec.structs.replace(place, below=f"{quotes}\0"))
    assert len(longest) <= LONGEST_CURSOR
    assert read_cursor("kind", longest, str).page == most

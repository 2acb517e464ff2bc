"""Searching a mailbox."""

from __future__ import annotations

import pytest

from gateway.errors import NotFoundError
from gateway.model.message import SearchQuery
from gateway.provider import Capability, PageRequest, Session
from gateway.testing.conformance.base import Deliver, requires
from gateway.testing.conformance.samples import numbered

__all__ = ["SearchConformance"]


class SearchConformance:
    """Searches."""

    @requires(Capability.SEARCH)
    async def test_search_finds_what_matches_every_criterion(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Criteria are joined by AND (RFC 9051 section 6.4.4)."""
        await deliver(inbox, numbered(1, subject="needle one"))
        await deliver(inbox, numbered(2, subject="needle two"))
        await deliver(inbox, numbered(3, subject="hay"))
        for query, expected in (
            (SearchQuery(subject="needle"), ["needle two", "needle one"]),
            (SearchQuery(subject="needle", header={"Message-ID": "<1@conformance.example>"}), ["needle one"]),
            (SearchQuery(subject="needle", from_="nobody@example.org"), []),
            (SearchQuery(unseen=True, to="bob@example.org"), ["hay", "needle two", "needle one"]),
            (SearchQuery(seen=True), []),
        ):
            page = await session.search(inbox, query, PageRequest())
            assert [entry.subject for entry in page.messages] == expected, query
            assert page.total == len(expected)

    @requires(Capability.SEARCH)
    async def test_search_pages_hold_every_match_once(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Pages of a search are read as pages of a listing."""
        for number in range(5):
            await deliver(inbox, numbered(number, subject=f"needle {number}"))
            await deliver(inbox, numbered(number + 30, subject="hay"))
        found: list[str | None] = []
        request = PageRequest(size=2)
        for _ in range(5):
            page = await session.search(inbox, SearchQuery(subject="needle"), request)
            found += [entry.subject for entry in page.messages]
            if page.next_cursor is None:
                break
            request = PageRequest(size=2, cursor=page.next_cursor)
        assert found == [f"needle {number}" for number in reversed(range(5))]

    @requires(Capability.SEARCH)
    async def test_search_in_an_unknown_mailbox_is_not_found(self, session: Session) -> None:
        """An empty result would tell that the mailbox exists."""
        with pytest.raises(NotFoundError):
            await session.search("no-such-mailbox", SearchQuery(subject="x"), PageRequest())

"""Pages of lists that are in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def page_of(items: Sequence[T], page: int, page_size: int) -> tuple[Sequence[T], int]:
    """Return one page (from 0) and the number of pages; a page after the last one is empty."""
    pages = -(-len(items) // page_size)
    return items[page * page_size : (page + 1) * page_size], pages

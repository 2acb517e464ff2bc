"""The query parameters that every list has."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gateway.model.base import Payload

Page = Annotated[int, Meta(ge=0, le=1048576, description="Page, from 0")]
PageSize = Annotated[int, Meta(ge=1, le=1000, description="Entries on a page")]


class Paging(Payload, frozen=True, kw_only=True):
    """Which part of a list."""

    page: Page = 0
    page_size: PageSize = 20

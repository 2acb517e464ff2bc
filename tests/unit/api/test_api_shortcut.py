"""Listings go past the framework: their answers are those that they would have there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar

from gateway.api.catalogue import OPERATIONS
from gateway.api.endpoint import exception_handlers, route_handlers
from gateway.api.services import Services
from gateway.errors import AccountNotReadyError, DeadlineError
from tests.unit.api.conftest import ROOT_TOKEN, FakeServices

pytestmark = pytest.mark.anyio

LISTING = b'{"total":0,"page":0,"pages":0,"nextPageCursor":null,"prevPageCursor":null,"messages":[]}'
PATH = "/v1/account/a/messages"


@pytest.fixture
async def framework(services: FakeServices, connect: Callable[..., httpx.AsyncClient]) -> Any:
    """A client of the same operations without the shortcut."""
    app = Litestar(
        route_handlers=route_handlers(OPERATIONS, cast(Services, services)),
        exception_handlers=exception_handlers((ConnectionError,)),
        openapi_config=None,
        logging_config=None,
    )
    async with connect(app) as opened:
        yield opened


async def test_the_index_answers_without_a_worker(client: httpx.AsyncClient, services: FakeServices) -> None:
    services.listings.found = LISTING
    answer = await client.get(f"{PATH}?path=INBOX&page=2&pageSize=5&cursor=imap_x")
    assert (answer.status_code, answer.content) == (200, LISTING)
    assert services.listings.asked == [("a", "INBOX", 2, 5, "imap_x")]
    assert services.jobs.calls == []


async def test_what_the_index_cannot_answer_is_asked_of_a_worker(
    client: httpx.AsyncClient, services: FakeServices
) -> None:
    services.jobs.answer = LISTING
    answer = await client.get(f"{PATH}?path=INBOX")
    assert (answer.status_code, answer.content) == (200, LISTING)
    assert [call[:2] for call in services.jobs.calls] == [("messages.list", "a")]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?path=INBOX", {}),
        ("?path=INBOX", {"authorization": ""}),
        ("?path=INBOX", {"authorization": "Bearer " + "0" * 64}),
        (f"?path=INBOX&access_token={ROOT_TOKEN}", {"authorization": "Basic eDp5"}),
        ("", {}),
        ("?path=INBOX&page=-1", {}),
        ("?path=INBOX&pageSize=1001", {}),
        ("?path=INBOX&path=Sent", {}),
        ("?path=%ff", {}),
        ("?path=INBOX&nothing=1", {}),
        ("?path=INBOX", {"x-ee-timeout": "soon"}),
        ("?path=INBOX", {"accept": "application/problem+json"}),
        ("?path=INBOX", {"x-request-id": "mine"}),
    ],
)
async def test_answers_are_those_of_the_framework(
    client: httpx.AsyncClient,
    framework: httpx.AsyncClient,
    services: FakeServices,
    query: str,
    headers: dict[str, str],
) -> None:
    services.listings.found = LISTING
    headers = {"x-request-id": "given", **headers}
    there, here = [await each.get(PATH + query, headers=headers) for each in (framework, client)]
    assert (here.status_code, here.content) == (there.status_code, there.content)
    assert dict(here.headers) == dict(there.headers)


@pytest.mark.parametrize(
    "error",
    [
        AccountNotReadyError("The account is not connected", code="NotSyncing", state="unset"),
        DeadlineError("the operation took too long"),
        RuntimeError("nobody meant this"),
    ],
)
async def test_errors_are_those_of_the_framework(
    client: httpx.AsyncClient, framework: httpx.AsyncClient, services: FakeServices, error: Exception
) -> None:
    services.jobs.answer = error
    headers = {"x-request-id": "given"}
    there, here = [await each.get(f"{PATH}?path=INBOX", headers=headers) for each in (framework, client)]
    assert (here.status_code, here.content) == (there.status_code, there.content)
    assert here.status_code >= 400


async def test_head_is_answered_without_a_body(client: httpx.AsyncClient, services: FakeServices) -> None:
    services.listings.found = LISTING
    answer = await client.head(f"{PATH}?path=INBOX")
    assert (answer.status_code, answer.content) == (200, b"")

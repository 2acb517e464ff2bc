"""Exports over REST."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gateway.provider import Session
from gateway.testing.context import session_context
from tests.contract.memory_provider import MemorySession
from tests.contract.memory_service import MailService
from tests.integration.api.accounts import IMAP, create
from tests.integration.api.installation import Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

PERIOD = {"startDate": "2024-01-01T00:00:00Z", "endDate": "2025-01-01T00:00:00Z"}


@pytest.fixture
async def account(client: httpx.AsyncClient) -> str:
    """The path of an account."""
    await create(client, "ann", imap=IMAP)
    return "/v1/account/ann"


async def finished(gateway: Installation, client: httpx.AsyncClient, account: str) -> str:
    """Make an export of one message as a worker would; returns its path."""
    service = MailService()
    service.store("INBOX", b"Subject: Hello\r\n\r\nText", received=datetime(2024, 5, 1, tzinfo=UTC))

    @asynccontextmanager
    async def session() -> AsyncIterator[Session]:
        yield MemorySession(service, session_context(None))

    made = (await client.post(f"{account}/export", json=PERIOD)).json()
    await gateway.services.export_runner.step("ann", made["exportId"], session)
    return f"{account}/export/{made['exportId']}"


async def test_an_export_is_followed_and_downloaded(
    gateway: Installation, client: httpx.AsyncClient, account: str
) -> None:
    path = await finished(gateway, client, account)
    found = (await client.get(path)).json()
    assert (found["status"], found["phase"], found["progress"]["messagesExported"]) == ("completed", "complete", 1)
    (listed,) = (await client.get(f"{account}/exports")).json()["exports"]
    assert listed == {name: found[name] for name in ("exportId", "status", "created", "expiresAt")}
    answer = await client.get(f"{path}/download")
    assert answer.headers["content-disposition"] == f'attachment; filename="{found["exportId"]}.ndjson.gz"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert len(answer.content) == found["progress"]["bytesWritten"] == int(answer.headers["content-length"])
    assert b'"subject":"Hello"' in gzip.decompress(answer.content)
    assert (await client.delete(path)).json() == {"deleted": True}
    assert refusal(await client.get(path), 404) == "ExportNotFound"


async def test_a_part_of_the_download_is_answered_as_such(
    gateway: Installation, client: httpx.AsyncClient, account: str
) -> None:
    """RFC 9110 section 14."""
    path = f"{await finished(gateway, client, account)}/download"
    whole = await client.get(path)
    size, tag = len(whole.content), whole.headers["etag"]
    for asked, first, last in (
        ("bytes=10-", 10, size - 1),
        ("bytes=0-0", 0, 0),
        ("bytes=5-9", 5, 9),
        ("bytes=-7", size - 7, size - 1),
        (f"bytes=3-{size * 10}", 3, size - 1),
    ):
        answer = await client.get(path, headers={"range": asked, "if-range": tag})
        assert (answer.status_code, answer.content) == (206, whole.content[first : last + 1])
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"
    for ignored in ("bytes=1-2,4-5", "lines=1-2", "bytes=9-5", "bytes=-", "bytes=x-"):
        answer = await client.get(path, headers={"range": ignored})
        assert (answer.status_code, answer.content) == (200, whole.content)
    changed = await client.get(path, headers={"range": "bytes=1-2", "if-range": '"another"'})
    assert changed.status_code == 200
    for none in (f"bytes={size}-", "bytes=-0"):
        assert refusal(await client.get(path, headers={"range": none}), 416) == "RangeNotSatisfiable"


async def test_what_is_not_finished_cannot_be_downloaded(client: httpx.AsyncClient, account: str) -> None:
    made = (await client.post(f"{account}/export", json=PERIOD)).json()
    assert made["status"] == "queued"
    assert refusal(await client.get(f"{account}/export/{made['exportId']}/download"), 400) == "ExportNotReady"


async def test_the_third_export_at_once_is_refused(client: httpx.AsyncClient, account: str) -> None:
    for _ in range(2):
        assert (await client.post(f"{account}/export", json=PERIOD)).status_code == 200
    answer = await client.post(f"{account}/export", json=PERIOD)
    assert refusal(answer, 429) == "TooManyExports"
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "change",
    [
        {"startDate": None},
        {"startDate": "yesterday"},
        {"startDate": "2026-01-01T00:00:00Z"},
        {"endDate": 5},
        {"folders": "INBOX"},
        {"folders": [""]},
        {"folders": ["x" * 1025]},
        {"folders": ["INBOX"] * 1001},
        {"textType": "markdown"},
        {"maxBytes": -1},
        {"includeAttachments": "perhaps"},
        {"unknown": True},
    ],
    ids=repr,
)
async def test_garbage_is_refused_and_nothing_begins(
    client: httpx.AsyncClient, account: str, change: dict[str, Any]
) -> None:
    answer = await client.post(f"{account}/export", json={**PERIOD, **change})
    assert answer.status_code == 400, answer.text
    assert (await client.get(f"{account}/exports")).json()["total"] == 0


@pytest.mark.parametrize("id", ["exp_" + "0" * 24, "exp_", "x" * 28, "*", "..%2F", "%00"])
async def test_no_other_id_opens_anything(client: httpx.AsyncClient, account: str, id: str) -> None:
    for answer in (
        await client.get(f"{account}/export/{id}"),
        await client.get(f"{account}/export/{id}/download"),
        await client.delete(f"{account}/export/{id}"),
    ):
        assert answer.status_code in (400, 404), answer.text


async def test_an_account_that_is_not_there_has_no_exports(client: httpx.AsyncClient) -> None:
    for answer in (
        await client.get("/v1/account/nobody/exports"),
        await client.post("/v1/account/nobody/export", json=PERIOD),
    ):
        assert refusal(answer, 404) == "AccountNotFound"

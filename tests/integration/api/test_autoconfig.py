"""GET /v1/autoconfig; how servers are found is tested with the service."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio


async def test_of_an_address_without_a_domain_on_the_internet_nothing_is_known(client: Any) -> None:
    answer = await client.get("/v1/autoconfig", params={"email": "ada@localhost"})
    assert answer.status_code == 200
    assert answer.json() == {"imap": False, "smtp": False, "_source": "unknown"}


@pytest.mark.parametrize("params", [{}, {"email": ""}, {"email": "ada"}, {"email": f"{'a' * 320}@mail.example"}])
async def test_what_is_no_address_is_refused(client: Any, params: dict[str, str]) -> None:
    answer = await client.get("/v1/autoconfig", params=params)
    assert answer.status_code == 400
    assert [field["key"] for field in answer.json()["fields"]] == ["email"]

"""What checks the answers of all API tests does find answers that the document does not know."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.documented import check_answer_now


def answer(path: str, status: int, **content: Any) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", f"http://api{path}"), **content)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (answer("/v1/outbox", 418, json={}), "not documented"),
        (answer("/v1/outbox", 200, text="[]"), "as text/plain"),
        (answer("/v1/outbox", 200, json={"total": 0, "page": 0, "pages": 1}), "'messages' is a required"),
        (
            answer("/v1/outbox", 200, json={"total": 0, "page": 0, "pages": 1, "messages": [], "x": 1}),
            "'x' was unexpected",
        ),
        (answer("/v1/outbox", 401, json={"statusCode": 401}), "'message' is a required"),
    ],
    ids=["status", "media type", "missing member", "unknown member", "error"],
)
def test_an_answer_that_is_not_documented_fails(found: httpx.Response, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        check_answer_now(found)


def test_what_is_no_operation_is_left_alone() -> None:
    """Pages and the document itself are not in the document."""
    check_answer_now(answer("/docs", 200, text="<!doctype html>"))

"""Errors become HTTP: every one of them, in the compatible shape, telling nothing that is not meant to be told."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
import structlog

from gateway.api.errors import STATUS, failure, status_of
from gateway.errors import (
    ERROR_TYPES,
    AccountNotReadyError,
    ConflictError,
    ErrorRecord,
    GatewayError,
    RateLimitError,
    ReauthorizationError,
    Remedy,
    UnsupportedOperationError,
    from_record,
)

pytestmark = pytest.mark.anyio

PATH = "/v1/account/a/mailboxes"


def make(cls: type[GatewayError]) -> GatewayError:
    return from_record(ErrorRecord(type=cls.__name__, code=cls.code, message="It did not work"))


def test_every_error_has_a_status_of_its_own() -> None:
    """A new error must be given a status by somebody who thought about it."""
    assert set(ERROR_TYPES.values()) <= set(STATUS)


@pytest.mark.parametrize("name", sorted(ERROR_TYPES))
async def test_every_error_has_the_compatible_shape_and_that_of_rfc_9457(
    name: str, client: httpx.AsyncClient, services: Any
) -> None:
    """Clients of either shape find what they look for."""
    cls = ERROR_TYPES[name]
    services.jobs.answer = make(cls)
    answer = await client.get(PATH)
    body = answer.json()
    assert answer.status_code == STATUS[cls] == body["statusCode"] == body["status"]
    assert body["error"] == body["title"]
    assert body["message"] == body["detail"] == "It did not work"
    assert body["code"] == cls.code
    assert body["type"].endswith(cls.code)
    assert body["requestId"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConflictError("x"), 409),
        (ConflictError("x", code="AccountAlreadyExists"), 400),
        (UnsupportedOperationError("x"), 400),
        (UnsupportedOperationError("x", code="MissingServerExtension"), 422),
        (AccountNotReadyError("x", code="NotYetConnected", state="init"), 503),
    ],
)
def test_codes_with_a_status_of_their_own(error: GatewayError, status: int) -> None:
    assert status_of(error) == status


def test_an_error_of_a_plugin_has_the_status_of_its_ancestor() -> None:
    class OddError(RateLimitError):
        """An error nobody listed."""

    assert status_of(OddError("x", retry_after=1)) == 429


async def test_an_account_that_is_not_ready_tells_its_state(client: httpx.AsyncClient) -> None:
    body = (await client.get("/v1/account/down/mailboxes")).json()
    assert (body["statusCode"], body["code"], body["state"]) == (503, "AuthenticationFails", "authenticationError")


async def test_a_remedy_is_shown_in_full(client: httpx.AsyncClient, services: Any) -> None:
    """Whoever shows the error to a user can show what to do about it."""
    remedy = Remedy(code="AADSTS50173", title="Password changed", who="user", steps=("Sign in again",))
    services.jobs.answer = ReauthorizationError("refused", native_code="AADSTS50173", remedy=remedy)
    body = (await client.get(PATH)).json()
    assert body["remedy"]["steps"] == ["Sign in again"]
    assert body["nativeCode"] == "AADSTS50173"


async def test_throttling_says_how_long(client: httpx.AsyncClient, services: Any) -> None:
    services.jobs.answer = RateLimitError("slow down", retry_after=2.1)
    answer = await client.get(PATH)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "3"
    assert answer.json()["ttl"] == 3


async def test_details_do_not_replace_the_members_every_error_has(client: httpx.AsyncClient, services: Any) -> None:
    services.jobs.answer = GatewayError("real", type="fake", status=200, title="fake")
    body = (await client.get(PATH)).json()
    assert (body["status"], body["message"]) == (500, "real")
    assert body["title"] != "fake"


async def test_an_error_nobody_meant_to_raise_tells_nothing(client: httpx.AsyncClient, services: Any) -> None:
    """Neither answer nor log hold its text; the log holds where it arose, under the id that the answer has."""
    services.jobs.answer = RuntimeError("password hunter2 of bob@example.com")
    with structlog.testing.capture_logs() as logs:
        answer = await client.get(PATH)
    assert answer.status_code == 500
    assert answer.json()["code"] == "InternalError"
    assert "hunter2" not in answer.text + repr(logs)
    assert "Traceback" not in answer.text
    (entry,) = logs
    assert entry["error"] == "RuntimeError"
    assert entry["request_id"] == answer.json()["requestId"]
    assert any("_note" in frame or "call" in frame for frame in entry["frames"])


async def test_each_error_is_logged_once(client: httpx.AsyncClient, services: Any) -> None:
    services.jobs.answer = make(GatewayError)
    with structlog.testing.capture_logs() as logs:
        await client.get(PATH)
    assert [entry["event"] for entry in logs] == ["request_failed"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/problem+json, application/json", "application/problem+json"),
    ],
)
async def test_the_media_type_follows_the_client(client: httpx.AsyncClient, accept: str, expected: str) -> None:
    answer = await client.get("/v1/account/none/mailboxes", headers={"accept": accept})
    assert answer.headers["content-type"] == expected


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "NotFound"),
        ("PATCH", PATH, 405, "MethodNotAllowed"),
        ("POST", "/health", 405, "MethodNotAllowed"),
        ("HEAD", "/v1/nothing", 404, None),
    ],
)
async def test_requests_that_reach_no_operation(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str | None
) -> None:
    """The framework's own errors have the same shape; HEAD has no body."""
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert (answer.json()["code"] if code else None) == code
    assert answer.content or method == "HEAD"


async def test_a_body_over_the_limit_is_refused(client: httpx.AsyncClient) -> None:
    """Operations that take no mail read no more than their limit."""
    body = b'{"path":"' + b"a" * (1024 * 1024) + b'"}'
    answer = await client.post("/v1/account/a/mailbox", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "RequestTooLarge")


async def test_the_clients_request_id_is_kept_if_it_is_harmless(client: httpx.AsyncClient) -> None:
    kept = await client.get(PATH, headers={"x-request-id": "trace-1"})
    replaced = await client.get(PATH, headers={"x-request-id": "a b\x1b[31m" + "x" * 100})
    assert kept.headers["x-request-id"] == "trace-1"
    assert " " not in replaced.headers["x-request-id"]


def test_details_that_json_cannot_hold_do_not_break_the_answer() -> None:
    found = failure(GatewayError("x", odd=object), "id")
    assert msgspec.json.encode(found.body, enc_hook=str)

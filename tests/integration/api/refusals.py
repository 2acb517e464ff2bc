"""What every refusal has in common."""

from __future__ import annotations

import re

import httpx

#: What no client is to see: file names, classes, libraries, and the words that msgspec finds by itself.
_INTERNAL = re.compile(
    r"Traceback|msgspec|litestar|redis\.|structlog|site-packages|\.py\b|<class|object at 0x|Expected `|"
    r"\b[A-Z]\w+(?:Error|Exception)\b(?<!InternalError)(?<!ConnectionError)(?<!PermanentError)"
)


def refusal(answer: httpx.Response, *statuses: int) -> str:
    """Check that an answer is a proper error, in both shapes, and return its code."""
    assert answer.status_code in (statuses or range(400, 500)), f"{answer.status_code} {answer.text[:300]}"
    body = answer.json()
    assert body["statusCode"] == body["status"] == answer.status_code
    assert body["error"] == body["title"]
    assert body["message"] == body["detail"]
    assert body["type"] == f"urn:email-gateway:error:{body['code']}"
    assert re.fullmatch(r"[A-Za-z0-9]+", body["code"])
    assert body["requestId"] == answer.headers["x-request-id"]
    assert _INTERNAL.search(answer.text) is None, answer.text[:500]
    assert len(answer.content) < 20_000
    for field in body.get("fields", ()):
        assert set(field) == {"message", "key"}
    return str(body["code"])

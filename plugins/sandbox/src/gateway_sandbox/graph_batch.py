"""``$batch``: up to twenty calls in one request (https://learn.microsoft.com/graph/json-batching)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from gateway_sandbox.graph_call import PREFIX, Call
from gateway_sandbox.graph_errors import GraphError, bad_request
from gateway_sandbox.graph_throttle import PARALLEL
from gateway_sandbox.web import Request, Response, json_response

MAX_CALLS = 20
_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE"})


class Step(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One call of a batch."""

    id: str
    method: str
    url: str
    headers: dict[str, str] = {}
    body: Any = None
    depends_on: list[str] = []


class _Batch(msgspec.Struct, frozen=True):
    requests: list[Step]


async def answer(call: Call, run: Callable[[Request], Awaitable[Response]]) -> Response:
    """Run the calls, no more at once than a mailbox allows; each has its own status.

    Args:
        call: the batch.
        run: answers one call.

    Raises:
        GraphError: the batch as a whole makes no sense.
    """
    steps = _steps(call.request.body)
    slots = asyncio.Semaphore(PARALLEL)
    done: dict[str, asyncio.Task[Response]] = {}

    async def perform(step: Step) -> Response:
        before = await asyncio.gather(*(done[name] for name in step.depends_on))
        if any(response.status >= 400 for response in before):
            error = GraphError(424, "FailedDependency", "A request that this one depends on failed.")
            return json_response({"error": {"code": error.code, "message": error.message}}, error.status)
        async with slots:
            return await run(_request(call.request, step))

    for step in steps:
        done[step.id] = asyncio.create_task(perform(step))
    responses = [_shown(name, await task) for name, task in done.items()]
    return json_response({"responses": responses})


def _steps(body: bytes) -> list[Step]:
    try:
        steps = msgspec.json.decode(body, type=_Batch).requests
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request("Invalid batch payload format.") from error
    if not steps or len(steps) > MAX_CALLS:
        raise bad_request(f"Number of batch request steps exceeds the maximum value of {MAX_CALLS}.")
    seen: set[str] = set()
    for step in steps:
        if step.id in seen or step.method.upper() not in _METHODS or not set(step.depends_on) <= seen:
            raise bad_request(f"Invalid batch request step with id '{step.id}'.")
        if step.body is not None and "content-type" not in {name.lower() for name in step.headers}:
            raise bad_request(f"Write request id : {step.id} does not contain Content-Type header or body.")
        seen.add(step.id)
    return steps


def _request(outer: Request, step: Step) -> Request:
    parts = urlsplit(step.url)
    headers = {"host": outer.headers.get("host", ""), "authorization": outer.headers.get("authorization", "")}
    headers |= {name.lower(): value for name, value in step.headers.items()}
    plain = isinstance(step.body, str)
    body = step.body.encode() if plain else (b"" if step.body is None else msgspec.json.encode(step.body))
    return Request(
        method=step.method.upper(),
        # Microsoft's own client sends whole addresses.
        path=f"{PREFIX}/{unquote(parts.path).removeprefix(PREFIX).lstrip('/')}",
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers=headers,
        body=body,
    )


def _shown(name: str, response: Response) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": name, "status": response.status}
    shown["headers"] = {
        "Content-Type": response.content_type,
        **{key.title(): value for key, value in response.headers},
    }
    if response.body and response.content_type.startswith("application/json"):
        shown["body"] = msgspec.json.decode(response.body)
    elif response.body:
        shown["body"] = base64.b64encode(response.body).decode()
    return shown

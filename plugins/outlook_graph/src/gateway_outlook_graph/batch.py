"""Many calls in one: ``$batch`` (https://learn.microsoft.com/graph/json-batching)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.errors import ConnectError, GatewayError, RateLimitError
from gateway_outlook_graph.client import GraphClient, Request, read
from gateway_outlook_graph.errors import DEFAULT_PAUSE, refusal
from gateway_outlook_graph.gate import Priority

#: Calls in one batch.
SIZE = 20


class _Response(msgspec.Struct):
    id: str
    status: int
    headers: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Responses(msgspec.Struct):
    responses: list[_Response]


async def batched(
    client: GraphClient, requests: Sequence[Request], priority: Priority = Priority.INTERACTIVE
) -> list[msgspec.Raw | GatewayError]:
    """Make calls, each with its own outcome: the JSON that was answered, or the error that it ended in.

    Calls that the service asked to come back with are made again by themselves while there is patience for its pauses,
    the others are not repeated. A call that was not answered ends in a `ConnectError`: it may have been made.

    Args:
        client: of the mailbox.
        requests: calls that do no harm twice.
        priority: who waits for them.

    Raises:
        ProviderError: a batch as a whole failed.
    """
    found: list[msgspec.Raw | GatewayError] = [ConnectError("the service did not answer this call")] * len(requests)
    left = list(range(len(requests)))
    deadline = client.deadline()
    while left:
        part = left[:SIZE]
        later, pause = [], 0.0
        answers = await _round(client, {number: requests[number] for number in part}, priority)
        for number in part:
            answer = answers.get(number)
            if answer is None or (error := _error(answer)) is None:
                found[number] = found[number] if answer is None else answer.body
            else:
                found[number] = error
                if isinstance(error, RateLimitError):
                    later.append(number)
                    pause = max(pause, error.retry_after)
        left = later + left[SIZE:]
        if later:
            try:
                await client.pause(pause or DEFAULT_PAUSE, deadline)
            except RateLimitError as error:
                return [error if number in left else outcome for number, outcome in enumerate(found)]
    return found


async def _round(client: GraphClient, requests: dict[int, Request], priority: Priority) -> dict[int, _Response]:
    steps = [_step(client, number, request) for number, request in requests.items()]
    reply = await client.call(Request(method="POST", path="/$batch", json={"requests": steps}), priority, batch=True)
    return {int(answer.id): answer for answer in read(reply, _Responses).responses if answer.id.isdecimal()}


def _step(client: GraphClient, number: int, request: Request) -> dict[str, Any]:
    step: dict[str, Any] = {
        "id": str(number),
        "method": request.method,
        "url": f"{client.mailbox}{request.target}",
        "headers": request.all_headers(),
    }
    return step if request.json is None else {**step, "body": request.json}


def _error(answer: _Response) -> GatewayError | None:
    return None if answer.status < 400 else refusal(answer.status, answer.headers, bytes(answer.body))

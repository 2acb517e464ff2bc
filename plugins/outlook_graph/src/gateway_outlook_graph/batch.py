"""Many calls in one: ``$batch`` (https://learn.microsoft.com/graph/json-batching)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.errors import ConnectError, GatewayError, RateLimitError, ServiceUnavailableError
from gateway_outlook_graph.client import NOT_TAKEN, GraphClient, Request, read
from gateway_outlook_graph.errors import DEFAULT_PAUSE, pause_of, refusal
from gateway_outlook_graph.priority import Priority

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

    Calls that the service did not take are made again by themselves until the deadline; those that failed in it too, a
    few times and if that does no harm. The others are not repeated. A call that was not answered ends in a
    `ConnectError`: it may have been made.

    Args:
        client: of the mailbox.
        requests: calls that do no harm twice when the batch as a whole is repeated.
        priority: who waits for them.

    Raises:
        ProviderError: a batch as a whole failed.
    """
    found: list[msgspec.Raw | GatewayError] = [_unanswered() for _ in requests]
    left = list(range(len(requests)))
    failed = Counter[int]()
    deadline = client.deadline()
    while left:
        part, left = left[:SIZE], left[SIZE:]
        pauses: dict[int, float] = {}
        again: list[int] = []
        answers = await _round(client, {number: requests[number] for number in part}, priority)
        for number in part:
            if (answer := answers.get(number)) is None:
                found[number] = _unanswered()
                continue
            error = _error(answer)
            found[number] = answer.body if error is None else error
            if isinstance(error, RateLimitError):
                pauses[number] = error.retry_after or DEFAULT_PAUSE
            elif answer.status == NOT_TAKEN:
                pauses[number] = pause_of(answer.headers) or 0.0
            elif isinstance(error, ServiceUnavailableError) and requests[number].harmless_twice:
                failed[number] += 1
                again.append(number)
        if pauses:
            try:
                await client.pause(max(pauses.values()), deadline)
            except RateLimitError as error:
                for number in left:
                    found[number] = error
                return found
        elif again and not await client.wait_again(max(failed[number] for number in again), deadline):
            again = []
        left = [*pauses, *again, *left]
    return found


async def _round(client: GraphClient, requests: dict[int, Request], priority: Priority) -> dict[int, _Response]:
    steps = [_step(client, number, request) for number, request in requests.items()]
    whole = Request(method="POST", path="/$batch", of_mailbox=False, json={"requests": steps})
    reply = await client.call(whole, priority, batch=len(steps))
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


def _unanswered() -> ConnectError:
    return ConnectError("the service did not answer this call")

"""``gateway events tail``: show events as they happen, and forward them as a webhook would.

It is a client of the API like any other: it follows ``GET /v1/changes`` and resumes with ``Last-Event-ID``, so that a
restart of the gateway, or a receiver that is away for a while, costs no event.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
import msgspec

from gateway.errors import ConnectError, InvalidRequestError
from gateway.http import HttpClient
from gateway.services.webhooks.requests import Message, Sender, headers, secret_key
from gateway.settings import Egress

Report = Callable[[str], None]

#: Seconds before the first and before every later attempt to reach the gateway, or the receiver.
FIRST_DELAY, LONGEST_DELAY = 0.5, 15.0
#: Seconds of silence after which a connection counts as lost; the gateway gives a sign of life every 25.
_SILENCE = 60.0

#: Members of an event's data of which the first that is there is shown.
_TELLING = ("subject", "response", "error", "recipient", "path", "messageId", "user", "id")


class ServerSentEvent(NamedTuple):
    """One event of a stream (HTML standard, section 9.2.6); `data` is empty when only the id moves on."""

    id: str
    data: str


class _Wire(msgspec.Struct):
    """What one event of the stream holds."""

    type: str
    payload: msgspec.Raw


class _Envelope(msgspec.Struct, rename="camel"):
    """What is shown of an event."""

    event: str
    event_id: str
    date: datetime
    account: str | None = None
    path: str | None = None
    data: dict[str, Any] = msgspec.field(default_factory=dict)


class RefusedError(Exception):
    """The gateway will not let this client listen, whatever it does."""


class Forwarder:
    """Posts events to one URL, one after the other, each until it is taken."""

    def __init__(self, url: str, secret: str, notice: Report) -> None:
        """Prepare.

        Args:
            url: where to.
            secret: that deliveries are signed with, as Standard Webhooks writes it.
            notice: told of failures.

        Raises:
            InvalidRequestError: the secret is none.
        """
        try:
            secret_key(secret)
        except ValueError as error:
            raise InvalidRequestError(f"the secret {error}") from None
        self._url = url
        self._sender = Sender(service_url=None, service_secret=secret.encode(), webhook_secrets=(secret,))
        self._notice = notice
        # It runs on a developer's machine, towards what runs there.
        self._http = HttpClient(Egress(private=True))

    async def forward(self, event_id: str, body: bytes) -> str:
        """Deliver one event and return what came of it in words."""
        began, attempt = time.monotonic(), 0
        while True:
            waited = time.monotonic() - began
            message = Message(event_id=event_id, body=body, attempt=attempt, waited=waited)
            sent = headers(message, (), self._sender, datetime.now(UTC))
            try:
                answer = await self._http.post(self._url, body, sent)
            except ConnectError as error:
                failure = f"{error.error_code}: {error.message}"
            else:
                if answer.success:
                    return f"{answer.status}, {round((time.monotonic() - began) * 1000)} ms"
                failure = f"HTTP {answer.status}"
            delay = _delay(attempt)
            self._notice(f"event {event_id} was not taken ({failure}); next attempt in {delay:g} s")
            attempt += 1
            await asyncio.sleep(delay)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


async def tail(
    client: httpx.AsyncClient, *, account: str | None, types: str, forwarder: Forwarder | None, report: Report
) -> None:
    """Show events until cancelled.

    Args:
        client: of the API, with base URL and token.
        account: whose events; None for those of all that the token may see.
        types: names of events, separated by commas, or `*`.
        forwarder: where they go beside being shown.
        report: told of each event, in one line.

    Raises:
        RefusedError: the gateway does not accept the token, the account or the types.
    """
    asked = {"events": types, **({"account": account} if account is not None else {})}
    place, failures = "", 0
    while True:
        try:
            async with contextlib.aclosing(follow(client, asked, place)) as stream:
                async for event in stream:
                    failures = 0
                    if event.data:
                        await _take(event.data, forwarder, report)
                    place = event.id
            failure = "the gateway ended the stream"
        except httpx.HTTPError as error:
            failure = f"no connection to the gateway ({type(error).__name__})"
        if failures == 0:
            _complain(f"{failure}; trying again")
        await asyncio.sleep(_delay(failures))
        failures += 1


async def follow(
    client: httpx.AsyncClient, query: dict[str, str], after: str = ""
) -> AsyncGenerator[ServerSentEvent, None]:
    """Listen to the stream once, beginning behind the event with this id; ends when the connection does.

    Raises:
        RefusedError: see there.
        httpx.HTTPError: there is no connection, or it broke.
    """
    sent = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
    timeout = httpx.Timeout(10.0, read=_SILENCE)
    async with client.stream("GET", "/v1/changes", params=query, headers=sent, timeout=timeout) as response:
        if 400 <= response.status_code < 500 and response.status_code != 429:
            raise RefusedError(_reason(await response.aread(), response.status_code))
        response.raise_for_status()
        id, data = after, []
        async for line in response.aiter_lines():
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                id = value
            elif name == "data":
                data.append(value)
            elif not line:
                yield ServerSentEvent(id, "\n".join(data))
                data = []


async def run_tail(
    url: str, token: str, *, account: str | None, types: str, forward: str | None, secret: str, report: Report
) -> int:
    """Show events until SIGINT or SIGTERM; return the exit code."""
    try:
        forwarder = Forwarder(forward, secret, _complain) if forward is not None else None
    except InvalidRequestError as error:
        _complain(error.message)
        return 2
    try:
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
            await _until_stopped(tail(client, account=account, types=types, forwarder=forwarder, report=report))
    except RefusedError as refused:
        _complain(f"the gateway refused: {refused}")
        return 1
    finally:
        if forwarder is not None:
            await forwarder.aclose()
    return 0


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    stop, task = asyncio.Event(), asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for each in (stopping, task):
        each.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _take(data: str, forwarder: Forwarder | None, report: Report) -> None:
    wire = msgspec.json.decode(data, type=_Wire)
    if wire.type != "event":
        return
    body = bytes(wire.payload)
    envelope = msgspec.json.decode(body, type=_Envelope)
    taken = f"  -> {await forwarder.forward(envelope.event_id, body)}" if forwarder is not None else ""
    report(_line(envelope) + taken)


def _line(envelope: _Envelope) -> str:
    """Return an event in one line; what others wrote cannot do anything to the terminal."""
    telling = next((envelope.data[name] for name in _TELLING if envelope.data.get(name)), "")
    parts = (f"{envelope.date:%Y-%m-%d %H:%M:%S}", envelope.event, envelope.account, envelope.path, telling)
    line = "  ".join(str(part) for part in parts if part)
    return "".join(char if char.isprintable() else " " for char in line)


class _Field(msgspec.Struct):
    message: str


class _Refusal(msgspec.Struct):
    """Why an operation was refused, and which members of the request were wrong."""

    message: str
    fields: tuple[_Field, ...] = ()


def _reason(answer: bytes, status: int) -> str:
    try:
        refusal = msgspec.json.decode(answer, type=_Refusal)
    except msgspec.MsgspecError:
        return f"HTTP {status}"
    return "; ".join(field.message for field in refusal.fields) or refusal.message


def _delay(failures: int) -> float:
    return float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures, 10)))


def _complain(text: str) -> None:
    sys.stderr.write(f"gateway: {text}\n")
    sys.stderr.flush()

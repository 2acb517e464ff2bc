"""Events: a stream of them as they happen, and the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.api.call import Call, EventStream
from gateway.api.operation import operation
from gateway.errors import InvalidRequestError
from gateway.model.base import Payload
from gateway.model.event import EVENT_TYPES, EventList
from gateway.redis import UNREACHABLE
from gateway.services.events import wire
from gateway.services.feed import Selection
from gateway.store.events import FIRST, LAST, id_at, id_before, order

#: Seconds between two signs of life in a stream in which nothing happens; proxies end silent connections after 60.
HEARTBEAT = 25.0
#: Seconds until a stream tries again while the gateway's state is away.
_RETRY_DELAY = 0.5

_ID = r"^[0-9]{1,15}-[0-9]{1,19}$"
# Some write nanoseconds.
_TIME = {"maxLength": 64}
_LAST_EVENT_ID = "last-event-id"

Types = Annotated[
    str, Meta(max_length=2048, description="Names of events, separated by commas, or `*` for all of them")
]
AccountFilter = Annotated[str, Meta(max_length=256, description="Only what happens to this account")]


class ChangesQuery(Payload, frozen=True, kw_only=True):
    """What to listen to beside changes of state."""

    account: AccountFilter | None = None
    events: Types = ""
    last_event_id: Annotated[
        str, Meta(max_length=36, description="As the header of this name, for clients that cannot send one")
    ] = ""


class EventsQuery(Payload, frozen=True, kw_only=True):
    """Which part of the log."""

    account: AccountFilter | None = None
    types: Types = "*"
    from_: Annotated[datetime, Meta(description="Written then or later", extra_json_schema=_TIME)] | None = (
        msgspec.field(name="from", default=None)
    )
    to: Annotated[datetime, Meta(description="Written then or earlier", extra_json_schema=_TIME)] | None = None
    cursor: Annotated[str, Meta(max_length=35, pattern=_ID, description="`nextCursor` of an earlier answer")] | None = (
        None
    )
    page_size: Annotated[int, Meta(ge=1, le=1000, description="Events at most")] = 100


@operation(
    "GET",
    "/v1/changes",
    operation_id="getV1Changes",
    summary="Stream what happens",
    tag="Events",
    action="read",
    group="events",
    returns="text/event-stream",
    binding="optional",
    errors=(404,),
)
async def stream_changes(call: Call, query: ChangesQuery) -> EventStream:
    """Send server-sent events as they arise, each `{account, type, key, payload}`.

    Type `state` is a change of an account's state: `key` is the new one, `payload` is null or `{error}`. With `events`,
    the named events are sent, too: type `event`, `key` is the name, `payload` is what a webhook is sent.

    A client that reconnects with `Last-Event-ID` is sent what it missed, as long as the feed of all accounts goes back:
    7 days, and no more than the last 100,000 entries. An account's token listens to its account.
    """
    account = await _account(call, query.account)
    since = call.headers.get(_LAST_EVENT_ID) or query.last_event_id
    selection = Selection(account, _types(query.events, "events"))
    return EventStream(_frames(call, selection, since if _is_id(since) else ""))


async def _frames(call: Call, selection: Selection, since: str) -> AsyncGenerator[bytes, None]:
    feed = call.services.feed
    async with feed.listening():
        place = since or await feed.end()
        yield b"retry: 1000\nid: %b\n\n" % place.encode()
        told = time.monotonic()
        while not feed.closed:
            try:
                entries = await feed.follow(place, HEARTBEAT)
                service_url = await call.services.runtime_settings.get("serviceUrl") if entries else None
                frames = await feed.frames(entries, selection, service_url)
                if time.monotonic() - told >= HEARTBEAT and not await call.services.tokens.still_valid(call.token):
                    return
            except UNREACHABLE:
                entries, frames = [], []
                await asyncio.sleep(_RETRY_DELAY)
            if entries:
                place = entries[-1].id
            if frames:
                yield b"".join(frames)
            elif time.monotonic() - told >= HEARTBEAT:
                # The id moves the place from which the client would resume; nothing is dispatched.
                yield b": heartbeat\nid: %b\n\n" % place.encode()
            else:
                continue
            told = time.monotonic()


@operation(
    "GET",
    "/v1/events",
    operation_id="getV1Events",
    summary="Read the log of events",
    tag="Events",
    action="read",
    group="events",
    returns=EventList,
    binding="optional",
    errors=(404,),
)
async def list_events(call: Call, query: EventsQuery) -> bytes:
    """Read events again, oldest first: those of the last 7 days, and no more than the last 100,000 of an account, or of
    all accounts together when none is named. `nextCursor` goes on where this answer ends, also later: whoever asks with
    it again and again misses nothing. A cursor belongs to the account that was named.
    """
    account = await _account(call, query.account)
    types = _types(query.types, "types")
    after = id_before(query.from_) if query.from_ is not None else FIRST
    if query.cursor is not None:
        after = max(after, query.cursor, key=order)
    until = id_at(query.to) if query.to is not None else LAST
    service = call.services.events
    if account is not None:
        found, place = await service.log(account, types, after=after, until=until, limit=query.page_size)
    else:
        found, place = await service.log_of_all(types, after=after, until=until, limit=query.page_size)
    service_url = await call.services.runtime_settings.get("serviceUrl")
    sent = b",".join(wire(event, service_url) for event in found)
    return b'{"events":[%b],"nextCursor":%b}' % (sent, msgspec.json.encode(place or query.cursor))


async def _account(call: Call, asked: str | None) -> str | None:
    """Return the account to which a call is limited, by its token or its own wish.

    Raises:
        ResourceNotFoundError: there is no such account.
    """
    account = asked if asked is not None else call.token.account
    if account is not None:
        await call.services.accounts.recent_state(account)
    return account


def _types(text: str, key: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    if "*" in names:
        return frozenset(EVENT_TYPES)
    if unknown := names.difference(EVENT_TYPES):
        problem = f'"{key}" must hold names of events; there is no {min(unknown)[:100]!r}'
        raise InvalidRequestError("Input validation failed", fields=[{"message": problem, "key": key}])
    return names


def _is_id(text: str) -> bool:
    """Tell whether this is an id of the feed; a client may still hold one of another installation's making."""
    milliseconds, _, number = text.partition("-")
    return len(text) <= 36 and all(part.isascii() and part.isdigit() for part in (milliseconds, number))


OPERATIONS = (stream_changes, list_events)

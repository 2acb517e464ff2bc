"""Changing many messages, a batch at a time, and telling what became of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from gateway.errors import (
    AccountError,
    ConflictError,
    ConnectError,
    GatewayError,
    InvalidIdentifierError,
    OutcomeUnknownError,
    ProviderError,
    RateLimitError,
    UnsupportedOperationError,
)
from gateway.model.bulk import Sorted
from gateway.model.message import MessageUpdate
from gateway.provider import check_flags
from gateway_outlook_graph.batch import SIZE, batched
from gateway_outlook_graph.changing import (
    Changing,
    changed_labels,
    flag_properties,
    lacks_a_place,
    named_flags,
    wanted_flags,
)
from gateway_outlook_graph.client import GraphClient, Request, path
from gateway_outlook_graph.folders import Mailboxes
from gateway_outlook_graph.ids import checked_id
from gateway_outlook_graph.priority import Priority
from gateway_outlook_graph.reading import Reading
from gateway_outlook_graph.resources import Message

#: What each message of a batch ended in, None for a success.
Outcomes = Mapping[str, GatewayError | None]
_IN_DOUBT = (ConnectError, OutcomeUnknownError)
# After these no later batch would do better.
_ENDS = (*_IN_DOUBT, RateLimitError, AccountError)


class Many:
    """Changes many messages."""

    def __init__(self, client: GraphClient, mailboxes: Mailboxes, reading: Reading, changing: Changing) -> None:
        self._client = client
        self._mailboxes = mailboxes
        self._reading = reading
        self._changing = changing

    async def update(self, ids: Sequence[str], update: MessageUpdate) -> Sorted:
        """Change flags and categories; see `gateway.provider.Session.update_many`.

        Raises:
            InvalidRequestError: no flag can have this name.
        """
        if update.flags is not None:
            check_flags(named_flags(update.flags))

        async def step(part: Sequence[str]) -> Outcomes:
            return await self._update(part, update)

        return await _each(ids, step)

    async def move(self, ids: Sequence[str], mailbox: str) -> Sorted:
        """Move messages; they keep their ids.

        Raises:
            NotFoundError: there is no such mailbox to move them to.
        """
        destination = {"destinationId": await self._mailboxes.folder(mailbox)}

        async def step(part: Sequence[str]) -> Outcomes:
            return await self._made({id: _post(path("messages", id, "move"), destination) for id in part})

        return await _each(ids, step)

    async def delete(self, ids: Sequence[str]) -> Sorted:
        """Delete messages for good."""

        async def step(part: Sequence[str]) -> Outcomes:
            return await self._made({id: _post(path("messages", id, "permanentDelete")) for id in part})

        return await _each(ids, step)

    async def _made(self, requests: Mapping[str, Request]) -> Outcomes:
        answers = await batched(self._client, list(requests.values()), Priority.BACKGROUND)
        return {
            id: None if isinstance(answer, msgspec.Raw) else answer
            for id, answer in zip(requests, answers, strict=True)
        }

    async def _update(self, ids: Sequence[str], update: MessageUpdate) -> Outcomes:
        """Change messages as they are now; one that somebody else changes meanwhile is changed by itself.

        A flag that Graph cannot keep is told as a failure of each message that was to have it.
        """
        lacking: list[str] = []
        outcomes: dict[str, GatewayError | None] = {}
        requests: dict[str, Request] = {}
        for id, message in zip(ids, await self._reading.states(ids, Priority.BACKGROUND), strict=True):
            if isinstance(message, GatewayError):
                outcomes[id] = message
                continue
            if update.flags is not None and lacks_a_place(update.flags, message):
                lacking.append(id)
            if (request := _patch(message, update)) is None:
                outcomes[id] = None
            else:
                requests[id] = request
        outcomes.update(await self._made(requests))
        for id, error in outcomes.items():
            if isinstance(error, ConflictError):
                outcomes[id] = await self._alone(id, update)
        refused = UnsupportedOperationError(
            "Microsoft Graph keeps no other flags than Seen, Flagged and Answered", code="FlagsNotStored"
        )
        return {**outcomes, **{id: refused for id in lacking if outcomes[id] is None}}

    async def _alone(self, id: str, update: MessageUpdate) -> GatewayError | None:
        try:
            if update.flags is not None:
                await self._changing.flags(id, update.flags)
            if update.labels is not None:
                await self._changing.labels(id, update.labels)
        except ProviderError as error:
            return error
        return None


async def _each(ids: Sequence[str], step: Callable[[Sequence[str]], Awaitable[Outcomes]]) -> Sorted:
    """Change messages part by part, until one ends in what the next would end in, too."""
    outcomes: dict[str, GatewayError | None] = {id: _malformed(id) for id in ids}
    left = [id for id, error in outcomes.items() if error is None]
    end: GatewayError | None = None
    while left and end is None:
        part, left = left[:SIZE], left[SIZE:]
        try:
            outcomes.update(await step(part))
            end = next((outcomes[id] for id in part if isinstance(outcomes[id], _ENDS)), None)
        except ProviderError as error:
            outcomes.update(dict.fromkeys(part, error))
            end = error
    undone = dict.fromkeys(left, end)
    return Sorted(
        done={id: id for id, error in outcomes.items() if error is None and id not in undone},
        failed={
            id: error
            for id, error in {**outcomes, **undone}.items()
            if error is not None and (id in undone or not isinstance(error, _IN_DOUBT))
        },
        unknown=tuple(id for id, error in outcomes.items() if isinstance(error, _IN_DOUBT)),
    )


def _malformed(id: str) -> GatewayError | None:
    try:
        checked_id(id)
    except InvalidIdentifierError as error:
        return error
    return None


def _post(place: str, json: Mapping[str, str] | None = None) -> Request:
    return Request(method="POST", path=place, json=json)


def _patch(message: Message, update: MessageUpdate) -> Request | None:
    """Return the call that changes a message, None when it is as it is to be."""
    body = {} if update.flags is None else flag_properties(wanted_flags(update.flags, message))
    headers: dict[str, str] = {}
    if update.labels is not None:
        old = tuple(message.categories or ())
        new = changed_labels(old, update.labels)
        if new != old:
            body["categories"] = new
            headers = {} if message.etag is None else {"If-Match": message.etag}
    if not body:
        return None
    return Request(method="PATCH", path=path("messages", message.id), json=body, headers=headers)

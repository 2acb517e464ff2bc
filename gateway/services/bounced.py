"""Bounced messages: remembered by Message-ID, and shown wherever the message is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from gateway.model.event import MessageBounceData
from gateway.model.message import BounceEntry, BounceReply, MessageDetail, MessageEntry, MessageList
from gateway.provider import Clock
from gateway.store.bounces import BounceStore
from gateway.store.index import DEPTH, IndexStore

#: Entries read at a time while looking for a message.
_SIZE = 1000
#: Tries to change an entry that somebody else changes as well.
_TRIES = 5

_MESSAGE_ID = re.compile(rb'"messageId":("(?:[^"\\\\]|\\\\.)*")')
_decode = msgspec.json.Decoder(MessageEntry).decode
_encode = msgspec.json.Encoder().encode

Shown = TypeVar("Shown", MessageEntry, MessageDetail)


class BouncedService:
    """Remembers which messages bounced."""

    def __init__(self, bounces: BounceStore, index: IndexStore, clock: Clock) -> None:
        self._bounces = bounces
        self._index = index
        self._clock = clock

    async def claim(self, account: str, report: MessageEntry) -> bool:
        """Tell whether a report is to be told of: not when it was already, before it was moved."""
        if report.message_id is None:
            return True
        return await self._bounces.claim(account, report.message_id, report.id, now=self._clock())

    async def remember(
        self, account: str, epoch: int, report: MessageEntry, bounces: Sequence[MessageBounceData]
    ) -> None:
        """Remember bounces and write the entries of the bounced messages anew where the index holds them.

        Raises:
            FencedError: another worker owns the account.
        """
        found = [(bounce.message_id, _entry(bounce, report)) for bounce in bounces if bounce.message_id is not None]
        await self._bounces.remember(account, found, now=self._clock())
        await self._show(account, epoch, {message_id for message_id, _ in found})

    async def show(self, account: str, answer: MessageDetail | MessageList) -> MessageDetail | MessageList:
        """Return an answer with what is known of bounces."""
        if isinstance(answer, MessageDetail):
            return (await self.shown(account, [answer]))[0]
        return msgspec.structs.replace(answer, messages=tuple(await self.shown(account, answer.messages)))

    async def shown(self, account: str, messages: Sequence[Shown]) -> list[Shown]:
        """Return messages with what is known of their bounces; one question for all of them."""
        asked = [message.message_id for message in messages if message.message_id is not None]
        bounces = await self._bounces.of(account, asked)
        return [_with(message, bounces) for message in messages] if bounces else list(messages)

    async def _show(self, account: str, epoch: int, message_ids: set[str]) -> None:
        if not message_ids:
            return
        boxes = await self._index.boxes(account)
        for path in [path for path, box in boxes.items() if box.entries]:
            left = set(message_ids)
            # What bounces was sent lately: most are among the first that are looked at.
            for first in range(0, DEPTH, _SIZE):
                ids = await self._index.newest(account, path, first, _SIZE)
                held = await self._index.entries(account, path, ids)
                for id, message_id in _wanted(held.items(), left):
                    await self._reword(account, epoch, path, id)
                    left.discard(message_id)
                if len(ids) < _SIZE or not left:
                    break

    async def _reword(self, account: str, epoch: int, path: str, id: str) -> None:
        for _ in range(_TRIES):
            before = (await self._index.entries(account, path, [id])).get(id)
            if before is None:
                return
            (now,) = await self.shown(account, [_decode(before)])
            if await self._index.reword(account, epoch, path, id, before, _encode(now)):
                return


def _wanted(entries: Iterable[tuple[str, bytes]], message_ids: set[str]) -> list[tuple[str, str]]:
    """Return ids and Message-IDs of those entries, JSON, that are looked for."""
    found = []
    for id, entry in entries:
        match = _MESSAGE_ID.search(entry)
        if match is not None:
            message_id = msgspec.json.decode(match[1], type=str)
            if message_id in message_ids:
                found.append((id, message_id))
    return found


def _with(message: Shown, bounces: Mapping[str, tuple[BounceEntry, ...]]) -> Shown:
    found = bounces.get(message.message_id or "")
    return message if found is None else msgspec.structs.replace(message, bounces=found)


def _entry(bounce: MessageBounceData, report: MessageEntry) -> BounceEntry:
    said = bounce.response
    return BounceEntry(
        message=report.id,
        recipient=bounce.recipient,
        action=bounce.action,
        response=BounceReply(message=said.message, status=said.status) if said is not None else None,
        date=report.date,
    )

"""Storing messages: MIME into a folder."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.errors import (
    InvalidIdentifierError,
    MailboxNotFoundError,
    MessageTooLargeError,
    NotFoundError,
    PermanentError,
)
from gateway.model.message import AppendResult
from gateway.provider import MessageSource
from gateway_outlook_graph.client import GraphClient, Request, path, read
from gateway_outlook_graph.folders import Mailboxes
from gateway_outlook_graph.priority import Priority
from gateway_outlook_graph.resources import LAST_VERB, REPLIED, Message

#: Octets of a message that can be stored: a call has 4 MiB at most, and there are no calls for a part of a message.
LARGEST = 4 * 1024 * 1024 * 3 // 4
#: PidTagMessageFlags and PidTagMessageDeliveryTime ([MS-OXPROPS]).
MESSAGE_FLAGS, DELIVERY_TIME = "Integer 0x0E07", "SystemTime 0x0E06"
_READ, _UNSENT = 1, 8


class Storing:
    """Stores messages."""

    def __init__(self, client: GraphClient, mailboxes: Mailboxes) -> None:
        self._client = client
        self._mailboxes = mailboxes

    async def append(
        self, mailbox: str, message: MessageSource, *, flags: Sequence[str], date: datetime | None
    ) -> AppendResult:
        """Store a message as it is; what Graph takes for a draft at first is told what it is afterwards."""
        if message.size > LARGEST:
            raise MessageTooLargeError("the message is over the service's limit", limit=LARGEST)
        folder = await self._mailboxes.folder(mailbox)
        text = base64.b64encode(await message.octets())
        request = Request(method="POST", path=path("mailFolders", folder, "messages"), text=text)
        try:
            stored = read(await self._client.call(request, Priority.BACKGROUND), Message)
        except (NotFoundError, InvalidIdentifierError):
            self._mailboxes.forget()
            raise MailboxNotFoundError("there is no such mailbox") from None
        low = {flag.lower() for flag in flags}
        place = path("messages", stored.id)
        try:
            # One call, as there may be 10,000 in ten minutes.
            whole = Request(method="PATCH", path=place, json=_state(low, _origin(low, date)))
            await self._client.call(whole, Priority.BACKGROUND)
        except PermanentError:
            # The message is stored; that an older Exchange cannot date it is no reason to store it again.
            await self._client.call(Request(method="PATCH", path=place, json=_state(low, [])), Priority.BACKGROUND)
        where = await self._mailboxes.path(mailbox)
        return AppendResult(id=stored.id, path=where, message_id=stored.internet_message_id)


def _state(flags: set[str], origin: list[dict[str, str]]) -> dict[str, Any]:
    body: dict[str, Any] = {"isRead": "\\seen" in flags}
    if "\\flagged" in flags:
        body["flag"] = {"flagStatus": "flagged"}
    verb = [{"id": LAST_VERB, "value": REPLIED}] if "\\answered" in flags else []
    if extended := [*verb, *origin]:
        body["singleValueExtendedProperties"] = extended
    return body


def _origin(flags: set[str], date: datetime | None) -> list[dict[str, str]]:
    bits = (_READ if "\\seen" in flags else 0) | (_UNSENT if "\\draft" in flags else 0)
    extended = [{"id": MESSAGE_FLAGS, "value": str(bits)}]
    if date is not None:
        extended.append({"id": DELIVERY_TIME, "value": date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")})
    return extended

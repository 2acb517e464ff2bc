"""Sending: MIME in one call, or a draft.

A draft it is where the message is too large for one call, its files are uploaded in pieces then, and where it is to be
from another address than the mailbox's: MIME in one call is sent in the name of the mailbox whatever it says, without a
refusal.

https://learn.microsoft.com/graph/outlook-send-mime-message,
https://learn.microsoft.com/graph/outlook-large-attachments
"""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

from gateway.errors import (
    AccountError,
    ConnectError,
    GatewayError,
    OutcomeUnknownError,
    PermanentError,
    ServiceUnavailableError,
    TransientError,
)
from gateway.mime.addresses import parse_addresses
from gateway.mime.headers import HeaderBlock, address_list
from gateway.model.message import Address
from gateway.provider import Account, Envelope, MessageSource, SubmitReceipt
from gateway_outlook_graph.client import GraphClient, Request, path, read
from gateway_outlook_graph.errors import NOT_CONNECTED
from gateway_outlook_graph.ids import checked_id
from gateway_outlook_graph.resources import Message
from gateway_outlook_graph.splitting import ONE_CALL, split
from gateway_outlook_graph.uploading import Uploading

_RECIPIENTS = ("to", "cc", "bcc")
#: A proxy gave up waiting: the service itself may have gone on.
_UNKNOWN = ("HTTP 500", "HTTP 502", "HTTP 504")


class Submitting:
    """Sends."""

    def __init__(self, client: GraphClient, account: Account) -> None:
        self._client = client
        self._uploading = Uploading(client)
        own = (account.shared,) if account.shared else (account.user, account.email)
        self._own = {address.casefold() for address in own}

    async def message(self, message: MessageSource, envelope: Envelope) -> SubmitReceipt:
        """Send a message to the recipients of its envelope; see `gateway.provider.Session.submit`."""
        message = addressed(message, envelope)
        originator = self._other_originator(message)
        if originator is None and message.size <= ONE_CALL:
            text = base64.b64encode(await message.octets())
            return await self._sent(Request(method="POST", path="/sendMail", text=text))
        small, files = await split(message)
        request = Request(method="POST", path="/messages", text=base64.b64encode(small))
        draft = read(await self._client.call(request), Message).id
        try:
            if originator is not None:
                await self._client.call(Request(method="PATCH", path=path("messages", draft), json=_from(originator)))
            for file in files:
                await self._uploading.file(draft, file)
        except BaseException:
            await self._discard(draft)
            raise
        try:
            return await self.draft(draft)
        except (TransientError, AccountError, PermanentError):
            # Not when the outcome is unknown: what is in Sent Items by now has the same id.
            await self._discard(draft)
            raise

    async def draft(self, id: str) -> SubmitReceipt:
        """Send a draft: it becomes the message in Sent Items and keeps its id."""
        return await self._sent(Request(method="POST", path=path("messages", checked_id(id), "send")))

    def _other_originator(self, message: MessageSource) -> Address | None:
        """Return the address that a message is from, None when it is the mailbox's own."""
        found = next(iter(parse_addresses(HeaderBlock(message.header).values("from"))), None)
        return None if found is None or found.address.casefold() in self._own else found

    async def _discard(self, draft: str) -> None:
        with suppress(GatewayError):
            await self._client.call(Request(method="POST", path=path("messages", draft, "permanentDelete")))

    async def _sent(self, request: Request) -> SubmitReceipt:
        try:
            reply = await self._client.call(request)
        except ConnectError as error:
            if error.native_code == NOT_CONNECTED:
                raise
            raise OutcomeUnknownError("the connection broke while the message was handed over") from error
        except ServiceUnavailableError as error:
            if error.native_code not in _UNKNOWN:
                raise
            raise OutcomeUnknownError("the service failed while the message was handed over") from error
        return SubmitReceipt(response=f"{reply.status} Accepted")


def _from(address: Address) -> dict[str, Any]:
    return {"from": {"emailAddress": {"name": address.name or address.address, "address": address.address}}}


def addressed(message: MessageSource, envelope: Envelope) -> MessageSource:
    """Return a message whose header fields name exactly the recipients of the envelope: Graph sends to those.

    Who is only in the envelope is added to Bcc, which Exchange takes off; who is only in the header is taken out.
    """
    wanted = {address.casefold(): address for address in envelope.rcpt_to}
    block = HeaderBlock(message.header)
    named: set[str] = set()
    for name in _RECIPIENTS:
        there = parse_addresses(block.values(name))
        kept = [address for address in there if address.address.casefold() in wanted]
        named |= {address.address.casefold() for address in kept}
        if kept != list(there):
            if kept:
                block.replace(name, address_list(kept, name))
            else:
                block.remove(name)
    if missing := [address for key, address in wanted.items() if key not in named]:
        before = parse_addresses(block.values("bcc"))
        block.replace("Bcc", ", ".join((*([address_list(before, "bcc")] if before else ()), *missing)))
    return message.with_header(block.octets())

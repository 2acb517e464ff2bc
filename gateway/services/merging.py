"""Mail merge: one message for each recipient, of one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.errors import InvalidRequestError
from gateway.model.blocklist import Blocked
from gateway.model.submission import MailMergeEntry, SubmitRequest, SubmitResult
from gateway.services.account_payload import invalid
from gateway.services.blocklists import BlocklistService
from gateway.services.outgoing import new_message_id
from gateway.services.rendering import RenderingService
from gateway.services.unsubscribe_link import Subscription
from gateway.store.accounts import AccountConfig

#: Members that every message of a merge has for itself.
_FORBIDDEN = ("envelope", "raw", "to", "cc", "bcc", "render", "message_id")


class Merged(NamedTuple):
    """A recipient of a merge, and the message for it, why it gets none, or what is wrong."""

    entry: MailMergeEntry
    found: SubmitRequest | SubmitResult | Blocked | InvalidRequestError


class MergeService:
    """Makes the requests of a merge."""

    def __init__(self, rendering: RenderingService, blocklists: BlocklistService) -> None:
        self._rendering = rendering
        self._blocklists = blocklists

    async def expand(self, config: AccountConfig, request: SubmitRequest) -> list[Merged]:
        """Return, for each recipient in order, a request of its own, or why there is none.

        Raises:
            ResourceNotFoundError: there is no such template for this account.
            InvalidRequestError: members stand side by side that cannot.
            MissingSettingError: links have no address.
        """
        check_members(request)
        entries = request.mail_merge or ()
        blocked = await self._blocked(request, entries)
        wanted = [_named(entry, request, config) for entry, found in zip(entries, blocked, strict=True) if not found]
        links = [await self._link(config, request, entry) for entry in wanted]
        contexts = [_context(entry, link) for entry, link in zip(wanted, links, strict=True)]
        rendered = await self._rendering.each(config, request, contexts)
        made = iter(
            one if isinstance(one, InvalidRequestError) else _single(one, entry, link)
            for one, entry, link in zip(rendered, wanted, links, strict=True)
        )
        return [Merged(entry, found or next(made)) for entry, found in zip(entries, blocked, strict=True)]

    async def _blocked(self, request: SubmitRequest, entries: Sequence[MailMergeEntry]) -> Sequence[Blocked | None]:
        if request.list_id is None:
            return [None] * len(entries)
        return await self._blocklists.blocked(request.list_id, [entry.to.address for entry in entries])

    async def _link(self, config: AccountConfig, request: SubmitRequest, entry: MailMergeEntry) -> str | None:
        if request.list_id is None:
            return None
        subscription = Subscription(
            account=config.account,
            list_id=request.list_id.lower(),
            recipient=entry.to.address,
            message_id=entry.message_id,
        )
        return await self._blocklists.link(subscription, request.base_url)


def check_members(request: SubmitRequest) -> None:
    """Refuse a request with members that cannot stand side by side.

    Raises:
        InvalidRequestError: its fields name one of them.
    """
    if request.mail_merge is None:
        if request.list_id is not None:
            raise invalid("listId", "needs mailMerge")
        return
    for name in _FORBIDDEN:
        if getattr(request, name) is not None:
            key = "messageId" if name == "message_id" else name
            raise invalid(key, "cannot stand beside mailMerge")


def _named(entry: MailMergeEntry, request: SubmitRequest, config: AccountConfig) -> MailMergeEntry:
    """Return the entry with a Message-ID, as links carry it."""
    if entry.message_id is not None:
        return entry
    return msgspec.structs.replace(entry, message_id=new_message_id(config, request))


def _context(entry: MailMergeEntry, link: str | None) -> dict[str, Any]:
    recipient = {"name": entry.to.name, "address": entry.to.address}
    if link is not None:
        recipient["unsubscribeUrl"] = link
    return {"params": entry.params, "rcpt": recipient}


def _single(request: SubmitRequest, entry: MailMergeEntry, link: str | None) -> SubmitRequest:
    headers = dict(request.headers or {})
    if link is not None:
        headers |= {"List-ID": f"<{(request.list_id or '').lower()}>", "List-Unsubscribe": f"<{link}>"}
        if link.startswith("https://"):
            # One click needs https (RFC 8058 section 3.1).
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return msgspec.structs.replace(
        request,
        to=entry.to,
        # Of a message that is replied to, nobody else comes along.
        cc=(),
        message_id=entry.message_id,
        send_at=entry.send_at if entry.send_at is not None else request.send_at,
        headers=headers,
        mail_merge=None,
        list_id=None,
    )

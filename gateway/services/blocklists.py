"""Blocklists: who is on them, and who leaves a list or comes back through a link in a mail."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import ResourceNotFoundError
from gateway.model.blocklist import (
    BlockDeleted,
    Blocked,
    BlocklistList,
    BlocklistPage,
    BlocklistSummary,
    BlockRequest,
    BlockResult,
    Source,
)
from gateway.model.event import ListData
from gateway.provider import Clock
from gateway.services.callers import Caller
from gateway.services.events import EventService
from gateway.services.paging import page_of
from gateway.services.runtime_settings import RuntimeSettingsService, origin
from gateway.services.unsubscribe_link import Subscription, make_link, read_link
from gateway.store.accounts import AccountStore
from gateway.store.blocklists import BlocklistStore


class BlocklistService:
    """The blocklists of this installation."""

    def __init__(
        self,
        *,
        blocklists: BlocklistStore,
        accounts: AccountStore,
        settings: RuntimeSettingsService,
        events: EventService,
        clock: Clock,
    ) -> None:
        self._blocklists = blocklists
        self._accounts = accounts
        self._settings = settings
        self._events = events
        self._clock = clock

    async def list(self, page: int, page_size: int) -> BlocklistList:
        """Return one page of the lists that have somebody on them."""
        ids = await self._blocklists.ids()
        chunk, pages = page_of(ids, page, page_size)
        shown = [BlocklistSummary(list_id=id, count=await self._blocklists.count(id)) for id in chunk]
        return BlocklistList(total=len(ids), page=page, pages=pages, blocklists=tuple(shown))

    async def get(self, list_id: str, page: int, page_size: int) -> BlocklistPage:
        """Return one page of a list; one that nobody is on is empty."""
        known = await self._blocklists.entries(list_id.lower())
        chunk, pages = page_of(known, page, page_size)
        return BlocklistPage(list_id=list_id.lower(), total=len(known), page=page, pages=pages, addresses=tuple(chunk))

    async def add(self, list_id: str, request: BlockRequest) -> BlockResult:
        """Put somebody on a list.

        Raises:
            InvalidRequestError: that is no id of a list.
            ResourceNotFoundError: there is no such account.
        """
        if await self._accounts.get(request.account) is None:
            raise ResourceNotFoundError("no such account", code="AccountNotFound")
        entry = Blocked(
            recipient=request.recipient.lower(),
            account=request.account,
            source="api",
            reason=request.reason,
            created=self._clock(),
        )
        return BlockResult(added=await self._blocklists.add(list_id.lower(), entry))

    async def remove(self, list_id: str, recipient: str) -> BlockDeleted:
        """Take somebody from a list."""
        return BlockDeleted(deleted=await self._blocklists.remove(list_id.lower(), recipient.lower()))

    async def blocked(self, list_id: str, recipients: Sequence[str]) -> Sequence[Blocked | None]:
        """Return why recipients get no mail of a list; None for those that get it."""
        return await self._blocklists.find(list_id.lower(), [recipient.lower() for recipient in recipients])

    async def link(self, subscription: Subscription, base_url: str | None) -> str:
        """Return the address at which a recipient leaves a list; it never expires.

        Raises:
            InvalidRequestError: `base_url` is no address.
            MissingSettingError: it is None, and serviceUrl was never set.
        """
        if base_url is None:
            root = await self._settings.service_url()
        else:
            root = origin(base_url, "baseUrl")
        return make_link(root, await self._settings.service_secret(), subscription)

    async def open_link(self, data: str, sig: str) -> Subscription:
        """Return what a link says.

        Raises:
            RequestError: it is forged or damaged (code InvalidLink).
        """
        return read_link(await self._settings.service_secret(), data, sig)

    async def is_subscribed(self, subscription: Subscription) -> bool:
        """Tell whether a recipient gets the mail of a list."""
        (entry,) = await self.blocked(subscription.list_id, [subscription.recipient])
        return entry is None

    async def unsubscribe(self, subscription: Subscription, source: Source, caller: Caller) -> None:
        """Put a recipient who wants so on the blocklist, and tell it the first time."""
        entry = Blocked(
            recipient=subscription.recipient.lower(),
            account=subscription.account,
            message_id=subscription.message_id,
            source=source,
            reason="unsubscribe",
            remote_address=caller.remote_address,
            user_agent=caller.user_agent,
            created=self._clock(),
        )
        if await self._blocklists.add(subscription.list_id.lower(), entry):
            told = self._events.make("listUnsubscribe", subscription.account, _told(subscription, caller))
            await self._events.append(subscription.account, [told])

    async def subscribe(self, subscription: Subscription, caller: Caller) -> None:
        """Take a recipient who came back from the blocklist, and tell it."""
        if await self._blocklists.remove(subscription.list_id.lower(), subscription.recipient.lower()):
            told = self._events.make("listSubscribe", subscription.account, _told(subscription, caller))
            await self._events.append(subscription.account, [told])


def _told(subscription: Subscription, caller: Caller) -> ListData:
    return ListData(
        recipient=subscription.recipient.lower(),
        message_id=subscription.message_id,
        list_id=subscription.list_id.lower(),
        remote_address=caller.remote_address,
        user_agent=caller.user_agent,
    )

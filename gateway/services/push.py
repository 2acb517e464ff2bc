"""Push: subscriptions at services that call us, kept alive, and their calls, taken.

A call is only a hint that it is worth asking for changes: with none of them everything is found, later.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
import structlog

from gateway.errors import ConflictError, GatewayError, NotFoundError, UnsupportedOperationError
from gateway.provider import Clock, Notification, Push, PushSubscription, Session
from gateway.queue.signals import Signal, Signals
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.services.sessions import SessionService
from gateway.store.accounts import AccountStore
from gateway.store.pushes import PushRecord, PushStore

log = structlog.get_logger(__name__)

#: Where services call.
NOTIFICATION_PATH = "/oauth/msg/notification"
LIFECYCLE_PATH = "/oauth/msg/lifecycle"

#: Between two looks at the record: an operator who sets an address does not want to wait.
_LOOK = timedelta(minutes=1)
#: After which a subscription is renewed, whatever its lifetime: one that got lost in silence is noticed by that.
_RENEWED_AFTER = timedelta(hours=12)
#: Before its end it is renewed in any case; clocks differ.
_MARGIN = timedelta(hours=1)
_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(hours=1)

#: What one call may tell; a service tells more in several.
_MOST_HINTS = 1000

#: How hints begin that name a message; the others are kinds of notifications.
_MESSAGE = "message:"
_LONGEST_ID = 1024


class Hints(NamedTuple):
    """What an account's service called for: messages, and what happened to the subscription."""

    messages: tuple[str, ...]
    told: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.messages or self.told)


class Kept(NamedTuple):
    """Whether the service calls; seconds until the next look; whether calls may have been missed before this one."""

    active: bool
    rest: float
    gap: bool = False


class PushService:
    """Keeps subscriptions, and takes what services call for."""

    def __init__(
        self,
        *,
        pushes: PushStore,
        accounts: AccountStore,
        sessions: SessionService,
        settings: RuntimeSettingsService,
        signals: Signals,
        clock: Clock,
    ) -> None:
        self._pushes = pushes
        self._accounts = accounts
        self._sessions = sessions
        self._settings = settings
        self._signals = signals
        self._clock = clock

    # --- calls --------------------------------------------------------------------------------------------------------

    async def called(self, account: str, body: bytes) -> None:
        """Take a call for an account: remember it, and have the account's owner look. Forgeries are left out.

        Raises:
            redis.exceptions.RedisError: it could not be remembered; the service has to call again.
        """
        record = await self._pushes.get(account)
        stored = None if record is None else await self._accounts.get(account)
        if record is None or stored is None:
            log.info("push_not_expected")
            return
        try:
            _, provider = await self._sessions.provider(stored.config)
            told = provider.notifications(body)
        except GatewayError as error:
            # Nonsense, or an account that has another kind of service, or none, by now.
            log.info("push_not_read", account=account, error=type(error).__name__)
            return
        ours = [one for one in told if _is_of(record, one)]
        if len(ours) < len(told):
            log.info("push_not_ours", account=account, count=len(told) - len(ours))
        hints = {_hint(one) for one in ours[:_MOST_HINTS]}
        if hints:
            await self._pushes.hint(account, hints)
            await self._signals.send(Signal("push", account))

    async def take(self, account: str, count: int) -> Hints:
        """Return up to `count` of what was called for, and forget it."""
        found = await self._pushes.take(account, count)
        messages = [hint.removeprefix(_MESSAGE) for hint in found if hint.startswith(_MESSAGE)]
        told = {hint for hint in found if not hint.startswith(_MESSAGE)}
        return Hints(tuple(message for message in messages if message), frozenset(told))

    # --- subscriptions ------------------------------------------------------------------------------------------------

    async def keep(self, account: str, session: Session, told: Collection[str] = ()) -> Kept:
        """Do what is due for the subscription of an account; nothing that the service answers is raised.

        Args:
            account: its id; only its owner may call.
            session: open; used for the moment.
            told: what the service said of the subscription, see `NotificationKind`.

        Raises:
            redis.exceptions.RedisError: nothing was done, or not written down.
        """
        now = self._clock()
        record = await self._pushes.get(account) or PushRecord()
        if "removed" in told:
            record = msgspec.structs.replace(record, id="")
        try:
            push = await session.push()
        except UnsupportedOperationError as error:
            return await self._without(account, record, "NotSupported", error.message)
        base = await self._base()
        if base is None:
            await self._withdraw(push, record)
            return await self._without(
                account, record, "NoPublicAddress", "notificationBaseUrl and serviceUrl are not set"
            )
        url = f"{base}{NOTIFICATION_PATH}?account={quote(account, safe='')}"
        lives = bool(record.id) and record.url == url and record.expires is not None and record.expires > now
        if record.retry_at is not None and record.retry_at > now and not told:
            return _kept(record, lives, now)
        if lives and not _due(record, now) and "reauthorize" not in told:
            return _kept(record, lives, now, gap="missed" in told)
        try:
            if lives:
                return await self._renew(account, push, record, url)
            await self._withdraw(push, record)
            return await self._create(account, push, url)
        except GatewayError as error:
            return await self._failed(account, record, url, error, lives=lives)

    async def _renew(self, account: str, push: Push, record: PushRecord, url: str) -> Kept:
        try:
            expires = await push.renew(record.id)
        except NotFoundError:
            log.info("push_lost", account=account)
            return await self._create(account, push, url)
        return await self._proven(account, record, expires, gap=False)

    async def _create(self, account: str, push: Push, url: str) -> Kept:
        secret = secrets.token_urlsafe(32)
        record = PushRecord(url=url, secret=_digest(secret), state="creating", time=self._clock())
        # Its first call may come before the answer to this one.
        await self._pushes.put(account, record)
        lifecycle_url = url.replace(NOTIFICATION_PATH, LIFECYCLE_PATH)
        try:
            made = await push.create(url, lifecycle_url, secret)
        except ConflictError:
            adopted = await self._adopted(account, push, record)
            if isinstance(adopted, Kept):
                return adopted
            made = adopted or await push.create(url, lifecycle_url, secret)
        if made.secret is not None:
            record = msgspec.structs.replace(record, secret=_digest(made.secret))
        record = msgspec.structs.replace(record, id=made.id, state="created")
        return await self._proven(account, record, made.expires, gap=True)

    async def _adopted(self, account: str, push: Push, record: PushRecord) -> PushSubscription | Kept | None:
        """Return the subscription that is in the way if it can be taken over, or what is left without it.

        None when it was a left-over of this account, and has been removed.
        """
        for one in await push.existing():
            owner = _account_of(one.notification_url)
            if owner == account:
                if one.notification_url == record.url and one.secret is not None:
                    return msgspec.structs.replace(one, expires=await push.renew(one.id))
                await push.delete(one.id)
            elif owner is not None and await self._accounts.get(owner) is None:
                await push.delete(one.id)
            else:
                return await self._without(
                    account, record, "SubscribedElsewhere", "another account or gateway is told of this mailbox"
                )
        return None

    async def _withdraw(self, push: Push, record: PushRecord) -> None:
        """End a subscription that calls where nobody answers any more, if the service is there."""
        if record.id:
            try:
                await push.delete(record.id)
            except GatewayError as error:
                # It ends by itself.
                log.info("push_not_withdrawn", error=type(error).__name__)

    async def _proven(self, account: str, record: PushRecord, expires: datetime, *, gap: bool) -> Kept:
        now = self._clock()
        record = msgspec.structs.replace(
            record,
            state="created",
            expires=expires,
            proven=now,
            time=now,
            failures=0,
            code=None,
            text=None,
            retry_at=None,
        )
        await self._pushes.put(account, record)
        return _kept(record, True, now, gap=gap)

    async def _without(self, account: str, record: PushRecord, code: str, text: str) -> Kept:
        if (record.id, record.code, record.text) != ("", code, text):
            now = self._clock()
            await self._pushes.put(account, PushRecord(state="error", time=now, code=code, text=text))
        return Kept(active=False, rest=_LOOK.total_seconds())

    async def _failed(self, account: str, record: PushRecord, url: str, error: GatewayError, *, lives: bool) -> Kept:
        now, failures = self._clock(), record.failures + 1
        code = str(error.details.get("native_code") or error.error_code)
        log.warning("push_failed", account=account, error=type(error).__name__, code=code)
        record = msgspec.structs.replace(
            record if lives else PushRecord(url=url),
            # Due again: it may be silent.
            proven=None,
            state="error",
            time=now,
            failures=failures,
            code=code,
            text=error.message,
            retry_at=now + min(_FIRST_PAUSE * 2 ** min(failures - 1, 10), _LONGEST_PAUSE),
        )
        await self._pushes.put(account, record)
        return _kept(record, lives, now)

    async def _base(self) -> str | None:
        found = await self._settings.many(("notificationBaseUrl", "serviceUrl"))
        base = found.get("notificationBaseUrl") or found.get("serviceUrl")
        return str(base) if base else None


def _is_of(record: PushRecord, one: Notification) -> bool:
    """Tell whether a call is of a subscription; while that is being made, its id is not known yet."""
    secret = hmac.compare_digest(_digest(one.secret), record.secret)
    return secret and record.id in ("", one.subscription)


def _hint(one: Notification) -> str:
    return f"{_MESSAGE}{(one.message or '')[:_LONGEST_ID]}" if one.kind == "changed" else one.kind


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _due(record: PushRecord, now: datetime) -> bool:
    """Tell whether it is time to renew."""
    assert record.expires is not None
    return record.proven is None or now >= min(record.proven + _RENEWED_AFTER, record.expires - _MARGIN)


def _kept(record: PushRecord, active: bool, now: datetime, *, gap: bool = False) -> Kept:
    next_look = now + _LOOK
    if record.retry_at is not None:
        next_look = min(next_look, max(record.retry_at, now))
    return Kept(active=active, rest=max((next_look - now).total_seconds(), 1.0), gap=gap)


def _account_of(url: str) -> str | None:
    """Return for which account a service calls an address; None for one that is not a gateway's."""
    parts = urlsplit(url)
    if not parts.path.endswith(NOTIFICATION_PATH):
        return None
    return next(iter(parse_qs(parts.query).get("account", ())), None)

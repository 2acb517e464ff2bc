"""One delivery: what is sent, and what came of it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.errors import ConnectError
from gateway.http import HttpClient
from gateway.model.webhook import WebhookDelivery
from gateway.provider import Clock
from gateway.services.events import wire
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.services.webhooks import expressions
from gateway.services.webhooks.endpoints import Target
from gateway.services.webhooks.expressions import ExpressionError
from gateway.services.webhooks.requests import Message, Sender, headers, shown
from gateway.services.webhooks.schedule import retry_after
from gateway.store.events import LoggedEvent

#: Characters of an answer that are kept.
EXCERPT = 1024


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an attempt.

    Attributes:
        duration: milliseconds.
        error: why it is no success; a code, and words.
        gone: the endpoint wants nothing any more.
        pause: that the endpoint asks for.
        sent: headers, fit to be shown.
    """

    duration: int
    status: int | None = None
    error: str | None = None
    answer: str | None = None
    gone: bool = False
    pause: timedelta | None = None
    sent: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def success(self) -> bool:
        """Whether the endpoint has it."""
        return self.error is None

    def record(
        self, target: Target, event: LoggedEvent, account: str, *, time: datetime, attempt: int, replay: bool
    ) -> WebhookDelivery:
        """Return the record of the attempt, as of one that succeeded or is tried again."""
        return WebhookDelivery(
            endpoint=target.endpoint,
            account=account,
            event=event.name,
            event_id=event.event_id,
            state="delivered" if self.success else "failed",
            time=time,
            attempt=attempt,
            duration=self.duration,
            status=self.status,
            error=self.error,
            answer=self.answer,
            request_headers=self.sent or None,
            replay=replay,
        )


class Courier:
    """Selects, maps, signs and posts."""

    def __init__(self, settings: RuntimeSettingsService, http: HttpClient, clock: Clock) -> None:
        self._settings = settings
        self._http = http
        self._clock = clock

    async def sender(self) -> Sender:
        """Return in whose name deliveries are made."""
        url, secret, secrets = await asyncio.gather(
            self._settings.get("serviceUrl"), self._settings.service_secret(), self._settings.webhook_secrets()
        )
        return Sender(service_url=url, service_secret=secret, webhook_secrets=secrets)

    async def body(self, target: Target, event: LoggedEvent, sender: Sender) -> bytes | None:
        """Return what is to be delivered of an event, None when the endpoint does not want it.

        Raises:
            ExpressionError: filter or mapping of the endpoint cannot be applied to it.
        """
        if not target.wants(event.name):
            return None
        envelope = wire(event.json, sender.service_url)
        plain = target.filter is None and target.mapping is None
        if plain and not (target.inbox_only and event.name == "messageNew"):
            return envelope
        if not plain and len(envelope) > expressions.INPUT_LIMIT:
            raise ExpressionError(f"is not run over events of more than {expressions.INPUT_LIMIT} octets")
        # Its bound is a second of work at the worst, which the loop's other deliveries need not wait for.
        return await asyncio.to_thread(_selected, target, envelope)

    async def post(self, target: Target, message: Message, sender: Sender) -> Outcome:
        """Post an event once. Never raises for anything that the endpoint does."""
        sent = headers(message, target.headers, sender, self._clock())
        loop = asyncio.get_running_loop()
        began = loop.time()
        visible = shown(sent, target.headers)
        try:
            answer = await self._http.post(target.url, message.body, sent)
        except ConnectError as error:
            duration = round((loop.time() - began) * 1000)
            return Outcome(duration=duration, error=f"{error.error_code}: {error.message}", sent=visible)
        return Outcome(
            duration=round((loop.time() - began) * 1000),
            status=answer.status,
            error=None if answer.success else f"HTTP {answer.status}",
            answer=answer.body.decode(errors="replace")[:EXCERPT] or None,
            gone=answer.gone,
            pause=retry_after(answer.retry_after, self._clock()),
            sent=visible,
        )


def _selected(target: Target, envelope: bytes) -> bytes | None:
    event: dict[str, Any] = msgspec.json.decode(envelope)
    if target.inbox_only and event["event"] == "messageNew" and not _in_inbox(event):
        return None
    if target.filter is not None and not expressions.holds(target.filter, event):
        return None
    if target.mapping is None:
        return envelope
    return msgspec.json.encode(expressions.evaluate(target.mapping, event))


def _in_inbox(event: dict[str, Any]) -> bool:
    # Where messages live under labels, the inbox is one of those and not the path.
    data = event.get("data") or {}
    return (
        event.get("specialUse") == "\\Inbox"
        or data.get("messageSpecialUse") == "\\Inbox"
        or str(event.get("path", "")).upper() == "INBOX"
        or "\\Inbox" in (data.get("labels") or ())
    )

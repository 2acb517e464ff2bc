"""Sends notifications: validation of addresses, changes, lifecycle; to addresses of this machine only.

https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
"""

from __future__ import annotations

import asyncio
import html
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec

from gateway_sandbox import directory
from gateway_sandbox.failures import Failure, Failures
from gateway_sandbox.graph_errors import GraphError, bad_request
from gateway_sandbox.graph_resources import moment
from gateway_sandbox.graph_subscription import Subscription

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_VALIDATION_TIMEOUT = 10.0
_TIMEOUT = 30.0
#: Seconds before each attempt; the real service goes on for four hours.
_ATTEMPTS = (0.0, 0.5, 2.0, 10.0)
#: Seconds that reordered notifications wait for others to be mixed with.
_MIXING = 0.2


class Notifier:
    """Posts to subscribers.

    Attributes:
        sent: answers to notifications by status, 0 for none.
    """

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._mixed: list[tuple[str, bytes]] = []
        self.sent: Counter[int] = Counter()

    async def close(self) -> None:
        """Give up what is not sent yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def validate(self, url: str) -> None:
        """Ask an address whether it expects notifications.

        Raises:
            GraphError: it does not answer the token as text within ten seconds.
        """
        if urlsplit(url).hostname not in _LOOPBACK:
            raise _not_validated("Connection refused: the sandbox reaches this machine only")
        token = f"Validation: Testing client application reachability for subscription <{uuid.uuid4()}>"
        separator = "&" if urlsplit(url).query else "?"
        asked = f"{url}{separator}{urlencode({'validationToken': token})}"
        try:
            timeout = aiohttp.ClientTimeout(total=_VALIDATION_TIMEOUT)
            async with self._client().post(asked, data=b"", timeout=timeout) as answer:
                text = await answer.text()
                kind = answer.content_type
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
            raise _not_validated(type(error).__name__) from error
        # Microsoft advises to escape the token: it is text from outside.
        if answer.status != 200 or kind != "text/plain" or html.unescape(text) != token:
            raise _not_validated(f"status {answer.status}, type {kind}")

    def changes(self, notifications: Iterable[tuple[Subscription, dict[str, Any]]]) -> None:
        """Send change notifications, those for one address together."""
        by_url: dict[str, list[dict[str, Any]]] = {}
        for subscription, change in notifications:
            mailbox = subscription.mailbox
            if self._failures.happens(Failure.NOTIFICATIONS_DROPPED, mailbox):
                continue
            copies = 2 if self._failures.happens(Failure.NOTIFICATIONS_DUPLICATED, mailbox) else 1
            payload = {**_common(subscription), **change}
            if self._failures.happens(Failure.NOTIFICATIONS_REORDERED, mailbox):
                body = msgspec.json.encode({"value": [payload]})
                self._mix((subscription.notification_url, body), copies)
                continue
            if self._failures.happens(Failure.POISON, mailbox):
                for body in _poison(payload):
                    self._send(subscription.notification_url, body)
            by_url.setdefault(subscription.notification_url, []).extend([payload] * copies)
        for url, value in by_url.items():
            self._send(url, msgspec.json.encode({"value": value}))

    def lifecycle(self, subscription: Subscription, event: str) -> None:
        """Send a lifecycle notification, if an address for them was given."""
        if subscription.lifecycle_url is not None:
            value = [{**_common(subscription), "lifecycleEvent": event}]
            self._send(subscription.lifecycle_url, msgspec.json.encode({"value": value}))

    def _mix(self, what: tuple[str, bytes], copies: int) -> None:
        if not self._mixed:
            asyncio.get_running_loop().call_later(_MIXING, self._send_mixed)
        self._mixed.extend([what] * copies)

    def _send_mixed(self) -> None:
        mixed, self._mixed = self._mixed[::-1], []
        self._start(self._post_in_turn(mixed))

    async def _post_in_turn(self, mixed: list[tuple[str, bytes]]) -> None:
        for url, body in mixed:
            await self._post(url, body)

    def _send(self, url: str, body: bytes) -> None:
        self._start(self._post(url, body))

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, url: str, body: bytes) -> None:
        headers = {"content-type": "application/json; charset=utf-8"}
        for wait in _ATTEMPTS:
            await asyncio.sleep(wait)
            status = 0
            try:
                timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
                async with self._client().post(url, data=body, headers=headers, timeout=timeout) as answer:
                    status = answer.status
            except (aiohttp.ClientError, TimeoutError):
                pass
            self.sent[status] += 1
            if 200 <= status < 300:
                return

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        return self._session


def _common(subscription: Subscription) -> dict[str, Any]:
    return {
        "subscriptionId": subscription.id,
        "subscriptionExpirationDateTime": moment(subscription.expires),
        "clientState": subscription.client_state,
        "resource": subscription.resource,
        "tenantId": directory.TENANT_ID,
    }


def _poison(payload: dict[str, Any]) -> list[bytes]:
    """Return bodies that nobody should ever send."""
    other = str(uuid.uuid4())
    return [
        b'{"value": [',
        b"[]",
        b'{"value": null}',
        b'{"value": [null, 1, "x", {}]}',
        msgspec.json.encode({"value": [{**payload, "clientState": "not yours"}]}),
        msgspec.json.encode({"value": [{**payload, "subscriptionId": other}]}),
        msgspec.json.encode({"value": [{**payload, "resourceData": None, "resource": None}]}),
        msgspec.json.encode({"value": [{**payload, "changeType": "exploded", "resource": "x" * 100_000}]}),
    ]


def _not_validated(reason: str) -> GraphError:
    message = "Subscription validation request failed. Notification endpoint must respond with 200 OK to validation"
    return bad_request(f"{message} request. ({reason})", "ValidationError")

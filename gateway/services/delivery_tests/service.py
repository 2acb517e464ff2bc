"""Starts delivery tests, knows which wait for their message, and tells how they ended."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta

import msgspec

from gateway.errors import GatewayError, MissingSettingError, RateLimitError, ResourceNotFoundError
from gateway.model.delivery_test import DeliveryReport, DeliveryTestCheck, DeliveryTestStarted
from gateway.model.submission import OutboxEntry, Recipient, SubmitRequest
from gateway.provider import Clock
from gateway.services.submissions import SubmissionService
from gateway.store.delivery_tests import DeliveryTest, DeliveryTestStore

#: Time in which the message of a test has to arrive.
OPEN = timedelta(hours=1)

#: Tests that an account may start in an hour.
MOST = 20

_ID = re.compile(r"[0-9a-f]{32}")

_TEXT = """This message tests how mail of this account arrives. Nobody reads it.

Its receiver checks SPF, DKIM, DMARC and ARC, and keeps the result for a day; the message itself is not kept.
"""


class DeliveryTestService:
    """Delivery tests of all accounts; their receiver is a process of its own (`gateway.inbound`)."""

    def __init__(
        self, *, tests: DeliveryTestStore, submissions: SubmissionService, domain: str | None, clock: Clock
    ) -> None:
        """Take the `domain` whose mail the receiver gets; without it no test can be started."""
        self._tests = tests
        self._submissions = submissions
        self._domain = domain
        self._clock = clock

    async def start(self, account: str, gateway: str | None = None) -> DeliveryTestStarted:
        """Queue a message from an account, through the relay `gateway` if one is named, to an address made for it.

        Raises:
            MissingSettingError: this installation has no receiver (code DeliveryTestUnavailable).
            RateLimitError: the account has started too many tests in the last hour.
            ResourceNotFoundError: there is no such account or relay, or the account cannot send.
        """
        if self._domain is None:
            raise MissingSettingError(
                "there is no receiver for delivery tests: the operator has to set GATEWAY_DELIVERY_TEST_DOMAIN and to "
                "run `gateway inbound`",
                code="DeliveryTestUnavailable",
            )
        test = DeliveryTest(id=secrets.token_hex(16), account=account, created=self._clock())
        # Before it is sent, so that it cannot arrive too early.
        pause = await self._tests.admit(test, MOST)
        if pause:
            raise RateLimitError("too many delivery tests of this account", retry_after=pause)
        message = _message(f"{test.id}@{self._domain}", gateway)
        try:
            sent = await self._submissions.submit(account, message, source="test")
        except GatewayError:
            await self._tests.remove(test)
            raise
        await self._tests.submitted(test, sent.queue_id or "")
        return DeliveryTestStarted(delivery_test=test.id)

    async def check(self, id: str, *, account: str | None = None) -> DeliveryTestCheck:
        """Tell how far a test is.

        Args:
            id: of the test.
            account: only a test of this account is told of.

        Raises:
            ResourceNotFoundError: there is none: never was, is forgotten, or belongs to another account (code
                DeliveryTestNotFound).
        """
        test = await self._tests.get(id) if _ID.fullmatch(id) else None
        if test is None or account not in (None, test.account):
            raise ResourceNotFoundError("no such delivery test", code="DeliveryTestNotFound")
        if test.report is not None:
            return _arrived(test.report)
        reason = await self._failure(test)
        if reason is not None:
            return DeliveryTestCheck(success=False, status="failed", error=reason)
        return DeliveryTestCheck(success=True, status="pending")

    async def addressed(self, address: str) -> DeliveryTest | None:
        """Return the test whose message goes to an address; None if there is none that may still get one."""
        id, _, domain = address.lower().rpartition("@")
        if self._domain is None or domain != self._domain or not _ID.fullmatch(id):
            return None
        test = await self._tests.get(id)
        return test if test is not None and self._is_open(test) else None

    async def arrived(self, test: DeliveryTest, report: DeliveryReport) -> None:
        """Note what a receiver made of the message of a test; only the first one counts."""
        await self._tests.report(test, report)

    def _is_open(self, test: DeliveryTest) -> bool:
        return self._clock() < test.created + OPEN

    async def _failure(self, test: DeliveryTest) -> str | None:
        """Return why the message of a test will not arrive, None while it may."""
        if test.queue_id:
            try:
                entry = await self._submissions.get(test.queue_id)
            except ResourceNotFoundError:
                # It was sent, and is on its way.
                entry = None
            if entry is not None and entry.state in ("failed", "cancelled"):
                return _reason(entry)
        return None if self._is_open(test) else "The message did not arrive within an hour"


def _message(address: str, gateway: str | None) -> SubmitRequest:
    return SubmitRequest(
        to=Recipient(address=address),
        subject="Delivery test",
        text=_TEXT,
        gateway=gateway,
        copy=False,
        track_opens=False,
        track_clicks=False,
    )


def _reason(entry: OutboxEntry) -> str:
    if entry.state == "cancelled":
        return "The message was cancelled"
    error = entry.progress.error
    return f"The message could not be sent: {error.message}" if error is not None else "The message could not be sent"


def _arrived(report: DeliveryReport) -> DeliveryTestCheck:
    return DeliveryTestCheck(success=True, status="success", **msgspec.structs.asdict(report))

"""Switches that make the sandbox fail the way the real service does. They are forgotten when the sandbox stops."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from gateway.provider import Clock


class Failure(StrEnum):
    """What can go wrong; who sees it stands behind each name."""

    SECRET_EXPIRED = "secret_expired"  # token endpoint: AADSTS7000222
    GRANT_REVOKED = "grant_revoked"  # token endpoint: AADSTS50173; IMAP and SMTP refuse the access tokens
    CONSENT_NEEDED = "consent_needed"  # token endpoint: AADSTS65001 until the person signs in again
    ADMIN_CONSENT_NEEDED = "admin_consent_needed"  # sign-in: AADSTS90094 until an administrator approves
    SMTP_AUTH_DISABLED = "smtp_auth_disabled"  # SMTP: 535 5.7.139
    MAILBOX_NOT_CONNECTED = "mailbox_not_connected"  # IMAP: BAD User is authenticated but not connected.
    THROTTLED = "throttled"  # token endpoint and Graph: 429; IMAP: BAD Request is throttled; SMTP: 432
    SLOW = "slow"  # every answer waits
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"  # token endpoint and Graph: 503; IMAP: BYE; SMTP: 421
    GRAPH_UNAVAILABLE = "graph_unavailable"  # Graph: 503
    DELTA_EXPIRED = "delta_expired"  # Graph: 410 syncStateNotFound for delta tokens from before
    DELTA_INVALID = "delta_invalid"  # Graph: 400 SyncStateInvalid for delta tokens from before
    RESYNC_REQUIRED = "resync_required"  # Graph: 410 resyncRequired for delta tokens from before
    NOTIFICATIONS_DROPPED = "notifications_dropped"  # Graph: notifications are lost
    NOTIFICATIONS_DUPLICATED = "notifications_duplicated"  # Graph: notifications come twice
    NOTIFICATIONS_REORDERED = "notifications_reordered"  # Graph: notifications come late and in another order
    POISON = "poison"  # Graph: messages lack what they usually have; senseless notifications
    OLD_SUBSCRIPTION_LIMIT = "old_subscription_limit"  # Graph: subscriptions last 4,230 minutes at most


#: For these the seconds say how long an answer waits, or how long the client is told to wait; not how long it lasts.
_SECONDS_ARE_A_PARAMETER = {Failure.SLOW: 3.0, Failure.THROTTLED: 30.0}


#: These happen before anybody is known, to one person as to all.
FOR_EVERYBODY = frozenset({Failure.SECRET_EXPIRED, Failure.TEMPORARILY_UNAVAILABLE})


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """A failure that is on: for one address or (None) for everybody.

    Attributes:
        seconds: the wait, for `Failure.SLOW` and `Failure.THROTTLED`.
        share: of Graph's calls or notifications, how many fail: 1.0 means all.
    """

    failure: Failure
    user: str | None
    since: datetime
    until: datetime | None = None
    seconds: float = 0.0
    share: float = 1.0


class Failures:
    """The failures that are on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Seeded: the same test sees the same luck.
        self._luck = random.Random(0)
        self._switches: dict[tuple[Failure, str | None], Switch] = {}

    def switch_on(
        self, failure: Failure, user: str | None = None, seconds: float | None = None, share: float = 1.0
    ) -> Switch:
        """Switch a failure on, for everybody or for one address."""
        now = self._clock()
        user = user.lower() if user is not None else None
        parameter = _SECONDS_ARE_A_PARAMETER.get(failure)
        switch = Switch(
            failure=failure,
            user=user,
            since=now,
            until=now + timedelta(seconds=seconds) if parameter is None and seconds is not None else None,
            seconds=0.0 if parameter is None else (parameter if seconds is None else seconds),
            share=share,
        )
        self._switches[failure, user] = switch
        return switch

    def switch_off(self, failure: Failure, user: str | None = None) -> None:
        """Switch a failure off; without an address, for everybody it was switched on for."""
        for key in [key for key in self._switches if key[0] is failure and user in (None, key[1])]:
            del self._switches[key]

    def reset(self) -> None:
        """Switch everything off."""
        self._switches.clear()

    def active(self, failure: Failure, user: str | None = None) -> Switch | None:
        """Return the switch that makes this failure happen to an address now, if any."""
        for key in (failure, user), (failure, None):
            switch = self._switches.get(key)
            if switch is not None and (switch.until is None or self._clock() < switch.until):
                return switch
        return None

    def happens(self, failure: Failure, user: str | None = None) -> Switch | None:
        """Return the switch if the failure happens this time, as often as its share says."""
        switch = self.active(failure, user)
        return switch if switch is not None and self._luck.random() < switch.share else None

    def delay(self, user: str | None = None) -> float:
        """Return how many seconds an answer has to wait."""
        switch = self.active(Failure.SLOW, user)
        return 0.0 if switch is None else switch.seconds

    def listing(self) -> list[Switch]:
        """Return what is on."""
        return [switch for switch in self._switches.values() if self.active(switch.failure, switch.user)]

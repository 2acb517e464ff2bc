"""What stands on the other side of a provider, as the optional fixtures of the conformance kit describe it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.provider import Clock, Envelope, Grant, IdentityProvider, OAuth2App, Provider
from gateway.testing.context import AccountUnderTest

__all__ = ["FaultWorld", "IdentityWorld", "SubmissionWorld", "Switch"]

Switch = Callable[[], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class SubmissionWorld:
    """A submission service and what it took.

    Attributes:
        recipient: an address that it delivers to.
        refused_recipient: an address that it refuses for good; None if it takes every address and bounces later.
        received: returns the submissions that it accepted so far, oldest first.
    """

    recipient: str
    refused_recipient: str | None
    received: Callable[[], Awaitable[Sequence[tuple[Envelope, bytes]]]]


@dataclass(frozen=True, kw_only=True)
class IdentityWorld:
    """An identity service. The kit runs each test in a fresh one.

    Attributes:
        provider: the identity provider under test.
        app: an application that it knows.
        grant: signs a user in and returns the grant; its refresh token is good for one use if it rotates them.
        lifetime: seconds that it says an access token lasts.
        clock: the clock that the identity provider under test was given.
        withdraw: makes it answer ``invalid_grant`` to all grants of the user.
        disconnect: makes it unreachable, or cuts its answers.
        reconnect: makes it reachable again.
        keep_refresh_tokens: makes it answer without a new refresh token (RFC 6749 section 6); None if it cannot.
    """

    provider: IdentityProvider
    app: OAuth2App
    grant: Callable[[], Awaitable[Grant]]
    lifetime: float
    clock: Clock
    withdraw: Switch
    disconnect: Switch
    reconnect: Switch
    keep_refresh_tokens: Switch | None = None


@dataclass(frozen=True, kw_only=True)
class FaultWorld:
    """A service behind a network that misbehaves on demand, e.g. through `gateway.testing.fault_proxy`.

    The provider's own timeouts have to be short, a second at most.

    Attributes:
        provider, account: the provider under test, and the account of the fixture `account` reached through that
            network.
        unreachable: connections are refused or reset at once, the open ones too.
        hang_up: the connection breaks in the middle of the next answers.
        fall_silent: nothing is answered any more, but nothing is closed either.
        heal: everything works again.
        throttle: the service asks for a pause; None if it cannot.
        hang_up_after_submit: the connection breaks when a message was handed over, before the answer; None if the
            provider does not submit.
    """

    provider: Provider
    account: AccountUnderTest
    unreachable: Switch
    hang_up: Switch
    fall_silent: Switch
    heal: Switch
    throttle: Switch | None = None
    hang_up_after_submit: Switch | None = None

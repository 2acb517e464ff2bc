"""Delivery tests: what a receiver makes of the mail of an account.

The members of the results have the names that the wire API's clients know from its vendor's receiver.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from gateway.model.base import Payload, Resource

TestState = Literal["pending", "success", "failed"]

#: Of RFC 8601 section 2.7, and `declined` of BIMI.
Verdict = Literal[
    "pass", "fail", "softfail", "neutral", "none", "policy", "declined", "skipped", "temperror", "permerror"
]


class DeliveryTestRequest(Payload, frozen=True, kw_only=True):
    """How the test message is sent."""

    gateway: Annotated[str, Meta(max_length=256, description="Id of a relay to send through")] | None = None


class DeliveryTestStarted(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The test message is in the outbox."""

    success: bool = True
    delivery_test: Annotated[str, Meta(description="Id of the test")]
    error: Annotated[str, Meta(description="Never told: what cannot be started is refused")] | UnsetType = UNSET


class CheckStatus(Resource, frozen=True, kw_only=True):
    """How a check ended (RFC 8601 section 2.7), and why."""

    result: Verdict
    comment: str | None = None
    aligned: (
        Annotated[str, Meta(description="The domain that passed, if DMARC takes it for the author's; absent otherwise")]
        | None
    ) = None


class SignatureResult(Resource, frozen=True, kw_only=True):
    """One DKIM signature (RFC 6376); without any, the status alone."""

    status: CheckStatus
    signing_domain: str | None = None
    selector: str | None = None
    algo: str | None = None
    format: Annotated[str, Meta(description="Canonicalization of header and body")] | None = None
    modulus_length: Annotated[int, Meta(description="Bits of the public key")] | None = None
    rr: Annotated[str, Meta(description="The record that holds the public key")] | None = None


class DkimResult(Resource, frozen=True, kw_only=True):
    """Every DKIM signature, in the order of the message."""

    header_from: tuple[str, ...] = ()
    envelope_from: str | None = None
    results: tuple[SignatureResult, ...] = ()


class SpfLookups(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Mechanisms that ask the DNS (RFC 7208 section 4.6.4)."""

    limit: int
    count: int


class SpfResult(Resource, frozen=True, kw_only=True):
    """Whether the host may send for the domain of the envelope's sender (RFC 7208)."""

    status: CheckStatus
    domain: str | None = None
    client_ip: str | None = field(name="client-ip", default=None)
    helo: str | None = None
    envelope_from: str | None = field(name="envelope-from", default=None)
    rr: Annotated[str, Meta(description="The record of the domain")] | None = None
    lookups: SpfLookups | None = None


class Alignment(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Whether what passed is of the author's domain."""

    result: Annotated[str | bool, Meta(description="The domain, or false")]
    strict: bool


class DmarcAlignment(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Of each of the two methods."""

    spf: Alignment
    dkim: Alignment


class DmarcResult(Resource, frozen=True, kw_only=True):
    """Whether the author's domain stands for the message (RFC 7489)."""

    status: CheckStatus
    domain: Annotated[str, Meta(description="Where the record was found, else the organizational domain")] | None = None
    policy: Annotated[str, Meta(description="What the domain asks for when the check fails")] | None = None
    p: str | None = None
    sp: str | None = None
    pct: int | None = None
    rr: str | None = None
    alignment: DmarcAlignment | None = None


class BimiResult(Resource, frozen=True, kw_only=True):
    """Whether the author's domain has a record with a picture; neither picture nor certificate is looked at."""

    status: CheckStatus
    location: str | None = None
    authority: str | None = None
    rr: str | None = None


class ArcResult(Resource, frozen=True, kw_only=True):
    """Whether the chain of those that passed the message on holds (RFC 8617); `i` is the number of its sets."""

    status: CheckStatus
    i: int | None = None


class DeliveryReport(Resource, frozen=True, kw_only=True):
    """What a receiver made of a message."""

    dkim: DkimResult
    spf: SpfResult
    dmarc: DmarcResult
    bimi: BimiResult
    arc: ArcResult
    main_sig: Annotated[SignatureResult, Meta(description="The DKIM signature that counts most")]


class DeliveryTestCheck(Resource, frozen=True, kw_only=True):
    """How far a test is; once its message has arrived (`success`), what was made of it."""

    success: Annotated[bool, Meta(description="False when the message will not arrive any more")]
    status: TestState
    error: Annotated[str, Meta(description="Why the test failed")] | None = None
    dkim: DkimResult | None = None
    spf: SpfResult | None = None
    dmarc: DmarcResult | None = None
    bimi: BimiResult | None = None
    arc: ArcResult | None = None
    main_sig: SignatureResult | None = None

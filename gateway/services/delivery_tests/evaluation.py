"""All checks of one message that has arrived."""

from __future__ import annotations

import msgspec

from gateway.mime.addresses import ascii_domain, parse_addresses
from gateway.model.delivery_test import (
    ArcResult,
    CheckStatus,
    DeliveryReport,
    DkimResult,
    SignatureResult,
)
from gateway.services.delivery_tests.bimi import check_bimi
from gateway.services.delivery_tests.dmarc import check_dmarc, is_aligned
from gateway.services.delivery_tests.lookup import Lookup
from gateway.services.delivery_tests.signatures import Fields, Signature, check_arc, check_dkim, read_fields
from gateway.services.delivery_tests.spf import check_spf
from gateway.services.delivery_tests.wording import comment

_UNREADABLE = "the header cannot be read"

#: Addresses of From that a report repeats.
_MOST_AUTHORS = 10


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it came.

    Attributes:
        ip: address of the host that brought it.
        helo: what that called itself.
        mail_from: the envelope's sender; empty in notifications.
        receiver: what the receiver calls itself.
        content: header and body, lines ending in CRLF.
    """

    ip: str
    helo: str
    mail_from: str
    receiver: str
    content: bytes

    def __repr__(self) -> str:
        return f"Received({len(self.content)} octets)"


def evaluate(received: Received, lookup: Lookup) -> DeliveryReport:
    """Check a message in every way; waits for the DNS, so it belongs into a thread."""
    # Octets that are no text came as surrogates.
    mail_from, helo = ascii_domain(comment(received.mail_from) or ""), comment(received.helo) or ""
    spf = check_spf(lookup, ip=received.ip, helo=helo, mail_from=mail_from, receiver=received.receiver)
    fields = read_fields(received.content)
    authors = _authors(fields or [])
    author = _one_domain(authors)
    signatures = _signatures(received.content, fields, author, lookup)
    dmarc = check_dmarc(lookup, author=author, spf=spf, signatures=signatures)
    if spf.status.result == "pass" and author and is_aligned(author, spf.domain or ""):
        spf = msgspec.structs.replace(spf, status=msgspec.structs.replace(spf.status, aligned=spf.domain))
    results = tuple(one.result for one in signatures) or (_no_signature(fields),)
    return DeliveryReport(
        dkim=DkimResult(header_from=tuple(authors[:_MOST_AUTHORS]), envelope_from=mail_from or None, results=results),
        spf=spf,
        dmarc=dmarc,
        bimi=check_bimi(lookup, author, dmarc),
        arc=_arc(received.content, fields, lookup),
        main_sig=max(results, key=_weight),
    )


def _authors(fields: Fields) -> list[str]:
    values = [value for name, value in fields if name == "from"]
    return [found for one in parse_addresses(values) if (found := comment(ascii_domain(one.address)))]


def _one_domain(authors: list[str]) -> str | None:
    """Return the domain of all authors; None if there are several or none (RFC 7489 section 6.6.1)."""
    domains = {author.partition("@")[2].lower().rstrip(".") for author in authors}
    return domains.pop() or None if len(domains) == 1 else None


def _signatures(content: bytes, fields: Fields | None, author: str | None, lookup: Lookup) -> list[Signature]:
    found = []
    for signature in check_dkim(lookup, content, fields) if fields is not None else ():
        result, domain = signature
        if result.status.result == "pass" and author is not None and is_aligned(author, domain):
            result = msgspec.structs.replace(result, status=msgspec.structs.replace(result.status, aligned=domain))
        found.append(Signature(result, domain))
    return found


def _no_signature(fields: Fields | None) -> SignatureResult:
    if fields is None:
        return SignatureResult(status=CheckStatus(result="permerror", comment=_UNREADABLE))
    return SignatureResult(status=CheckStatus(result="none", comment="the message is not signed"))


def _arc(content: bytes, fields: Fields | None, lookup: Lookup) -> ArcResult:
    if fields is None:
        return ArcResult(status=CheckStatus(result="fail", comment=_UNREADABLE))
    return check_arc(lookup, content, fields)


def _weight(signature: SignatureResult) -> tuple[bool, bool]:
    return signature.status.aligned is not None, signature.status.result == "pass"

"""DMARC (RFC 7489): records and their evaluation by dmarc, organizational domains by the Public Suffix List."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import dmarc
from publicsuffixlist import PublicSuffixList

from gateway.model.delivery_test import Alignment, CheckStatus, DmarcAlignment, DmarcResult, SpfResult
from gateway.services.delivery_tests.lookup import Lookup, LookupFailedError
from gateway.services.delivery_tests.signatures import Signature
from gateway.services.delivery_tests.wording import comment

_VERSION = b"v=DMARC1"

_SILENCE = "the name server does not answer"


class _Suffixes:
    """The Public Suffix List, as the library asks for it."""

    def __init__(self) -> None:
        self._list = PublicSuffixList()

    def get_public_suffix(self, domain: str) -> str:
        """Return the domain that somebody registered (section 3.2); the domain itself where nobody can."""
        return self._list.privatesuffix(domain) or domain

    def is_public(self, domain: str) -> bool:
        """Tell whether strangers have names under a domain."""
        return self._list.is_public(domain)


@functools.cache
def _suffixes() -> _Suffixes:
    return _Suffixes()


def organizational_domain(domain: str) -> str:
    """Return the domain that somebody registered (section 3.2); the domain itself where nobody can."""
    return _suffixes().get_public_suffix(domain)


def is_aligned(author: str, other: str, mode: dmarc.DMARCAlignment = dmarc.DMARCAlignment.RELAXED) -> bool:
    """Tell whether a domain that passed is the author's (section 3.1)."""
    if not author or not _counts(author, other):
        return False
    return bool(dmarc.DMARC().check_alignment(author, other, mode, _suffixes()))


def _counts(author: str, other: str) -> bool:
    # The library takes a suffix for the parent of all that is registered under it.
    return bool(other) and (other == author or not _suffixes().is_public(other))


def check_dmarc(lookup: Lookup, *, author: str | None, spf: SpfResult, signatures: Sequence[Signature]) -> DmarcResult:
    """Tell whether the author's domain stands for a message, by what SPF and DKIM came to.

    Args:
        lookup: the DNS.
        author: the one domain of From, in ASCII and lower case; None if it has not exactly one.
        spf: of the envelope's sender.
        signatures: of DKIM.
    """
    if author is None:
        return DmarcResult(status=CheckStatus(result="permerror", comment="From does not name exactly one domain"))
    try:
        domain, record = _find(lookup, author)
    except LookupFailedError:
        return DmarcResult(status=CheckStatus(result="temperror", comment=_SILENCE))
    if record is None:
        status = CheckStatus(result="none", comment="the domain has no record, or several")
        return DmarcResult(status=status, domain=organizational_domain(author))
    text = comment(record) or ""
    try:
        policy = dmarc.DMARC().parse_record(text, author, domain if domain != author else None, strict=False)
    except dmarc.RecordSyntaxError:
        status = CheckStatus(result="permerror", comment="the record is malformed")
        return DmarcResult(status=status, domain=domain, rr=text)
    found = _evaluate(policy, author, spf, signatures)
    passed = found.result is dmarc.DMARCResult.PASS
    own = policy.sp if policy.org_domain and policy.sp.value else policy.p
    return DmarcResult(
        status=_status(passed, spf, signatures, author),
        domain=domain,
        policy=own.value,
        p=policy.p.value,
        sp=policy.sp.value or policy.p.value,
        pct=policy.pct,
        rr=text,
        alignment=_alignment(policy, author, spf, signatures),
    )


def _find(lookup: Lookup, author: str) -> tuple[str, bytes | None]:
    """Return the domain with the record for an author's domain, and the record (section 6.6.3)."""
    for domain in dict.fromkeys((author, organizational_domain(author))):
        records = [text for text in lookup.texts(f"_dmarc.{domain}") if text.startswith(_VERSION)]
        if records:
            return domain, records[0] if len(records) == 1 else None
    return author, None


def _evaluate(policy: Any, author: str, spf: SpfResult, signatures: Iterable[Signature]) -> Any:
    keys = [
        dmarc.DKIMAuthResult(one.domain, dmarc.DKIMResult(one.result.status.result))
        for one in signatures
        if _counts(author, one.domain)
    ]
    sender = None
    if spf.domain is not None and _counts(author, spf.domain):
        sender = dmarc.SPFAuthResult(spf.domain, dmarc.SPFResult(spf.status.result))
    results = dmarc.AuthResults(spf=sender, dkim=keys)
    return dmarc.DMARC(_suffixes()).get_result(policy, auth_results=results)


def _status(passed: bool, spf: SpfResult, signatures: Sequence[Signature], author: str) -> CheckStatus:
    if passed:
        return CheckStatus(result="pass", aligned=author)
    if "temperror" in (spf.status.result, *(one.result.status.result for one in signatures)):
        return CheckStatus(result="temperror", comment="SPF or DKIM could not be checked")
    return CheckStatus(result="fail", comment="neither SPF nor DKIM passed for the author's domain")


def _alignment(policy: Any, author: str, spf: SpfResult, signatures: Sequence[Signature]) -> DmarcAlignment:
    passed = [one.domain for one in signatures if one.result.status.result == "pass"]
    sender = [spf.domain] if spf.domain is not None and spf.status.result == "pass" else []
    return DmarcAlignment(
        spf=_first_aligned(author, sender, policy.aspf), dkim=_first_aligned(author, passed, policy.adkim)
    )


def _first_aligned(author: str, domains: Iterable[str], mode: dmarc.DMARCAlignment) -> Alignment:
    found = next((domain for domain in domains if is_aligned(author, domain, mode)), False)
    return Alignment(result=found, strict=mode is dmarc.DMARCAlignment.STRICT)

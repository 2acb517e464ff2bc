"""BIMI (draft-brand-indicators-for-message-identification): whether there is a record, and what it says."""

from __future__ import annotations

from gateway.model.delivery_test import BimiResult, CheckStatus, DmarcResult
from gateway.services.delivery_tests.dmarc import organizational_domain
from gateway.services.delivery_tests.lookup import Lookup, LookupFailedError
from gateway.services.delivery_tests.wording import comment

_VERSION = b"v=BIMI1"


def check_bimi(lookup: Lookup, author: str | None, dmarc: DmarcResult) -> BimiResult:
    """Look for the record of an author's domain, else of the organizational one."""
    if author is None:
        return BimiResult(status=CheckStatus(result="none"))
    try:
        record = _find(lookup, author)
    except LookupFailedError:
        return BimiResult(status=CheckStatus(result="temperror", comment="the name server does not answer"))
    if record is None:
        return BimiResult(status=CheckStatus(result="none", comment="the domain has no record"))
    text = comment(record) or ""
    tags = dict(_tag(part) for part in text.split(";"))
    location, authority = tags.get("l") or None, tags.get("a") or None
    return BimiResult(
        status=_status(location is not None or authority is not None, dmarc),
        location=location,
        authority=authority,
        rr=text,
    )


def _find(lookup: Lookup, author: str) -> bytes | None:
    for domain in dict.fromkeys((author, organizational_domain(author))):
        records = [text for text in lookup.texts(f"default._bimi.{domain}") if text.startswith(_VERSION)]
        if records:
            return records[0]
    return None


def _tag(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip().lower(), value.strip()


def _status(published: bool, dmarc: DmarcResult) -> CheckStatus:
    if not published:
        return CheckStatus(result="declined", comment="the domain publishes no picture")
    if dmarc.status.result != "pass":
        return CheckStatus(result="skipped", comment="DMARC did not pass")
    if dmarc.policy == "none":
        return CheckStatus(result="skipped", comment="the domain's policy of DMARC is none")
    return CheckStatus(result="pass", comment="picture and certificate were not looked at")

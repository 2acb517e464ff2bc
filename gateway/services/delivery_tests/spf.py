"""SPF (RFC 7208), by pyspf."""

from __future__ import annotations

from typing import Any

import msgspec
import spf

from gateway.model.delivery_test import CheckStatus, SpfLookups, SpfResult
from gateway.services.delivery_tests.lookup import Lookup, LookupFailedError
from gateway.services.delivery_tests.wording import comment

#: What pyspf trips over when senders call themselves what no sender can be called.
_TRIPS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)

_VERDICTS = frozenset({"pass", "fail", "softfail", "neutral", "none", "temperror", "permerror"})


class _Query(spf.query):  # type: ignore[misc]
    """A check that asks `Lookup`; the library's own way has neither our bounds nor our name server."""

    def __init__(self, lookup: Lookup, **arguments: Any) -> None:
        self._lookup = lookup
        super().__init__(**arguments)

    def dns(self, name: str, qtype: str, cnames: object = None, ignore_void: bool = False) -> list[Any]:
        """Return records in the library's form; those that lead to nothing are counted (RFC 7208 section 4.6.4)."""
        try:
            found = self._lookup.records(str(name), qtype)
        except LookupFailedError as error:
            raise spf.TempError(str(error)) from error
        if not found and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError(f"Void lookup limit of {spf.MAX_VOID_LOOKUPS} exceeded")
        return [_value(record, qtype) for record in found]


def _value(record: Any, qtype: str) -> Any:
    if qtype in ("A", "AAAA"):
        return record.address
    if qtype == "MX":
        return record.preference, record.exchange.to_text(omit_final_dot=True)
    if qtype == "PTR":
        return record.target.to_text(omit_final_dot=True)
    return record.strings


def check_spf(lookup: Lookup, *, ip: str, helo: str, mail_from: str, receiver: str) -> SpfResult:
    """Tell whether a host may send for the domain of the envelope's sender; for its own name if there is none.

    Args:
        lookup: the DNS.
        ip: address of the host.
        helo: what it calls itself.
        mail_from: the envelope's sender, empty in notifications.
        receiver: our own name.
    """
    told = SpfResult(
        status=CheckStatus(result="none"),
        domain=(mail_from.rpartition("@")[2] or helo).lower() or None,
        client_ip=ip,
        helo=helo or None,
        envelope_from=mail_from or None,
    )
    query = None
    try:
        query = _Query(lookup, i=ip, s=mail_from, h=helo, receiver=receiver)
        verdict, _, text = query.check()
    except (*_TRIPS, spf.PermError) as error:
        verdict, text = "permerror", f"the sender cannot be checked ({type(error).__name__})"
    status = CheckStatus(result=verdict if verdict in _VERDICTS else "permerror", comment=comment(text))
    lookups = SpfLookups(limit=spf.MAX_LOOKUP, count=query.lookups) if query is not None else None
    return msgspec.structs.replace(told, status=status, rr=_record(lookup, told.domain), lookups=lookups)


def _record(lookup: Lookup, domain: str | None) -> str | None:
    try:
        records = [text for text in lookup.texts(domain or "") if spf.RE_SPF.match(text)]
    except LookupFailedError:
        return None
    return comment(records[0]) if records else None

"""DKIM (RFC 6376) and ARC (RFC 8617), by dkimpy."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import dkim
import msgspec

from gateway.model.delivery_test import ArcResult, CheckStatus, SignatureResult, Verdict
from gateway.services.delivery_tests.lookup import Lookup, LookupFailedError
from gateway.services.delivery_tests.wording import comment

#: Signatures and sets of ARC that are looked at: each has the whole message hashed, and senders choose their number.
MOST_SIGNATURES = 5
MOST_SETS = 10

#: Octets of a header field with a signature, and in a row that are white: more would take the library's expressions
#: minutes to read.
_LONGEST_FIELD = 8192
_WHITE = re.compile(rb"\s{100}")

#: What dkimpy trips over, beside its own errors, when a field or a key is no such thing.
_TRIPS = (dkim.DKIMException, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)

#: The library tells every header that it sees.
_SILENT = logging.getLogger("dkimpy")
_SILENT.disabled = True

_MALFORMED = "the field is too long, or white where it should be full"

#: Header fields as they are in the message, with the names in lower case.
Fields = list[tuple[str, bytes]]


class Signature(NamedTuple):
    """A DKIM signature: what its check came to, and the domain that signed, as the DNS knows it."""

    result: SignatureResult
    domain: str


class _Keys:
    """Looks keys up for the library, which does not tell why it had none.

    Attributes:
        record: the last key that was found.
        asked: whether it came to that.
        failed: whether the DNS did not answer once.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self.record: bytes | None = None
        self.asked = False
        self.failed = False

    def __call__(self, name: bytes, timeout: float = 0) -> bytes | None:
        self.asked = True
        try:
            found = self._lookup.texts(name.decode("utf-8", "replace"))
        except LookupFailedError as error:
            self.failed = True
            raise dkim.DnsTimeoutError(str(error)) from error
        self.record = found[0] if found else None
        return self.record


def read_fields(message: bytes) -> Fields | None:
    """Return the header fields of a message, None when it has no header that could be read."""
    try:
        fields, _ = dkim.rfc822_parse(message)
    except _TRIPS:
        return None
    return [(name.decode("ascii").lower(), value) for name, value in fields]


def check_dkim(lookup: Lookup, message: bytes, fields: Fields) -> Iterator[Signature]:
    """Check the first DKIM signatures of a message."""
    found = [value for name, value in fields if name == "dkim-signature"]
    for number, field in enumerate(found[:MOST_SIGNATURES]):
        keys = _Keys(lookup)
        signer = dkim.DKIM(message, logger=_SILENT)
        if _unreadable(field):
            status = CheckStatus(result="permerror", comment=_MALFORMED)
        else:
            status = _verdict(partial(signer.verify, number, dnsfunc=keys), keys)
        if status.result == "pass" and (reason := _worthless(signer)) is not None:
            status = CheckStatus(result="permerror", comment=reason)
        yield _told(signer, keys, status)


def _unreadable(field: bytes) -> bool:
    return len(field) > _LONGEST_FIELD or _WHITE.search(field) is not None


def _worthless(signer: Any) -> str | None:
    """Return why a signature that is right means nothing; the library leaves that to whoever asks."""
    if b"from" not in signer.include_headers:
        return "From is not signed (RFC 6376 section 6.1.1)"
    if signer.signature_fields[b"a"] == b"rsa-sha1":
        return "rsa-sha1 is not accepted any more (RFC 8301)"
    return None


def _verdict(verify: Callable[[], bool], keys: _Keys) -> CheckStatus:
    try:
        good = verify()
    except dkim.ValidationError as error:
        # Before the key is asked for it is about the form of the signature, afterwards about the message.
        return _status("fail" if keys.asked else "permerror", error)
    except dkim.KeyFormatError as error:
        # Told only of a signature that is right: the key is too short to mean anything.
        return _status("policy", error)
    except _TRIPS as error:
        return _status("permerror", error)
    if good:
        return CheckStatus(result="pass")
    if keys.failed:
        return CheckStatus(result="temperror", comment="the name server does not answer")
    if keys.record is None:
        return CheckStatus(result="permerror", comment="there is no public key")
    if not _usable(keys.record):
        return CheckStatus(result="permerror", comment="the public key is revoked, or is none")
    return CheckStatus(result="fail", comment="the signature is not of this header")


def _status(result: Verdict, error: Exception) -> CheckStatus:
    return CheckStatus(result=result, comment=comment(str(error)) or type(error).__name__)


def _usable(record: bytes) -> bool:
    try:
        dkim.evaluate_pk(b"", record)
    except _TRIPS:
        return False
    return True


def _told(signer: Any, keys: _Keys, status: CheckStatus) -> Signature:
    tags = getattr(signer, "signature_fields", None) or {}
    result = SignatureResult(
        status=status,
        signing_domain=comment(tags.get(b"d")),
        selector=comment(tags.get(b"s")),
        algo=comment(tags.get(b"a")),
        format=comment(tags.get(b"c")),
        modulus_length=getattr(signer, "keysize", None),
        rr=comment(keys.record),
    )
    return Signature(result, tags.get(b"d", b"").decode("utf-8", "replace").lower().rstrip("."))


def check_arc(lookup: Lookup, message: bytes, fields: Fields) -> ArcResult:
    """Check the chain of those that passed a message on."""
    sets = [value for name, value in fields if name.startswith("arc-")]
    if any(_unreadable(value) for value in sets):
        return ArcResult(status=CheckStatus(result="fail", comment=_MALFORMED))
    keys = _Keys(lookup)
    try:
        chain = dkim.ARC(message, logger=_SILENT)
        instances, _ = chain.sorted_arc_headers()
        if instances > MOST_SETS:
            return ArcResult(status=CheckStatus(result="fail", comment="the chain is too long"))
        verdict, _, reason = chain.verify(dnsfunc=keys)
    except _TRIPS as error:
        return ArcResult(status=_status("fail", error))
    told = ArcResult(status=_arc_status(verdict, reason), i=instances or None)
    if told.status.result == "fail" and keys.failed:
        status = CheckStatus(result="temperror", comment="the name server does not answer")
        return msgspec.structs.replace(told, status=status)
    return told


def _arc_status(verdict: bytes | None, reason: str) -> CheckStatus:
    if verdict == dkim.CV_Pass:
        return CheckStatus(result="pass")
    # None stands for a chain that one of its members has declared to be broken (section 5.1.2).
    return CheckStatus(result="none" if verdict == dkim.CV_None else "fail", comment=comment(reason))

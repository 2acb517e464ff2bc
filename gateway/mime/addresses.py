"""Read and write mail addresses (RFC 5322 section 3.4, RFC 6531)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import getaddresses, parsedate_to_datetime

from gateway.mime.decode import decode_header, unfold
from gateway.model.message import Address

__all__ = ["ascii_domain", "parse_addresses", "parse_date"]

# Newer patch releases refuse a whole header for one odd address unless told otherwise (CVE-2023-27043). A reader wants
# to see what is there; nothing is sent or allowed because of it.
_LENIENT = {"strict": False} if "strict" in inspect.signature(getaddresses).parameters else {}
_Q_WORD = re.compile(r"=\?[^?\s]{1,80}\?[qQ]\?(?:(?!=\?[^=\s]).)*?\?=")
# Words and no address, e.g. "Undisclosed recipients".
_PHRASE = re.compile(r'[^@<>,:;()"\s]+\s[^@<>,:;()"]*')
# One address as nearly all are written: read in a quarter of the time.
_WORD, _LABEL = r"[A-Za-z0-9_+-]+", r"[A-Za-z0-9-]+"
_USUAL = re.compile(
    rf"(?:(?P<name>{_WORD}(?: {_WORD})*) )?(?P<open><)?"
    rf"(?P<address>{_WORD}(?:\.{_WORD})*@{_LABEL}(?:\.{_LABEL})*)(?(open)>)"
)
_UNNESTED = str.maketrans("(:)", "   ")
_UNSAFE_IN_ATOM = re.compile(r'[\s",;:<>()@\\\[\].]')


def parse_addresses(values: Iterable[bytes | str]) -> tuple[Address, ...]:
    """Return the addresses of one header (all its fields), names decoded; an empty group gives none."""
    # An encoded-word may hold a comma or quote that RFC 2047 section 5 forbids there; the splitter must not see it.
    lines = [_Q_WORD.sub(lambda word: _UNSAFE_IN_ATOM.sub(_as_q_octets, word[0]), unfold(value)) for value in values]
    if len(lines) == 1:
        usual = _USUAL.fullmatch(lines[0])
        if usual is not None and (usual["open"] or not usual["name"]):
            return (Address(name=usual["name"] or "", address=usual["address"]),)
        if _PHRASE.fullmatch(lines[0]):
            return (Address(name=decode_header(lines[0]), address=""),)
    try:
        found = getaddresses(lines, **_LENIENT) if lines else []
    except RecursionError:
        # Comments and groups may be in each other as deep as the sender likes; without their marks they are not.
        found = getaddresses([line.translate(_UNNESTED) for line in lines], **_LENIENT)
    return tuple(Address(name=decode_header(name), address=address) for name, address in found if name or address)


def _as_q_octets(match: re.Match[str]) -> str:
    return "".join(f"={octet:02X}" for octet in match[0].encode())


def ascii_domain(address: str) -> str:
    """Return the address with its domain in ASCII form (IDNA, RFC 5891), unchanged where that is impossible."""
    local, at, domain = address.rpartition("@")
    if domain.isascii():
        return address
    try:
        return f"{local}{at}{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        return address


def parse_date(value: bytes | str | None) -> datetime | None:
    """Return a Date header as aware UTC; one without a zone is taken as UTC, one that makes no sense is None."""
    if value is None:
        return None
    try:
        parsed = parsedate_to_datetime(unfold(value))
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

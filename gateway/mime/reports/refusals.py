"""What the answer of a refusing server means, for whoever sent the message: ``refusals.json``.

`gateway.smtp.answers` tells what the gateway itself does about the answers of the server that it submits to. A bounce
passes on what any server said, and often says no phase and no code; what may have to be given up is a recipient.

Sources: the words of servers, which say most, from the documentation of Postfix, Exim, sendmail, qmail, Exchange
(https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online), Gmail
(https://support.google.com/a/answer/3726730), Yahoo (https://senders.yahooinc.com/smtp-error-codes) and blocklists;
enhanced status codes: RFC 3463 section 3, RFC 7505, RFC 7293, RFC 7372 and the registry at
https://www.iana.org/assignments/smtp-enhanced-status-codes; reply codes: RFC 5321 section 4.2, RFC 7504.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Literal

import msgspec

from gateway.model.event import Blocklist, BounceAction, BounceCategory, BounceResponse
from gateway.smtp.answers import Row, find
from gateway.smtp.server_text import enhanced_status

#: Longest wait that is believed, in seconds.
_LONGEST_WAIT = 30 * 86_400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

# Names of mailboxes and of their domains say nothing about the reason.
_ADDRESS = re.compile(r"<[^<>\s]*@[^<>\s]*>|(?<![^\s<>\"'(])[^\s<>\"'(@]*@[^\s<>\"')]*")
#: The code that an answer begins with; a telephone number has more digits after it.
CODE = re.compile(
    r"(?<![\w.])([45]\d\d)(?=[ \-:]|$)(?![ -]\d{3}-\d{4})(?! (?:[kmg]i?b|bytes|seconds|minutes|recipients)\b)",
    re.IGNORECASE,
)
# The codes before the further lines of an answer (RFC 5321 section 4.2.1) tear its words apart.
_FURTHER = re.compile(r"\s[45]\d\d-(?:[45]\.\d{1,3}\.\d{1,4}\s)?|\s[45]\d\d [45]\.\d{1,3}\.\d{1,4}(?=\s)")
_WAIT = re.compile(
    r"(?:(?:again|retry(?! time)|back|gr[ae]y-?list(?:ed|ing)|deferred)\b[^.;\n\d]{0,20}?\b(?:in|after|for|within)"
    r"|wait(?: for| at least)?)\s+"
    r"(?:(\d{1,3}):(\d\d):(\d\d)\b|(\d{1,7})\s*(s|m|h|d)(?:ecs?|econds?|ins?|inutes?|rs?|ours?|ays?)?\b)",
)
_RETRY_AFTER = re.compile(r"retry-after\s*[:=]\s*(\d{1,7})\b")
_LISTED = re.compile(
    r"\b(?:blocked using|(?<!not )(?:black)?listed (?:by|at|in|on|using|via)) (?:dnsbl |rbl )?"
    r"((?:[a-z0-9-]{1,63}\.){1,6}[a-z]{2,20})\b",
)
_ABOUT_A_DOMAIN = re.compile(r"\b(?:sender address|helo|domain|url|uri)\b")


class Refusal(Row, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row: what an answer is about, and what to do where that is not what its category says."""

    category: BounceCategory
    action: BounceAction | None = None


class KnownList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A blocklist: one of `marks` is in the answer of a server that asked it. Narrower lists come first."""

    name: str
    type: Literal["ip", "domain"]
    marks: tuple[str, ...]


class Refusals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of ``refusals.json``; the first row that fits wins."""

    actions: Mapping[BounceCategory, BounceAction]
    rows: tuple[Refusal, ...]
    blocklists: tuple[KnownList, ...]


@lru_cache(maxsize=1)
def refusals() -> Refusals:
    """Return what is known."""
    found = resources.files("gateway.mime.reports").joinpath("refusals.json").read_bytes()
    return msgspec.json.decode(found, type=Refusals)


def bounce_response(source: str | None, message: str | None, status: str | None) -> BounceResponse:
    """Return an answer with what it means.

    Args:
        source: where the answer is from, such as smtp.
        message: the server's words, if they are known.
        status: the enhanced status code (RFC 3463) that a report gives.
    """
    answer = _answer(message)
    blocklist = _blocklist(answer)
    row = None if blocklist else refusal(message, status)
    category: BounceCategory = row.category if row else "unknown"
    if blocklist is not None:
        category = "domain_blacklisted" if blocklist.type == "domain" else "ip_blacklisted"
    return BounceResponse(
        source=source,
        message=message,
        status=status,
        category=category,
        recommended_action=(row.action if row else None) or refusals().actions[category],
        blocklist=blocklist,
        retry_after=_retry_after(answer),
    )


def refusal(message: str | None, status: str | None) -> Refusal | None:
    """Return the first row that fits an answer; see `bounce_response`."""
    answer = _answer(message)
    code = CODE.match(answer)
    # The server's own code says more than that of a report, which may be about a try that came later.
    told = answer if enhanced_status(answer) or not status else f"{status} {answer}"
    return find(refusals().rows, told, code=int(code[1]) if code else None)


def _answer(message: str | None) -> str:
    """Return the words of a server, case-folded, on one line and without addresses."""
    said = _ADDRESS.sub("<>", message or "")
    code = CODE.search(said)
    # What stands before the code are names of hosts, and the words of whoever reports.
    return " ".join(_FURTHER.sub(" ", said[code.start() if code else 0 :]).casefold().split())


def _blocklist(answer: str) -> Blocklist | None:
    for known in refusals().blocklists:
        if any(mark in answer for mark in known.marks):
            return Blocklist(name=known.name, type=known.type)
    listed = _LISTED.search(answer)
    if listed is None:
        return None
    return Blocklist(name=listed[1], type="domain" if _ABOUT_A_DOMAIN.search(answer[: listed.start()]) else "ip")


def _retry_after(answer: str) -> int | None:
    told = _RETRY_AFTER.search(answer)
    if told is not None:
        seconds = int(told[1])
    else:
        wait = _WAIT.search(answer)
        if wait is None:
            return None
        hours, minutes, rest, number, unit = wait.groups()
        seconds = int(number) * _UNITS[unit] if number else int(hours) * 3600 + int(minutes) * 60 + int(rest)
    return seconds if 0 < seconds <= _LONGEST_WAIT else None

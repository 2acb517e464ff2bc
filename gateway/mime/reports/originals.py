"""The headers of the message that a report is about: attached, or copied into the text."""

from __future__ import annotations

import re

from gateway.mime.decode import decode_header
from gateway.mime.reports.letter import Letter
from gateway.mime.structure import structure

Headers = dict[str, tuple[str, ...]]

_TYPES = (
    "message/rfc822",
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global",
    "message/global-headers",
)
_FIELDS = 100
_VALUE = 2000
_END = re.compile(rb"\r?\n\r?\n")
#: A block of header fields in a text, quoted or not; each line is looked at once.
_COPIED = re.compile(r"^[>| \t]*message-id:[ \t]*\n?[>| \t]*(<[^<>\s]{3,500}>)", re.IGNORECASE | re.MULTILINE)
_FIELD_LINE = re.compile(r"[!-9;-~]{1,80}:(?: |\t|$)|[ \t]+\S")


def attached_headers(letter: Letter) -> Headers:
    """Return the headers of the attached original; empty when there is none."""
    part = letter.find(*_TYPES)
    return read_headers(letter.octets(part)) if part is not None else {}


def copied_headers(text: str) -> tuple[Headers, int, int]:
    """Return the headers that are copied into a text, and where the copy begins and ends; twice its end without one."""
    match = _COPIED.search(text)
    if match is None:
        return {}, len(text), len(text)
    lines_before = text[: match.start()].split("\n")
    begin = match.start()
    for line in reversed(lines_before[:-1][-_FIELDS:]):
        if not _FIELD_LINE.match(line.lstrip(">|") if line.startswith((">", "|")) else line):
            break
        begin -= len(line) + 1
    begin = end = max(begin, 0)
    lines: list[str] = []
    for line in text[begin:].split("\n", _FIELDS)[:_FIELDS]:
        bare = line.lstrip(">|") if line.startswith((">", "|")) else line
        if not bare.strip() and lines:
            break
        end += len(line) + 1
        lines.append(bare.lstrip() if line.startswith((">", "|")) else bare)
    headers = read_headers("\n".join(lines).encode("utf-8", "replace") + b"\n\n")
    headers.setdefault("message-id", (match[1],))
    return headers, begin, end


def read_headers(octets: bytes) -> Headers:
    """Return the header fields at the beginning of some octets: lower-case name -> decoded values."""
    octets = octets.lstrip(b"\r\n")
    if octets.startswith(b"From "):
        octets = octets.partition(b"\n")[2]
    end = _END.search(octets)
    found: dict[str, list[str]] = {}
    for name, value in structure(octets[: end.end()] if end else octets).fields[:_FIELDS]:
        found.setdefault(name, []).append(decode_header(value)[:_VALUE])
    return {name: tuple(values) for name, values in found.items()}


def message_id(headers: Headers, letter: Letter) -> str | None:
    """Return the Message-ID of the original; a report without a copy of it may answer it (RFC 5322 section 3.6.4)."""
    own = next(iter(headers.get("message-id", ())), "").strip()
    if own:
        return own
    return next(iter((*letter.identifiers("in-reply-to"), *letter.identifiers("references")[-1:])), None)

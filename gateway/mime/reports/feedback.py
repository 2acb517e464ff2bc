"""Complaints of recipients: feedback reports (RFC 5965, RFC 6650), and those of Hotmail, which come without."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gateway.mime.addresses import parse_addresses, parse_date
from gateway.mime.decode import decode_header
from gateway.mime.reports.letter import Letter
from gateway.mime.reports.originals import Headers, attached_headers
from gateway.mime.reports.signs import FEEDBACK_TYPE, is_feedback_loop
from gateway.model.event import FeedbackReport, MessageComplaintData, ReportedHeaders

#: Reports about what machines found out, or that a recipient took a complaint back (RFC 6591, RFC 6430).
_NO_COMPLAINTS = ("auth-failure", "dmarc", "not-spam")
_FIELD = re.compile(rb"^([!-9;-~]{1,80})[ \t]*:(.*(?:\n[ \t].*)*)", re.MULTILINE)
_FIELDS = 200
_ADDRESSES = 100
_HOTMAIL = re.compile(r"complaint about message from (\[?[0-9A-Fa-f.:]{3,45}\]?)", re.IGNORECASE)


def read_feedback(letter: Letter, id: str) -> MessageComplaintData | None:
    """Return the complaint that a message is; None when it is none."""
    part = letter.find(FEEDBACK_TYPE)
    if part is None:
        return _hotmail(letter, id)
    loop = any(is_feedback_loop(sender) for sender in letter.message.addresses("from")[:1])
    if letter.content_type != "multipart/report" and not loop:
        return None
    fields = _fields(letter.octets(part))
    kind = _one(fields, "feedback-type").lower()
    if kind in _NO_COMPLAINTS:
        return None
    headers = attached_headers(letter)
    return MessageComplaintData(
        complaint_message=id,
        arf=FeedbackReport(
            source=_one(fields, "source") or None,
            feedback_type=kind or None,
            abuse_type=_one(fields, "abuse-type") or None,
            original_mail_from=_address(_one(fields, "original-mail-from")),
            original_rcpt_to=_addresses(fields.get("original-rcpt-to", ())),
            arrival_date=parse_date(_one(fields, "arrival-date") or _one(fields, "received-date") or None),
            source_ip=_one(fields, "source-ip").strip("[]") or None,
            user_agent=_one(fields, "user-agent") or None,
        ),
        headers=_reported(headers),
    )


def _hotmail(letter: Letter, id: str) -> MessageComplaintData | None:
    match = _HOTMAIL.search(letter.header("subject")[:512])
    headers = attached_headers(letter)
    if letter.sender != "staff@hotmail.com" or match is None or not headers:
        return None
    return MessageComplaintData(
        complaint_message=id,
        arf=FeedbackReport(
            source="Hotmail",
            feedback_type="abuse",
            abuse_type="complaint",
            original_rcpt_to=_addresses(headers.get("x-hmxmroriginalrecipient", ())),
            arrival_date=parse_date(letter.header("date") or None),
            source_ip=match[1].strip("[]"),
        ),
        headers=_reported(headers),
    )


def _reported(headers: Headers) -> ReportedHeaders:
    senders = _addresses(headers.get("from", ()))
    return ReportedHeaders(
        message_id=_one(headers, "message-id") or None,
        from_=senders[0] if senders else None,
        to=_addresses(headers.get("to", ())),
        subject=_one(headers, "subject") or None,
        date=parse_date(_one(headers, "date") or None),
    )


def _fields(octets: bytes) -> Headers:
    found: dict[str, list[str]] = {}
    for number, match in enumerate(_FIELD.finditer(octets.replace(b"\r\n", b"\n"))):
        if number == _FIELDS:
            break
        found.setdefault(match[1].decode("ascii", "replace").lower(), []).append(decode_header(match[2])[:2000])
    return {name: tuple(values) for name, values in found.items()}


def _one(fields: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(fields.get(name, ())), "").strip()


def _address(value: str) -> str | None:
    return value.strip("<> \t") or None


def _addresses(values: Sequence[str]) -> tuple[str, ...]:
    found = parse_addresses(values[:_ADDRESSES])
    return tuple(address.address for address in found if address.address)[:_ADDRESSES]

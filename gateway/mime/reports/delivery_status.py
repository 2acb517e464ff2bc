"""Delivery status notifications (RFC 3464, RFC 6533)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from gateway.mime.decode import decode_header
from gateway.mime.reports.authors import is_about_failure, is_answer
from gateway.mime.reports.letter import Letter
from gateway.mime.reports.originals import attached_headers, copied_headers, message_id
from gateway.mime.reports.refusals import bounce_response
from gateway.mime.reports.signs import STATUS_TYPES, is_daemon, is_mailer
from gateway.model.event import BounceResponse, MessageBounceData

#: Recipients of one report that are told of.
RECIPIENTS = 100

_BLANK = re.compile(rb"\r?\n(?:[ \t]*\r?\n)+")
_FIELD = re.compile(rb"^([!-9;-~]{1,80})[ \t]*:(.*(?:\n[ \t].*)*)", re.MULTILINE)
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_QUEUE_IDS = ("x-postfix-queue-id", "x-queue-id", "x-zonemta-queue-id", "x-haraka-queue-id", "x-exim-id")
#: What is told of a recipient that was not reached, for good or until now.
_UNREACHED = frozenset({"failed", "delayed"})
#: Actions by the class of the status (RFC 3463 section 3.1), for reports that leave the action out.
_ACTIONS = {"2": "delivered", "4": "delayed", "5": "failed"}

Group = dict[str, str]


class DeliveryStatus(NamedTuple):
    """What a notification says: recipients that were not reached, for good or until now, and all of it."""

    bounces: tuple[MessageBounceData, ...]
    report: dict[str, Any]


def read_delivery_status(letter: Letter, id: str) -> DeliveryStatus | None:
    """Return what a notification says; None when the message is none.

    One that was taken apart and put into another letter by a person is none.
    """
    part = letter.find(*STATUS_TYPES)
    if part is None or not (letter.content_type == "multipart/report" or _by_a_system(letter)):
        return None
    groups = _groups(letter.octets(part))
    recipients = [group for group in groups if _recipient(group)][:RECIPIENTS]
    if not recipients:
        return None
    common = next((group for group in groups if "reporting-mta" in group), {})
    headers = attached_headers(letter) or copied_headers(letter.text)[0]
    original = message_id(headers, letter)
    bounces = tuple(
        MessageBounceData(
            bounce_message=id,
            recipient=_recipient(group),
            action=_action(group),
            response=_response(group),
            mta=_typed(common.get("reporting-mta") or group.get("remote-mta"))[1],
            queue_id=next((common[name] for name in _QUEUE_IDS if name in common), None),
            message_id=original,
            message_headers=headers or None,
        )
        for group in recipients
        if _action(group) in _UNREACHED
    )
    return DeliveryStatus(bounces, _report(common, recipients))


def _by_a_system(letter: Letter) -> bool:
    subject = letter.header("subject")[:512]
    if is_answer(subject):
        return False
    senders = letter.message.addresses("from")[:1]
    return (
        letter.header("return-path").strip() == "<>"
        or any(is_mailer(sender) for sender in senders)
        or (any(is_daemon(sender) for sender in senders) and is_about_failure(subject))
    )


def _groups(octets: bytes) -> list[Group]:
    found = []
    for block in _BLANK.split(octets.replace(b"\r\n", b"\n"), maxsplit=4 * RECIPIENTS):
        group: Group = {}
        for match in _FIELD.finditer(block):
            group.setdefault(match[1].decode("ascii", "replace").lower(), decode_header(match[2])[:2000])
        if group:
            found.append(group)
    return found


def _recipient(group: Group) -> str:
    """Return whom the sender wrote to, rather than whom that led to: the sender knows no other address."""
    for name in ("original-recipient", "final-recipient"):
        kind, address = _typed(group.get(name))
        if address is None:
            continue
        if kind == "utf-8":
            address = re.sub(r"\\x\{([0-9A-Fa-f]{1,6})\}", _character, address)
        elif "+" in address and name == "original-recipient":
            # The value of ORCPT is xtext (RFC 3461 section 4.2); a plain "+" of a subaddress is not followed by this.
            address = re.sub(r"\+(2B|3D|40)", lambda match: chr(int(match[1], 16)), address)
        address = address.strip("<> \t\"'").removeprefix("mailto:")
        if "@" in address:
            return address[:320]
    return ""


def _character(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return chr(number) if number < 0xD800 or 0xDFFF < number < 0x110000 else ""


def _action(group: Group) -> str:
    action = re.match(r"[a-z]+", group.get("action", "").strip().lower())
    if action is not None and action[0] in ("failed", "delayed", "delivered", "relayed", "expanded"):
        return action[0]
    return _ACTIONS.get(group.get("status", "").strip()[:1], "")


def _response(group: Group) -> BounceResponse:
    kind, message = _typed(group.get("diagnostic-code"))
    status = _STATUS.search(group.get("status", "")) or _STATUS.search(message or "")
    response = bounce_response(kind, message, status[0] if status else None)
    if _action(group) == "delayed" and response.recommended_action == "remove":
        # The server that was told so does not believe it yet.
        return msgspec.structs.replace(response, recommended_action="retry")
    return response


def _typed(value: str | None) -> tuple[str | None, str | None]:
    """Split a value such as ``smtp; 550 no such user``; the type may be missing."""
    kind, semicolon, rest = (value or "").partition(";")
    if not semicolon or not re.fullmatch(r"\s*[A-Za-z0-9-]{1,40}\s*", kind):
        return None, (value or "").strip() or None
    return kind.strip().lower(), rest.strip() or None


def _report(common: Group, recipients: list[Group]) -> dict[str, Any]:
    told = {"reportingMta": _typed(common.get("reporting-mta"))[1], "arrivalDate": common.get("arrival-date")}
    return {name: value for name, value in told.items() if value} | {
        "recipients": [{name: value for name, value in _told(group).items() if value} for group in recipients]
    }


def _told(group: Group) -> dict[str, str | None]:
    return {
        "finalRecipient": _typed(group.get("final-recipient"))[1],
        "originalRecipient": _typed(group.get("original-recipient"))[1],
        "action": _action(group),
        "status": group.get("status"),
        "remoteMta": _typed(group.get("remote-mta"))[1],
        "diagnosticCode": group.get("diagnostic-code"),
    }

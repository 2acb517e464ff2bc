"""Where submitted mail goes: mailboxes of this sandbox, and reports about recipients that do not exist."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser
from email.utils import format_datetime, make_msgid

from gateway.provider import Clock
from gateway_sandbox import directory
from gateway_sandbox.directory import Person
from gateway_sandbox.lenient import head_of
from gateway_sandbox.mailstore import INBOX, MailStore

_HOST = "sandbox.contoso.test"
_parse_header = BytesHeaderParser(policy=policy.compat32).parsebytes


class Delivery:
    """Delivers to the mailboxes of the sandbox; nothing ever leaves it."""

    def __init__(self, store: MailStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def submit(self, sender: Person, mail_from: str, recipients: Sequence[str], content: bytes) -> str:
        """Deliver a submitted message and return its Message-ID.

        A missing Message-ID or Date is added (RFC 6409 section 8), recipients do not see Bcc, an Exchange mailbox
        gets a copy into Sent Items, and unknown recipients are reported to the envelope sender.
        """
        content, message_id = completed(content, self._clock())
        if sender.exchange:
            sent = self._store.mailbox(sender.address, "Sent Items")
            self._store.append(sent.id, content, received=self._clock(), flags={r"\Seen"})
        self.deliver(sender, mail_from, recipients, content)
        return message_id

    def deliver(self, sender: Person, mail_from: str, recipients: Sequence[str], content: bytes) -> None:
        """Deliver a complete message to its recipients; report unknown ones to the envelope sender."""
        now = self._clock()
        delivered = _received(now, sender) + _without_bcc(content)
        unknown = []
        for recipient in dict.fromkeys(recipient.lower() for recipient in recipients):
            person = directory.find(recipient)
            if person is None:
                unknown.append(recipient)
            else:
                self._store.append(self._store.mailbox(person.address, INBOX).id, delivered, received=now)
        if unknown and (to := directory.find(mail_from)) is not None:
            report = _report(mail_from, unknown, content, now)
            self._store.append(self._store.mailbox(to.address, INBOX).id, report, received=now)


def completed(content: bytes, now: datetime) -> tuple[bytes, str]:
    """Return a message with Message-ID and Date, and its Message-ID (RFC 6409 section 8)."""
    header = _parse_header(head_of(content))
    added = b""
    message_id = str(header["message-id"] or "").strip()
    if not message_id:
        message_id = make_msgid(domain=_HOST)
        added += f"Message-ID: {message_id}\r\n".encode()
    if header["date"] is None:
        added += f"Date: {format_datetime(now)}\r\n".encode()
    return added + content, message_id


def _received(now: datetime, sender: Person) -> bytes:
    trace = f"from client ([127.0.0.1]) by {_HOST} with ESMTPSA id {uuid.uuid4().hex[:12]};"
    return f"Received: {trace}\r\n {format_datetime(now)}\r\nReturn-Path: {sender.address}\r\n".encode()


def _without_bcc(content: bytes) -> bytes:
    """Remove the Bcc fields and leave every other octet as it is (RFC 5322 section 3.6.3)."""
    header, blank, body = content.partition(b"\r\n\r\n")
    kept: list[bytes] = []
    dropping = False
    for line in header.split(b"\r\n"):
        if line[:1] not in (b" ", b"\t"):
            dropping = line[:4].lower() == b"bcc:"
        if not dropping:
            kept.append(line)
    return b"\r\n".join(kept) + blank + body


def _report(mail_from: str, recipients: Sequence[str], content: bytes, now: datetime) -> bytes:
    """Return a delivery status notification (RFC 3464) in Exchange's words."""
    report = EmailMessage(policy=policy.SMTP)
    original = _parse_header(head_of(content))
    report["From"] = f"Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@{directory.TENANT_DOMAIN}>"
    report["To"] = mail_from
    report["Subject"] = "Undeliverable: " + " ".join(str(original["subject"] or "").split())
    report["Date"] = format_datetime(now)
    report["Message-ID"] = make_msgid(domain=_HOST)
    report["In-Reply-To"] = report["References"] = " ".join(str(original["message-id"]).split())
    report["Auto-Submitted"] = "auto-replied"
    report["X-MS-Exchange-Message-Is-Ndr"] = ""
    report["Content-Type"] = 'multipart/report; report-type="delivery-status"'
    report["MIME-Version"] = "1.0"
    text = EmailMessage(policy=policy.SMTP)
    names = "\n".join(recipients)
    text.set_content(f"Your message couldn't be delivered to:\n\n{names}\n\nThe address wasn't found.\n")
    report.attach(text)
    report.attach(_delivery_status(recipients, now))
    report.attach(_returned_headers(content))
    return report.as_bytes()


def _delivery_status(recipients: Sequence[str], now: datetime) -> EmailMessage:
    blocks: list[Message | str] = []
    about = EmailMessage(policy=policy.SMTP)
    about["Reporting-MTA"] = f"dns; {_HOST}"
    about["Arrival-Date"] = format_datetime(now)
    blocks.append(about)
    for recipient in recipients:
        block = EmailMessage(policy=policy.SMTP)
        status, text = _reason(recipient)
        block["Final-Recipient"] = f"rfc822; {recipient}"
        block["Action"] = "failed"
        block["Status"] = status
        block["Diagnostic-Code"] = f"smtp; 550 {status} {text}"
        blocks.append(block)
    part = EmailMessage(policy=policy.SMTP)
    part["Content-Type"] = "message/delivery-status"
    part.set_payload(blocks)
    return part


def _reason(recipient: str) -> tuple[str, str]:
    domain = recipient.rpartition("@")[2]
    if any(person.address.endswith(f"@{domain}") for person in directory.PEOPLE):
        return "5.1.10", f"RESOLVER.ADR.RecipientNotFound; Recipient {recipient} not found by SMTP address lookup"
    return "5.4.310", f"DNS domain {domain} does not exist [Message=InfoDomainNonexistent]"


def _returned_headers(content: bytes) -> EmailMessage:
    part = EmailMessage(policy=policy.SMTP)
    part["Content-Type"] = "text/rfc822-headers"
    part.set_payload(head_of(content).decode("ascii", "replace").replace("\r\n", "\n") + "\n")
    return part

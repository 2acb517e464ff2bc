"""Messages that tests deliver: unique, with parts whose octets are known."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import NamedTuple

#: Octets that a transfer which takes them for text would change.
BINARY = bytes(range(256)) * 40


class Letter(NamedTuple):
    """A message and what is in it."""

    subject: str
    raw: bytes
    text: str
    html: str
    attachment: bytes


def letter(to: str, *, sender: str = "Sender <sender@example.org>", subject: str | None = None) -> Letter:
    """A message with both kinds of text, an attachment with a name that needs encoding, and a unique subject."""
    subject = subject or f"Letter {secrets.token_hex(8)} mit Grüßen"
    text = f"Grüße, {secrets.token_hex(8)}"
    html = f"<p>{text}</p>"
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain="example.org")
    message.set_content(text + "\n")
    message.add_alternative(html + "\n", subtype="html")
    message.add_attachment(BINARY, maintype="application", subtype="octet-stream", filename="Übersicht 1.bin")
    return Letter(subject, message.as_bytes(), text, html, BINARY)

"""Messages such as mailboxes are full of: two texts each, every fifth with an attachment, some subjects encoded."""

from __future__ import annotations

import base64
from email.header import Header
from email.utils import formatdate

_FIRST = 1_700_000_000
_SENDERS = ("Ada Lovelace <ada@example.org>", '"Hopper, Grace" <grace@example.org>', "Orders <orders@shop.example>")
_SUBJECTS = ("Minutes of Monday's meeting", "Re: Your order 4711", "Grüße aus Köln", "Invoice for October")
_TEXT = "The figures are attached; please look at the third table before we talk on Thursday.\r\n" * 12
_HTML = "<p>The figures are attached; please look at the <b>third</b> table before we talk.</p>\r\n" * 16


def letter(user: str, number: int) -> bytes:
    """Return message `number` of a mailbox, about 3 kB."""
    parts = _part("text/plain; charset=utf-8", _TEXT) + _part("text/html; charset=utf-8", _HTML)
    body = f"multipart/alternative; boundary=inner\r\n\r\n{_closed('inner', parts)}"
    if number % 5 == 0:
        pdf = base64.encodebytes(b"%PDF" * 100).decode().replace("\n", "\r\n")
        attached = 'application/pdf; name="report.pdf"\r\nContent-Disposition: attachment; filename="report.pdf"'
        parts = f"--outer\r\nContent-Type: {body}" + _part(attached, pdf, "base64", "outer")
        body = f"multipart/mixed; boundary=outer\r\n\r\n{_closed('outer', parts)}"
    return (_head(user, number) + f"Content-Type: {body}").encode()


def large_letter(user: str, octets: int) -> bytes:
    """Return a message with an attachment of `octets`, before its transfer encoding."""
    content = base64.encodebytes(bytes(range(256)) * (octets // 256)).replace(b"\n", b"\r\n").decode()
    attached = 'application/octet-stream\r\nContent-Disposition: attachment; filename="large.bin"'
    parts = _part("text/plain; charset=utf-8", _TEXT, boundary="outer") + _part(attached, content, "base64", "outer")
    return (_head(user, 0) + f"Content-Type: multipart/mixed; boundary=outer\r\n\r\n{_closed('outer', parts)}").encode()


def _head(user: str, number: int) -> str:
    subject = Header(_SUBJECTS[number % len(_SUBJECTS)], "utf-8" if number % 4 == 2 else "us-ascii").encode()
    return (
        f"From: {_SENDERS[number % len(_SENDERS)]}\r\nTo: {user}\r\nCc: Team <team@example.org>\r\n"
        f"Subject: {subject}\r\nDate: {formatdate(_FIRST + 60 * number)}\r\n"
        f"Message-ID: <bench-{number}@example.org>\r\n"
        f"References: <thread-{number // 3}@example.org>\r\nMIME-Version: 1.0\r\n"
    )


def _part(content_type: str, content: str, encoding: str = "8bit", boundary: str = "inner") -> str:
    return f"--{boundary}\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{content}\r\n"


def _closed(boundary: str, parts: str) -> str:
    return f"{parts}--{boundary}--\r\n"

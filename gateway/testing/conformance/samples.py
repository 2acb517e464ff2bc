"""The messages that the kit delivers."""

from __future__ import annotations

import base64

__all__ = [
    "BINARY",
    "CUT_TEXT",
    "LONG_TEXT",
    "MULTIPART",
    "RICH_HTML",
    "RICH_PLAIN",
    "escaped",
    "numbered",
    "octets_of_every_kind",
]

BINARY = bytes(range(256)) * 300
RICH_PLAIN = "Grüße aus Köln, 5 €"
RICH_HTML = "<p>Grüße aus <b>Köln</b>, 5 €</p>"
CUT_TEXT = "é" * 200
#: Three octets each.
LONG_TEXT = "一丁丂七丄丅丆万" * 380


def numbered(number: int, *, subject: str = "", body: str = "Hello.") -> bytes:
    """Return a small message that differs from every other number's."""
    return (
        f"Message-ID: <{number}@conformance.example>\r\n"
        f"Date: Thu, 02 Jan 2025 03:04:{number % 60:02d} +0100\r\n"
        "From: =?utf-8?q?Zo=C3=AB?= Example <zoe@example.org>\r\n"
        'To: "Doe, Bob" <bob@example.org>, carol@example.org\r\n'
        "Cc: dave@example.org\r\n"
        "In-Reply-To: <0@conformance.example>\r\n"
        f"Subject: {subject or f'number {number}'}\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n"
        f"\r\n{body}\r\n"
    ).encode()


def escaped(text: str) -> bytes:
    """Return a message of which every octet is written as an escape, eight characters a line."""
    lines = (text[start : start + 8] for start in range(0, len(text), 8))
    body = b"=\r\n".join(b"".join(b"=%02X" % octet for octet in line.encode()) for line in lines)
    return numbered(1).replace(b"8bit\r\n\r\nHello.", b"quoted-printable\r\n\r\n" + body)


def octets_of_every_kind() -> bytes:
    """Return a message that suffers from every well-meant repair."""
    lines = (
        b"X-Repeated: one",
        b"X-Repeated: two",
        b"x-LOWER:no space after the colon",
        b"__proto__: polluted",
        b"constructor: polluted",
        b"X-Folded: first\r\n\t second",
        b"From: zoe@example.org",
        b"To: bob@example.org",
        b"Subject: =?iso-8859-1?Q?Gr=FC=DFe?=",
        b"Message-ID: <exact@conformance.example>",
        b"Date: Thu, 02 Jan 2025 03:04:05 +0000",
        b"MIME-Version: 1.0",
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Transfer-Encoding: 8bit",
        b"",
        b"From the start of a line",
        b".",
        b"..two dots",
        "trailing space and tab, € \t".encode(),
        b"x" * 900,
        b"",
        b"",
    )
    return b"\r\n".join(lines)


def _base64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


#: Text in two charsets, a named attachment, an inline image.
MULTIPART = b"\r\n".join(
    (
        b"Message-ID: <rich@conformance.example>",
        b"Date: Thu, 02 Jan 2025 03:04:05 +0000",
        b"From: zoe@example.org",
        b"To: bob@example.org",
        b"Subject: rich",
        b"MIME-Version: 1.0",
        b'Content-Type: multipart/mixed; boundary="outer"',
        b"",
        b"--outer",
        b'Content-Type: multipart/alternative; boundary="inner"',
        b"",
        b"--inner",
        b"Content-Type: text/plain; charset=iso-8859-15",
        b"Content-Transfer-Encoding: quoted-printable",
        b"",
        b"Gr=FC=DFe aus K=F6=\r\nln, 5 =A4",
        b"--inner",
        b"Content-Type: text/html; charset=utf-8",
        b"Content-Transfer-Encoding: base64",
        b"",
        _base64(RICH_HTML.encode()),
        b"--inner--",
        b"--outer",
        b"Content-Type: application/pdf; name*=utf-8''%C3%9Cbersicht.pdf",
        b"Content-Disposition: attachment; filename*=utf-8''%C3%9Cbersicht.pdf",
        b"Content-Transfer-Encoding: base64",
        b"",
        _base64(BINARY),
        b"--outer",
        b'Content-Type: image/png; name="dot.png"',
        b'Content-Disposition: inline; filename="dot.png"',
        b"Content-ID: <dot@conformance.example>",
        b"Content-Transfer-Encoding: base64",
        b"",
        _base64(b"\x89PNG\r\n\x1a\n"),
        b"--outer--",
        b"",
    )
)

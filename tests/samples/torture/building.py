"""The pieces that ugly messages are made of."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace

SENDER = ("Sender", "sender@example.org")
#: In place of a member that depends on the reader, and that no test looks at.
ANY = "(any)"


@dataclass(frozen=True)
class Sample:
    """A message and what is read from it.

    Attributes:
        subject: None when there is none.
        plain, html: body text without line ends at its end; "" when there is none.
        files: names of the attachments, in order; None for one without a name.
        sender: name and address; None when there is none.
        on_dovecot: members that are others when Dovecot has taken the message apart.
    """

    name: str
    raw: bytes
    subject: str | None = "Torture"
    plain: str = "Text"
    html: str = ""
    files: tuple[str | None, ...] = ()
    sender: tuple[str, str] | None = SENDER
    on_dovecot: tuple[tuple[str, object], ...] = ()

    def named(self, group: str) -> Sample:
        """Return it with the name of its group before its own."""
        return replace(self, name=f"{group}: {self.name}")

    def for_dovecot(self) -> Sample:
        """Return what is to be read through Dovecot."""
        return replace(self, **dict(self.on_dovecot))  # type: ignore[arg-type]


def letter(body: bytes = b"Text", *fields: bytes, without: tuple[bytes, ...] = ()) -> bytes:
    """Return a message: the usual fields unless they are given or left out, the given ones, the body."""
    usual = (
        b"From: Sender <sender@example.org>",
        b"To: you@example.org",
        b"Subject: Torture",
        b"Date: Mon, 2 Nov 2026 10:00:00 +0000",
        b"Message-ID: <torture@example.org>",
        b"MIME-Version: 1.0",
    )
    names = {field.partition(b":")[0].strip().lower() for field in fields} | {name.lower() for name in without}
    kept = [field for field in usual if field.partition(b":")[0].lower() not in names]
    return b"\r\n".join((*kept, *fields, b"", body, b""))


def part(body: bytes = b"Text", *fields: bytes) -> bytes:
    """Return one part of a multipart."""
    return b"\r\n".join((*fields, b"", body))


def multipart(*parts: bytes, subtype: bytes = b"mixed", boundary: bytes = b"b") -> tuple[bytes, bytes]:
    """Return the body of a multipart and its Content-Type, the arguments of `letter` and `part`."""
    lines = [b"--" + boundary + b"\r\n" + each for each in parts]
    body = b"\r\n".join((*lines, b"--" + boundary + b"--"))
    return body, b"Content-Type: multipart/" + subtype + b'; boundary="' + boundary + b'"'


def base64_lines(data: bytes) -> bytes:
    """Return base64 in lines of 76 characters."""
    return base64.encodebytes(data).replace(b"\n", b"\r\n").rstrip()

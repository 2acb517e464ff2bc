"""Labelled reports, and letters that look like reports; written from the specifications and from vendors' texts.

A sample begins with ``##### name | label``. In it stand for themselves: ``{{original TO}}`` and ``{{headers TO}}`` the
message that was sent; ``{{report TYPE}}`` and ``{{mixed}}`` the end of the headers of a multipart, ``{{part TYPE}}`` a
part of it (``|base64`` after the type names a transfer encoding), ``{{end}}`` its end.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_FIELDS = """From: Me <me@sender.example>
To: {to}
Subject: Quarterly report
Date: Mon, 2 Nov 2026 10:00:00 +0000
Message-ID: <original@sender.example>
"""
_ENVELOPE = "To: me@sender.example\nDate: Mon, 2 Nov 2026 11:00:00 +0000\nMessage-ID: <report@reporter.example>\n"


class Sample(NamedTuple):
    """A message and what it is.

    Attributes:
        kind: bounce, complaint or none.
        detail: recipients and status of the first one ("-" for none) of a bounce, and the action where it is not
            "failed"; the type of a complaint.
    """

    name: str
    kind: str
    detail: tuple[str, ...]
    source: bytes


def samples() -> list[Sample]:
    """Return all of them."""
    return [sample for file in sorted(Path(__file__).parent.glob("*.txt")) for sample in _read(file)]


def _read(file: Path) -> list[Sample]:
    found = []
    for block in re.split(r"^##### ", file.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        title, _, text = block.partition("\n")
        name, _, label = title.partition(" | ")
        kind, *detail = label.split()
        source = _ENVELOPE + _expanded(text)
        found.append(Sample(f"{file.stem}:{name}", kind, tuple(detail), source.replace("\n", "\r\n").encode()))
    return found


def _expanded(text: str) -> str:
    text = re.sub(r"\{\{(original|headers) (.*)\}\}", _original, text)
    text = re.sub(
        r"\{\{report (.*)\}\}", r'Content-Type: multipart/report; report-type=\1; boundary="=_b"' + "\n", text
    )
    text = text.replace("{{mixed}}", 'Content-Type: multipart/mixed; boundary="=_b"\n')
    text = re.sub(r"\{\{part ([^|}]*)(?:\|(.*))?\}\}", _part, text)
    return text.replace("{{end}}", "--=_b--")


def _original(match: re.Match[str]) -> str:
    return _FIELDS.format(to=match[2]) + ("\nHello, this is my letter.\n" if match[1] == "original" else "")


def _part(match: re.Match[str]) -> str:
    encoding = f"\nContent-Transfer-Encoding: {match[2]}" if match[2] else ""
    return f"--=_b\nContent-Type: {match[1]}{encoding}\n"

"""Build the body of a message: texts, inline images, attachments (RFC 2046, RFC 2387, RFC 2183).

Everything is encoded to ASCII lines that pass any server, with one exception: an attached message may be 8bit, because
RFC 2046 section 5.2.1 allows no other encoding for it.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from mimetypes import MimeTypes
from typing import Literal
from urllib.parse import quote
from uuid import UUID

import msgspec

from gateway.mime.headers import check_line, header_field, invalid
from gateway.mime.html_text import html_to_text

__all__ = ["OutgoingAttachment", "body_octets"]

_BASE64_LINE = 57  # octets that make a line of 76 characters (RFC 2045 section 6.8)
_NAME = r"[A-Za-z0-9!#$&^_.+-]{1,127}"
_CONTENT_TYPE = re.compile(rf"{_NAME}/{_NAME}(?:[ ]?;[ -~]{{1,500}})?")
_CONTENT_ID = re.compile(r"<?([!-;=?-~]{1,250})>?")
_LINE_ENDS = re.compile(rb"\r\n?|\n")
_SENDABLE = re.compile(rb"(?:[^\r\n\0]{0,998}\r\n)*[^\r\n\0]{0,998}")
_SIMPLE_TEXT = re.compile(rb"(?:[\t -~]{0,78}\r\n)*[\t -~]{0,78}")
# Only the table in the standard library: what a message looks like must not depend on the machine.
_TYPES = MimeTypes(filenames=())


class OutgoingAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """One attachment, decoded.

    Attributes:
        content_type: guessed from the file name when missing.
        cid: Content-ID by which the HTML refers to it, with or without angle brackets.
    """

    content: bytes
    filename: str | None = None
    content_type: str | None = None
    disposition: Literal["inline", "attachment"] = "attachment"
    cid: str | None = None

    def __repr__(self) -> str:
        return f"OutgoingAttachment({self.content_type!r}, {len(self.content)} octets)"


def body_octets(
    text: str | None, html: str | None, attachments: Sequence[OutgoingAttachment], new_id: Callable[[], UUID]
) -> bytes:
    """Return MIME-Version, the content headers and the body.

    Args:
        text: plain text; made out of `html` when None.
        html: HTML text.
        attachments: those that are inline with a `cid` go with the HTML.
        new_id: makes the boundaries.

    Raises:
        InvalidRequestError: a name or type cannot stand in a header.
    """
    for index, attachment in enumerate(attachments):
        _check(attachment, f"attachments.{index}")
    if text is None and html is not None:
        text = html_to_text(html)
    embedded = [a for a in attachments if _is_embedded(a)] if html is not None else []
    versions = [_text("plain", text or "", "text")] if text or html is None else []
    if html is not None:
        related = [_text("html", html, "html"), *map(_attachment, embedded)]
        versions.append(_multipart("related", related, new_id))
    content = _multipart("alternative", versions, new_id)
    others = [_attachment(a) for a in attachments if html is None or not _is_embedded(a)]
    return header_field("MIME-Version", "1.0") + _multipart("mixed", [content, *others], new_id)


def _is_embedded(attachment: OutgoingAttachment) -> bool:
    return attachment.disposition == "inline" and attachment.cid is not None


def _check(attachment: OutgoingAttachment, key: str) -> None:
    check_line(attachment.filename or "", f"{key}.filename")
    if attachment.cid is not None and not _CONTENT_ID.fullmatch(attachment.cid):
        raise invalid("is not a Content-ID", f"{key}.cid")
    content_type = attachment.content_type
    if content_type is None:
        return
    if not _CONTENT_TYPE.fullmatch(content_type) or content_type.lower().startswith("multipart/"):
        raise invalid("is not the type of an attachment", f"{key}.contentType")


def _multipart(subtype: str, parts: Sequence[bytes], new_id: Callable[[], UUID]) -> bytes:
    """Return the parts joined; a single one needs no multipart around it."""
    if len(parts) == 1:
        return parts[0]
    # "=_" can stand in neither base64 nor quoted-printable (RFC 2045 section 6.7, note).
    boundary = f"=_{new_id().hex}"
    delimiter = f"--{boundary}".encode()
    lines = [header_field("Content-Type", f'multipart/{subtype}; boundary="{boundary}"')]
    for part in parts:
        lines += [delimiter, part]
    return b"\r\n".join((*lines, delimiter + b"--", b""))


def _part(fields: Sequence[tuple[str, str]], body: bytes) -> bytes:
    return b"".join((*(header_field(name, value) for name, value in fields), b"\r\n", body))


def _text(kind: str, text: str, key: str) -> bytes:
    try:
        data = _LINE_ENDS.sub(b"\r\n", text.encode())
    except UnicodeEncodeError as error:
        raise invalid("holds half a surrogate pair", key) from error
    if _SIMPLE_TEXT.fullmatch(data):
        encoding, body = "7bit", data
    else:
        # b2a_qp ends its own lines with LF unless the text has CRLF.
        encoding, body = "quoted-printable", _LINE_ENDS.sub(b"\r\n", binascii.b2a_qp(data, istext=True))
        if len(coded := _base64(data)) < len(body):
            encoding, body = "base64", coded
    return _part([("Content-Type", f"text/{kind}; charset=utf-8"), ("Content-Transfer-Encoding", encoding)], body)


def _base64(data: bytes) -> bytes:
    lines = (data[start : start + _BASE64_LINE] for start in range(0, len(data), _BASE64_LINE))
    return b"\r\n".join(binascii.b2a_base64(line, newline=False) for line in lines)


def _attachment(attachment: OutgoingAttachment) -> bytes:
    content_type = attachment.content_type or _guessed(attachment.filename)
    if content_type.lower().startswith("message/"):
        body = _LINE_ENDS.sub(b"\r\n", attachment.content)
        encoding = "7bit" if body.isascii() else "8bit"
        if not _SENDABLE.fullmatch(body):
            content_type = "application/octet-stream"
    if not content_type.lower().startswith("message/"):
        encoding, body = "base64", _base64(attachment.content)
    disposition: list[str] = [attachment.disposition]
    if attachment.filename:
        disposition += _parameter("filename", attachment.filename)
    fields = [
        ("Content-Type", content_type),
        ("Content-Transfer-Encoding", encoding),
        ("Content-Disposition", "; ".join(disposition)),
    ]
    cid = _CONTENT_ID.fullmatch(attachment.cid or "")
    if cid is not None:
        fields.append(("Content-ID", f"<{cid[1]}>"))
    return _part(fields, body)


def _guessed(filename: str | None) -> str:
    guess, compression = _TYPES.guess_type(filename or "")
    return guess if guess and not compression and not guess.startswith("multipart/") else "application/octet-stream"


def _parameter(name: str, value: str) -> list[str]:
    """Return a parameter: quoted, or in pieces of RFC 2231 that fit into lines."""
    if value.isascii() and value.isprintable() and "=?" not in value and value == value.strip():
        return [f'{name}="' + re.sub(r'(["\\])', r"\\\1", value) + '"']
    pieces = re.findall(r"(?:%[0-9A-F]{2}|[^%]){1,16}", quote(value, safe=""))
    if len(pieces) == 1:
        return [f"{name}*=utf-8''{pieces[0]}"]
    pieces[0] = f"utf-8''{pieces[0]}"
    return [f"{name}*{number}*={piece}" for number, piece in enumerate(pieces)]

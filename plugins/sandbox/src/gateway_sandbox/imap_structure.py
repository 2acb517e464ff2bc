"""ENVELOPE and BODYSTRUCTURE as RFC 9051 section 7.5.2 wants them.

pymap 0.36 sends the date of an envelope in IMAP's own format, encoded words decoded, part sizes with the headers
counted in, and Content-Disposition as a string. Clients that read these answers would see what no real server sends.
"""

from __future__ import annotations

from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import getaddresses
from urllib.parse import quote

from pymap.bytes import WriteStream
from pymap.mime import MessageContent
from pymap.parsing.primitives import List
from pymap.parsing.response.fetch import BodyStructure, EnvelopeStructure

_parse_header = BytesHeaderParser(policy=compat32).parsebytes


class RenderedEnvelope(EnvelopeStructure):
    """The envelope of a message: sent with the headers as they stand, searched with their decoded values."""

    def __init__(self, content: MessageContent, parsed: EnvelopeStructure) -> None:
        originators = (parsed.from_, parsed.sender, parsed.reply_to)
        recipients = (parsed.to, parsed.cc, parsed.bcc)
        super().__init__(parsed.date, parsed.subject, *originators, *recipients, parsed.in_reply_to, parsed.message_id)
        self._octets = _envelope(content)

    def write(self, writer: WriteStream) -> None:
        writer.write(self._octets)

    def __bytes__(self) -> bytes:
        return self._octets


class RenderedBodyStructure(BodyStructure):
    """The structure of a message, with or without extension data."""

    def __init__(self, content: MessageContent) -> None:
        super().__init__("", "", None, None, None, None)
        self._content = content

    def write(self, writer: WriteStream) -> None:
        writer.write(bytes(self))

    def __bytes__(self) -> bytes:
        return _body(self._content, extended=False)

    @property
    def extended(self) -> List:
        return _Verbatim(_body(self._content, extended=True))


class _Verbatim(List):
    """Octets that are a list already."""

    def __init__(self, octets: bytes) -> None:
        super().__init__([])
        self._octets = octets

    def write(self, writer: WriteStream) -> None:
        writer.write(self._octets)

    def __bytes__(self) -> bytes:
        return self._octets


def _envelope(content: MessageContent) -> bytes:
    header = _header(content)
    sender = _raw(header, "from")
    fields = [
        _nstring(_raw(header, "date")),
        _nstring(_raw(header, "subject")),
        _addresses(sender),
        _addresses(_raw(header, "sender") or sender),
        _addresses(_raw(header, "reply-to") or sender),
        *(_addresses(_raw(header, name)) for name in ("to", "cc", "bcc")),
        _nstring(_raw(header, "in-reply-to")),
        _nstring(_raw(header, "message-id")),
    ]
    return b"(" + b" ".join(fields) + b")"


def _body(part: MessageContent, *, extended: bool) -> bytes:
    header = _header(part)
    main, _, sub = header.get_content_type().partition("/")
    if main == "multipart" and part.body.has_nested:
        children = b"".join(_body(child, extended=extended) for child in part.body.nested)
        fields = [children, _nstring(sub)]
        if extended:
            fields += [_parameters(header, "content-type"), *_extension(header)]
        return b"(" + b" ".join(fields) + b")"
    if main == "multipart":
        main, sub = "text", "plain"
    fields = [
        _nstring(main),
        _nstring(sub),
        _parameters(header, "content-type"),
        _nstring(_raw(header, "content-id")),
        _nstring(_raw(header, "content-description")),
        _nstring(_raw(header, "content-transfer-encoding") or "7BIT"),
        b"%d" % len(bytes(part.body)),
    ]
    if main == "message" and sub == "rfc822" and part.body.has_nested:
        nested = part.body.nested[0]
        fields += [_envelope(nested), _body(nested, extended=extended)]
    if main == "text" or (main == "message" and sub == "rfc822"):
        fields.append(b"%d" % bytes(part.body).count(b"\n"))
    if extended:
        fields += [b"NIL", *_extension(header)]
    return b"(" + b" ".join(fields) + b")"


def _extension(header: Message) -> list[bytes]:
    """Return disposition, language and location."""
    disposition = b"NIL"
    if kind := header.get_content_disposition():
        disposition = b"(" + _nstring(kind) + b" " + _parameters(header, "content-disposition") + b")"
    return [disposition, _nstring(_raw(header, "content-language")), _nstring(_raw(header, "content-location"))]


def _parameters(header: Message, name: str) -> bytes:
    pairs = []
    for key, value in (header.get_params(header=name) or [])[1:]:
        if isinstance(value, tuple):  # RFC 2231: charset, language, text
            charset, language, text = value
            # The email package hands out the octets as Latin-1 characters, whatever the charset is.
            encoded = quote(text.encode("latin-1", "replace"), safe="")
            pairs += [_nstring(f"{key}*"), _nstring(f"{charset or ''}'{language or ''}'{encoded}")]
        else:
            pairs += [_nstring(key), _nstring(value)]
    return b"(" + b" ".join(pairs) + b")" if pairs else b"NIL"


def _addresses(value: str | None) -> bytes:
    try:
        found = getaddresses([value]) if value else []
    except RecursionError:
        # Comments and groups in each other, as deep as the sender likes.
        return b"NIL"
    listed = []
    for name, address in found:
        local, at, domain = address.rpartition("@")
        if not at:
            local, domain = domain, ""
        if local:
            fields = (_nstring(name or None), b"NIL", _nstring(local), _nstring(domain))
            listed.append(b"(" + b" ".join(fields) + b")")
    return b"(" + b"".join(listed) + b")" if listed else b"NIL"


def _header(part: MessageContent) -> Message:
    return _parse_header(bytes(part.header))


def _raw(header: Message, name: str) -> str | None:
    """Return a header field unfolded but not decoded, unlike `Message.__getitem__` for 8-bit values."""
    for key, value in header.raw_items():
        if key.lower() == name:
            return " ".join(str(value).split())
    return None


def _nstring(value: str | None) -> bytes:
    """Return a string as NIL, quoted or literal (RFC 9051 section 9)."""
    if value is None:
        return b"NIL"
    octets = value.encode("utf-8", "surrogateescape")
    if all(0x20 <= octet < 0x7F for octet in octets):
        return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return b"{%d}\r\n" % len(octets) + octets

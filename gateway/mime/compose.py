"""Make the octets of an outgoing message, and its envelope.

A message is either built from its pieces or taken from `Outgoing.raw`, which keeps every octet that need not change.
Nothing a caller can put into a field ends up as a header line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from uuid import UUID, uuid4

import msgspec

from gateway.mime.addresses import ascii_domain, parse_addresses
from gateway.mime.body import OutgoingAttachment, body_octets
from gateway.mime.decode import decode_header, unfold
from gateway.mime.headers import HeaderBlock, address_list, check_line, check_name, encode_words, invalid
from gateway.model.message import Address
from gateway.provider import Envelope

__all__ = ["ComposedMessage", "Outgoing", "OutgoingAttachment", "compose"]

#: Headers that have a field of their own, or that only the composer can set rightly.
_RESERVED = {"from", "to", "cc", "bcc", "resent-bcc", "mime-version"}
_BCC = ("Bcc", "Resent-Bcc")
_MESSAGE_ID = re.compile(r"[!-;=?-~]{1,990}")
_ASCII_LINE = re.compile(r"[\t -~]*")


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be made.

    Attributes:
        from_: its author; also the envelope's sender.
        to, cc, bcc, reply_to: None where nothing was given; with `raw`, an empty tuple removes the header.
        text: plain text; made out of `html` when missing.
        headers: further headers; one that the composer would set itself (References, Date) is replaced.
        message_id: with or without angle brackets; a new one when missing.
        date: the Date header, aware; now when missing.
        raw: a finished message (RFC 5322), used instead of text, html and attachments. Everything else given beside
            it replaces the header of that name.
        envelope: used instead of the one that follows from the addresses.
    """

    from_: Address | None = None
    to: tuple[Address, ...] | None = None
    cc: tuple[Address, ...] | None = None
    bcc: tuple[Address, ...] | None = None
    reply_to: tuple[Address, ...] | None = None
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    attachments: tuple[OutgoingAttachment, ...] = ()
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    message_id: str | None = None
    date: datetime | None = None
    raw: bytes | None = None
    envelope: Envelope | None = None

    def __repr__(self) -> str:
        return f"Outgoing({len(self.attachments)} attachments)"


class ComposedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message ready to be handed over.

    Attributes:
        raw: its octets; they are ASCII unless an address is not, or `Outgoing.raw` was not.
        envelope: sender and recipients, each recipient once.
        bcc: recipients that are in the envelope alone.
    """

    raw: bytes
    envelope: Envelope
    message_id: str
    subject: str
    bcc: tuple[Address, ...] = ()

    def __repr__(self) -> str:
        return f"ComposedMessage(message_id={self.message_id!r}, {len(self.raw)} octets)"

    def sent_copy(self) -> bytes:
        """Return the message as the sender files it: with its Bcc header."""
        if not self.bcc:
            return self.raw
        block = HeaderBlock(self.raw)
        block.replace("Bcc", address_list(self.bcc, "bcc"))
        return block.octets()


def compose(
    outgoing: Outgoing, *, now: Callable[[], datetime], new_id: Callable[[], UUID] = uuid4, draft: bool = False
) -> ComposedMessage:
    """Make a message.

    Args:
        outgoing: what it consists of.
        now: the present time, aware.
        new_id: makes the unique part of a new Message-ID.
        draft: the message is to be stored, not sent: it needs neither author nor recipients, and nothing is added to
            one that is given as `Outgoing.raw`.

    Raises:
        InvalidRequestError: something cannot stand in a message; its details name the field.
    """
    octets = _octets(outgoing, new_id)
    block = HeaderBlock(octets)
    as_given = draft and outgoing.raw is not None
    bcc = outgoing.bcc
    if bcc is None:
        bcc = () if as_given else parse_addresses(value for name in _BCC for value in block.values(name))
    address_list(bcc, "bcc")
    if not as_given or outgoing.bcc is not None:
        for name in _BCC:
            block.remove(name)
    _set_addresses(block, outgoing)
    _set_identity(block, outgoing, now, new_id, complete=not as_given)
    _set_further(block, outgoing.headers)
    envelope = outgoing.envelope or _envelope(block, bcc)
    if not draft and not envelope.mail_from and outgoing.envelope is None:
        raise invalid("is required", "from")
    if not draft and not envelope.rcpt_to:
        raise invalid("must name a recipient", "to")
    return ComposedMessage(
        raw=block.octets() if block.changed or not as_given else octets,
        envelope=envelope,
        message_id=unfold(next(iter(block.values("Message-ID")), b"")),
        subject=decode_header(next(iter(block.values("Subject")), b"")),
        bcc=bcc,
    )


def _octets(outgoing: Outgoing, new_id: Callable[[], UUID]) -> bytes:
    if outgoing.raw is not None:
        return outgoing.raw
    return body_octets(outgoing.text, outgoing.html, outgoing.attachments, new_id)


def _set_addresses(block: HeaderBlock, outgoing: Outgoing) -> None:
    author = None if outgoing.from_ is None else (outgoing.from_,)
    fields = (
        ("From", "from", author),
        ("Reply-To", "replyTo", outgoing.reply_to),
        ("To", "to", outgoing.to),
        ("Cc", "cc", outgoing.cc),
    )
    for name, key, addresses in fields:
        if addresses:
            block.replace(name, address_list(addresses, key))
        elif addresses is not None:
            block.remove(name)


def _set_identity(
    block: HeaderBlock,
    outgoing: Outgoing,
    now: Callable[[], datetime],
    new_id: Callable[[], UUID],
    *,
    complete: bool,
) -> None:
    """Set subject, Message-ID and Date where they are given.

    With `complete`, also Message-ID, Date and MIME-Version where they are missing (RFC 5322 section 3.6).
    """
    given = {name.lower() for name in outgoing.headers}
    if outgoing.subject is not None:
        block.replace("Subject", encode_words(check_line(outgoing.subject, "subject")))
    if outgoing.message_id is not None:
        block.replace("Message-ID", _identifier(outgoing.message_id))
    elif complete and "message-id" not in given and not any(unfold(value) for value in block.values("Message-ID")):
        author = next(iter(parse_addresses(block.values("From"))), None)
        domain = ascii_domain(author.address).rpartition("@")[2] if author else ""
        block.replace("Message-ID", f"<{new_id()}@{domain or 'localhost'}>")
    if outgoing.date is not None or (complete and "date" not in given and not block.values("Date")):
        block.replace("Date", format_datetime((outgoing.date or now()).astimezone(UTC)))
    if complete and not block.values("MIME-Version"):
        block.replace("MIME-Version", "1.0")


def _identifier(value: str) -> str:
    bare = value.strip().removeprefix("<").removesuffix(">")
    if not _MESSAGE_ID.fullmatch(bare):
        raise invalid("is not a Message-ID", "messageId")
    return f"<{bare}>"


def _set_further(block: HeaderBlock, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if name.lower() in _RESERVED or name.lower().startswith("content-"):
            raise invalid("cannot be set as a further header", f"headers.{name}")
        line = check_line(value, f"headers.{check_name(name)}")
        # An ASCII value may be structured, or encoded by the caller.
        block.replace(name, line if _ASCII_LINE.fullmatch(line) else encode_words(line))


def _envelope(block: HeaderBlock, bcc: tuple[Address, ...]) -> Envelope:
    author = next(iter(parse_addresses(block.values("From"))), None)
    recipients = (*parse_addresses(block.values("To")), *parse_addresses(block.values("Cc")), *bcc)
    return Envelope(
        mail_from=ascii_domain(author.address) if author else "",
        rcpt_to=tuple(dict.fromkeys(ascii_domain(one.address) for one in recipients if one.address)),
    )

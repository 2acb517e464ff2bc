"""One mail transaction: which extensions it needs, whether it fits, and what the answer says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiosmtplib.email import parse_address

from gateway.errors import MessageTooLargeError
from gateway.provider import DeliveryNotification, Envelope, MessageSource, SubmitReceipt
from gateway.smtp.answers import Phase
from gateway.smtp.client import PhasedSMTP
from gateway.smtp.server_text import masked

# Exchange Online answers `250 2.0.0 OK <id> [Hostname=...]` with the Message-ID that the message has from then on.
_MESSAGE_ID_ANSWER = re.compile(r"(?:2\.\d+\.\d+ )?OK:? (<[^<>\s@]+@[^<>\s]+>)", re.IGNORECASE)
_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r?\n[ \t]+)?(<[^<>\s]+>)", re.IGNORECASE | re.MULTILINE)


async def transact(client: PhasedSMTP, message: MessageSource, envelope: Envelope, *, timeout: float) -> SubmitReceipt:
    """Run MAIL, RCPT and DATA on a connection that is logged in.

    Args:
        client: the connection; its `phase` tells afterwards how far it came.
        message: what is sent.
        envelope: sender and recipients.
        timeout: seconds to wait for the answer to each step.

    Raises:
        MessageTooLargeError: more octets than the server announced to take (RFC 1870); nothing was sent.
        aiosmtplib.SMTPException, OSError, ValueError: see `gateway.smtp.errors.smtp_error`.
    """
    client.phase = Phase.ENVELOPE
    limit = client.esmtp_extensions.get("size", "")
    if limit.isdigit() and 0 < int(limit) < message.size:
        raise MessageTooLargeError("the message is over the server's limit", limit=int(limit), native_code="SIZE")
    sender, *recipients = (_ascii_domain(address) for address in (envelope.mail_from, *envelope.rcpt_to))
    options = _mail_options(client, message, [sender, *recipients])
    wishes: list[str] = []
    if envelope.dsn is not None and client.supports_extension("dsn"):
        options += _mail_wishes(envelope.dsn)
        wishes = _recipient_wishes(envelope.dsn)
    refused, text = await client.send_source(
        sender, recipients, message, mail_options=options, rcpt_options=wishes, timeout=timeout
    )
    originals = dict(zip(recipients, envelope.rcpt_to, strict=True))
    return SubmitReceipt(
        response=f"250 {text}",
        message_id=_given_message_id(text, message),
        refused={originals[each]: f"{answer.code} {masked(answer.message)}" for each, answer in refused.items()},
    )


def _mail_options(client: PhasedSMTP, message: MessageSource, addresses: Sequence[str]) -> list[str]:
    """Name the extensions that the content (RFC 6152) and the addresses or headers (RFC 6531) need."""
    options = []
    if not message.ascii and client.supports_extension("8bitmime"):
        options.append("BODY=8BITMIME")
    plain_addresses = all(address.isascii() for address in addresses)
    # Addresses cannot do without the extension; a server that lacks it may still take the headers.
    if not plain_addresses or (not message.header.isascii() and client.supports_extension("smtputf8")):
        options.append("SMTPUTF8")
    return options


def _mail_wishes(dsn: DeliveryNotification) -> list[str]:
    """Return the parameters of MAIL (RFC 3461 sections 4.3 and 4.4)."""
    named = [] if dsn.envelope_id is None else [f"ENVID={_xtext(dsn.envelope_id)}"]
    return ["RET=FULL" if dsn.full else "RET=HDRS", *named]


def _recipient_wishes(dsn: DeliveryNotification) -> list[str]:
    """Return the parameters of RCPT (RFC 3461 sections 4.1 and 4.2)."""
    notify = [f"NOTIFY={','.join(dsn.notify).upper()}"] if dsn.notify else []
    original = [] if dsn.original_recipient is None else [f"ORCPT=rfc822;{_xtext(dsn.original_recipient)}"]
    return [*notify, *original]


def _xtext(text: str) -> str:
    """Return ASCII text in the alphabet of parameters (RFC 3461 section 4)."""
    return "".join(each if "!" <= each <= "~" and each not in "+=" else f"+{ord(each):02X}" for each in text)


def _ascii_domain(address: str) -> str:
    """Write an internationalised domain as A-labels (RFC 5890), which need no extension.

    Raises:
        ValueError: not an address; aiosmtplib would repair it, and write to somebody else perhaps.
    """
    if parse_address(address) != address:
        raise ValueError("not an address")
    local, at, domain = address.rpartition("@")
    if not at or domain.isascii() or not local.isascii():
        return address
    return f"{local}@{domain.encode('idna').decode('ascii')}"


def _given_message_id(answer: str, message: MessageSource) -> str | None:
    """Return the Message-ID that the server names in its answer, if it is not the message's own."""
    named = _MESSAGE_ID_ANSWER.match(answer)
    if named is None:
        return None
    own = _MESSAGE_ID.search(message.header)
    return named[1] if own is None or own[1].decode("utf-8", "replace") != named[1] else None

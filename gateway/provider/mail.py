"""What a session takes and gives beside the wire structs of `gateway.model`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from gateway.model.account_errors import NetworkRouting
from gateway.model.message import MessageEntry
from gateway.provider.route import Route
from gateway.provider.structs import SecretStruct, Struct


class PageRequest(Struct, frozen=True, kw_only=True):
    """Which part of a listing: a cursor of an earlier page wins over the page number (from 0)."""

    page: int = 0
    size: int = 20
    cursor: str | None = None


class MessagePage(Struct, frozen=True, kw_only=True):
    """One page of a listing, newest first; a cursor is None where there is no such page.

    Cursors have `gateway.provider.LONGEST_CURSOR` characters at most.
    """

    total: int
    page: int
    messages: tuple[MessageEntry, ...]
    next_cursor: str | None = None
    previous_cursor: str | None = None


class AttachmentStream(Struct, frozen=True, kw_only=True):
    """An attachment, decoded, as it arrives.

    Attributes:
        content_type: with the parameters of the part if the service tells them, see `gateway.mime.content_type`.
        filename: as the sender named it; of a message without a name its subject, where that is known.
        size: None when the service does not tell it beforehand.
        chunks_from: gives the octets from one on, counted from 0, if that is cheaper than to read all before it; it is
            asked in place of `chunks`, and only where there is a size.
    """

    content_type: str
    chunks: Any  # AsyncIterator[bytes]; a protocol is not a msgspec type
    filename: str | None = None
    disposition: Literal["inline", "attachment"] = "attachment"
    size: int | None = None
    chunks_from: Any = None  # Callable[[int], AsyncIterator[bytes]]

    @property
    def file_name(self) -> str | None:
        """The name to keep it by: that of a message ends in ``.eml``."""
        if self.content_type.partition(";")[0] not in ("message/rfc822", "message/global"):
            return self.filename
        name = self.filename or "message"
        return name if name.lower().endswith(".eml") else f"{name}.eml"


class DeliveryNotification(SecretStruct, frozen=True, kw_only=True, omit_defaults=True):
    """What the sender wants to be told of the delivery (RFC 3461).

    Attributes:
        full: a report has the whole message with it, not its header section alone (RET).
        envelope_id: names the submission in reports (ENVID); ASCII.
        notify: when to report: `never`, or any of `success`, `failure` and `delay` (NOTIFY).
        original_recipient: whom reports name as the one that was written to (ORCPT); ASCII.
    """

    full: bool
    envelope_id: str | None = None
    notify: tuple[str, ...] = ()
    original_recipient: str | None = None


class Envelope(SecretStruct, frozen=True, kw_only=True):
    """Sender and recipients of a submission (RFC 5321 section 2.3.1).

    What `dsn` asks for is said where the service can be told; elsewhere the message is sent without. `route` is the way
    that this one message takes, in place of the session's own; it says nothing to services that are not spoken to over
    SMTP.
    """

    mail_from: str
    rcpt_to: tuple[str, ...]
    dsn: DeliveryNotification | None = None
    route: Route | None = None


class SubmitReceipt(Struct, frozen=True, kw_only=True):
    """What the service answered to a submission.

    Attributes:
        response: its text.
        message_id: the Message-ID it will use, if it rewrote it.
        refused: recipients refused while others were accepted, with the reason.
        network_routing: the way it took, where that was not left to the system.
    """

    response: str
    message_id: str | None = None
    refused: Mapping[str, str] = msgspec.field(default_factory=dict)
    network_routing: NetworkRouting | None = None


class MessageState(Struct, frozen=True, kw_only=True):
    """What can change of a message, as it is now.

    Attributes:
        id: of the message.
        position: its place in the mailbox: the newer, the higher (IMAP: the UID). It stays, like the id, and is below
            2**53.
        flags: system flags and keywords, as a listing shows them; never ``\\Recent``.
        labels: as a listing shows them.
    """

    id: str
    position: int
    flags: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


class Changes(Struct, frozen=True, kw_only=True):
    """What may have happened in one mailbox since a state (RFC 8620 section 5.2).

    The gateway compares with what it knows: an unknown id is a new message, other flags or labels are an update, and
    what is in `removed`, or missing from a complete answer, is gone.

    Attributes:
        state: ask with this next time.
        changed: messages that are new or may have changed; an unchanged one among them does no harm.
        removed: ids that are gone; an unknown one does no harm.
        complete: `changed` is every message there is, over all answers up to the one without `more`; each of them is
            complete.
        more: there is more to fetch right away.
        uid_validity: of the mailbox, where the service has one (RFC 9051 section 2.3.1.1); positions are UIDs then.
    """

    state: str
    changed: tuple[MessageState, ...] = ()
    removed: tuple[str, ...] = ()
    complete: bool = False
    more: bool = False
    uid_validity: int | None = None


class MailboxChanges(Struct, frozen=True, kw_only=True):
    """Whether there may be other mailboxes, or other names, than at a state.

    Attributes:
        state: ask with this next time.
        changed: a mailbox is new, renamed or gone; messages change nothing here.
    """

    state: str
    changed: bool


class Quota(Struct, frozen=True, kw_only=True):
    """Octets used and allowed (RFC 9208)."""

    usage: int
    limit: int | None = None


class Signature(Struct, frozen=True, kw_only=True):
    """A signature kept at the provider for one sending address."""

    address: str
    signature: str

"""Sending: drafts, and messages that are sent without being kept as drafts.

https://learn.microsoft.com/graph/api/user-sendmail
"""

from __future__ import annotations

import msgspec

from gateway_sandbox import directory, graph_compose, graph_mime
from gateway_sandbox.delivery import Delivery, completed
from gateway_sandbox.graph_call import Call, Table
from gateway_sandbox.graph_compose import attachments_of, compose
from gateway_sandbox.graph_drafts import VERBS, Drafts, with_sender
from gateway_sandbox.graph_errors import GraphError, bad_request
from gateway_sandbox.graph_folders import WELL_KNOWN
from gateway_sandbox.graph_mail import PLACES, Mail
from gateway_sandbox.graph_messages import changed_flags
from gateway_sandbox.graph_resources import LAST_VERB, Shown
from gateway_sandbox.items import Item, Properties
from gateway_sandbox.web import Response


class Sending:
    """Answers calls that send.

    Attributes:
        submissions: how many messages were sent.
    """

    def __init__(self, mail: Mail, drafts: Drafts, delivery: Delivery) -> None:
        self._mail = mail
        self._drafts = drafts
        self._delivery = delivery
        self.submissions = 0

    def add_routes(self, table: Table) -> None:
        """Register the calls."""
        table.add("POST", "sendMail", self._send_mail)
        for place in PLACES:
            table.add("POST", f"{place}/{{message}}/send", self._send)
            for action in VERBS:
                table.add("POST", f"{place}/{{message}}/{action}", self._answer)

    async def _send_mail(self, call: Call) -> Response:
        if call.mime:
            octets = _from_mailbox(graph_compose.mime(call.request.body), call)
            keep = True
        else:
            body = call.json()
            message = body.get("message")
            if not isinstance(message, dict):
                raise bad_request("The parameter 'Message' is missing.", "ErrorInvalidParameter")
            octets = compose(with_sender(message, call.mailbox), attachments_of(message))
            keep = body.get("saveToSentItems") is not False
        content = self._submit(call, octets)
        if keep:
            sent = self._mail.store.mailbox(call.owner, WELL_KNOWN["sentitems"])
            self._mail.store.append(sent.id, content, flags={r"\Seen"})
        return Response(status=202)

    async def _send(self, call: Call) -> Response:
        shown = self._mail.find(call)
        if r"\Draft" not in shown.item.flags:
            raise bad_request("Only a draft can be sent.", "ErrorInvalidRequest")
        self._send_draft(call, shown)
        return Response(status=202)

    async def _answer(self, call: Call) -> Response:
        draft = self._drafts.answer_draft(call, call.path[-1].lower())
        try:
            self._send_draft(call, draft)
        except GraphError:
            self._mail.store.expunge(draft.item.mailbox_id, [draft.item.uid])
            raise
        return Response(status=202)

    def _send_draft(self, call: Call, shown: Shown) -> None:
        """Send a draft: it becomes the message in Sent Items and keeps its immutable id."""
        item = shown.item
        content = self._submit(call, self._mail.items.octets(item.content_id))
        uid = self._mail.store.replace(item.mailbox_id, item.uid, content, received=self._mail.clock())
        properties = msgspec.structs.replace(item.properties, answers=None)
        flags = (item.flags - {r"\Draft"}) | {r"\Seen"}
        self._mail.store.set_flags(item.mailbox_id, uid, flags, msgspec.json.encode(properties).decode())
        sent = self._mail.store.mailbox(call.owner, WELL_KNOWN["sentitems"])
        self._mail.store.move(item.mailbox_id, uid, sent.id)
        self._mark_original(call.owner, item)

    def _submit(self, call: Call, octets: bytes) -> bytes:
        """Deliver a message and return its octets as sent.

        Raises:
            GraphError: nobody to send it to, or not in this name.
        """
        if call.mailbox is None:
            raise bad_request("Resource not found for the segment.")
        content, _ = completed(octets, self._mail.clock())
        header = graph_mime.parse_header(content)
        named = [address.address for name in ("to", "cc", "bcc") for address in header.addresses(name)]
        recipients = [address for address in named if address]
        if not recipients:
            raise bad_request("At least one recipient isn't valid., A message can't be sent.", "ErrorInvalidRecipients")
        for address in (*header.addresses("from"), *header.addresses("sender")):
            if not _may_send_as(call, address.address.lower()):
                raise GraphError(403, "ErrorSendAsDenied", _SEND_AS_DENIED)
        self.submissions += 1
        self._delivery.deliver(call.mailbox, call.owner, recipients, content)
        return content

    def _mark_original(self, owner: str, draft: Item) -> None:
        if draft.properties.answers is None:
            return
        number, verb = draft.properties.answers
        original = self._mail.items.find(owner, number)
        if original is None:
            return
        extended = {**original.properties.extended, LAST_VERB: verb}
        properties: Properties = msgspec.structs.replace(original.properties, extended=extended)
        change = {"singleValueExtendedProperties": [{"id": LAST_VERB, "value": verb}]}
        flags = changed_flags(original.flags, change)
        stored = msgspec.json.encode(properties).decode()
        self._mail.store.set_flags(original.mailbox_id, original.uid, flags, stored)


_SEND_AS_DENIED = (
    "The user account which was used to submit this request does not have the right to send mail on behalf of the"
    " specified sending account., Cannot submit message."
)


def _may_send_as(call: Call, address: str) -> bool:
    """Return whether the mailbox, or whoever signed in, may send in the name of an address."""
    who = call.bearer.person or call.owner
    return address == call.owner or directory.may_open(who, address) or directory.may_open(call.owner, address)


def _from_mailbox(octets: bytes, call: Call) -> bytes:
    """Return a message in the name of the mailbox: Exchange does not heed another From in MIME content."""
    addresses = graph_mime.parse_header(octets).addresses("from")
    if call.mailbox is None or [address.address.lower() for address in addresses] == [call.owner]:
        return octets
    return graph_compose.with_from(octets, call.mailbox.name, call.owner)

"""Drafts: new ones, replies and forwards (https://learn.microsoft.com/graph/api/user-post-messages)."""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec

from gateway_sandbox import graph_compose, graph_resources
from gateway_sandbox.directory import Person
from gateway_sandbox.graph_call import Call, Table
from gateway_sandbox.graph_compose import attachments_of, compose
from gateway_sandbox.graph_errors import bad_request
from gateway_sandbox.graph_folders import WELL_KNOWN
from gateway_sandbox.graph_mail import PLACES, Mail
from gateway_sandbox.graph_messages import Messages, changed_flags, changed_properties
from gateway_sandbox.graph_mime import Parsed
from gateway_sandbox.graph_resources import FORWARDED, REPLIED, REPLIED_ALL, Shown
from gateway_sandbox.items import Properties
from gateway_sandbox.web import Response

#: Name of the action -> verb that the original gets when the draft is sent.
VERBS = {"reply": REPLIED, "replyall": REPLIED_ALL, "forward": FORWARDED}


class Drafts:
    """Answers calls that make drafts."""

    def __init__(self, mail: Mail, messages: Messages) -> None:
        self._mail = mail
        self._messages = messages

    def add_routes(self, table: Table) -> None:
        """Register the calls."""
        for place in PLACES:
            table.add("POST", place, self._create)
            for name in "Reply", "ReplyAll", "Forward":
                table.add("POST", f"{place}/{{message}}/create{name}", self._create_answer)

    async def _create(self, call: Call) -> Response:
        name = call.arguments.get("folder", "drafts")
        folder = self._mail.folder(call, name)
        if call.mime:
            with self._stored(call, graph_compose.mime(call.request.body), folder) as shown:
                return self._messages.answer(call, shown, 201)
        body = call.json()
        rest = {key: value for key, value in body.items() if key not in graph_compose.CONTENT}
        rest.pop("internetMessageId", None)
        with self._stored(call, compose(with_sender(body, call.mailbox), attachments_of(body)), folder) as shown:
            return self._messages.answer(call, self._messages.change(call, shown, rest) if rest else shown, 201)

    async def _create_answer(self, call: Call) -> Response:
        action = call.path[-1].lower().removeprefix("create")
        return self._messages.answer(call, self.answer_draft(call, action), 201)

    @contextmanager
    def _stored(self, call: Call, content: bytes, folder: int | None = None) -> Iterator[Shown]:
        """Keep a message as a draft, unless the block raises."""
        shown = self.store(call, content, folder)
        with ExitStack() as undo:
            undo.callback(self._mail.store.expunge, shown.item.mailbox_id, [shown.item.uid])
            yield shown
            undo.pop_all()

    def store(self, call: Call, content: bytes, folder: int | None = None) -> Shown:
        """Keep a message as a draft."""
        place = self._mail.store.mailbox(call.owner, WELL_KNOWN["drafts"]).id if folder is None else folder
        uid = self._mail.store.append(place, content, flags={r"\Draft", r"\Seen"})
        return self._mail.at(call, place, uid)

    def answer_draft(self, call: Call, action: str) -> Shown:
        """Make the draft of a reply or forward; the original is marked when it is sent.

        Args:
            call: whose path names the original.
            action: ``reply``, ``replyall`` or ``forward``.

        Raises:
            GraphError: no such message, or both a comment and a body.
        """
        original = self._mail.find(call)
        content = graph_compose.mime(call.request.body) if call.mime else _answer_content(call, original, action)
        with self._stored(call, content) as shown:
            properties = Properties(answers=(original.item.id, VERBS[action]))
            flags = shown.item.flags
            if not call.mime:
                changes = {key: value for key, value in _message(call).items() if key not in graph_compose.CONTENT}
                flags = changed_flags(flags, changes)
                properties = msgspec.structs.replace(changed_properties(shown, changes), answers=properties.answers)
            stored = msgspec.json.encode(properties).decode()
            self._mail.store.set_flags(shown.item.mailbox_id, shown.item.uid, flags, stored)
            return self._mail.at(call, shown.item.mailbox_id, shown.item.uid)


def with_sender(fields: dict[str, Any], mailbox: Person | None) -> dict[str, Any]:
    """Return the properties of a message with the mailbox as originator where none is given."""
    if mailbox is None:
        return fields
    own = {"emailAddress": {"name": mailbox.name, "address": mailbox.address}}
    originator = fields.get("from") or fields.get("sender") or own
    return {**fields, "from": originator, "sender": fields.get("sender") or originator}


def _message(call: Call) -> dict[str, Any]:
    message = call.json().get("message")
    return message if isinstance(message, dict) else {}


def _answer_content(call: Call, original: Shown, action: str) -> bytes:
    message, comment = _message(call), call.json().get("comment")
    if message.get("body") and comment:
        raise bad_request("Comment and Body cannot be set at the same time.", "ErrorInvalidRequest")
    parsed = original.parsed
    prefix = "FW: " if action == "forward" else "RE: "
    subject = parsed.field("subject") or ""
    fields: dict[str, Any] = {
        "subject": subject if subject.lower().startswith(prefix.lower()) else prefix + subject,
        "toRecipients": [] if action == "forward" else _reply_recipients(parsed),
        "body": _quoting(parsed, str(comment or "")),
        "importance": graph_resources.importance(original),
    }
    if action == "replyall":
        own = call.owner
        everybody = [*parsed.addresses("to"), *parsed.addresses("cc")]
        known = {entry["emailAddress"]["address"].lower() for entry in fields["toRecipients"]} | {own}
        others = [address for address in everybody if address.address.lower() not in {"", *known}]
        fields["ccRecipients"] = [graph_resources.recipient(address) for address in others]
    if isinstance(to := call.json().get("toRecipients"), list):
        fields["toRecipients"] = to
    fields.update(message)
    attachments = list(parsed.attachments) if action == "forward" else [one for one in parsed.attachments if one.inline]
    identity = parsed.field("message-id") or ""
    references = f"{parsed.field('references') or parsed.field('in-reply-to') or ''} {identity}".strip()
    kept = [("In-Reply-To", identity), ("References", references)] if identity else []
    return compose(with_sender(fields, call.mailbox), [*attachments, *attachments_of(message)], kept)


def _reply_recipients(parsed: Parsed) -> list[dict[str, Any]]:
    addresses = parsed.addresses("reply-to") or parsed.addresses("from")
    return [graph_resources.recipient(address) for address in addresses if address.address]


def _quoting(parsed: Parsed, comment: str) -> dict[str, Any]:
    """Return a body with the comment above the original, as Outlook writes it."""
    originator = parsed.field("from") or ""
    said = html.escape(comment).replace("\n", "<br>")
    about = f"<b>From:</b> {html.escape(originator)}<br><b>Subject:</b> {html.escape(parsed.field('subject') or '')}"
    content = f"<html><body>{said}<hr><div>{about}</div><br>{parsed.page()}</body></html>"
    return {"contentType": "html", "content": content}

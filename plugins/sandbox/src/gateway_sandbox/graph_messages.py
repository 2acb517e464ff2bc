"""Calls on single messages: read, change, move, copy, delete.

https://learn.microsoft.com/graph/api/resources/message
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway_sandbox import graph_resources
from gateway_sandbox.graph_call import Call, Table
from gateway_sandbox.graph_compose import CONTENT, compose, kept_fields
from gateway_sandbox.graph_errors import GraphError, bad_request
from gateway_sandbox.graph_folders import WELL_KNOWN
from gateway_sandbox.graph_listing import SELECTABLE, Listing
from gateway_sandbox.graph_mail import PLACES, Mail, required
from gateway_sandbox.graph_mime import Attached
from gateway_sandbox.graph_query import selection
from gateway_sandbox.graph_resources import FORWARDED, LAST_VERB, Shown
from gateway_sandbox.items import Properties
from gateway_sandbox.web import Response

_IGNORED = frozenset({"id", "changeKey", "attachments", "@odata.type", "@odata.etag", "@odata.context"})
_FLAG_STATUS = frozenset({"notFlagged", "flagged", "complete"})
_IMPORTANCE = frozenset({"low", "normal", "high"})


class Messages:
    """Answers calls on messages."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail
        self._listing = Listing(mail)

    def add_routes(self, table: Table) -> None:
        """Register the calls."""
        for place in PLACES:
            table.add("GET", place, self._listing.page)
            table.add("GET", f"{place}/$count", self._listing.number)
            table.add("GET", f"{place}/{{message}}", self._get)
            table.add("PATCH", f"{place}/{{message}}", self._patch)
            table.add("DELETE", f"{place}/{{message}}", self._delete)
            table.add("GET", f"{place}/{{message}}/$value", self._source)
            table.add("POST", f"{place}/{{message}}/move", self._move)
            table.add("POST", f"{place}/{{message}}/copy", self._copy)
            table.add("POST", f"{place}/{{message}}/permanentDelete", self._delete_permanently)

    def answer(self, call: Call, shown: Shown, status: int = 200) -> Response:
        """Answer a message, with the options of the call."""
        select = selection(call.query, SELECTABLE, "Message")
        resource = self._mail.resource(shown, select, call.query.get("$expand", ""))
        return call.answer({"@odata.context": call.context("messages/$entity"), **resource}, status)

    def change(self, call: Call, shown: Shown, body: dict[str, Any]) -> Shown:
        """Change properties of a message and return it.

        Raises:
            GraphError: there is no such property, it has the wrong shape, or it is fixed once a message is sent.
        """
        unknown = [name for name in body if name not in SELECTABLE and name not in _IGNORED]
        if unknown:
            message = f"The property '{unknown[0]}' does not exist on type 'Microsoft.OutlookServices.Message'."
            raise bad_request(message, "RequestBodyRead")
        item = shown.item
        flags, properties = changed_flags(item.flags, body), changed_properties(shown, body)
        if body.keys() & (CONTENT - {"importance"}):
            if r"\Draft" not in item.flags:
                message = "Update operation is invalid for property on a sent message."
                raise bad_request(message, "ErrorInvalidPropertyUpdateSentMessage")
            content = recomposed(shown, body)
            uid = self._mail.store.replace(item.mailbox_id, item.uid, content)
            shown = self._mail.at(call, item.mailbox_id, uid)
        if flags != item.flags or properties != item.properties:
            stored = msgspec.json.encode(properties).decode()
            self._mail.store.set_flags(shown.item.mailbox_id, shown.item.uid, flags, stored)
        return self._mail.at(call, shown.item.mailbox_id, shown.item.uid)

    async def _get(self, call: Call) -> Response:
        return self.answer(call, self._mail.find(call))

    async def _source(self, call: Call) -> Response:
        shown = self._mail.find(call)
        return Response(body=self._mail.items.octets(shown.item.content_id), content_type="text/plain")

    async def _patch(self, call: Call) -> Response:
        shown = self._mail.find(call)
        if (etag := call.request.headers.get("if-match", "*")) not in {"*", f'W/"{shown.change_key}"'}:
            message = f"The change key passed in the request does not match the current change key. {etag}"
            raise GraphError(412, "ErrorIrresolvableConflict", message)
        return self.answer(call, self.change(call, shown, call.json()))

    async def _move(self, call: Call) -> Response:
        item = self._mail.find(call).item
        destination = self._mail.folder(call, required(call.json(), "destinationId"))
        if destination == item.mailbox_id:
            return self.answer(call, self._mail.at(call, item.mailbox_id, item.uid), 201)
        uid = self._mail.store.move(item.mailbox_id, item.uid, destination)
        return self.answer(call, self._mail.at(call, destination, uid or 0), 201)

    async def _copy(self, call: Call) -> Response:
        item = self._mail.find(call).item
        destination = self._mail.folder(call, required(call.json(), "destinationId"))
        uid = self._mail.store.copy(item.mailbox_id, item.uid, destination)
        return self.answer(call, self._mail.at(call, destination, uid or 0), 201)

    async def _delete(self, call: Call) -> Response:
        """Move to Deleted Items; what is there already is deleted."""
        item = self._mail.find(call).item
        trash = self._mail.store.mailbox(call.owner, WELL_KNOWN["deleteditems"])
        if item.mailbox_id == trash.id:
            self._mail.store.expunge(item.mailbox_id, [item.uid])
        else:
            self._mail.store.move(item.mailbox_id, item.uid, trash.id)
        return Response(status=204)

    async def _delete_permanently(self, call: Call) -> Response:
        item = self._mail.find(call).item
        self._mail.store.expunge(item.mailbox_id, [item.uid])
        return Response(status=204)


def recomposed(shown: Shown, changes: dict[str, Any], attachments: Sequence[Attached] | None = None) -> bytes:
    """Return the octets of a draft with other properties, or other attachments."""
    parsed = shown.parsed
    fields = {name: graph_resources.PROPERTIES[name](shown) for name in CONTENT - {"internetMessageHeaders", "sender"}}
    native = ("text", parsed.text or "") if parsed.html is None else ("html", parsed.html)
    fields["body"] = {"contentType": native[0], "content": native[1]}
    kept = kept_fields(parsed.header)
    return compose({**fields, **changes}, parsed.attachments if attachments is None else attachments, kept)


def changed_flags(flags: frozenset[str], body: dict[str, Any]) -> frozenset[str]:
    """Return IMAP's flags after a change of ``isRead``, ``flag`` or the last verb."""
    wanted: dict[str, bool] = {}
    if "isRead" in body:
        if not isinstance(body["isRead"], bool):
            raise bad_request("Cannot convert the literal to the expected type 'Edm.Boolean'.", "RequestBodyRead")
        wanted[r"\Seen"] = body["isRead"]
    if "flag" in body:
        status = (body["flag"] or {}).get("flagStatus")
        if status not in _FLAG_STATUS:
            raise bad_request(f"Requested value '{status}' was not found.", "RequestBodyRead")
        wanted[r"\Flagged"] = status == "flagged"
    verb = _extended(body).get(LAST_VERB)
    if verb is not None:
        wanted[r"\Answered"] = verb not in {"0", FORWARDED}
    return frozenset({flag for flag in flags if wanted.get(flag, True)} | {flag for flag, on in wanted.items() if on})


def changed_properties(shown: Shown, body: dict[str, Any]) -> Properties:
    """Return the properties that IMAP does not know, after a change."""
    properties = shown.item.properties
    changes: dict[str, Any] = {}
    if "categories" in body:
        names = body["categories"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise bad_request("Cannot convert the value of property 'categories'.", "RequestBodyRead")
        changes["categories"] = tuple(dict.fromkeys(names))
    if "flag" in body:
        changes["flag"] = {} if body["flag"]["flagStatus"] == "notFlagged" else dict(body["flag"])
    if "importance" in body:
        value = str(body["importance"]).lower()
        if value not in _IMPORTANCE:
            raise bad_request(f"Requested value '{value}' was not found.", "RequestBodyRead")
        changes["importance"] = value
    if "inferenceClassification" in body:
        changes["inference_classification"] = str(body["inferenceClassification"])
    if extended := _extended(body):
        changes["extended"] = {**properties.extended, **extended}
    return msgspec.structs.replace(properties, **changes)


def _extended(body: dict[str, Any]) -> dict[str, str]:
    entries = body.get("singleValueExtendedProperties") or ()
    return {str(entry["id"]): str(entry["value"]) for entry in entries if isinstance(entry, dict) and "id" in entry}

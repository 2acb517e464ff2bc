"""Calls on attachments (https://learn.microsoft.com/graph/api/resources/attachment)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway_sandbox import graph_compose, graph_mime, graph_resources
from gateway_sandbox.graph_call import Call, Table
from gateway_sandbox.graph_compose import MAX_ATTACHMENT
from gateway_sandbox.graph_errors import GraphError, bad_request, item_not_found, malformed_id
from gateway_sandbox.graph_ids import Kind, MalformedIdError, decode
from gateway_sandbox.graph_listing import next_link
from gateway_sandbox.graph_mail import PLACES, Mail
from gateway_sandbox.graph_messages import recomposed
from gateway_sandbox.graph_mime import Attached
from gateway_sandbox.graph_query import parse_query, selection
from gateway_sandbox.graph_resources import Shown
from gateway_sandbox.web import Response

_SELECTABLE: dict[str, object] = dict.fromkeys(
    (
        *("id", "lastModifiedDateTime", "name", "contentType", "size", "isInline", "contentId", "contentLocation"),
        *("contentBytes", "microsoft.graph.fileAttachment/contentId", "microsoft.graph.fileAttachment/contentBytes"),
    )
)


class Attachments:
    """Answers calls on attachments."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail

    def add_routes(self, table: Table) -> None:
        """Register the calls."""
        for place in PLACES:
            path = f"{place}/{{message}}/attachments"
            table.add("GET", path, self._list)
            table.add("POST", path, self._add)
            table.add("GET", f"{path}/$count", self._count)
            table.add("GET", f"{path}/{{attachment}}", self._get)
            table.add("DELETE", f"{path}/{{attachment}}", self._delete)
            table.add("GET", f"{path}/{{attachment}}/$value", self._value)

    def attach(self, call: Call, shown: Shown, attached: Attached) -> dict[str, Any]:
        """Add an attachment to a draft and return its resource.

        Raises:
            GraphError: the message is no draft.
        """
        changed = self._replace(call, shown, [*shown.parsed.attachments, attached])
        added = next(one for one in reversed(changed.parsed.attachments) if one.name == attached.name)
        return graph_resources.attachment(changed, added, with_content=False)

    async def _list(self, call: Call) -> Response:
        shown = self._mail.find(call)
        query = parse_query(call.query, _SELECTABLE, "Attachment")
        found = shown.parsed.attachments
        page = found[query.skip : query.skip + query.top]
        answer: dict[str, Any] = {"@odata.context": call.context(f"messages('{shown.id}')/attachments")}
        if query.count:
            answer["@odata.count"] = len(found)
        answer["value"] = [self._resource(call, shown, attached, query.select) for attached in page]
        if query.skip + query.top < len(found):
            answer["@odata.nextLink"] = next_link(call, {"$skip": str(query.skip + query.top)})
        return call.answer(answer)

    async def _count(self, call: Call) -> Response:
        number = len(self._mail.find(call).parsed.attachments)
        return Response(body=str(number).encode(), content_type="text/plain")

    async def _get(self, call: Call) -> Response:
        shown = self._mail.find(call)
        select = selection(call.query, _SELECTABLE, "Attachment")
        resource = self._resource(call, shown, _find(call, shown), select)
        context = call.context(f"messages('{shown.id}')/attachments/$entity")
        return call.answer({"@odata.context": context, **resource})

    async def _value(self, call: Call) -> Response:
        attached = _find(call, self._mail.find(call))
        return Response(body=attached.content, content_type="text/plain" if attached.item else attached.media_type)

    async def _add(self, call: Call) -> Response:
        shown = self._mail.find(call)
        attached = graph_compose.attachment(call.json())
        if len(attached.content) > MAX_ATTACHMENT:
            message = "The size of the attachment is greater than the maximum allowed; use an upload session."
            raise GraphError(413, "ErrorAttachmentSizeLimitExceeded", message)
        return call.answer(self.attach(call, shown, attached), 201)

    async def _delete(self, call: Call) -> Response:
        shown = self._mail.find(call)
        unwanted = _find(call, shown)
        self._replace(call, shown, [one for one in shown.parsed.attachments if one is not unwanted])
        return Response(status=204)

    def _resource(self, call: Call, shown: Shown, attached: Attached, select: Sequence[str] | None) -> dict[str, Any]:
        names = None if select is None else {"id", *(name.rpartition("/")[2] for name in select)}
        with_content = names is None or "contentBytes" in names
        resource = graph_resources.attachment(shown, attached, with_content=with_content)
        if attached.item and "itemattachment/item" in call.query.get("$expand", "").lower():
            resource["item"] = graph_resources.attached_message(shown, attached)
        if names is None:
            return resource
        return {name: value for name, value in resource.items() if name in names or name.startswith("@")}

    def _replace(self, call: Call, shown: Shown, attachments: Sequence[Attached]) -> Shown:
        if r"\Draft" not in shown.item.flags:
            raise bad_request("Attachments of a sent message cannot be changed.", "ErrorInvalidOperation")
        content = recomposed(shown, {}, attachments)
        item = shown.item
        return self._mail.at(call, item.mailbox_id, self._mail.store.replace(item.mailbox_id, item.uid, content))


def _find(call: Call, shown: Shown) -> Attached:
    identifier = call.arguments["attachment"]
    try:
        if decode(call.owner, identifier).kind is not Kind.ATTACHMENT:
            raise malformed_id()
    except MalformedIdError as error:
        raise malformed_id() from error
    for attached in shown.parsed.attachments:
        if graph_mime.id_of(call.owner, shown.item.id, attached) == identifier:
            return attached
    raise item_not_found()

"""Calls on folders (https://learn.microsoft.com/graph/api/resources/mailfolder)."""

from __future__ import annotations

from typing import Any

from gateway_sandbox.graph_call import Call, Table
from gateway_sandbox.graph_errors import bad_request
from gateway_sandbox.graph_folders import ROOT, Folder, Folders
from gateway_sandbox.graph_listing import next_link
from gateway_sandbox.graph_mail import required
from gateway_sandbox.graph_query import parse_query, selection
from gateway_sandbox.web import Response

_PROPERTIES = (
    *("id", "displayName", "parentFolderId", "childFolderCount", "unreadItemCount", "totalItemCount", "isHidden"),
    *("childFolders", "messages", "messageRules", "singleValueExtendedProperties"),
)
SELECTABLE: dict[str, object] = dict.fromkeys(_PROPERTIES)


class FolderCalls:
    """Answers calls on folders."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def add_routes(self, table: Table) -> None:
        """Register the calls."""
        table.add("GET", "mailFolders", self._list)
        table.add("POST", "mailFolders", self._create)
        table.add("GET", "mailFolders/$count", self._count)
        for place in "mailFolders/{folder}", "mailFolders/{above}/childFolders/{folder}":
            table.add("GET", place, self._get)
            table.add("PATCH", place, self._patch)
            table.add("DELETE", place, self._delete)
            table.add("POST", f"{place}/move", self._move)
            table.add("POST", f"{place}/permanentDelete", self._delete_permanently)
            table.add("GET", f"{place}/childFolders", self._list)
            table.add("POST", f"{place}/childFolders", self._create)
            table.add("GET", f"{place}/childFolders/$count", self._count)

    def _parent(self, call: Call) -> int:
        if "folder" not in call.arguments or call.arguments["folder"].lower() == "msgfolderroot":
            return ROOT
        return self._folders.find(call.owner, call.arguments["folder"]).mailbox.id

    async def _list(self, call: Call) -> Response:
        query = parse_query(call.query, SELECTABLE, "MailFolder")
        if query.search is not None:
            raise bad_request("The query parameter '$search' is not supported.", "ErrorInvalidUrlQuery")
        found = self._folders.json(call.owner, self._folders.children(call.owner, self._parent(call)))
        if query.filter is not None:
            found = [folder for folder in found if query.filter.matches(folder)]
        for order in reversed(query.order):
            found.sort(key=lambda folder: str(folder.get(order.path)).casefold(), reverse=order.descending)
        page = found[query.skip : query.skip + query.top]
        answer: dict[str, Any] = {"@odata.context": call.context("mailFolders")}
        if query.count:
            answer["@odata.count"] = len(found)
        answer["value"] = [
            self._expanded(call, _selected(folder, query.select), folder["id"], query.expand) for folder in page
        ]
        if query.skip + query.top < len(found):
            answer["@odata.nextLink"] = next_link(call, {"$skip": str(query.skip + query.top)})
        return call.answer(answer)

    async def _count(self, call: Call) -> Response:
        number = len(self._folders.children(call.owner, self._parent(call)))
        return Response(body=str(number).encode(), content_type="text/plain")

    async def _get(self, call: Call) -> Response:
        if self._folders.number(call.owner, call.arguments["folder"]) == ROOT:
            return self._answer(call, self._folders.root(call.owner))
        return self._answer_folder(call, self._folders.find(call.owner, call.arguments["folder"]))

    async def _create(self, call: Call) -> Response:
        folder = self._folders.create(call.owner, self._parent(call), call.json().get("displayName"))
        return self._answer_folder(call, folder, 201)

    async def _patch(self, call: Call) -> Response:
        folder = self._folders.find(call.owner, call.arguments["folder"])
        body = call.json()
        if "displayName" in body:
            folder = self._folders.rename(call.owner, folder, body["displayName"])
        return self._answer_folder(call, folder)

    async def _move(self, call: Call) -> Response:
        folder = self._folders.find(call.owner, call.arguments["folder"])
        destination = required(call.json(), "destinationId")
        parent = self._folders.number(call.owner, destination)
        if parent != ROOT:
            parent = self._folders.find(call.owner, destination).mailbox.id
        return self._answer_folder(call, self._folders.move(call.owner, folder, parent), 201)

    async def _delete(self, call: Call) -> Response:
        folder = self._folders.find(call.owner, call.arguments["folder"])
        self._folders.delete(call.owner, folder, permanently=False)
        return Response(status=204)

    async def _delete_permanently(self, call: Call) -> Response:
        folder = self._folders.find(call.owner, call.arguments["folder"])
        self._folders.delete(call.owner, folder, permanently=True)
        return Response(status=204)

    def _answer_folder(self, call: Call, folder: Folder, status: int = 200) -> Response:
        return self._answer(call, self._folders.json(call.owner, [folder])[0], status)

    def _answer(self, call: Call, resource: dict[str, Any], status: int = 200) -> Response:
        shown = _selected(resource, selection(call.query, SELECTABLE, "MailFolder"))
        shown = self._expanded(call, shown, resource["id"], call.query.get("$expand", ""))
        return call.answer({"@odata.context": call.context("mailFolders/$entity"), **shown}, status)

    def _expanded(self, call: Call, shown: dict[str, Any], identifier: str, expand: str) -> dict[str, Any]:
        if not expand.lower().startswith("childfolders"):
            return shown
        parent = self._folders.number(call.owner, identifier)
        return {**shown, "childFolders": self._folders.json(call.owner, self._folders.children(call.owner, parent))}


def _selected(resource: dict[str, Any], select: tuple[str, ...] | None) -> dict[str, Any]:
    if select is None:
        return resource
    return {name: value for name, value in resource.items() if name == "id" or name in select}

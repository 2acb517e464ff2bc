"""Upload sessions for attachments of 3 to 150 MB (https://learn.microsoft.com/graph/outlook-large-attachments)."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.provider import Clock
from gateway_sandbox.graph_attachments import Attachments
from gateway_sandbox.graph_call import Call, Table
from gateway_sandbox.graph_compose import MAX_ATTACHMENT
from gateway_sandbox.graph_errors import GraphError, bad_request, item_not_found
from gateway_sandbox.graph_mail import PLACES, Mail
from gateway_sandbox.graph_mime import Attached
from gateway_sandbox.graph_resources import moment
from gateway_sandbox.web import Request, Response, Routes, json_response

_PATH = "/graph/upload"
_LIFETIME = timedelta(hours=1)
_MAX_CHUNK = 4 * 1024 * 1024
_MAX_SIZE = 150 * 1024 * 1024
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class _Session(msgspec.Struct, kw_only=True):
    """An upload that is not finished; `call` is the one that began it."""

    call: Call
    attached: Attached
    size: int
    expires: datetime
    received: bytearray


class Uploads:
    """Answers calls on upload sessions. They are forgotten when the sandbox stops."""

    def __init__(self, mail: Mail, attachments: Attachments, clock: Clock) -> None:
        self._mail = mail
        self._attachments = attachments
        self._clock = clock
        self._sessions: dict[str, _Session] = {}

    def add_routes(self, table: Table) -> None:
        """Register the call that begins one."""
        for place in PLACES:
            table.add("POST", f"{place}/{{message}}/attachments/createUploadSession", self._create)

    def add_upload_routes(self, routes: Routes) -> None:
        """Register the addresses that take the octets; whoever knows one needs no token."""
        for method in ("PUT", "GET", "DELETE"):
            routes.add(method, f"{_PATH}/{{key}}", self._answer)

    async def _create(self, call: Call) -> Response:
        if r"\Draft" not in self._mail.find(call).item.flags:
            raise bad_request("Attachments of a sent message cannot be changed.", "ErrorInvalidOperation")
        wanted = call.json().get("attachmentItem")
        wanted = wanted if isinstance(wanted, dict) else {}
        name, size = wanted.get("name"), wanted.get("size")
        if str(wanted.get("attachmentType", "")).lower() != "file" or not isinstance(name, str) or not name:
            raise bad_request("The attachment item is not valid.", "ErrorInvalidRequest")
        if not isinstance(size, int) or not MAX_ATTACHMENT < size <= _MAX_SIZE:
            raise GraphError(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize", "The size is not allowed.")
        attached = Attached(
            name=name,
            media_type=str(wanted.get("contentType") or "application/octet-stream"),
            content=b"",
            inline=bool(wanted.get("isInline")),
            content_id=wanted.get("contentId"),
            item=False,
        )
        key = secrets.token_urlsafe(24)
        expires = self._clock() + _LIFETIME
        session = _Session(call=call, attached=attached, size=size, expires=expires, received=bytearray())
        self._sessions[key] = session
        address = call.base.removesuffix("/graph/v1.0") + f"{_PATH}/{key}"
        context = call.context("uploadSession")
        return call.answer({"@odata.context": context, "uploadUrl": address, **_progress(session)}, 201)

    async def _answer(self, request: Request) -> Response:
        try:
            return self._handle(request)
        except GraphError as error:
            return json_response(error.body(self._clock(), None), error.status)

    def _handle(self, request: Request) -> Response:
        key = request.arguments["key"]
        session = self._sessions.get(key)
        if session is None or session.expires <= self._clock():
            raise item_not_found()
        if request.method == "DELETE":
            del self._sessions[key]
            return Response(status=204)
        if request.method == "GET":
            return json_response(_progress(session))
        self._take(session, request)
        if len(session.received) < session.size:
            return json_response(_progress(session))
        del self._sessions[key]
        return self._finish(session)

    def _take(self, session: _Session, request: Request) -> None:
        if "authorization" in request.headers:
            raise GraphError(401, "InvalidAuthenticationToken", "An upload takes no token.")
        match = _RANGE.fullmatch(request.headers.get("content-range", ""))
        if match is None:
            raise bad_request("The Content-Range header is missing or malformed.", "InvalidContentRangeHeader")
        begin, end, size = (int(number) for number in match.groups())
        if size != session.size or end - begin + 1 != len(request.body) or len(request.body) > _MAX_CHUNK:
            raise bad_request("The Content-Range header does not fit.", "InvalidContentRangeHeader")
        if begin != len(session.received):
            raise GraphError(416, "ErrorInvalidRange", "The octets are not those that are expected next.")
        session.received += request.body

    def _finish(self, session: _Session) -> Response:
        attached = msgspec.structs.replace(session.attached, content=bytes(session.received))
        call = session.call
        resource = self._attachments.attach(call, self._mail.find(call), attached)
        parent = "/".join(call.path[:-1])
        return Response(status=201, headers=(("location", f"{call.base}/{parent}('{resource['id']}')"),))


def _progress(session: _Session) -> dict[str, Any]:
    return {
        "expirationDateTime": moment(session.expires),
        "nextExpectedRanges": [f"{len(session.received)}-{session.size - 1}"],
    }

"""Microsoft Graph v1.0, its mail, over the sandbox's one mail store.

Below ``/graph/v1.0``; errors, permissions and limits are those of the real service where they are known.
"""

from __future__ import annotations

import asyncio
import sqlite3

import msgspec

from gateway.provider import Clock
from gateway_sandbox import graph_batch
from gateway_sandbox.delivery import Delivery
from gateway_sandbox.directory import Person
from gateway_sandbox.failures import Failure, Failures
from gateway_sandbox.graph_attachments import Attachments
from gateway_sandbox.graph_call import PREFIX, Call, Table, options, segments
from gateway_sandbox.graph_delta import Delta
from gateway_sandbox.graph_drafts import Drafts
from gateway_sandbox.graph_errors import GraphError, bad_request
from gateway_sandbox.graph_folder_calls import FolderCalls
from gateway_sandbox.graph_folders import Folders
from gateway_sandbox.graph_gate import GraphGate
from gateway_sandbox.graph_mail import Mail
from gateway_sandbox.graph_messages import Messages
from gateway_sandbox.graph_notifier import Notifier
from gateway_sandbox.graph_sending import Sending
from gateway_sandbox.graph_subscriptions import Subscriptions
from gateway_sandbox.graph_throttle import Throttle
from gateway_sandbox.graph_uploads import Uploads
from gateway_sandbox.graph_watcher import Watcher
from gateway_sandbox.items import Items
from gateway_sandbox.mailstore import MailStore
from gateway_sandbox.tokens import Tokens
from gateway_sandbox.web import Request, Response, Routes, json_response

#: Seconds that every answer takes: without them no two calls would ever overlap.
_LATENCY = 0.003


class Graph:
    """Answers below ``/graph``, and notifies.

    Attributes:
        throttle: counts the calls.
        notifier: counts the notifications.
        subscriptions: who is notified.
        sending: counts what was sent.
    """

    def __init__(
        self,
        *,
        database: sqlite3.Connection,
        store: MailStore,
        tokens: Tokens,
        delivery: Delivery,
        failures: Failures,
        clock: Clock,
    ) -> None:
        self._failures = failures
        self._clock = clock
        self._gate = GraphGate(tokens, failures)
        self.throttle = Throttle(failures, clock)
        self.notifier = Notifier(failures)
        items = Items(database)
        folders = Folders(store, items)
        mail = Mail(store, items, folders, failures, clock)
        messages, attachments = Messages(mail), Attachments(mail)
        drafts = Drafts(mail, messages)
        self.sending = Sending(mail, drafts, delivery)
        self._uploads = Uploads(mail, attachments, clock)
        self.subscriptions = Subscriptions(database, folders, self._gate, self.notifier, failures, clock)
        self._watcher = Watcher(store, items, self.notifier, self.subscriptions.active)
        self._mailbox_calls, self._service_calls = Table(), Table()
        self._mailbox_calls.add("GET", "", _user)
        # First those whose names would else be taken for ids.
        for part in Delta(mail, failures, database), self._uploads, messages, drafts, self.sending, attachments:
            part.add_routes(self._mailbox_calls)
        FolderCalls(folders).add_routes(self._mailbox_calls)
        self.subscriptions.add_routes(self._service_calls)

    def add_routes(self, routes: Routes) -> None:
        """Register the service."""
        self._uploads.add_upload_routes(routes)
        routes.add_below(f"{PREFIX}/", self.answer)

    async def close(self) -> None:
        """Stop notifying."""
        await self.notifier.close()

    async def answer(self, request: Request) -> Response:
        """Answer a call, or refuse it with one of Graph's errors."""
        client_request_id = request.headers.get("client-request-id")
        try:
            return await self._answer(request)
        except GraphError as error:
            return json_response(error.body(self._clock(), client_request_id), error.status, *error.headers)

    async def _answer(self, request: Request) -> Response:
        path = segments(request.path[len(PREFIX) :])
        bearer = self._gate.bearer(request)
        call = Call(
            request=request,
            base=f"http://{request.headers.get('host', 'localhost')}{PREFIX}",
            path=path,
            query=options(request.query),
            bearer=bearer,
        )
        first = path[0].lower()
        if first == "$batch" and request.method == "POST":
            return await graph_batch.answer(call, self.answer)
        if first not in {"me", "users"}:
            handler, arguments = self._service_calls.find(request.method, path)
            return await handler(msgspec.structs.replace(call, arguments=arguments))
        mailbox, rest = self._gate.mailbox(path, bearer)
        self._gate.check(mailbox, rest, request.method, bearer)
        return await self._mailbox_answer(mailbox, rest, call)

    async def _mailbox_answer(self, mailbox: Person, rest: tuple[str, ...], call: Call) -> Response:
        handler, arguments = self._mailbox_calls.find(call.request.method, rest or ("",))
        with self.throttle.call(mailbox.address):
            await asyncio.sleep(_LATENCY + self._failures.delay(mailbox.address))
            self._check_available(mailbox.address)
            return await handler(msgspec.structs.replace(call, mailbox=mailbox, arguments=arguments))

    def _check_available(self, address: str) -> None:
        broken = self._failures.active(Failure.TEMPORARILY_UNAVAILABLE)
        if broken or self._failures.happens(Failure.GRAPH_UNAVAILABLE, address):
            raise GraphError(503, "ServiceUnavailable", "The service is temporarily unavailable.")


async def _user(call: Call) -> Response:
    """Answer a user (https://learn.microsoft.com/graph/api/user-get)."""
    person = call.mailbox
    if person is None:
        raise bad_request("Resource not found for the segment.")
    given, _, family = person.name.partition(" ")
    return call.answer(
        {
            "@odata.context": f"{call.base}/$metadata#users/$entity",
            "businessPhones": [],
            "displayName": person.name,
            "givenName": given,
            "jobTitle": None,
            "mail": person.address,
            "mobilePhone": None,
            "officeLocation": None,
            "preferredLanguage": None,
            "surname": family,
            "userPrincipalName": person.address,
            "id": person.object_id,
        }
    )

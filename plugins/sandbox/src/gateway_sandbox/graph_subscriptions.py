"""Subscriptions to changes of messages (https://learn.microsoft.com/graph/api/resources/subscription)."""

from __future__ import annotations

import re
import sqlite3
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gateway.provider import Clock
from gateway_sandbox import directory
from gateway_sandbox.directory import Person
from gateway_sandbox.failures import Failure, Failures
from gateway_sandbox.graph_call import Call, Table, segments
from gateway_sandbox.graph_errors import GraphError, access_denied, bad_request
from gateway_sandbox.graph_folders import Folders
from gateway_sandbox.graph_gate import GraphGate
from gateway_sandbox.graph_listing import next_link
from gateway_sandbox.graph_notifier import Notifier
from gateway_sandbox.graph_resources import moment
from gateway_sandbox.graph_subscription import Subscription
from gateway_sandbox.web import Response

_LONGEST = timedelta(minutes=10_080)
_LONGEST_BEFORE = timedelta(minutes=4_230)
_SHORTEST = timedelta(minutes=45)
_MAX_CLIENT_STATE = 128
_PER_MAILBOX = 1000
_PAGE = 100
_CHANGE_TYPES = frozenset({"created", "updated", "deleted"})


class Subscriptions:
    """Answers calls on subscriptions, and keeps them."""

    def __init__(
        self,
        database: sqlite3.Connection,
        folders: Folders,
        gate: GraphGate,
        notifier: Notifier,
        failures: Failures,
        clock: Clock,
    ) -> None:
        self._database = database
        self._folders = folders
        self._gate = gate
        self._notifier = notifier
        self._failures = failures
        self._clock = clock

    def add_routes(self, table: Table) -> None:
        """Register the calls."""
        table.add("GET", "subscriptions", self._list)
        table.add("POST", "subscriptions", self._create)
        table.add("GET", "subscriptions/{id}", self._get)
        table.add("PATCH", "subscriptions/{id}", self._patch)
        table.add("DELETE", "subscriptions/{id}", self._delete)
        table.add("POST", "subscriptions/{id}/reauthorize", self._reauthorize)

    def active(self) -> list[Subscription]:
        """Return those that have not run out."""
        rows = self._database.execute("SELECT value FROM subscriptions").fetchall()
        found = [msgspec.json.decode(row[0], type=Subscription) for row in rows]
        return [one for one in found if one.expires > self._clock()]

    def lifecycle(self, event: str, mailbox: str | None) -> int:
        """Send a lifecycle notification for each subscription of a mailbox, or of all; return how many."""
        concerned = [one for one in self.active() if mailbox in (None, one.mailbox)]
        for one in concerned:
            if event == "subscriptionRemoved":
                self._database.execute("DELETE FROM subscriptions WHERE id = ?", (one.id,))
            if event == "reauthorizationRequired":
                self._save(msgspec.structs.replace(one, authorized=False))
            self._notifier.lifecycle(one, event)
        return len(concerned)

    async def _list(self, call: Call) -> Response:
        found = [_resource(one) for one in self.active() if one.creator == _creator(call)]
        begin = int(token) if (token := call.query.get("$skiptoken", "")).isdecimal() else 0
        answer: dict[str, Any] = {
            "@odata.context": call.context("subscriptions"),
            "value": found[begin : begin + _PAGE],
        }
        if begin + _PAGE < len(found):
            answer["@odata.nextLink"] = next_link(call, {"$skiptoken": str(begin + _PAGE)})
        return call.answer(answer)

    async def _get(self, call: Call) -> Response:
        return self._answer(call, self._find(call))

    async def _create(self, call: Call) -> Response:
        body = call.json()
        for name in ("changeType", "notificationUrl", "resource", "expirationDateTime"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise bad_request(f"The property '{name}' is missing or not valid.", "InvalidRequest")
        if body.get("includeResourceData"):
            raise bad_request("Resource data are not supported.", "InvalidRequest")
        mailbox, folder = self._resource(call, body["resource"])
        subscription = Subscription(
            id=str(uuid.uuid4()),
            creator=_creator(call),
            mailbox=mailbox.address,
            folder=folder,
            expires=self._expiration(body["expirationDateTime"], mailbox.address),
            change_type=_change_type(body["changeType"]),
            immutable=call.immutable,
            silent=call.bearer.person not in (None, mailbox.address),
            notification_url=body["notificationUrl"],
            resource=body["resource"],
            lifecycle_url=_optional(body, "lifecycleNotificationUrl"),
            client_state=_optional(body, "clientState"),
        )
        if len(subscription.client_state or "") > _MAX_CLIENT_STATE:
            raise bad_request("The client state is longer than 128 characters.", "InvalidRequest")
        self._check_room(subscription)
        for url in filter(None, (subscription.notification_url, subscription.lifecycle_url)):
            await self._notifier.validate(url)
        self._save(subscription)
        return self._answer(call, subscription, 201)

    async def _patch(self, call: Call) -> Response:
        subscription, body = self._find(call), call.json()
        if isinstance(url := body.get("notificationUrl"), str) and url != subscription.notification_url:
            await self._notifier.validate(url)
            subscription = msgspec.structs.replace(subscription, notification_url=url)
        if "expirationDateTime" in body:
            expires = self._expiration(body["expirationDateTime"], subscription.mailbox)
            subscription = msgspec.structs.replace(subscription, expires=expires, authorized=True)
        self._save(subscription)
        return self._answer(call, subscription)

    async def _delete(self, call: Call) -> Response:
        self._database.execute("DELETE FROM subscriptions WHERE id = ?", (self._find(call).id,))
        return Response(status=204)

    async def _reauthorize(self, call: Call) -> Response:
        self._save(msgspec.structs.replace(self._find(call), authorized=True))
        return Response(status=204)

    def _find(self, call: Call) -> Subscription:
        for one in self.active():
            if one.id == call.arguments["id"].lower() and one.creator == _creator(call):
                return one
        raise GraphError(404, "ResourceNotFound", "The object was not found.")

    def _resource(self, call: Call, resource: str) -> tuple[Person, int]:
        """Return whose mailbox a resource is in, and which folder: 0 for all."""
        path = segments(resource.partition("?")[0])
        if path[0].lower() not in {"me", "users"}:
            raise bad_request(f"Unsupported resource '{resource}'.", "InvalidRequest")
        mailbox, rest = self._gate.mailbox(path, call.bearer)
        lower = tuple(part.lower() for part in rest)
        if not {"Mail.Read", "Mail.ReadWrite"} & call.bearer.scopes:
            raise access_denied()
        if lower == ("messages",):
            return mailbox, 0
        if len(lower) == 3 and (lower[0], lower[2]) == ("mailfolders", "messages"):
            return mailbox, self._folders.find(mailbox.address, rest[1]).mailbox.id
        raise bad_request(f"Unsupported resource '{resource}'.", "InvalidRequest")

    def _expiration(self, text: object, mailbox: str) -> datetime:
        try:
            expires = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(text)))
        except ValueError as error:
            raise bad_request("The expiration is not a date and time.", "InvalidRequest") from error
        expires = expires.replace(tzinfo=UTC) if expires.tzinfo is None else expires.astimezone(UTC)
        longest = _LONGEST_BEFORE if self._failures.active(Failure.OLD_SUBSCRIPTION_LIMIT, mailbox) else _LONGEST
        now = self._clock()
        if expires > now + longest:
            minutes = int(longest.total_seconds() // 60)
            message = f"Subscription expiration can only be {minutes} minutes in the future."
            raise bad_request(message, "InvalidRequest")
        if expires <= now:
            raise bad_request("ExpirationDateTime must be a date in the future.", "InvalidRequest")
        return max(expires, now + _SHORTEST)

    def _check_room(self, subscription: Subscription) -> None:
        others = [one for one in self.active() if one.mailbox == subscription.mailbox]
        if any(one.same_as(subscription) for one in others):
            raise GraphError(409, "Conflict", "A subscription with the same resource and change type exists already.")
        if len(others) >= _PER_MAILBOX:
            raise GraphError(403, "ExtensionError", "The mailbox has as many subscriptions as it may have.")

    def _save(self, subscription: Subscription) -> None:
        value = msgspec.json.encode(subscription)
        self._database.execute("INSERT OR REPLACE INTO subscriptions VALUES (?, ?)", (subscription.id, value))

    def _answer(self, call: Call, subscription: Subscription, status: int = 200) -> Response:
        context = call.context("subscriptions/$entity")
        return call.answer({"@odata.context": context, **_resource(subscription)}, status)


def _optional(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise bad_request(f"The property '{name}' is not valid.", "InvalidRequest")
    return value


def _creator(call: Call) -> str:
    return call.bearer.person or directory.CLIENT_ID


def _change_type(text: str) -> str:
    names = [name.strip().lower() for name in text.split(",")]
    if not names or not _CHANGE_TYPES.issuperset(names):
        raise bad_request(f"The change type '{text}' is not valid.", "InvalidRequest")
    return ",".join(names)


def _resource(subscription: Subscription) -> dict[str, Any]:
    creator = directory.find(subscription.creator)
    return {
        "id": subscription.id,
        "resource": subscription.resource,
        "applicationId": directory.CLIENT_ID,
        "changeType": subscription.change_type,
        "clientState": subscription.client_state,
        "notificationUrl": subscription.notification_url,
        "lifecycleNotificationUrl": subscription.lifecycle_url,
        "expirationDateTime": moment(subscription.expires),
        "creatorId": subscription.creator if creator is None else creator.object_id,
        "includeResourceData": None,
        "latestSupportedTlsVersion": "v1_2",
        "encryptionCertificate": None,
        "encryptionCertificateId": None,
        "notificationUrlAppId": None,
        "notificationQueryOptions": None,
    }

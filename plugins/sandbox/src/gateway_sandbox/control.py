"""The control endpoint: switches, counters and mail from nowhere, for tests and for trying things out."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gateway_sandbox import directory
from gateway_sandbox.failures import FOR_EVERYBODY, Failure, Failures
from gateway_sandbox.grants import Grants
from gateway_sandbox.graph import Graph
from gateway_sandbox.imap import ImapServer
from gateway_sandbox.mailstore import INBOX, MailStore
from gateway_sandbox.smtp import SmtpServer
from gateway_sandbox.token_endpoint import TokenEndpoint
from gateway_sandbox.tokens import Tokens
from gateway_sandbox.web import Request, Response, Routes, json_response


class SwitchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /sandbox/failures``."""

    failure: Failure
    on: bool = True
    user: str | None = None
    seconds: float | None = None
    share: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 1.0


class ExpireRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /sandbox/tokens/expire``: whose tokens, and the lifetime in seconds of those to come."""

    lifetime: int | None = None
    user: str | None = None


class LifecycleRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of ``POST /sandbox/lifecycle``: what the subscribers of a mailbox, or all, are told."""

    event: Literal["reauthorizationRequired", "subscriptionRemoved", "missed"]
    user: str | None = None


class Control:
    """Answers under ``/sandbox``."""

    def __init__(
        self,
        *,
        failures: Failures,
        grants: Grants,
        tokens: Tokens,
        token_endpoint: TokenEndpoint,
        store: MailStore,
        imap: ImapServer,
        smtp: SmtpServer,
        graph: Graph,
    ) -> None:
        self._failures = failures
        self._grants = grants
        self._tokens = tokens
        self._token_endpoint = token_endpoint
        self._store = store
        self._imap = imap
        self._smtp = smtp
        self._graph = graph

    def add_routes(self, routes: Routes) -> None:
        """Register the endpoints."""
        routes.add("GET", "/sandbox/failures", self._list)
        routes.add("POST", "/sandbox/failures", self._switch)
        routes.add("DELETE", "/sandbox/failures", self._reset)
        routes.add("POST", "/sandbox/tokens/expire", self._expire)
        routes.add("POST", "/sandbox/deliver", self._deliver)
        routes.add("POST", "/sandbox/lifecycle", self._lifecycle)
        routes.add("GET", "/sandbox/statistics", self._statistics)

    async def _list(self, request: Request) -> Response:
        return json_response({"failures": self._failures.listing(), "known": list(Failure)})

    async def _switch(self, request: Request) -> Response:
        try:
            wanted = msgspec.json.decode(request.body, type=SwitchRequest)
        except msgspec.DecodeError as error:
            return json_response({"error": str(error)}, 400)
        if wanted.user is not None and wanted.failure in FOR_EVERYBODY:
            return json_response({"error": f"{wanted.failure} happens to everybody: it takes no user"}, 400)
        if not wanted.on:
            self._failures.switch_off(wanted.failure, wanted.user)
            return await self._list(request)
        switch = self._failures.switch_on(wanted.failure, wanted.user, wanted.seconds, wanted.share)
        if wanted.failure is Failure.GRANT_REVOKED:
            self._grants.revoke(switch.user)
            self._tokens.invalidate(switch.user)
            self._imap.drop_invalid()
        return await self._list(request)

    async def _reset(self, request: Request) -> Response:
        self._failures.reset()
        self._tokens.reset_lifetime()
        return await self._list(request)

    async def _expire(self, request: Request) -> Response:
        try:
            wanted = msgspec.json.decode(request.body or b"{}", type=ExpireRequest)
        except msgspec.DecodeError as error:
            return json_response({"error": str(error)}, 400)
        if wanted.lifetime is not None:
            self._tokens.lifetime = wanted.lifetime
        self._tokens.invalidate(wanted.user)
        self._imap.drop_invalid()
        return json_response({"lifetime": self._tokens.lifetime})

    async def _deliver(self, request: Request) -> Response:
        person = directory.find(request.query.get("user", ""))
        try:
            mailbox = self._store.mailbox(person.address if person else "", request.query.get("mailbox", INBOX))
        except KeyError:
            return json_response({"error": "no such user or mailbox"}, 404)
        if not request.body:
            return json_response({"error": "the body must be a message"}, 400)
        uid = self._store.append(mailbox.id, request.body)
        return json_response({"uid": uid, "uidValidity": mailbox.uid_validity, "mailbox": mailbox.name}, 201)

    async def _lifecycle(self, request: Request) -> Response:
        try:
            wanted = msgspec.json.decode(request.body, type=LifecycleRequest)
        except msgspec.DecodeError as error:
            return json_response({"error": str(error)}, 400)
        mailbox = None if wanted.user is None else wanted.user.lower()
        return json_response({"subscriptions": self._graph.subscriptions.lifecycle(wanted.event, mailbox)})

    async def _statistics(self, request: Request) -> Response:
        return json_response(
            {
                "tokenRequests": self._token_endpoint.requests,
                "tokenRefusals": self._token_endpoint.refusals,
                "imapLogins": self._imap.logins,
                "submissions": self._smtp.submissions,
                "graph": {
                    "requests": self._graph.throttle.requests,
                    "throttled": self._graph.throttle.refused,
                    "peak": self._graph.throttle.peak,
                    "submissions": self._graph.sending.submissions,
                    "notifications": {str(status): number for status, number in self._graph.notifier.sent.items()},
                },
            }
        )

"""Calls on one mailbox over Microsoft Graph v1.0: token, preferences, turns, pauses, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from gateway.errors import GatewayError, RateLimitError, ServiceUnavailableError
from gateway.provider import Credentials, Login
from gateway_outlook_graph.errors import refusal
from gateway_outlook_graph.gate import Gate, Priority
from gateway_outlook_graph.limits import Limits
from gateway_outlook_graph.transport import Reply, Stream, Transport

T = TypeVar("T")
#: Ids that a message keeps when it moves (https://learn.microsoft.com/graph/outlook-immutable-id).
IMMUTABLE_IDS = 'IdType="ImmutableId"'
_HARMLESS_TWICE = frozenset({"GET", "PATCH", "PUT", "DELETE"})


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    Attributes:
        path: below the mailbox, e.g. ``/messages``; see `path`.
        query: system query options.
        json: what the body is made of, or
        text: the body itself, sent as ``text/plain``: MIME in base64.
        prefer: preferences (RFC 7240) beside that for immutable ids.
    """

    method: str = "GET"
    path: str = ""
    query: Mapping[str, str] = {}
    json: Any = None
    text: bytes | None = None
    prefer: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}

    @property
    def target(self) -> str:
        """Path and query."""
        query = urlencode(self.query, quote_via=quote, safe="$,'()/:")
        return f"{self.path}?{query}" if query else self.path

    def all_headers(self) -> dict[str, str]:
        """Return the headers, without the token."""
        found = {**self.headers, "Prefer": ", ".join((IMMUTABLE_IDS, *self.prefer))}
        if self.text is not None:
            found["Content-Type"] = "text/plain"
        elif self.json is not None:
            found["Content-Type"] = "application/json"
        return found

    def body(self) -> bytes | None:
        """Return the octets of the body."""
        return self.text if self.text is not None or self.json is None else msgspec.json.encode(self.json)


def path(*segments: str) -> str:
    """Return a path of segments, of which any may come from outside."""
    return "".join(f"/{quote(segment, safe='$')}" for segment in segments)


class GraphClient:
    """Calls on one mailbox; sessions of the same mailbox share the gate."""

    def __init__(
        self,
        *,
        base: str,
        mailbox: str,
        credentials: Credentials,
        transport: Transport,
        gate: Gate,
        limits: Limits,
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        """Prepare.

        Args:
            base: address of the service with its version.
            mailbox: path of the mailbox, ``/me`` or ``/users/...``.
            credentials: hand out access tokens.
            transport: to the host of `base`.
            gate: of the mailbox.
            limits: deadlines.
            sleep: waits.
            clock: monotonic seconds.
        """
        self.base = base
        self.mailbox = mailbox
        self._credentials = credentials
        self._transport = transport
        self._gate = gate
        self._limits = limits
        self._sleep = sleep
        self._clock = clock
        self._login: Login | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    async def get(
        self, kind: type[T], path: str, query: Mapping[str, str] | None = None, *, prefer: tuple[str, ...] = ()
    ) -> T:
        """Return what a path holds. Raises like `call`."""
        return read(await self.call(Request(path=path, query=query or {}, prefer=prefer)), kind)

    async def call(self, request: Request, priority: Priority = Priority.INTERACTIVE, *, batch: bool = False) -> Reply:
        """Make a call that succeeds, after waiting where the service asks for it.

        Args:
            request: what to send.
            priority: who waits for it.
            batch: it is a batch: below the service and not the mailbox, and many calls at once.

        Raises:
            GatewayError: see `gateway_outlook_graph.errors`.
        """
        url = f"{self.base}{'' if batch else self.mailbox}{request.target}"
        body = request.body()
        again = batch or request.method in _HARMLESS_TWICE

        async def attempt(login: Login) -> Reply:
            headers = {**request.all_headers(), "Authorization": f"Bearer {login.access_token}"}
            async with self._gate.place(priority, all_of_them=batch):
                return await self._transport.call(request.method, url, headers, body)

        return await self._until_accepted(attempt, again=again)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Stream]:
        """Make a call whose answer comes in pieces; it holds its place until it is read."""
        async with self._gate.place(Priority.INTERACTIVE):
            for renewed in (False, True):
                login = await self._logged_in()
                headers = {**request.all_headers(), "Authorization": f"Bearer {login.access_token}"}
                url = f"{self.base}{self.mailbox}{request.target}"
                async with self._transport.stream(request.method, url, headers) as stream:
                    if stream.status < 400:
                        yield stream
                        return
                    error = refusal(stream.status, stream.headers, await stream.rest())
                    if stream.status != 401 or renewed:
                        self._note(error)
                        raise error
                self._login = await self._credentials.login("api", refused=login)

    async def put_piece(self, url: str, headers: Mapping[str, str], piece: bytes) -> Reply:
        """Send a piece of an upload to the address that its session gave: it takes no token."""
        async with self._gate.place(Priority.INTERACTIVE):
            reply = await self._transport.call("PUT", url, headers, piece)
        if reply.status >= 400:
            raise refusal(reply.status, reply.headers, reply.body)
        return reply

    async def pause(self, retry_after: float, deadline: float) -> None:
        """Wait after a refusal, longer each time.

        Raises:
            RateLimitError: there is no time left for it.
        """
        wait = self._gate.refused(retry_after)
        if self._clock() + wait > deadline:
            raise RateLimitError("Microsoft Graph asks for a pause", retry_after=wait)
        await self._sleep(wait)

    def deadline(self) -> float:
        """Return until when pauses are waited for that begin now."""
        return self._clock() + self._limits.patience

    async def _until_accepted(self, attempt: Callable[[Login], Awaitable[Reply]], *, again: bool) -> Reply:
        deadline = self.deadline()
        renewed = False
        attempts = 0
        while True:
            await self._wait_for_others(deadline)
            login = await self._logged_in()
            reply = await attempt(login)
            if reply.status < 400:
                self._gate.accepted()
                return reply
            error = refusal(reply.status, reply.headers, reply.body)
            if reply.status == 401 and not renewed:
                renewed = True
                self._login = await self._credentials.login("api", refused=login)
            elif isinstance(error, RateLimitError):
                await self.pause(error.retry_after, deadline)
            elif isinstance(error, ServiceUnavailableError) and again and attempts < self._limits.attempts - 1:
                attempts += 1
                if self._clock() + (wait := self._limits.floor * 2**attempts) > deadline:
                    raise error
                await self._sleep(wait)
            else:
                raise error

    async def _wait_for_others(self, deadline: float) -> None:
        """Wait until the pause is over that the service asked another call for."""
        while (wait := self._gate.pause) > 0:
            if self._clock() + wait > deadline:
                raise RateLimitError("Microsoft Graph asked for a pause", retry_after=wait)
            await self._sleep(wait)

    async def _logged_in(self) -> Login:
        if self._login is None:
            self._login = await self._credentials.login("api")
        return self._login

    def _note(self, error: GatewayError) -> None:
        if isinstance(error, RateLimitError):
            self._gate.refused(error.retry_after)


def read(reply: Reply, kind: type[T]) -> T:
    """Return the JSON of an answer.

    Raises:
        ServiceUnavailableError: it is none, or has another shape.
    """
    return decoded(reply.body, kind)


def decoded(octets: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Return JSON as a struct. Raises like `read`."""
    try:
        return msgspec.json.decode(octets, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ServiceUnavailableError("Microsoft Graph answered something that cannot be read") from None

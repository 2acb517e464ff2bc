"""Calls on one mailbox over Microsoft Graph v1.0: token, preferences, turns, pauses, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from gateway.errors import RateLimitError, ServiceUnavailableError
from gateway.provider import Credentials, Login
from gateway_outlook_graph.errors import pause_of, refusal
from gateway_outlook_graph.gate import Gate
from gateway_outlook_graph.limits import Limits
from gateway_outlook_graph.pace import Pace
from gateway_outlook_graph.priority import Priority
from gateway_outlook_graph.transport import Reply, Stream, Transport

T = TypeVar("T")
#: Ids that a message keeps when it moves (https://learn.microsoft.com/graph/outlook-immutable-id).
IMMUTABLE_IDS = 'IdType="ImmutableId"'
_HARMLESS_TWICE = frozenset({"GET", "PATCH", "PUT", "DELETE"})
#: The service says that it did not take the call; what else is a fault of a server may have been done all the same.
NOT_TAKEN = 503


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    Attributes:
        path: below the mailbox, e.g. ``/messages``; see `path`.
        of_mailbox: whether it is; else below the service.
        query: system query options.
        json: what the body is made of, or
        text: the body itself, sent as ``text/plain``: MIME in base64.
        prefer: preferences (RFC 7240) beside that for immutable ids.
    """

    method: str = "GET"
    path: str = ""
    of_mailbox: bool = True
    query: Mapping[str, str] = {}
    json: Any = None
    text: bytes | None = None
    prefer: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}

    @property
    def harmless_twice(self) -> bool:
        """Whether it may be made again when nobody knows what became of it."""
        return self.method in _HARMLESS_TWICE

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


class _Tries:
    """What was tried for one call, and until when."""

    def __init__(self, deadline: float, *, again: bool) -> None:
        self.deadline = deadline
        self.again = again
        self.failed = 0
        self.renewed = False


class GraphClient:
    """Calls on one mailbox; sessions of the same mailbox share the gate, those of the same app the pace.

    Attributes:
        until: monotonic seconds up to which pauses may be waited for; None when nobody waits for the session.
    """

    def __init__(
        self,
        *,
        base: str,
        mailbox: str,
        credentials: Credentials,
        transport: Transport,
        gate: Gate,
        pace: Pace,
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
            pace: of the app.
            limits: deadlines.
            sleep: waits.
            clock: monotonic seconds.
        """
        self.base = base
        self.mailbox = mailbox
        self._credentials = credentials
        self._transport = transport
        self._gate = gate
        self._pace = pace
        self._limits = limits
        self._sleep = sleep
        self._clock = clock
        self._login: Login | None = None
        self.until: float | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    async def get(
        self, kind: type[T], path: str, query: Mapping[str, str] | None = None, *, prefer: tuple[str, ...] = ()
    ) -> T:
        """Return what a path holds. Raises like `call`."""
        return read(await self.call(Request(path=path, query=query or {}, prefer=prefer)), kind)

    async def call(self, request: Request, priority: Priority = Priority.INTERACTIVE, *, batch: int = 0) -> Reply:
        """Make a call that succeeds, after waiting where the service asks for it.

        Args:
            request: what to send.
            priority: who waits for it.
            batch: of how many calls it is a batch.

        Raises:
            GatewayError: see `gateway_outlook_graph.errors`.
        """
        url = f"{self.base}{self.mailbox if request.of_mailbox else ''}{request.target}"
        body = request.body()
        tries = _Tries(self.deadline(), again=bool(batch) or request.harmless_twice)
        while True:
            await self._turn(priority, batch or 1, tries.deadline)
            login = await self._logged_in()
            headers = {**request.all_headers(), "Authorization": f"Bearer {login.access_token}"}
            async with self._gate.place(priority, all_of_them=bool(batch)):
                reply = await self._transport.call(request.method, url, headers, body)
            if reply.status < 400:
                self._accepted()
                return reply
            await self._recover(reply, tries, login)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Stream]:
        """Make a call whose answer comes in pieces; it holds its place until it is read. Raises like `call`."""
        url = f"{self.base}{self.mailbox}{request.target}"
        tries = _Tries(self.deadline(), again=True)
        while True:
            await self._turn(Priority.INTERACTIVE, 1, tries.deadline)
            login = await self._logged_in()
            headers = {**request.all_headers(), "Authorization": f"Bearer {login.access_token}"}
            async with (
                self._gate.place(Priority.INTERACTIVE),
                self._transport.stream(request.method, url, headers) as stream,
            ):
                if stream.status < 400:
                    self._accepted()
                    yield stream
                    return
                reply = Reply(status=stream.status, headers=stream.headers, body=await stream.rest())
            await self._recover(reply, tries, login)

    async def call_upload(self, method: str, url: str, headers: Mapping[str, str], piece: bytes | None = None) -> Reply:
        """Call the address that an upload session gave: it takes no token. Raises like `call`.

        What failed is not tried again here, as only the service knows how much of a piece it has.
        """
        tries = _Tries(self.deadline(), again=False)
        while True:
            await self._turn(Priority.BACKGROUND, 1, tries.deadline)
            async with self._gate.place(Priority.BACKGROUND):
                reply = await self._transport.call(method, url, headers, piece)
            if reply.status < 400:
                self._accepted()
                return reply
            await self._recover(reply, tries, None)

    async def pause(self, retry_after: float, deadline: float) -> None:
        """Wait after a refusal, longer each time.

        Raises:
            RateLimitError: there is no time left for it.
        """
        self._pace.refused()
        wait = self._gate.refused(retry_after)
        if self._clock() + wait > deadline:
            raise RateLimitError("Microsoft Graph asks for a pause", retry_after=wait)
        await self._sleep(wait)

    async def wait_again(self, failed: int, deadline: float) -> bool:
        """Wait before a call is made again that failed so often; tell whether there is time for that."""
        wait = self._limits.floor * 2**failed
        if failed >= self._limits.attempts or self._clock() + wait > deadline:
            return False
        await self._sleep(wait)
        return True

    def deadline(self) -> float:
        """Return until when pauses are waited for that begin now."""
        return self._clock() + self._limits.patience if self.until is None else self.until

    async def _turn(self, priority: Priority, calls: int, deadline: float) -> None:
        """Wait until the pause of the mailbox is over, and for a turn of the mailbox and of the app.

        Raises:
            RateLimitError: there is no time left for it.
        """
        gate = self._gate
        while (wait := gate.pause or gate.budget.wait(priority) or self._pace.take(priority, calls)) > 0:
            if self._clock() + wait > deadline:
                raise RateLimitError("Microsoft Graph asked for a pause", retry_after=wait)
            await self._sleep(wait)
        gate.budget.spend(calls)

    async def _recover(self, reply: Reply, tries: _Tries, login: Login | None) -> None:
        """Wait until a refused call can be made again.

        Raises:
            GatewayError: it cannot.
        """
        error = refusal(reply.status, reply.headers, reply.body)
        if reply.status == 401 and login is not None and not tries.renewed:
            tries.renewed = True
            self._login = await self._credentials.login("api", refused=login)
        elif isinstance(error, RateLimitError):
            await self.pause(error.retry_after, tries.deadline)
        elif reply.status == NOT_TAKEN:
            try:
                await self.pause(pause_of(reply.headers) or 0.0, tries.deadline)
            except RateLimitError:
                raise error from None
        elif isinstance(error, ServiceUnavailableError) and tries.again:
            tries.failed += 1
            if not await self.wait_again(tries.failed, tries.deadline):
                raise error
        else:
            raise error

    def _accepted(self) -> None:
        self._gate.accepted()
        self._pace.accepted()

    async def _logged_in(self) -> Login:
        if self._login is None:
            self._login = await self._credentials.login("api")
        return self._login


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

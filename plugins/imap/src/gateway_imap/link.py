"""From the event loop to the connection: opened when needed, logged in, used in a thread, replaced when it died."""

from __future__ import annotations

import asyncio
import imaplib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from gateway.errors import AccountError, ConnectError, ReauthorizationError
from gateway.model.server import Server
from gateway.provider import Credentials, Login, MessageSource, ProtocolLog, Route
from gateway.smtp.socket_codes import TIMED_OUT
from gateway_imap.connection import Connection
from gateway_imap.dialing import ImapTimeouts
from gateway_imap.errors import ExplainImap, connection_error
from gateway_imap.wire import quoted

P = ParamSpec("P")
R = TypeVar("R")

# Seconds without use after which a connection may have died unnoticed (servers log out, gateways forget).
_DOUBTFUL = 5.0
_THREADS = 64


@lru_cache(maxsize=1)
def shared_threads() -> Executor:
    """Return the threads that all IMAP sessions of the process share.

    Not the event loop's own: those are few, and name resolution waits in them.
    """
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="imap")


class Link:
    """Runs blocking operations on one account's connection, one at a time."""

    def __init__(
        self,
        server: Server,
        credentials: Credentials,
        *,
        user: str | None,
        explain: ExplainImap | None,
        timeouts: ImapTimeouts | None,
        threads: Executor | None,
        route: Route,
        log: ProtocolLog | None,
    ) -> None:
        """Prepare; no input or output happens.

        Args:
            server: where the mailbox is.
            credentials: asked for a login each time a connection is opened.
            user: name to log in with instead of the login's own.
            explain: consulted first about each refusal.
            timeouts: see `ImapTimeouts`.
            threads: where to run; the process's shared threads without it.
            route: which way to take.
            log: takes what goes over the connection.
        """
        self._server = server
        self._credentials = credentials
        self._user = user
        self._explain = explain
        self._timeouts = timeouts
        self._threads = threads or shared_threads()
        self._route = route
        self._log = log
        self._connection: Connection | None = None

    async def read(self, operation: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run an operation that may be done twice: it is, if an idle connection turns out to be dead."""
        doubtful = self._doubtful()
        connection = await self._ready()
        try:
            return await self._run(partial(operation, connection, *args, **kwargs), connection)
        except ConnectError as error:
            if not doubtful or error.native_code == TIMED_OUT:
                raise
        connection = await self._ready()
        return await self._run(partial(operation, connection, *args, **kwargs), connection)

    async def write(self, operation: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run an operation once, on a connection that is known to live."""
        connection = await self._ready()
        if self._doubtful():
            try:
                await self._run(partial(connection.command, b"NOOP"), connection)
            except ConnectError:
                connection = await self._ready()
        return await self._run(partial(operation, connection, *args, **kwargs), connection)

    async def close(self) -> None:
        """Log out."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.wrap_future(self._threads.submit(connection.close))

    def _doubtful(self) -> bool:
        connection = self._connection
        return connection is not None and connection.alive and time.monotonic() - connection.last_used > _DOUBTFUL

    async def _ready(self) -> Connection:
        """Return a connection that is logged in; a refused access token is renewed once."""
        if self._connection is not None and self._connection.alive:
            return self._connection
        await self.close()
        login = await self._credentials.login("imap")
        try:
            self._connection = await self._run(partial(self._open, login))
        except ReauthorizationError:
            renewed = await self._credentials.login("imap", refused=login)
            if renewed == login:
                raise
            self._connection = await self._run(partial(self._open, renewed))
        return self._connection

    def _open(self, login: Login) -> Connection:
        connection = Connection(
            self._server, timeouts=self._timeouts, explain=self._explain, route=self._route, log=self._log
        )
        try:
            connection.log_in(login, self._user)
            if self._route.client and connection.has("ID"):
                fields = (quoted(text) for field in self._route.client for text in field)
                connection.command(b"ID", b"(" + b" ".join(fields) + b")", tolerate=True)
        except Exception:
            connection.close()
            raise
        return connection

    async def _run(self, call: Callable[[], R], connection: Connection | None = None) -> R:
        """Run in a thread; whoever stops waiting also cuts the connection, which is in the middle of something."""
        future = self._threads.submit(call)
        try:
            return await asyncio.wrap_future(future)
        except (OSError, imaplib.IMAP4.error) as error:
            raise connection_error(error, explain=self._explain) from error
        except AccountError:
            if connection is not None:
                connection.abort()
            raise
        except asyncio.CancelledError:
            if connection is not None:
                connection.abort()
            future.add_done_callback(_discard)
            raise


def drawn(source: MessageSource) -> Iterator[bytes]:
    """Return a message for a thread to read, which waits while the running event loop gets each chunk."""
    loop, chunks = asyncio.get_running_loop(), source.chunks()

    async def following() -> bytes | None:
        return await anext(chunks, None)

    def read() -> Iterator[bytes]:
        while (chunk := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
            yield chunk

    return read()


def _discard(future: Future[Any]) -> None:
    """Close a connection that nobody waits for any more."""
    if not future.cancelled() and future.exception() is None:
        result = future.result()
        if isinstance(result, Connection):
            result.close()

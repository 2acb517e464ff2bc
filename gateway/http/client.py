"""The one client for outbound HTTP.

aiohttp, because its connector lets the gateway make each socket itself (`socket_factory`, since 3.12): the egress
rules see the very address that is connected to, after name resolution and also for a URL with a literal address.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from yarl import URL

import gateway
from gateway.errors import ConnectError
from gateway.http.egress import refusal
from gateway.settings import Egress

USER_AGENT = f"email-gateway/{gateway.__version__}"

#: Octets of an answer that are read; a receiver has nothing to tell beyond its status.
ANSWER_LIMIT = 16_384

#: Seconds from the call to the end of the answer.
TIMEOUT = 30.0


class EgressRefusedError(OSError):
    """An address is against the egress rules; an `OSError`, so that another address of the same name is tried."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server answered; `body` is its beginning. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def success(self) -> bool:
        """Whether the server took what it was sent."""
        return 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether there is nobody any more who wants it (RFC 9110 section 15.5.11)."""
        return self.status == 410

    @property
    def redirect(self) -> str | None:
        """Where it is instead, perhaps relative (RFC 9110 section 10.2.2); None when the answer is no redirect."""
        return self.headers.get("location") if self.status in (301, 302, 303, 307, 308) else None

    @property
    def retry_after(self) -> str | None:
        """When to come back, if the server is too busy and says so (RFC 6585 section 4, RFC 9110 section 15.6.4)."""
        return self.headers.get("retry-after") if self.status in (429, 503) else None


class _Attempt:
    """One sending of a request; `reused` tells that the connection had carried another one before."""

    reused = False


def _noting_reuse() -> aiohttp.TraceConfig:
    async def note(session: aiohttp.ClientSession, context: Any, parameters: Any) -> None:
        context.trace_request_ctx.reused = True

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(note)
    return config


class HttpClient:
    """Calls addresses that the egress rules allow. Never follows a redirect, keeps no cookie, uses no proxy."""

    def __init__(
        self, egress: Egress, *, tls: ssl.SSLContext | None = None, resolver: AbstractResolver | None = None
    ) -> None:
        """Prepare; nothing is opened before the first call.

        Args:
            egress: which addresses may be connected to.
            tls: instead of one that trusts the system's authorities.
            resolver: instead of the system's.
        """
        self._egress = egress
        self._tls = tls
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout: float = TIMEOUT) -> Answer:
        """Send a body and return the answer, whatever its status. User and password of the URL become Basic auth.

        Raises:
            ConnectError: there was no answer; `error_code` is one of EgressRefused, TlsFailed, NameNotFound,
                ConnectFailed, Timeout, ProtocolError, InvalidUrl. The text never holds the address.
        """
        return await self._call("POST", url, body, headers, timeout=timeout, limit=ANSWER_LIMIT)

    async def get(self, url: str, *, timeout: float = TIMEOUT, limit: int = ANSWER_LIMIT) -> Answer:
        """Fetch up to `limit` octets and return the answer, whatever its status. Raises like `post`."""
        return await self._call("GET", url, None, {}, timeout=timeout, limit=limit)

    async def _call(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float, limit: int
    ) -> Answer:
        target, sent = prepare(url, headers)
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(method, target, body, sent, limit)
        except TimeoutError:
            raise ConnectError("no answer in time", code="Timeout") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Its text names the URL, which may hold a secret.
            raise _failure(error) from None

    async def _exchange(
        self, method: str, target: URL, body: bytes | None, headers: Mapping[str, str], limit: int
    ) -> Answer:
        session = self._opened()
        while True:
            attempt = _Attempt()
            try:
                async with session.request(
                    method, target, data=body, headers=headers, allow_redirects=False, trace_request_ctx=attempt
                ) as response:
                    found = await _beginning(response, limit)
                    answered = {name.lower(): value for name, value in response.headers.items()}
                    return Answer(status=response.status, headers=answered, body=found)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # The server closed a connection that had been idle, just as it was used again (RFC 9112 section 9.3.1).
                if not attempt.reused:
                    raise

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                socket_factory=self._socket,
                resolver=self._resolver,
                use_dns_cache=False,
                ssl=self._tls or ssl.create_default_context(),
                limit=0,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                # An answer is shown as it came; a few octets could inflate to gigabytes.
                auto_decompress=False,
                trust_env=False,
                trace_configs=[_noting_reuse()],
            )
        return self._session

    def _socket(self, found: Any) -> socket.socket:
        family, kind, protocol, _, address = found
        if refusal(str(address[0]), self._egress) is not None:
            raise EgressRefusedError("address refused")
        return socket.socket(family, kind, protocol)


def prepare(url: str, headers: Mapping[str, str]) -> tuple[URL, dict[str, str]]:
    """Return the URL without user, password and fragment, and the headers with what those mean.

    Raises:
        ConnectError: the URL is none that can be called.
    """
    try:
        parsed = URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host or not parsed.port:
            raise ValueError
    except ValueError:
        raise ConnectError("not an http or https URL", code="InvalidUrl") from None
    sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
    if parsed.user is not None or parsed.password is not None:
        pair = f"{parsed.user or ''}:{parsed.password or ''}"
        if not any(name.lower() == "authorization" for name in sent):
            sent["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        parsed = parsed.with_user(None)
    return parsed.with_fragment(None), sent


async def _beginning(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read up to the limit; the connection of an answer that goes on is closed, not read empty."""
    found = bytearray()
    while len(found) < limit:
        chunk = await response.content.read(limit - len(found))
        if not chunk:
            return bytes(found)
        found += chunk
    response.close()
    return bytes(found)


def _failure(error: Exception) -> ConnectError:
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, EgressRefusedError):
        return ConnectError("the egress rules do not allow the address", code="EgressRefused")
    if isinstance(error, aiohttp.ClientSSLError):
        return ConnectError("no trusted TLS connection", code="TlsFailed")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return ConnectError("the host has no address", code="NameNotFound")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ServerDisconnectedError | OSError):
        return ConnectError("the connection failed", code="ConnectFailed")
    if isinstance(error, aiohttp.InvalidURL):
        return ConnectError("not an http or https URL", code="InvalidUrl")
    return ConnectError("the answer is not proper HTTP", code="ProtocolError")

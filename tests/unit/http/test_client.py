"""The client of outbound HTTP, against servers that behave as they like."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.errors import ConnectError
from gateway.http import HttpClient
from gateway.http.client import ANSWER_LIMIT
from gateway.settings import Egress

pytestmark = pytest.mark.anyio

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextlib.asynccontextmanager
async def served(conversation: Conversation) -> AsyncIterator[tuple[str, HttpClient]]:
    """A server that does what it is told with every connection, and a client."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await conversation(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = HttpClient(Egress(private=True))
    async with server:
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", client
        finally:
            await client.aclose()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(2)


async def failure(client: HttpClient, url: str, *, timeout: float = 5) -> str:
    with pytest.raises(ConnectError) as caught:
        await client.post(url, b"{}", {}, timeout=timeout)
    assert "127.0.0.1" not in str(caught.value)
    return caught.value.error_code


async def test_a_connection_is_kept_for_the_next_request() -> None:
    connections = requests = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections, requests
        connections += 1
        while True:
            await read_request(reader)
            requests += 1
            writer.write(TAKEN)

    async with served(take) as (url, client):
        for _ in range(3):
            assert (await client.post(url, b"{}", {})).status == 204
        assert (connections, requests) == (1, 3)


async def test_a_request_that_meets_the_end_of_a_kept_connection_is_sent_through_a_new_one() -> None:
    """Servers close idle connections when they like, perhaps in the same moment."""
    requests = 0

    async def take_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        writer.write(TAKEN)
        # The next one is read and not answered.
        await read_request(reader)
        requests += 1

    async with served(take_one) as (url, client):
        for _ in range(4):
            assert (await client.post(url, b"{}", {})).status == 204
        assert requests == 3


async def test_a_server_that_answers_nothing_on_a_new_connection_is_not_asked_twice() -> None:
    requests = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1

    async with served(hang_up) as (url, client):
        assert await failure(client, url) == "ConnectFailed"
        assert requests == 1


async def test_a_silent_server_costs_no_more_than_the_time_it_is_given() -> None:
    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with served(keep_silent) as (url, client):
        assert await failure(client, url, timeout=0.2) == "Timeout"


async def test_a_server_that_answers_byte_by_byte_costs_no_more_either() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with served(trickle) as (url, client):
        assert await failure(client, url, timeout=0.3) == "Timeout"


async def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with served(pour) as (url, client):
        answer = await client.post(url, b"{}", {}, timeout=5)
        assert (answer.status, len(answer.body)) == (200, ANSWER_LIMIT)


async def test_an_answer_is_not_inflated() -> None:
    bomb = zlib.compress(b"\0" * 10_000_000)

    async def deflate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: {len(bomb)}\r\n\r\n"
        writer.write(head.encode() + bomb)
        await writer.drain()

    async with served(deflate) as (url, client):
        answer = await client.post(url, b"{}", {}, timeout=5)
        assert answer.body == bomb[:ANSWER_LIMIT]


async def test_what_is_no_http_is_said_to_be_none() -> None:
    async def speak_smtp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()

    async with served(speak_smtp) as (url, client):
        assert await failure(client, url) == "ProtocolError"


async def test_a_redirect_is_an_answer_like_any_other() -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")

    async with served(redirect) as (url, client):
        answer = await client.post(url, b"{}", {}, timeout=5)
        assert (answer.status, answer.success) == (307, False)


async def test_cookies_are_not_kept() -> None:
    heads: list[bytes] = []

    async def set_cookie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await read_request(reader))
            writer.write(b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n")

    async with served(set_cookie) as (url, client):
        await client.post(url, b"{}", {})
        await client.post(url, b"{}", {})
        assert b"cookie" not in heads[1].lower()


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "http://", "http://[bad/", "nonsense", "http://example.com:99999/"]
)
async def test_a_url_that_leads_nowhere_is_refused(url: str) -> None:
    client = HttpClient(Egress(private=True))
    assert await failure(client, url) == "InvalidUrl"


async def test_user_and_password_are_no_part_of_the_request_line() -> None:
    heads: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_request(reader))
        writer.write(TAKEN)

    async with served(take) as (url, client):
        await client.post(f"{url.replace('//', '//user:secret@')}path?query#fragment", b"{}", {})
    assert heads[0].startswith(b"POST /path?query HTTP/1.1\r\n")
    assert b"secret" not in heads[0]
    assert b"authorization: basic dxnlcjpzzwnyzxq=" in heads[0].lower()

"""Commands over a shared connection, and what becomes of them when it breaks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import quote

import pytest
from redis.exceptions import BusyLoadingError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.redis import Coalescer, Script, open_client
from tests.rigs.certificates import issue_certificates
from tests.rigs.processes import rig_directory
from tests.rigs.redis_server import RedisServer

pytestmark = pytest.mark.anyio

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Coalescer]:
    client = open_client(url)
    try:
        yield Coalescer(client)
    finally:
        await client.aclose()


@contextlib.asynccontextmanager
async def _server(handler: Handler) -> AsyncIterator[str]:
    """A server that lets clients introduce themselves, and answers the rest as the handler says."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            while data := await reader.read(65536):
                introductions = data.count(b"SETINFO")
                if introductions:
                    writer.write(b"+OK\r\n" * introductions)
                else:
                    await handler(data, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()


async def test_each_of_many_commands_at_once_gets_its_own_answer(redis_url: str) -> None:
    async with _opened(redis_url) as caller:
        answers = await asyncio.gather(*(caller.call("ECHO", str(number)) for number in range(2000)))
    assert answers == [str(number).encode() for number in range(2000)]


async def test_commands_and_answers_of_megabytes_come_through_whole(redis_url: str) -> None:
    body = bytes(range(256)) * 40_000
    async with _opened(redis_url) as caller:
        await caller.call("SET", "body", body)
        assert await asyncio.gather(*(caller.call("GET", "body") for _ in range(3))) == [body] * 3


async def test_an_error_belongs_to_its_command_alone(redis_url: str) -> None:
    async with _opened(redis_url) as caller:
        answers = await asyncio.gather(
            caller.call("SET", "a", "1"),
            caller.call("LPUSH", "a", "1"),
            caller.call("ECHO", object()),
            caller.call("GET", "a"),
            return_exceptions=True,
        )
    assert isinstance(answers[1], ResponseError)
    assert isinstance(answers[2], TypeError)
    assert answers[3] == b"1"


async def test_a_caller_that_gave_up_does_not_shift_the_answers_of_others(redis_url: str) -> None:
    async with _opened(redis_url) as caller:
        given_up, kept = caller.call("ECHO", "a"), caller.call("ECHO", "b")
        given_up.cancel()
        assert await kept == b"b"


async def test_a_script_that_the_server_forgot_is_sent_in_full(redis_url: str) -> None:
    script = Script("return ARGV[1]")
    async with _opened(redis_url) as caller:
        assert await script.run(caller, [], "x") == b"x"
        await caller.call("SCRIPT", "FLUSH")
        assert await script.run(caller, [], "y") == b"y"


async def test_commands_go_on_when_the_server_was_killed_and_came_back(durable_redis: RedisServer) -> None:
    async with _opened(durable_redis.database_url(3)) as caller:
        await caller.call("SET", "kept", "1")
        await asyncio.to_thread(durable_redis.kill)
        with pytest.raises(RedisConnectionError):
            await caller.call("GET", "kept")
        await asyncio.to_thread(durable_redis.start)
        assert await caller.call("GET", "kept") == b"1"


async def test_a_unix_socket_serves_as_well(durable_redis: RedisServer) -> None:
    async with _opened(durable_redis.socket_url) as caller:
        assert await caller.call("ECHO", "a") == b"a"


async def test_tls_serves_as_well(durable_redis: RedisServer) -> None:
    with rig_directory("redis-tls") as directory:
        certificates = issue_certificates(directory)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", durable_redis.port)
            with contextlib.closing(writer), contextlib.closing(inner_writer):
                await asyncio.wait(
                    [
                        asyncio.create_task(_copy(reader, inner_writer)),
                        asyncio.create_task(_copy(inner_reader, writer)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )

        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=certificates.server_context())
        port = server.sockets[0].getsockname()[1]
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={quote(str(certificates.authority))}"
        async with _opened(url) as caller:
            answers = await asyncio.gather(*(caller.call("ECHO", str(number)) for number in range(500)))
        server.close()
    assert answers == [str(number).encode() for number in range(500)]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def test_a_server_that_does_not_answer_is_given_up_in_time() -> None:
    asked = 0

    async def silent(data: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += data.count(b"GET")

    async with _server(silent) as url, _opened(f"{url}?socket_timeout=0.05") as caller:
        with pytest.raises(RedisTimeoutError):
            await caller.call("GET", "a")
    assert asked == 1


async def test_a_server_that_is_still_loading_says_so_and_serves_afterwards() -> None:
    asked = 0

    async def loading(data: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.write(b"-LOADING Redis is loading the dataset in memory\r\n" if asked == 1 else b"$1\r\nx\r\n")

    async with _server(loading) as url, _opened(url) as caller:
        with pytest.raises(BusyLoadingError):
            await caller.call("GET", "a")
        assert await caller.call("GET", "a") == b"x"


async def test_a_command_that_may_have_been_done_is_not_sent_again_when_the_connection_breaks() -> None:
    asked = 0

    async def broken(data: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += data.count(b"INCR")
        writer.close()

    async with _server(broken) as url, _opened(url) as caller:
        with pytest.raises(RedisConnectionError):
            await caller.call("INCR", "a")
    assert asked == 1


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n+OK\r\n"])
async def test_answers_that_make_no_sense_end_the_connection_and_the_next_one_serves(garbage: bytes) -> None:
    asked = 0

    async def confused(data: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.write(garbage if asked == 1 else b"$1\r\nx\r\n")

    async with _server(confused) as url, _opened(url) as caller:
        with contextlib.suppress(RedisConnectionError):
            await caller.call("GET", "a")
        assert await caller.call("GET", "a") == b"x"

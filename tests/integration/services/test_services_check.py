"""``gateway check`` finds everything that is wrong at once; the embedded Redis takes only a server that will do."""

from __future__ import annotations

import asyncio
import importlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis

from gateway import embedded_redis
from gateway.check import problems
from gateway.errors import ConfigurationError
from gateway.redis import open_client
from tests.integration.services.world import KEY, World
from tests.rigs.ports import reserve_port
from tests.rigs.processes import rig_directory
from tests.rigs.redis_server import redis_executable

pytestmark = pytest.mark.anyio

SERVICE = "https://gateway.test"


@pytest.fixture
def environment(redis_url: str, tmp_path: Path) -> dict[str, str]:
    """Settings with which nothing is wrong."""
    return {
        "GATEWAY_REDIS_URL": redis_url,
        "GATEWAY_SECRET_KEYS": KEY.hex(),
        "GATEWAY_SERVICE_URL": SERVICE,
        "GATEWAY_DATA_DIR": str(tmp_path),
    }


@pytest.fixture
async def old_redis(anyio_backend: str) -> AsyncIterator[str]:
    """A server that says it is of version 6.0 and throws keys away: enough RESP to answer INFO."""
    hello = b"%1\r\n$5\r\nproto\r\n:3\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = b"redis_version:6.0.16\r\nmaxmemory_policy:allkeys-lru\r\n"
        while line := await reader.readline():
            if line.startswith(b"*"):
                words = [(await reader.readline(), await reader.readline())[1] for _ in range(int(line[1:]))]
                answers = {b"INFO": b"$%d\r\n%s\r\n" % (len(info), info), b"HELLO": hello}
                writer.write(answers.get(words[0].strip().upper(), b"+OK\r\n"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


async def test_nothing_is_wrong_with_a_good_installation(environment: dict[str, str]) -> None:
    """A check that always finds something is not read."""
    assert await problems(environment) == []


async def test_every_problem_is_told_at_once(environment: dict[str, str], old_redis: str) -> None:
    """An operator mends all of them before the next try, instead of one after the other."""
    del environment["GATEWAY_SECRET_KEYS"]
    broker = {"GATEWAY_BROKER_URL": f"redis://127.0.0.1:{reserve_port()}/0"}
    found = await problems({**environment, "GATEWAY_REDIS_URL": old_redis, **broker})
    text = "\n".join(found)
    assert "GATEWAY_SECRET_KEYS is not set" in text
    assert "GATEWAY_REDIS_URL: version 6.0.16 is too old" in text
    assert "GATEWAY_REDIS_URL: maxmemory-policy is allkeys-lru" in text
    assert "GATEWAY_BROKER_URL: the server cannot be reached" in text
    assert len(found) == 4


async def test_unknown_and_wrong_settings_are_told_without_their_values() -> None:
    """A misspelt setting looks like one that works; a value may be a secret."""
    wrong = {"GATEWAY_REDIS": "x", "GATEWAY_SECRET_KEYS": "hunter2-hunter2", "GATEWAY_PORT": "lots"}
    found = await problems({**wrong, "GATEWAY_REDIS_URL": "elsewhere"})
    assert len(found) == 4
    assert "hunter2" not in "\n".join(found)
    assert all(line.startswith("GATEWAY_") for line in found)


async def test_an_app_whose_redirect_url_is_elsewhere_is_told(environment: dict[str, str], world: World) -> None:
    """The service moved and the app did not: every sign-in would end at the identity provider's error page."""
    moved = {**environment, "GATEWAY_REDIS_URL": _url_of(world), "GATEWAY_SERVICE_URL": "https://moved.test"}
    (problem,) = await problems(moved)
    assert world.app in problem
    assert "https://moved.test/oauth" in problem
    assert await problems({**environment, "GATEWAY_REDIS_URL": _url_of(world)}) == []


async def test_a_missing_service_url_is_told(environment: dict[str, str]) -> None:
    """Nobody could be sent to the sign-in form."""
    del environment["GATEWAY_SERVICE_URL"]
    (problem,) = await problems(environment)
    assert "GATEWAY_SERVICE_URL" in problem


async def test_a_missing_service_url_is_told_even_when_the_key_is_missing_too(environment: dict[str, str]) -> None:
    """A fresh installation lacks both."""
    del environment["GATEWAY_SERVICE_URL"], environment["GATEWAY_SECRET_KEYS"]
    found = await problems(environment)
    assert sorted(line.partition(" ")[0] for line in found) == ["GATEWAY_SECRET_KEYS", "GATEWAY_SERVICE_URL"]


async def test_a_service_url_among_the_runtime_settings_will_do(environment: dict[str, str]) -> None:
    """They are applied at each start, so it is as good as set."""
    del environment["GATEWAY_SERVICE_URL"]
    assert await problems({**environment, "GATEWAY_SETTINGS": f'{{"serviceUrl": "{SERVICE}"}}'}) == []


@pytest.mark.parametrize("value", ['{"noSuchSetting": 1}', '{"deliveryAttempts": "many"}', '{"serviceUrl": "nowhere"}'])
async def test_runtime_settings_that_no_process_would_start_with_are_told(
    environment: dict[str, str], value: str
) -> None:
    """Before the processes refuse to start."""
    (problem,) = await problems({**environment, "GATEWAY_SETTINGS": value})
    assert problem.startswith("GATEWAY_SETTINGS: ")


async def test_a_broken_plugin_is_told_with_its_distribution(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on working; the operator has to know which package it is."""
    package = tmp_path / "broken"
    info = package / "broken_mail-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-mail\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gateway]\nbroken = gateway_broken_for_test\n")
    (package / "gateway_broken_for_test.py").write_text("raise RuntimeError('half installed')\n")
    monkeypatch.syspath_prepend(str(package))
    importlib.invalidate_caches()
    (problem,) = await problems(environment)
    assert "broken-mail 1.0" in problem
    assert "half installed" in problem


def _url_of(world: World) -> str:
    options = world.services.databases.control.connection_pool.connection_kwargs
    return f"redis://{options['host']}:{options['port']}/{options['db']}"


def _server(directory: Path, name: str, answer: str) -> None:
    """Put a program on the path that only tells its version."""
    file = directory / name
    file.write_text(f"#!/bin/sh\necho '{answer}'\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search path without any server, no wheel, and no network to get one from."""
    directory = tmp_path / "path"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}/nonexistent")
    monkeypatch.setattr(embedded_redis, "find_spec", lambda name: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return directory


async def test_a_server_on_the_path_is_taken_if_it_is_new_enough(empty_path: Path, tmp_path: Path) -> None:
    """Old distributions have Redis 5 or 6.0, which lack commands; Valkey will do as well."""
    _server(empty_path, "redis-server", "Redis server v=6.0.16 sha=0:0")
    _server(empty_path, "valkey-server", "Valkey server v=8.0.1 sha=0:0")
    assert embedded_redis.find_server(tmp_path, lambda line: None) == empty_path / "valkey-server"
    _server(empty_path, "redis-server", "Redis server v=7.2.4 sha=0:0")
    assert embedded_redis.find_server(tmp_path, lambda line: None) == empty_path / "redis-server"


async def test_a_server_that_was_fetched_before_is_taken(empty_path: Path, tmp_path: Path) -> None:
    """The second start needs no network."""
    (tmp_path / "bin").mkdir()
    _server(tmp_path / "bin", "redis-server", "Redis server v=6.2.14 sha=0:0")
    assert embedded_redis.find_server(tmp_path, lambda line: None) == tmp_path / "bin" / "redis-server"


async def test_without_any_server_the_operator_is_told_what_to_install(empty_path: Path, tmp_path: Path) -> None:
    """Not a traceback of the downloader."""
    with pytest.raises(ConfigurationError, match="install redis-server or valkey-server"):
        await asyncio.to_thread(embedded_redis.find_server, tmp_path, lambda line: None)


async def test_the_embedded_server_keeps_its_data_and_its_distance() -> None:
    """Through a restart, not open to the network, evicting nothing, one supervisor at a time."""
    assert redis_executable()
    with rig_directory("embedded") as directory:
        async with embedded_redis.embedded_redis(directory, lambda line: None) as url:
            client = open_client(url)
            await client.set("kept", "yes")
            config = await client.config_get("*")
            assert config["port"] == "0"
            assert config["maxmemory-policy"] == "noeviction"
            with pytest.raises(ConfigurationError):
                async with embedded_redis.embedded_redis(directory, lambda line: None):
                    pass
            await client.aclose()
        async with embedded_redis.embedded_redis(directory, lambda line: None) as url:
            with redis.Redis.from_url(url) as again:
                assert again.get("kept") == b"yes"

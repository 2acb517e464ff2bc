"""Where protocol logs go: bounded, only when somebody wants them, and never into the way of a session."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from gateway.redis import keys
from gateway.services import protocol_logs
from gateway.services.protocol_logs import LONGEST_LINE
from gateway.store.accounts import AccountConfig
from tests.integration.services.world import World

pytestmark = pytest.mark.anyio


async def config_of(world: World, *, logs: bool) -> AccountConfig:
    await world.add_account()
    stored = await world.services.account_store.get("ann")
    assert stored is not None
    return msgspec.structs.replace(stored.config, logs=logs)


async def text(world: World) -> str:
    pieces = [piece async for piece in world.services.protocol_logs.read("ann")]
    return b"".join(pieces).decode()


async def set_logs(world: World, **values: Any) -> None:
    await world.services.runtime_settings.update({"logs": values})


async def test_lines_from_any_thread_are_read_in_their_order(world: World) -> None:
    recorder = await world.services.protocol_logs.recorder(await config_of(world, logs=True))
    assert recorder is not None
    recorder.note("imap-1", "*", "connected")
    await asyncio.to_thread(recorder.note, "imap-1", "C", "A1 NOOP")
    await world.services.protocol_logs.settle()
    recorder.note("imap-1", "S", "A1 OK")
    await world.services.protocol_logs.settle()
    stamp = world.clock().strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert await text(world) == f"{stamp} imap-1 *: connected\n{stamp} imap-1 C: A1 NOOP\n{stamp} imap-1 S: A1 OK\n"


async def test_nothing_is_recorded_unless_somebody_wants_it(world: World) -> None:
    config = await config_of(world, logs=False)
    logs = world.services.protocol_logs
    assert await logs.recorder(config) is None
    await set_logs(world, all=True)
    assert await logs.recorder(config) is not None
    await set_logs(world, all=True, maxLogLines=0)
    assert await logs.recorder(config) is None
    assert await logs.recorder(msgspec.structs.replace(config, logs=True)) is None
    assert await text(world) == "No logs found for ann\n"


async def test_the_oldest_lines_go_when_there_are_too_many(world: World) -> None:
    await set_logs(world, maxLogLines=10)
    recorder = await world.services.protocol_logs.recorder(await config_of(world, logs=True))
    assert recorder is not None
    for number in range(25):
        recorder.note("imap-1", "C", f"line {number}")
    await world.services.protocol_logs.settle()
    assert [line.rpartition(" ")[2] for line in (await text(world)).splitlines()] == [str(n) for n in range(15, 25)]


async def test_a_log_of_many_pages_is_read_whole(world: World) -> None:
    recorder = await world.services.protocol_logs.recorder(await config_of(world, logs=True))
    assert recorder is not None
    for number in range(2500):
        recorder.note("imap-1", "C", f"line {number}")
    await world.services.protocol_logs.settle()
    assert [line.rpartition(" ")[2] for line in (await text(world)).splitlines()] == [str(n) for n in range(2500)]


async def test_a_line_is_cut_and_stays_one_line(world: World) -> None:
    recorder = await world.services.protocol_logs.recorder(await config_of(world, logs=True))
    assert recorder is not None
    recorder.note("imap-1", "S", "a\r\nb\x1b[0m" + "x" * 10_000)
    await world.services.protocol_logs.settle()
    (line,) = (await text(world)).splitlines()
    assert len(line) < LONGEST_LINE + 100
    assert line.endswith("... (10008 characters)")
    assert "\x1b" not in line


async def test_the_log_goes_with_its_account_and_does_not_come_back(world: World) -> None:
    recorder = await world.services.protocol_logs.recorder(await config_of(world, logs=True))
    assert recorder is not None
    recorder.note("imap-1", "C", "A1 NOOP")
    await world.services.protocol_logs.settle()
    assert await world.services.store.data.call("PTTL", keys.protocol_log("ann")) > 0
    await world.services.accounts.delete("ann")
    recorder.note("imap-1", "C", "A2 LOGOUT")
    await world.services.protocol_logs.settle()
    assert await world.services.store.data.call("EXISTS", keys.protocol_log("ann")) == 0


async def test_only_so_many_lines_wait_to_be_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that talks faster than Redis takes it must not fill the memory."""
    monkeypatch.setattr(protocol_logs, "_WAITING", 5)
    recorder = await world.services.protocol_logs.recorder(await config_of(world, logs=True))
    assert recorder is not None
    for number in range(20):
        recorder.note("imap-1", "S", f"line {number}")
    await world.services.protocol_logs.settle()
    assert [line.rpartition(" ")[2] for line in (await text(world)).splitlines()] == [str(n) for n in range(15, 20)]

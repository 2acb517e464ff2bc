"""`gateway events tail` against a real server process: what it shows, and that it loses nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from signal import SIGINT
from typing import Any

import pytest
import standardwebhooks

from gateway.model.event import MessageNewData
from gateway.services.webhooks.requests import new_secret
from tests.integration.events.served import SERVICE_URL, Served
from tests.integration.queue.rig import eventually
from tests.rigs.receiver import Receiver, Reply, running_receiver

pytestmark = pytest.mark.anyio


class Tail:
    """The running command and the lines that it wrote so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.notices: list[str] = []

    async def shown(self, count: int) -> list[str]:
        """Wait until it has shown so many events."""
        await eventually(lambda: len(self.lines) >= count, f"{count} lines of {self.lines} {self.notices}", 20)
        return self.lines


async def _collect(stream: Any, lines: list[str]) -> None:
    while line := await stream.readline():
        lines.append(line.decode().rstrip("\n"))


@asynccontextmanager
async def tailing(served: Served, *options: str, token: str | None = None) -> AsyncIterator[Tail]:
    """Run the command; it is told to end when the block does."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    command = ["-m", "gateway", "events", "tail", "--url", served.url, "--token", token or served.token, *options]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**environment, "PYTHONUNBUFFERED": "1"},
    )
    tail = Tail(process)
    readers = [
        asyncio.create_task(_collect(process.stdout, tail.lines)),
        asyncio.create_task(_collect(process.stderr, tail.notices)),
    ]
    try:
        yield tail
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 20)
        await asyncio.gather(*readers)


async def begun(served: Served, tail: Tail, account: str) -> None:
    """Wait until the command listens, and begin with no lines."""

    async def heard() -> bool:
        await served.happen(account, "probe")
        return bool(tail.lines) or bool(tail.notices)

    await eventually(heard, "the command listens", 30)
    await served.happen(account, "begin")
    await eventually(lambda: "  begin" in tail.lines[-1], "the command has caught up")
    tail.lines.clear()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as running:
        yield running


async def test_each_event_is_one_line_that_can_do_nothing_to_the_terminal(served: Served) -> None:
    account, other = await served.account(), await served.account()
    async with tailing(served, "--account", account, "--types", "messageNew,messageDeleted") as tail:
        await begun(served, tail, account)
        await served.happen(other, "not mine")
        subject = "Hello\x1b[2J\nworld\u202e"
        made = served.services.events.make("messageNew", account, MessageNewData(id="m1", subject=subject), path="A")
        await served.services.events.append(account, [made])
        await served.happen(account, "m2")
        lines = await tail.shown(2)
        tail.process.send_signal(SIGINT)
        assert await asyncio.wait_for(tail.process.wait(), 10) == 0
    assert [line.split("  ")[1:] for line in lines] == [
        ["messageNew", account, "A", "Hello [2J world "],
        ["messageDeleted", account, "INBOX", "m2"],
    ]
    assert tail.notices == []


async def test_nothing_is_missed_while_the_gateway_is_away(served: Served) -> None:
    account = await served.account()
    async with tailing(served, "-a", account, "-t", "messageDeleted") as tail:
        await begun(served, tail, account)
        await served.happen(account, "before")
        await tail.shown(1)
        await asyncio.to_thread(served.process.stop)
        await served.happen(account, "meanwhile")
        await eventually(lambda: tail.notices, "a notice")
        await asyncio.to_thread(served.start)
        await served.happen(account, "after")
        lines = await tail.shown(3)
    assert [line.split("  ")[-1] for line in lines] == ["before", "meanwhile", "after"]


async def test_events_are_forwarded_like_webhooks_in_order_until_they_are_taken(
    served: Served, receiver: Receiver
) -> None:
    account, secret = await served.account(), new_secret()
    options = ("-a", account, "-t", "messageDeleted", "--forward", receiver.url(), "--secret", secret)
    async with tailing(served, *options) as tail:
        await begun(served, tail, account)
        received = len(receiver.received)
        receiver.then("/hook", Reply(status=500), Reply(status=410), Reply(status=302, headers={"Location": "/other"}))
        made = await served.happen(account, "m1", "m2")
        lines = await tail.shown(2)
    requests = receiver.received[received:]
    assert {request.path for request in requests} == {"/hook"}
    assert [request.event["data"]["id"] for request in requests] == ["m1"] * 4 + ["m2"]
    assert [request.headers["x-ee-wh-attempts-made"] for request in requests] == ["0", "1", "2", "3", "0"]
    assert [request.headers["webhook-id"] for request in requests] == [made[0].event_id] * 4 + [made[1].event_id]
    for request in requests:
        assert standardwebhooks.Webhook(secret).verify(request.body, request.headers) == request.event
        assert request.event["serviceUrl"] == SERVICE_URL
    assert all("-> 204" in line for line in lines)
    assert len([notice for notice in tail.notices if "was not taken" in notice]) == 3


async def test_the_key_of_the_signatures_is_told_where_none_was_given(served: Served, receiver: Receiver) -> None:
    account = await served.account()
    async with tailing(served, "-a", account, "--forward", receiver.url()) as tail:
        await eventually(lambda: tail.notices, "the key")
        secret = tail.notices.pop().split()[-1]
        await begun(served, tail, account)
    last = receiver.received[-1]
    assert standardwebhooks.Webhook(secret).verify(last.body, last.headers) == last.event


@pytest.mark.parametrize(
    ("options", "token", "exit_code", "words"),
    [
        ((), "0" * 64, 1, "Missing or invalid access token"),
        (("--types", "messageGone"), None, 1, "there is no 'messageGone'"),
        (("--account", "nobody"), None, 1, "Account record was not found"),
        (("--forward", "http://127.0.0.1:1", "--secret", "short"), None, 2, "the secret is not base64"),
    ],
)
async def test_what_cannot_work_ends_with_a_reason(
    served: Served, options: tuple[str, ...], token: str | None, exit_code: int, words: str
) -> None:
    async with tailing(served, *options, token=token) as tail:
        assert await asyncio.wait_for(tail.process.wait(), 20) == exit_code
    assert len(tail.notices) == 1
    assert words in tail.notices[0]

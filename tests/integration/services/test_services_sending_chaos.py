"""Sends through connections that are cut anywhere, workers that die, and a Redis that is killed: each message is sent
once, or its sender is told that it was not.

`GATEWAY_CHAOS_SENDS` sets how many messages there are, `GATEWAY_CHAOS_SEED` repeats a run. A worker dies by having its
job ended wherever it stands; the clock of the gateway is moved on, that of the mail servers is the real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from gateway.errors import GatewayError, ResourceNotFoundError
from gateway.model.server import Server
from gateway.model.submission import OutboxEntry, SubmitRequest
from gateway.provider import Account, Envelope, Login, SessionContext, SubmitReceipt
from gateway.redis import UNREACHABLE
from gateway.services.unknown_sends import Look, look_under_sent
from gateway.store.accounts import AccountConfig
from gateway.store.due import DueWork
from gateway.store.outbox import OutboxMessage
from gateway.testing.clock import FakeClock
from gateway.testing.context import FixedCredentials, MemoryNumbers
from gateway.testing.fault_proxy import FaultProxy, Faults
from gateway_imap import ImapProvider, ImapSession, open_session
from tests.integration.services.world import World, open_world
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot
from tests.rigs.postfix import Postfix
from tests.rigs.processes import rig_directory, wait_until
from tests.rigs.redis_server import RedisServer
from tests.rigs.requirement import require

pytestmark = pytest.mark.anyio

SENDS = int(os.environ.get("GATEWAY_CHAOS_SENDS", "60"))
SEED = int(os.environ.get("GATEWAY_CHAOS_SEED", "0")) or random.randrange(1, 10**6)

#: So many that no mailbox gets more than a look at Sent can see.
ACCOUNTS = max(3, SENDS // 100)

#: Octets after which a connection may be cut: from its beginning to behind the answer to the message.
FARTHEST = 6000

#: Every so many messages one is refused for good: its sender is somebody else.
REFUSED = 10


class FilingProvider(ImapProvider):
    """Of a service that files what it takes."""

    saves_sent_copy: ClassVar[bool] = True


class Keeper:
    """Postfix that files what it takes, and tells when it has nothing to do any more."""

    def __init__(self, directory: Path, certificates: Certificates, dovecot: Dovecot) -> None:
        self._directory = directory
        self.server = Postfix(directory, certificates, dovecot, keep_sent=True)

    async def wait_until_idle(self) -> None:
        """Wait until every client is gone and everything taken is delivered."""
        await asyncio.to_thread(wait_until, self._idle, "Postfix has nothing to do", 60)

    def _idle(self) -> bool:
        log = (self._directory / "maillog").read_text(errors="replace")
        ended = len(re.findall(r": disconnect from ", log))
        queues = [self._directory / "spool" / name for name in ("maildrop", "incoming", "active", "deferred")]
        waiting = [path for queue in queues for path in queue.rglob("*") if path.is_file()]
        return len(re.findall(r": connect from ", log)) == ended and not waiting


@pytest.fixture
def keeper(certificates: Certificates, dovecot: Dovecot) -> Iterator[Keeper]:
    """A submission server of the test's own."""
    require("postfix")
    with rig_directory("postfix") as directory:
        keeper = Keeper(directory, certificates, dovecot)
        try:
            keeper.server.start()
            yield keeper
        finally:
            keeper.server.stop()


@pytest.fixture
async def world(durable_redis: RedisServer, anyio_backend: str) -> AsyncIterator[World]:
    """A gateway on a Redis of the test's own."""
    async with open_world(durable_redis.url, clock=FakeClock(datetime.now(UTC))) as world:
        yield world


class Sender:
    """An account whose submissions go through a proxy that can cut them."""

    def __init__(self, world: World, account: str, user: str, proxy: FaultProxy, imap: Server) -> None:
        self.world = world
        self.account = account
        self.user = user
        self.proxy = proxy
        self.dies_after_answer = False
        self._imap = imap

    def session(self) -> contextlib.AbstractAsyncContextManager[ImapSession]:
        """Open a session of its own."""
        _, port = self.proxy.address
        smtp = Server(host="localhost", port=port, security="starttls", ca_file=self._imap.ca_file)
        account = Account(id=self.account, user=self.user, email=self.user, special_use={"\\Sent": "Sent Items"})
        login = Login(user=self.user, password=GUEST_PASSWORD)
        context = SessionContext(credentials=FixedCredentials(login), numbers=MemoryNumbers())
        return open_session(account=account, context=context, imap=self._imap, smtp=smtp)

    async def run(self, work: DueWork) -> None:
        """Do what is due, as a worker does."""
        services = self.world.services
        if work.operation == "outbox.resolve":
            await services.unknown_sends.resolve(self.account, work.subject, self._look, self._settle)
        else:
            await services.deliveries.deliver(self.account, work.subject, "dead", self._hand_over, self._file_copy)

    async def _hand_over(self, message: bytes, envelope: Envelope) -> SubmitReceipt:
        async with self.session() as session:
            receipt = await session.submit(message, envelope)
            if self.dies_after_answer:
                raise asyncio.CancelledError
            return receipt

    async def _settle(self, message: OutboxMessage) -> None:
        """Change nothing: no message here answers another one or was a draft."""

    async def _file_copy(self, entry: OutboxEntry, message: OutboxMessage) -> None:
        """The service does."""

    async def _look(self, entry: OutboxEntry, config: AccountConfig) -> Look:
        async with self.session() as session:
            return await look_under_sent(session, FilingProvider(), config, entry)


class Chaos:
    """What goes wrong, by a seed."""

    def __init__(self, seed: int, redis: RedisServer) -> None:
        self._random = random.Random(seed)
        self._redis = redis
        self.met: Counter[str] = Counter()

    async def run(self, sender: Sender, work: DueWork) -> None:
        """Do one thing while something may go wrong."""
        kind = self._random.choice(("none", "answers cut", "commands cut", "refused", "killed", "killed after answer"))
        cut = Faults(reset_after=self._random.randrange(FARTHEST))
        sender.proxy.to_client = cut if kind == "answers cut" else Faults()
        sender.proxy.to_server = cut if kind == "commands cut" else Faults()
        if kind == "refused":
            sender.proxy.refuse()
        else:
            await sender.proxy.accept()
        sender.dies_after_answer = kind == "killed after answer"
        self.met[kind] += 1
        lifetime = self._random.uniform(0, 0.3) if kind == "killed" else 60
        job = asyncio.create_task(sender.run(work))
        await asyncio.wait([job], timeout=lifetime)
        job.cancel()
        with contextlib.suppress(asyncio.CancelledError, GatewayError, *UNREACHABLE):
            await job

    async def shake(self) -> None:
        """Now and then kill Redis, and start it again."""
        if self._random.random() < 0.15:
            self.met["Redis killed"] += 1
            await asyncio.to_thread(self._redis.kill)
            await asyncio.to_thread(self._redis.start)


async def round_of(senders: dict[str, Sender], world: World, chaos: Chaos | None) -> None:
    """Do what is due, an account's work one by one as workers do."""
    due = await world.services.due.claim(world.clock())

    async def one_account(sender: Sender) -> None:
        for work in due:
            if work.account == sender.account and work.operation.startswith("outbox."):
                await (sender.run(work) if chaos is None else chaos.run(sender, work))

    shaking = [chaos.shake()] if chaos is not None else []
    await asyncio.gather(*(one_account(sender) for sender in senders.values()), *shaking)


async def submitted(world: World, senders: dict[str, Sender], recipient: str) -> dict[str, str]:
    """Queue all messages; returns their subjects by queue id."""
    subjects = {}
    for number in range(SENDS):
        sender = senders[f"a{number % len(senders)}"]
        origin = "intruder@contoso.test" if number % REFUSED == 0 else sender.user
        request: dict[str, Any] = {
            "from": {"address": origin},
            "to": [{"address": recipient}],
            "subject": f"chaos-{number:05}",
            "text": "x" * 500,
            "deliveryAttempts": 100,
        }
        answer = await world.services.submissions.submit(sender.account, msgspec.convert(request, SubmitRequest))
        assert answer.queue_id is not None
        subjects[answer.queue_id] = request["subject"]
    return subjects


async def states(world: World, subjects: dict[str, str]) -> dict[str, str]:
    """The state of every message by its subject; of those that left the outbox, sent."""
    found = {}
    for queue_id, subject in subjects.items():
        try:
            found[subject] = (await world.services.submissions.get(queue_id)).state
        except ResourceNotFoundError:
            found[subject] = "sent"
    return found


async def told(world: World, senders: dict[str, Sender], name: str) -> Counter[str]:
    """How often an event was told, by queue id."""
    found: Counter[str] = Counter()
    for account in senders:
        events, _ = await world.services.events.log(account, {name}, after="0", until="+", limit=10**5)
        found.update(msgspec.json.decode(event)["data"]["queueId"] for event in events)
    return found


async def test_each_message_is_sent_once_or_told_to_have_failed_whatever_breaks(
    world: World, durable_redis: RedisServer, keeper: Keeper, dovecot: Dovecot, certificates: Certificates
) -> None:
    print(f"GATEWAY_CHAOS_SEED={SEED} GATEWAY_CHAOS_SENDS={SENDS}")
    recipient, chaos = dovecot.new_user(), Chaos(SEED, durable_redis)
    host, port = dovecot.full
    imap = Server(host=host, port=port, ca_file=certificates.authority)
    async with contextlib.AsyncExitStack() as stack:
        senders: dict[str, Sender] = {}
        for number in range(ACCOUNTS):
            account = f"a{number}"
            await world.add_account(account)
            proxy = await stack.enter_async_context(FaultProxy(("127.0.0.1", keeper.server.submission_port)))
            senders[account] = Sender(world, account, dovecot.new_user(), proxy, imap)
        subjects = await submitted(world, senders, recipient)
        for _ in range(12):
            world.clock.advance(61)
            await keeper.wait_until_idle()
            await round_of(senders, world, chaos)
        for sender in senders.values():
            sender.dies_after_answer = False
            sender.proxy.to_client = sender.proxy.to_server = Faults()
            await sender.proxy.accept()
        for _ in range(60):
            await keeper.wait_until_idle()
            found = await states(world, subjects)
            if set(found.values()) <= {"sent", "failed"}:
                break
            world.clock.advance(301)
            await round_of(senders, world, None)
        await keeper.wait_until_idle()
    print(dict(chaos.met), dict(Counter(found.values())))
    raw = await asyncio.to_thread(dovecot.raw_messages, recipient)
    arrived = Counter(re.findall(r"^Subject: (chaos-\d+)", b"\n".join(raw).decode(), re.MULTILINE))
    assert arrived == {subject: 1 for subject, state in found.items() if state == "sent"}
    assert {subject for subject, state in found.items() if state == "failed"} == {
        subject for number, subject in enumerate(subjects.values()) if number % REFUSED == 0
    }
    for name, state in (("messageSent", "sent"), ("messageFailed", "failed")):
        expected = {queue_id: 1 for queue_id, subject in subjects.items() if found[subject] == state}
        assert await told(world, senders, name) == expected

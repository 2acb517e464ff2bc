"""Delivery tests: who started which, and what became of its message. They forget themselves."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from gateway.model.delivery_test import DeliveryReport
from gateway.redis import Script, keys
from gateway.store.store import Store, text_fields, to_json

#: Time for which a test and its report are known.
KEPT = timedelta(hours=24)

#: Time over which the tests of an account are counted.
WINDOW = timedelta(hours=1)

# Returns -1 when the account is gone, else how many tests it has had in this window, and milliseconds to its end.
_COUNT = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return {-1, 0} end
local count = redis.call('INCR', KEYS[2])
if count == 1 then redis.call('EXPIRE', KEYS[2], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[2])}
""")

# A member of a test that is known, unless it has it already.
_NOTE = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
""")


class DeliveryTest(msgspec.Struct, frozen=True, kw_only=True):
    """One test.

    Attributes:
        account: whose mail is tested.
        created: when it was started.
        queue_id: of its message in the outbox; None until it is there.
        report: what the receiver made of the message; None until it has arrived.
    """

    account: str
    created: datetime
    queue_id: str | None = None
    report: DeliveryReport | None = None


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """Tests of an account in this window, and seconds to its end; None where there is no such account."""

    tests: int | None
    left: float


class DeliveryTestStore:
    """Tests in the control tier, as the receiver knows no more than an id; how many an account has had, in its slot."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def count(self, account: str) -> Count:
        """Count one more test of an account."""
        names = [keys.account(account), keys.delivery_tests(account)]
        tests, left = await _COUNT.run(self._store.data, names, int(WINDOW.total_seconds()))
        return Count(tests=int(tests) if int(tests) >= 0 else None, left=max(0, int(left)) / 1000)

    async def add(self, id: str, test: DeliveryTest) -> None:
        """Store a new test."""
        async with self._store.databases.control.pipeline(transaction=True) as pipe:
            pipe.hset(keys.delivery_test(id), mapping={"account": test.account, "created": test.created.isoformat()})
            pipe.expire(keys.delivery_test(id), KEPT)
            await pipe.execute()

    async def get(self, id: str) -> DeliveryTest | None:
        """Return one test."""
        fields = text_fields(await self._store.control.call("HGETALL", keys.delivery_test(id)))
        if "account" not in fields:
            return None
        report = fields.get("report")
        return DeliveryTest(
            account=fields["account"],
            created=datetime.fromisoformat(fields["created"]),
            queue_id=fields.get("queueId"),
            report=None if report is None else msgspec.json.decode(report, type=DeliveryReport),
        )

    async def submitted(self, id: str, queue_id: str) -> None:
        """Note where in the outbox the message of a test is."""
        await _NOTE.run(self._store.control, [keys.delivery_test(id)], "queueId", queue_id)

    async def report(self, id: str, report: DeliveryReport) -> None:
        """Note what became of the message of a test, unless that is known or the test is forgotten."""
        await _NOTE.run(self._store.control, [keys.delivery_test(id)], "report", to_json(report))

    async def remove(self, id: str) -> None:
        """Forget a test that came to nothing."""
        await self._store.control.call("DEL", keys.delivery_test(id))

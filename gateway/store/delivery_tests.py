"""Delivery tests: who started which, and what became of its message. They forget themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from gateway.errors import ResourceNotFoundError
from gateway.model.delivery_test import DeliveryReport
from gateway.redis import Script, keys
from gateway.store.store import Store, text_fields, to_json

#: Time for which a test and its report are known.
KEPT = timedelta(hours=24)

#: Time over which the tests of an account are counted.
WINDOW = timedelta(hours=1)

# KEYS: account, its tests, the test. ARGV: id, now, seconds of the window, most in it, seconds for which tests stay.
# Returns "gone" without an account, "" when the test is stored, else when the one was started that is in its way.
_ADMIT = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return 'gone' end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[2] - ARGV[5])
local late = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[2] - ARGV[3], '+inf', 'WITHSCORES')
local most = tonumber(ARGV[4])
if #late >= 2 * most then return late[#late - 2 * most + 2] end
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[3], 'created', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[5])
redis.call('EXPIRE', KEYS[3], ARGV[5])
return ''
""")

# A member of a test that is known, unless it has it already.
_NOTE = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
""")


class DeliveryTest(msgspec.Struct, frozen=True, kw_only=True):
    """One test.

    Attributes:
        id: its id.
        account: whose mail is tested.
        created: when it was started.
        queue_id: of its message in the outbox; None until it is there.
        report: what the receiver made of the message; None until it has arrived.
    """

    id: str
    account: str
    created: datetime
    queue_id: str | None = None
    report: DeliveryReport | None = None


class DeliveryTestStore:
    """Tests in the slots of their accounts; in the control tier whose each is, as the receiver knows only the id."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def admit(self, test: DeliveryTest, most: int) -> float:
        """Store a new test, unless its account has started `most` in the last `WINDOW`.

        Returns:
            The seconds after which it may be started; 0 when it is.

        Raises:
            ResourceNotFoundError: there is no such account.
        """
        account, now, kept = test.account, test.created.timestamp(), int(KEPT.total_seconds())
        names = [keys.account(account), keys.delivery_tests_of(account), keys.delivery_test(account, test.id)]
        found = await _ADMIT.run(self._store.data, names, test.id, now, int(WINDOW.total_seconds()), most, kept)
        blocked = found.decode()
        if blocked == "gone":
            raise ResourceNotFoundError("no such account", code="AccountNotFound")
        if blocked:
            return max(1.0, float(blocked) + WINDOW.total_seconds() - now)
        await self._store.control.call("SET", keys.delivery_test_account(test.id), account, "EX", kept)
        return 0.0

    async def get(self, id: str) -> DeliveryTest | None:
        """Return one test."""
        owner = await self._store.control.call("GET", keys.delivery_test_account(id))
        if owner is None:
            return None
        account = owner.decode()
        fields = text_fields(await self._store.data.call("HGETALL", keys.delivery_test(account, id)))
        if "created" not in fields:
            return None
        report = fields.get("report")
        return DeliveryTest(
            id=id,
            account=account,
            created=datetime.fromtimestamp(float(fields["created"]), UTC),
            queue_id=fields.get("queueId"),
            report=None if report is None else msgspec.json.decode(report, type=DeliveryReport),
        )

    async def submitted(self, test: DeliveryTest, queue_id: str) -> None:
        """Note where in the outbox the message of a test is."""
        await self._note(test, "queueId", queue_id)

    async def report(self, test: DeliveryTest, report: DeliveryReport) -> None:
        """Note what became of the message of a test, unless that is known or the test is forgotten."""
        await self._note(test, "report", to_json(report))

    async def _note(self, test: DeliveryTest, member: str, value: str) -> None:
        await _NOTE.run(self._store.data, [keys.delivery_test(test.account, test.id)], member, value)

    async def remove(self, test: DeliveryTest) -> None:
        """Forget a test that came to nothing; it does not count."""
        await self._store.control.call("DEL", keys.delivery_test_account(test.id))
        await self._store.data.call("DEL", keys.delivery_test(test.account, test.id))
        await self._store.data.call("ZREM", keys.delivery_tests_of(test.account), test.id)

"""How much was sent from a mailbox lately, for mail services that limit it.

Mailboxes are known by a digest of service and login name: several accounts may use one, on any worker. Everything
expires by itself, and outlives workers, so that one that starts anew goes on where another stopped.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from gateway.provider import SubmissionLimits
from gateway.redis import Script, keys
from gateway.store.store import Store

#: Mail that a person waits for, and mail of which there is much.
Kind = Literal["single", "bulk"]

#: Seconds after which a hand-over that nobody ended is over; longer than any may take.
LEASE = 600

#: Seconds for which mail waits at most before it asks again; it may be needed earlier by then.
LONGEST_WAIT = 300

#: Seconds between two questions for a connection.
_NEXT_QUESTION = 2

# Hand-overs count from the moment they are allowed; once they end, from that moment.
# What waits is in order: the entry that has waited longest takes the place that becomes free first, and so on, so that
# a thousand of them do not ask again at the same time.
# KEYS: hand-overs by time, entries of this kind that wait by the time they come back, connections by their end
# ARGV: now, window, most in it, most of this kind in it, this kind, hand-over, entry,
#       most connections (0: any), account, lease, longest wait, next question
_CLAIM = Script("""
local now, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local most, share = tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local all, alike = {}, {}
local found = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for at = 1, #found, 2 do
  if found[at] ~= ARGV[6] then
    table.insert(all, tonumber(found[at + 1]))
    if string.sub(found[at], 1, #ARGV[5]) == ARGV[5] then table.insert(alike, tonumber(found[at + 1])) end
  end
end
if #all >= most or #alike >= share then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - window)
  redis.call('ZADD', KEYS[2], 'NX', '+inf', ARGV[7])
  local place = redis.call('ZRANK', KEYS[2], ARGV[7])
  local at = now
  for _, blocked in ipairs({{all, most}, {alike, share}}) do
    local times = blocked[1]
    if #times >= blocked[2] then
      at = math.max(at, times[1 + place % #times] + window * (1 + math.floor(place / #times)))
    end
  end
  at = math.min(math.max(at, now + 0.1), now + tonumber(ARGV[11]))
  redis.call('ZADD', KEYS[2], at, ARGV[7])
  redis.call('EXPIRE', KEYS[2], math.ceil(window + tonumber(ARGV[11])))
  return tostring(at - now)
end
if tonumber(ARGV[8]) > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  if not redis.call('ZSCORE', KEYS[3], ARGV[9]) and redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[8]) then
    return ARGV[12]
  end
  redis.call('ZADD', KEYS[3], now + tonumber(ARGV[10]), ARGV[9])
  redis.call('EXPIRE', KEYS[3], ARGV[10])
end
redis.call('ZADD', KEYS[1], now, ARGV[6])
redis.call('EXPIRE', KEYS[1], math.ceil(window))
redis.call('ZREM', KEYS[2], ARGV[7])
return ''
""")

# KEYS: hand-overs by time, connections by their end; ARGV: now, hand-over, account, seconds a connection is kept
_RELEASE = Script("""
redis.call('ZADD', KEYS[1], 'XX', ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], 'XX', tonumber(ARGV[1]) + tonumber(ARGV[4]), ARGV[3])
""")


class HandOver(msgspec.Struct, frozen=True, kw_only=True):
    """A hand-over that is wanted.

    Attributes:
        limits: of the service.
        login: name that the account logs in with.
        account: whose mail it is.
        queue_id: the outbox entry.
        attempt: which one of it.
        kind: of mail.
    """

    limits: SubmissionLimits
    login: str
    account: str
    queue_id: str
    attempt: int
    kind: Kind

    @property
    def mailbox(self) -> str:
        """The digest by which the mailbox is known."""
        return hashlib.sha256(f"{self.limits.service}\n{self.login.casefold()}".encode()).hexdigest()

    @property
    def member(self) -> str:
        """What tells this hand-over from all others of the mailbox."""
        return f"{self.kind}:{self.queue_id}:{self.attempt}"


class PaceStore:
    """What was sent, what waits, and who holds a connection, by mailbox; in the data tier."""

    def __init__(self, store: Store) -> None:
        self._data = store.data

    async def claim(self, wanted: HandOver, now: datetime) -> timedelta | None:
        """Note that a message is handed over now, or return how long it has to wait."""
        limits = wanted.limits
        names = [
            keys.pace(wanted.mailbox, "sent"),
            keys.pace(wanted.mailbox, f"waiting-{wanted.kind}"),
            keys.pace(wanted.mailbox, "connections"),
        ]
        share = limits.bulk_messages if wanted.kind == "bulk" else limits.messages
        wait = await _CLAIM.run(
            self._data,
            names,
            now.timestamp(),
            limits.seconds,
            limits.messages,
            share,
            wanted.kind,
            wanted.member,
            wanted.queue_id,
            limits.connections or 0,
            wanted.account,
            LEASE,
            LONGEST_WAIT,
            _NEXT_QUESTION,
        )
        return timedelta(seconds=float(wait)) if wait else None

    async def release(self, ended: HandOver, now: datetime) -> None:
        """Note that a hand-over has ended; the connection is kept for a while."""
        names = [keys.pace(ended.mailbox, "sent"), keys.pace(ended.mailbox, "connections")]
        await _RELEASE.run(self._data, names, now.timestamp(), ended.member, ended.account, ended.limits.kept)

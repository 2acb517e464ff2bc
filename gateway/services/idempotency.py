"""Idempotency keys: a request that is sent again is answered again, and not done again.

The key of a request for one message becomes known in the same step as the outbox entry: whoever dies before leaves no
trace of it, whoever dies after leaves the answer. A mail merge makes many entries, so it claims its key beforehand.
"""

from __future__ import annotations

import hashlib
import secrets

import msgspec

from gateway.errors import ConflictError
from gateway.model.submission import IdempotencyResult, SubmitResult
from gateway.provider import Clock
from gateway.store.idempotency import IdempotencyStore, KeyRecord


class IdempotencyKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key, and the digest of the request that it came with."""

    value: str
    request: str


def idempotency_key(value: str, *request: object) -> IdempotencyKey:
    """Return a key with what the request consists of; the order of members makes no difference."""
    octets = msgspec.json.encode(request, order="sorted")
    return IdempotencyKey(value=value, request=hashlib.sha256(octets).hexdigest())


class IdempotencyService:
    """Knows what was done already."""

    def __init__(self, store: IdempotencyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def answer(self, account: str, key: IdempotencyKey) -> SubmitResult | None:
        """Return the answer to the request that had this key first, None if there was none.

        Raises:
            ConflictError: that was another request (code IdempotencyKeyReused), or has not been answered (code
                IdempotencyKeyInUse).
        """
        known = await self._store.get(account, key.value)
        return None if known is None else again(key, known)

    async def claim(self, account: str, key: IdempotencyKey) -> KeyRecord | SubmitResult:
        """Claim a key for a request; return the answer instead if it was answered meanwhile. Raises like `answer`."""
        record = KeyRecord(request=key.request, owner=secrets.token_hex(8))
        known = await self._store.claim(account, key.value, record, self._clock())
        return record if known is None else again(key, known)

    async def answered(self, account: str, key: IdempotencyKey, claimed: KeyRecord, answer: SubmitResult) -> None:
        """Keep the answer to a request that has claimed its key."""
        await self._store.answered(account, key.value, claimed, answer)

    async def release(self, account: str, key: IdempotencyKey, claimed: KeyRecord) -> None:
        """Let the key be used again: nothing has come of the request."""
        await self._store.release(account, key.value, claimed)


def first(key: IdempotencyKey | None, answer: SubmitResult) -> SubmitResult:
    """Return the answer to a request that was done now."""
    if key is None:
        return answer
    return msgspec.structs.replace(answer, idempotency=IdempotencyResult(key=key.value, status="MISS"))


def again(key: IdempotencyKey, known: KeyRecord) -> SubmitResult:
    """Return the answer to a request that was done before. Raises like `IdempotencyService.answer`."""
    if known.request != key.request:
        raise ConflictError("this Idempotency-Key came with another request", code="IdempotencyKeyReused")
    if known.answer is None:
        raise ConflictError(
            "a mail merge with this Idempotency-Key is being done, or was broken off", code="IdempotencyKeyInUse"
        )
    return msgspec.structs.replace(known.answer, idempotency=IdempotencyResult(key=key.value, status="HIT"))

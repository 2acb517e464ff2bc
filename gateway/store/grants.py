"""Grants: tokens sealed, each change numbered, and the lock of the one refresh that may run."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec

from gateway.errors import ErrorRecord
from gateway.provider import Grant
from gateway.redis import Script, keys
from gateway.store.store import Store, text_fields, to_json

#: Milliseconds that a refresh may hold the lock: longer than every timeout of a token request together.
LOCK = 60_000

_RELEASE = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")

# A refresh stores its result only over the very grant it started from; whoever wrote since (another refresh, a new
# sign-in, an administrator) has the newer one.
_REPLACE = Script("""
local version = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
if ARGV[1] ~= '' and version ~= tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'version', version + 1, unpack(ARGV, 2))
return version + 1
""")


_MARK_DEAD = Script("""
if tonumber(redis.call('HGET', KEYS[1], 'version') or '0') ~= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'dead', ARGV[2])
return 1
""")


class StoredGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A grant with the number of its last change and when its parts were made.

    `dead` is the identity provider's refusal to renew it: asking again would only be refused again.
    """

    grant: Grant
    version: int
    generated: datetime | None = None
    refresh_generated: datetime | None = None
    dead: ErrorRecord | None = None


class GrantStore:
    """One hash per account in the data tier, apart from the account's record: editing one never touches the other."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, account: str) -> StoredGrant | None:
        """Return the account's grant, opened."""
        fields = text_fields(await self._store.data.call("HGETALL", keys.grant(account)))
        if "version" not in fields:
            return None
        grant = Grant(
            access_token=self._open(account, "access", fields.get("access")) or "",
            refresh_token=self._open(account, "refresh", fields.get("refresh")),
            expires_at=_time(fields.get("expires")) or datetime.fromtimestamp(0, UTC),
            scopes=tuple(fields.get("scopes", "").split()),
            token_type=fields.get("type", "Bearer"),
        )
        return StoredGrant(
            grant=grant,
            version=int(fields["version"]),
            generated=_time(fields.get("generated")),
            refresh_generated=_time(fields.get("refresh_generated")),
            dead=msgspec.json.decode(fields["dead"], type=ErrorRecord) if fields.get("dead") else None,
        )

    async def put(self, account: str, grant: Grant, *, at: datetime, over: StoredGrant | None = None) -> bool:
        """Store a grant.

        Args:
            account: whose it is.
            grant: the new tokens.
            at: the present time.
            over: store only if the grant is still this one; None stores in any case.

        Returns:
            False when another grant was stored meanwhile; that one stays.
        """
        kept_refresh = over is not None and over.grant.refresh_token == grant.refresh_token
        refresh_generated = over.refresh_generated if over is not None and kept_refresh else at
        fields = {
            "access": self._seal(account, "access", grant.access_token),
            "refresh": self._seal(account, "refresh", grant.refresh_token) if grant.refresh_token else "",
            "expires": grant.expires_at.isoformat(),
            "scopes": " ".join(grant.scopes),
            "type": grant.token_type,
            "generated": at.isoformat(),
            "refresh_generated": refresh_generated.isoformat() if refresh_generated else "",
        }
        flat = [part for pair in fields.items() for part in pair]
        expected = "" if over is None else over.version
        return bool(await _REPLACE.run(self._store.data, [keys.grant(account)], expected, *flat))

    async def mark_dead(self, account: str, stored: StoredGrant, error: ErrorRecord) -> bool:
        """Remember that the grant cannot be renewed, if it is still this one; False when it is not."""
        text = to_json(error)
        return bool(await _MARK_DEAD.run(self._store.data, [keys.grant(account)], stored.version, text))

    async def revive(self, account: str) -> None:
        """Allow another try to renew the grant."""
        await self._store.data.call("HDEL", keys.grant(account), "dead")

    async def delete(self, account: str) -> None:
        """Forget the account's grant."""
        await self._store.data.call("DEL", keys.grant(account))

    @asynccontextmanager
    async def refreshing(self, account: str) -> AsyncIterator[bool]:
        """Try to be the one who refreshes; yields whether that worked."""
        key, mark = keys.grant_lock(account), secrets.token_hex(8)
        won = await self._store.data.call("SET", key, mark, "NX", "PX", LOCK)
        try:
            yield bool(won)
        finally:
            if won:
                await _RELEASE.run(self._store.data, [key], mark)

    def _seal(self, account: str, part: str, value: str) -> str:
        return self._store.cipher.seal(value, f"grant:{account}:{part}")

    def _open(self, account: str, part: str, sealed: str | None) -> str | None:
        return self._store.cipher.open(sealed, f"grant:{account}:{part}") if sealed else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None

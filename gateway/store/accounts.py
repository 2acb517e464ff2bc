"""Account records in the data tier, and an index of them in the control tier."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from gateway.model.account import AccountState, CustomHeader, ImapConfig, Indexer, SmtpConfig
from gateway.model.account_errors import LastError, SmtpStatus, SyncError
from gateway.redis import Script, keys
from gateway.store.events import announce_state
from gateway.store.store import Fields, Store, text_fields, to_json

#: Of an account's mail: never looked at to the end, looked at and whole, or lost and about to be read again.
IndexState: TypeAlias = Literal["none", "whole", "lost"]


class StoredOAuth2(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which app an account signed in through, and as whom."""

    app: str
    user: str
    shared: str | None = None
    delegated_account: str | None = None


class AccountConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything an account was given, without its secrets. `imap` and `smtp` hold no password, `proxy` no login."""

    account: str
    name: str = ""
    email: str | None = None
    expected_email: str | None = None
    imap: ImapConfig | None = None
    smtp: SmtpConfig | None = None
    oauth2: StoredOAuth2 | None = None
    provider: str | None = None
    settings: dict[str, Any] | None = None
    path: tuple[str, ...] | None = None
    subconnections: tuple[str, ...] = ()
    webhooks: str | None = None
    webhooks_custom_headers: tuple[CustomHeader, ...] = ()
    webhooks_since: datetime | None = None
    webhooks_edited: datetime | None = None
    copy: bool | None = None
    logs: bool = False
    notify_from: datetime | None = None
    imap_indexer: Indexer | None = None
    proxy: str | None = None
    smtp_ehlo_name: str | None = None
    locale: str | None = None
    tz: str | None = None
    created: datetime | None = None

    @property
    def has_mailbox(self) -> bool:
        """Whether there is a mailbox to read, not only a way to send."""
        return self.imap is not None or self.oauth2 is not None or self.provider is not None


class AccountSecrets(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Passwords and ready tokens of the IMAP and SMTP logins, and the URL of the proxy with the login at it."""

    imap_password: str | None = None
    imap_token: str | None = None
    smtp_password: str | None = None
    smtp_token: str | None = None
    proxy: str | None = None

    def __repr__(self) -> str:
        return "AccountSecrets()"


class StoredAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it stands in Redis, without its secrets."""

    config: AccountConfig
    state: AccountState
    last_error: LastError | None = None
    connected: int = 0
    index: IndexState = "none"
    smtp_status: SmtpStatus | None = None
    sync_error: SyncError | None = None


class AccountSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the index knows of an account: enough to filter a list."""

    name: str = ""
    email: str | None = None
    state: AccountState = "init"


# A state that arrives for an account that was deleted meanwhile must not bring a part of it back.
_SET_STATE = Script("""
local before = redis.call('HMGET', KEYS[1], 'config', 'state', 'error')
if not before[1] then return 0 end
if before[2] == ARGV[1] and (before[3] or '') == ARGV[2] then return 1 end
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'error', ARGV[2])
return before[1]
""")

_SET_FIELDS = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
""")

_COUNT = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
""")


_SWAP = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return ARGV[2] end
local before = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return before or ''
""")

#: What is reported of an account whose last login succeeded.
SUCCESS = "success"


class AccountStore:
    """One hash per account under its own tag; the index ``account -> summary`` in the control tier."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, config: AccountConfig, secrets: AccountSecrets | None, state: AccountState) -> None:
        """Store an account, new or changed; None leaves its secrets as they are."""
        fields = {"config": to_json(config), "state": state}
        if secrets is not None:
            fields["secrets"] = self._store.cipher.seal(to_json(secrets), f"account:{config.account}:secrets")
        await self._store.data.call("HSET", keys.account(config.account), *_flat(fields))
        await self._index(config, state)

    async def exists(self, account: str) -> bool:
        """Tell whether there is such an account."""
        return bool(await self._store.data.call("EXISTS", keys.account(account)))

    async def get(self, account: str) -> StoredAccount | None:
        """Return an account without its secrets."""
        fields = text_fields(await self._store.data.call("HGETALL", keys.account(account)))
        return _stored(fields) if "config" in fields else None

    async def state(self, account: str) -> tuple[AccountState, LastError | None] | None:
        """Return state and last error of an account, None when there is no such account."""
        state, error = await self._store.data.call("HMGET", keys.account(account), "state", "error")
        if state is None:
            return None
        return state.decode(), msgspec.json.decode(error, type=LastError) if error else None

    async def secrets(self, account: str) -> AccountSecrets:
        """Return an account's passwords, opened."""
        sealed = await self._store.data.call("HGET", keys.account(account), "secrets")
        if sealed is None:
            return AccountSecrets()
        text = self._store.cipher.open(sealed.decode(), f"account:{account}:secrets")
        return msgspec.json.decode(text, type=AccountSecrets)

    async def set_state(self, account: str, state: AccountState, error: LastError | None) -> bool:
        """Change the state of an account; False when it is gone. The last error goes when `error` is None."""
        told = "" if error is None else to_json(error)
        config = await _SET_STATE.run(self._store.data, [keys.account(account)], state, told)
        if isinstance(config, int):
            return bool(config)
        await self._index(msgspec.json.decode(config, type=AccountConfig), state)
        if not await self.exists(account):
            # The index is in the other tier: a deletion may have come in between.
            await self._strike_out(account)
        await announce_state(self._store, account, state)
        return True

    async def count_connection(self, account: str) -> int:
        """Count a successful connection and return how many there were."""
        return int(await _COUNT.run(self._store.data, [keys.account(account)], "connected"))

    async def forget_connections(self, account: str) -> None:
        """Begin to count connections anew."""
        await _SET_FIELDS.run(self._store.data, [keys.account(account)], "connected", 0)

    async def swap_report(self, account: str, report: str) -> str:
        """Note what clients are told of the last login, `SUCCESS` or a distinct error, and return what it was before.

        It was empty for an account that never tried; that of an account that is gone does not change.
        """
        return str((await _SWAP.run(self._store.data, [keys.account(account)], "reported", report)).decode())

    async def set_index(self, account: str, state: IndexState) -> None:
        """Remember whether a pass over all mailboxes was finished; survives a loss of the index."""
        await _SET_FIELDS.run(self._store.data, [keys.account(account)], "index", state)

    async def count_failure(self, account: str) -> int:
        """Count a failure to connect and return how many there were in a row."""
        return int(await _COUNT.run(self._store.data, [keys.account(account)], "failures"))

    async def set_failures(self, account: str, count: int) -> None:
        """Set the number of failures in a row."""
        await _SET_FIELDS.run(self._store.data, [keys.account(account)], "failures", count)

    async def set_smtp_status(self, account: str, status: SmtpStatus | None) -> None:
        """Remember how the last submission ended; None forgets it."""
        told = "" if status is None else to_json(status)
        await _SET_FIELDS.run(self._store.data, [keys.account(account)], "smtp_status", told)

    async def set_sync_error(self, account: str, error: SyncError | None) -> None:
        """Remember which mailbox the last pass had to leave out, if it had to."""
        told = "" if error is None else to_json(error)
        await _SET_FIELDS.run(self._store.data, [keys.account(account)], "sync_error", told)

    async def summaries(self) -> dict[str, AccountSummary]:
        """Return the index."""
        stored = text_fields(await self._store.control.call("HGETALL", keys.ACCOUNTS))
        return {account: msgspec.json.decode(text, type=AccountSummary) for account, text in stored.items()}

    async def delete(self, account: str) -> None:
        """Erase every key of an account, in both tiers."""
        await self._strike_out(account)
        # With the record goes the owner's right to write: nothing comes back behind the search.
        await self._store.data.call("DEL", keys.account(account), keys.grant(account), keys.live(account))
        cursor: Any = 0
        while True:
            cursor, found = await self._store.data.call(
                "SCAN", cursor, "MATCH", keys.account_pattern(account), "COUNT", 1000
            )
            if found:
                await self._store.data.call("UNLINK", *found)
            if int(cursor) == 0:
                return

    async def _index(self, config: AccountConfig, state: AccountState) -> None:
        summary = AccountSummary(name=config.name, email=config.email, state=state)
        await self._store.control.call("HSET", keys.ACCOUNTS, config.account, to_json(summary))

    async def _strike_out(self, account: str) -> None:
        for name in (keys.ACCOUNTS, keys.ALIVE, keys.SYNCED):
            await self._store.control.call("HDEL", name, account)
        await self._store.control.call("ZREM", keys.PUSHES, account)


def _flat(fields: Fields) -> list[str]:
    return [part for pair in fields.items() for part in pair]


def _stored(fields: Fields) -> StoredAccount:
    return StoredAccount(
        config=msgspec.json.decode(fields["config"], type=AccountConfig),
        state=msgspec.convert(fields.get("state", "init"), AccountState),
        last_error=msgspec.json.decode(fields["error"], type=LastError) if fields.get("error") else None,
        connected=int(fields.get("connected", 0)),
        index=msgspec.convert(fields.get("index", "none"), IndexState),
        smtp_status=msgspec.json.decode(fields["smtp_status"], type=SmtpStatus) if fields.get("smtp_status") else None,
        sync_error=msgspec.json.decode(fields["sync_error"], type=SyncError) if fields.get("sync_error") else None,
    )

"""Valid access tokens, renewed by one worker at a time.

A lost race re-reads before it judges; what an administrator or a new sign-in stored meanwhile is never overwritten;
only the identity provider's own word that a grant is gone makes it count as gone.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import structlog

from gateway.errors import (
    AccountError,
    AppRefusedError,
    ConnectError,
    ReauthorizationError,
    Remedy,
    ResourceNotFoundError,
    from_record,
)
from gateway.model.account_errors import TokenRequestInfo
from gateway.model.oauth2 import SERVICE_PROVIDERS
from gateway.provider import NOBODY, Clock, Grant, Identity, Login, Service
from gateway.services.apps import AppService
from gateway.services.last_error import last_error
from gateway.store.accounts import AccountConfig, AccountStore
from gateway.store.apps import StoredApp
from gateway.store.due import DueStore, DueWork
from gateway.store.grants import GrantStore, StoredGrant

log = structlog.get_logger(__name__)

#: An access token with less time left than this is renewed before it is used.
MARGIN = timedelta(seconds=60)

#: Background renewal happens this long before the end of a token, so that no caller waits for it.
AHEAD = timedelta(minutes=5)

#: How long a caller waits for the refresh that another worker is doing; longer than a token request may take.
WAIT = 45.0

#: How long a process that ends waits for the refreshes that it has begun.
SETTLING = 20.0

#: How far a chain of delegated accounts is followed.
MAX_DELEGATION = 20


class GrantService:
    """The grants of all accounts."""

    def __init__(
        self, grants: GrantStore, accounts: AccountStore, apps: AppService, due: DueStore, clock: Clock
    ) -> None:
        self._grants = grants
        self._accounts = accounts
        self._apps = apps
        self._due = due
        self._clock = clock
        self._renewals: set[asyncio.Task[Grant | None]] = set()

    async def settle(self) -> None:
        """Wait for renewals that are under way, as long as a process can wait before it ends."""
        if self._renewals:
            await asyncio.wait(self._renewals, timeout=SETTLING)

    async def store(self, account: str, grant: Grant) -> None:
        """Store the grant of a new sign-in, or one that an administrator gave."""
        await self._grants.put(account, grant, at=self._clock())
        await self._plan_renewal(account, grant)

    async def amend(self, account: str, grant: Grant) -> None:
        """Store the access token that an administrator gave, and keep the newest refresh token there is."""
        while True:
            stored = await self._grants.get(account)
            if stored is None:
                await self.store(account, grant)
                return
            kept = {"refresh_token": stored.grant.refresh_token, "scopes": stored.grant.scopes}
            amended = msgspec.structs.replace(grant, **kept)
            if await self._grants.put(account, amended, at=self._clock(), over=stored):
                await self._plan_renewal(account, amended)
                return

    async def peek(self, account: str) -> StoredGrant | None:
        """Return the stored grant as it is."""
        return await self._grants.get(account)

    async def revive(self, account: str) -> None:
        """Allow another try at a grant that the identity provider refused to renew."""
        await self._grants.revive(account)

    async def forget(self, account: str) -> None:
        """Delete the account's grant and its renewal."""
        await self._grants.delete(account)
        await self._due.done(DueWork("grant.renew", account))

    async def delegation_error(self, config: AccountConfig) -> str | None:
        """Return why the account that this one is delegated to cannot lend its grant; None when it can."""
        if config.oauth2 is None or config.oauth2.delegated_account is None:
            return None
        try:
            holder = await self.holder(config)
        except ReauthorizationError as error:
            return error.message
        return None if holder.oauth2 is not None else "the account that this one is delegated to has no OAuth2 grant"

    async def holder(self, config: AccountConfig) -> AccountConfig:
        """Return the account whose grant an account uses: itself, or the one it is delegated to."""
        seen = {config.account}
        while config.oauth2 is not None and config.oauth2.delegated_account is not None:
            stored = await self._accounts.get(config.oauth2.delegated_account)
            if stored is None or stored.config.account in seen or len(seen) > MAX_DELEGATION:
                raise ReauthorizationError("the account that this one is delegated to cannot be used")
            config = stored.config
            seen.add(config.account)
        return config

    async def valid(
        self, config: AccountConfig, *, refused: str | None = None, margin: timedelta = MARGIN
    ) -> tuple[Grant, bool]:
        """Return a grant whose access token can be used, and whether it was there already.

        Args:
            config: the account.
            refused: an access token that the mail server has just refused; if it is the stored one, it is renewed.
            margin: the time that the access token must have left.

        Raises:
            ReauthorizationError: the grant is gone; somebody has to sign in again.
            AppRefusedError, ConsentRequiredError: the app or its consent is the trouble.
            TransientError: the token could not be renewed now.
        """
        if config.oauth2 is None:
            raise ReauthorizationError("the account has no OAuth2 grant")
        config = await self.holder(config)
        account = config.account
        deadline = asyncio.get_running_loop().time() + WAIT
        while True:
            stored = await self._grants.get(account)
            if stored is not None and self._usable(stored.grant, refused, margin):
                return stored.grant, True
            if stored is not None and stored.dead is not None:
                raise from_record(stored.dead)
            renewed = await self._renew_to_the_end(config, refused, margin)
            if renewed is not None:
                return renewed, False
            if asyncio.get_running_loop().time() > deadline:
                raise ConnectError("the access token is being renewed by another process and that takes too long")
            await asyncio.sleep(0.05)

    async def renew_ahead(self, config: AccountConfig) -> None:
        """Renew a grant before its access token ends, unless somebody did."""
        await self.valid(config, margin=AHEAD + MARGIN)

    async def login(self, config: AccountConfig, service: Service, refused: Login | None) -> Login:
        """Return what logs an account in to a service; see `gateway.provider.Credentials`."""
        if config.oauth2 is not None:
            grant, _ = await self.valid(config, refused=refused.access_token if refused is not None else None)
            holder = await self.holder(config)
            user = holder.oauth2.user if holder.oauth2 is not None else config.oauth2.user
            return Login(user=user, access_token=grant.access_token)
        if refused is not None:
            return refused
        server = config.smtp if service == "smtp" else config.imap
        auth = server.auth if server is not None and not isinstance(server.auth, bool) else None
        if auth is None:
            return NOBODY
        secrets = await self._accounts.secrets(config.account)
        if service == "smtp":
            return Login(user=auth.user, password=secrets.smtp_password, access_token=secrets.smtp_token)
        return Login(user=auth.user, password=secrets.imap_password, access_token=secrets.imap_token)

    def _usable(self, grant: Grant, refused: str | None, margin: timedelta) -> bool:
        if not grant.access_token or grant.access_token == refused:
            return False
        return grant.expires_at - self._clock() > margin

    async def _renew_to_the_end(self, config: AccountConfig, refused: str | None, margin: timedelta) -> Grant | None:
        """Renew if nobody else does, also when the caller is cancelled meanwhile.

        A refresh token may be good for one use: an answer that nobody stores would end the grant.
        """
        task = asyncio.create_task(self._renew_alone(config, refused, margin))
        self._renewals.add(task)
        task.add_done_callback(self._forget_renewal)
        return await asyncio.shield(task)

    def _forget_renewal(self, task: asyncio.Task[Grant | None]) -> None:
        self._renewals.discard(task)
        if not task.cancelled():
            # Seen also when nobody waits for it any more.
            task.exception()

    async def _renew_alone(self, config: AccountConfig, refused: str | None, margin: timedelta) -> Grant | None:
        async with self._grants.refreshing(config.account) as won:
            return await self._renew(config, refused, margin) if won else None

    async def _renew(self, config: AccountConfig, refused: str | None, margin: timedelta) -> Grant | None:
        """Renew under the lock; None when another grant was stored meanwhile and has to be looked at first."""
        account = config.account
        # Whoever held the lock before may have done the work.
        stored = await self._grants.get(account)
        if stored is not None and self._usable(stored.grant, refused, margin):
            return stored.grant
        if stored is not None and stored.dead is not None:
            return None
        if config.oauth2 is None:
            raise ReauthorizationError("the account has no OAuth2 grant")
        app_id = config.oauth2.app
        try:
            grant = await self._request(app_id, stored)
        except AppRefusedError as error:
            await self._apps.set_error(app_id, last_error(error, self._clock()))
            raise
        except ReauthorizationError as error:
            if stored is not None and not await self._grants.mark_dead(account, stored, error.record()):
                return None
            raise
        if stored is None and not await self._accounts.exists(account):
            # An app's own token needs no earlier grant; it must not outlive a deleted account either.
            raise ReauthorizationError("the account was deleted")
        if not await self._grants.put(account, grant, at=self._clock(), over=stored):
            return None
        await self._apps.set_error(app_id, None)
        await self._plan_renewal(account, grant)
        log.info("grant_renewed", account=account)
        return grant

    async def _request(self, app_id: str, stored: StoredGrant | None) -> Grant:
        try:
            app = await self._apps.stored(app_id)
            identity: Identity = await self._apps.identity(app_id)
        except ResourceNotFoundError as error:
            raise AppRefusedError("the OAuth2 app of this account was deleted", code="AppNotFound") from error
        own = app.record.provider in SERVICE_PROVIDERS
        if not own and (stored is None or not stored.grant.refresh_token):
            raise _no_refresh_token()
        try:
            return await (identity.client_credentials() if own or stored is None else identity.refresh(stored.grant))
        except AccountError as error:
            _describe_request(error, app, stored)
            raise

    async def _plan_renewal(self, account: str, grant: Grant) -> None:
        if not grant.refresh_token:
            return
        life = grant.expires_at - self._clock()
        ahead = min(AHEAD, life / 3)
        await self._due.put(DueWork("grant.renew", account), grant.expires_at - ahead)


class AccountCredentials:
    """The credentials of one account, handed out at the moment of use."""

    def __init__(self, grants: GrantService, config: AccountConfig) -> None:
        self._grants = grants
        self._config = config

    async def login(self, service: Service, *, refused: Login | None = None) -> Login:
        """See `gateway.provider.Credentials`."""
        return await self._grants.login(self._config, service, refused)


def _describe_request(error: AccountError, app: StoredApp, stored: StoredGrant | None) -> None:
    """Note which token request was refused, for the account's last error; a plugin may have told more of it."""
    told = error.details.get("token_request") or {}
    fields = app.record.fields
    request = TokenRequestInfo(
        method="POST",
        grant="client_credentials" if app.record.provider in SERVICE_PROVIDERS else "refresh_token",
        provider=app.record.provider,
        client_id=fields.get("clientId"),
        authority=fields.get("authority"),
        code=error.native_code,
        scopes=stored.grant.scopes if stored is not None else (),
    )
    error.details["token_request"] = {**msgspec.to_builtins(request), **told}


def _no_refresh_token() -> ReauthorizationError:
    steps = ("Sign in again; make sure that the app may ask for offline_access.",)
    remedy = Remedy(code="no_refresh_token", title="The stored grant cannot be renewed", who="user", steps=steps)
    return ReauthorizationError("there is no refresh token", remedy=remedy)

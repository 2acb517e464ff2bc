"""Accounts: create, look up, change, reconnect, delete."""

from __future__ import annotations

import secrets as random_secrets
from typing import Protocol

import msgspec
import structlog

from gateway.errors import (
    AccountError,
    AccountNotReadyError,
    ConfigurationError,
    ConflictError,
    DisabledError,
    GatewayError,
    InvalidRequestError,
    RequestError,
    ResourceNotFoundError,
)
from gateway.model.account import (
    OPERATIONAL_STATES,
    AccountCreate,
    AccountCreated,
    AccountDeleted,
    AccountDetail,
    AccountList,
    AccountReference,
    AccountState,
    AccountUpdate,
    FlushRequest,
    OAuthTokenInfo,
)
from gateway.model.account_errors import LastError
from gateway.model.event import AccountEventData
from gateway.model.oauth2 import AppRecord
from gateway.model.webhook import DEFAULT_ENDPOINT
from gateway.provider import Clock, Grant
from gateway.services import account_view
from gateway.services.account_payload import (
    connection_changed,
    given_grant,
    invalid,
    keeps_refresh_token,
    merged_config,
    merged_secrets,
    nothing_to_connect,
    parse_since,
)
from gateway.services.apps import AppService
from gateway.services.events import EventService
from gateway.services.exports import ExportService
from gateway.services.grants import GrantService
from gateway.services.health import HealthService
from gateway.services.last_error import RENEWAL_REFUSED
from gateway.services.paging import page_of
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.services.sessions import SessionService, is_service_account, provider_settings
from gateway.store.accounts import AccountConfig, AccountSecrets, AccountStore, StoredAccount
from gateway.store.due import DueStore, DueWork
from gateway.store.index import IndexStore
from gateway.store.outbox import OutboxStore
from gateway.store.pushes import PushStore
from gateway.store.signs import SignStore
from gateway.store.templates import TemplateStore
from gateway.store.tokens import TokenStore

log = structlog.get_logger(__name__)

_NOT_READY = {
    "init": "NotYetConnected",
    "authenticationError": "AuthenticationFails",
    "connectError": "ConnectionError",
    "unset": "NotSyncing",
}


class Connector(Protocol):
    """Asks a worker to connect an account."""

    async def connect(self, account: str) -> None:
        """Queue a connection attempt."""
        ...

    async def disconnect(self, account: str) -> None:
        """Tell the workers to drop the account's warm connections."""
        ...

    async def forget(self, account: str) -> None:
        """Take an account whose record is gone from the worker that owns it."""
        ...


class AccountService:
    """The accounts of this installation."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        signs: SignStore,
        tokens: TokenStore,
        outbox: OutboxStore,
        exports: ExportService,
        templates: TemplateStore,
        due: DueStore,
        apps: AppService,
        grants: GrantService,
        sessions: SessionService,
        pushes: PushStore,
        settings: RuntimeSettingsService,
        connector: Connector,
        health: HealthService,
        events: EventService,
        index: IndexStore,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._signs = signs
        self._tokens = tokens
        self._outbox = outbox
        self._exports = exports
        self._templates = templates
        self._due = due
        self._apps = apps
        self._grants = grants
        self._sessions = sessions
        self._pushes = pushes
        self._settings = settings
        self._connector = connector
        self._health = health
        self._events = events
        self._index = index
        self._clock = clock

    async def create(self, request: AccountCreate, grant: Grant | None = None) -> AccountCreated:
        """Create an account, or update the one that has this id.

        Args:
            request: the payload; never one with `oauth2.authorize`.
            grant: the grant of a sign-in that has just happened.

        Raises:
            InvalidRequestError: the payload contradicts itself, or names no known app.
            ConflictError: another account holds the same OAuth2 user (code AccountAlreadyExists).
        """
        account = request.account or random_secrets.token_urlsafe(12)
        _check_id(account)
        old = await self._accounts.get(account)
        base = old.config if old is not None else await self._blank(account)
        await self._store(base, old, request, grant)
        return AccountCreated(account=account, state="existing" if old is not None else "new")

    async def _blank(self, account: str) -> AccountConfig:
        """Return what a new account is before its payload says otherwise."""
        now = self._clock()
        indexer = await self._settings.get("imapIndexer")
        return AccountConfig(account=account, created=now, notify_from=now, imap_indexer=indexer)

    async def update(self, account: str, request: AccountUpdate) -> AccountReference:
        """Change an account; members that are absent stay."""
        old = await self._require(account)
        await self._store(old.config, old, request, None)
        return AccountReference(account=account)

    async def list(
        self, *, page: int, page_size: int, state: AccountState | None = None, query: str | None = None
    ) -> AccountList:
        """Return one page of the accounts, ordered by id.

        Args:
            page: from 0.
            page_size: accounts on a page.
            state: only accounts in this state.
            query: only accounts whose id, name or address contains this, in any case.
        """
        wanted = query.casefold() if query else None
        found = [
            account
            for account, summary in sorted((await self._accounts.summaries()).items())
            if (state is None or summary.state == state)
            and (wanted is None or wanted in f"{account}\n{summary.name}\n{summary.email or ''}".casefold())
        ]
        chunk, pages = page_of(found, page, page_size)
        entries = []
        apps: dict[str, AppRecord | None] = {}
        for account, signs in zip(chunk, await self._signs.of(chunk), strict=True):
            stored = await self._accounts.get(account)
            if stored is not None:
                app, lost = await self._app(stored.config, apps), await self._grants.delegation_error(stored.config)
                entries.append(account_view.entry(stored, signs, app, lost, await self._events.counts(account)))
        return AccountList(
            total=len(found), page=page, pages=pages, query=query or False, state=state or "*", accounts=tuple(entries)
        )

    async def get(self, account: str) -> AccountDetail:
        """Return one account in full, secrets masked."""
        stored = await self._require(account)
        grant = await self._grants.peek(account)
        lost = await self._grants.delegation_error(stored.config)
        app, counts = await self._app(stored.config, {}), await self._events.counts(account)
        (signs,) = await self._signs.of([account])
        push = await self._pushes.get(account)
        return account_view.detail(stored, signs, app, grant, lost, counts, push, self._clock())

    async def recent_state(self, account: str) -> tuple[AccountState, LastError | None]:
        """Return state and last error."""
        found = await self._accounts.state(account)
        if found is None:
            raise _not_found()
        return found

    async def require_operational(self, account: str) -> None:
        """Make sure that mail operations on the account can work now.

        Raises:
            ResourceNotFoundError: there is no such account.
            AccountNotReadyError: its state does not allow it.
        """
        state, _ = await self.recent_state(account)
        if state not in OPERATIONAL_STATES:
            code = _NOT_READY.get(state, "NoAvailable")
            raise AccountNotReadyError("The account is not connected", code=code, state=state)

    async def reconnect(self, account: str) -> None:
        """Close the account's connections and build them anew, in the background."""
        stored = await self._require(account)
        await self._grants.revive(account)
        await self._connector.disconnect(account)
        if stored.state != "unset":
            await self._accounts.set_state(account, "connecting", stored.last_error)
            await self._connector.connect(account)

    async def flush(self, account: str, request: FlushRequest) -> None:
        """Forget what is known of the account's mail, and connect anew."""
        stored = await self._require(account)
        config = msgspec.structs.replace(
            stored.config,
            notify_from=parse_since(request.notify_from, self._clock()),
            imap_indexer=request.imap_indexer or stored.config.imap_indexer,
        )
        await self._accounts.save(config, None, stored.state)
        await self._accounts.forget_connections(account)
        await self._forget_mail(account)
        await self.reconnect(account)

    async def reconnect_app(self, app: str) -> None:
        """Try again every account of an app that waits for somebody to act."""
        for account, summary in (await self._accounts.summaries()).items():
            if summary.state != "authenticationError":
                continue
            stored = await self._accounts.get(account)
            if stored is not None and stored.config.oauth2 is not None and stored.config.oauth2.app == app:
                await self.reconnect(account)

    async def delete(self, account: str, *, revoke: bool = False) -> AccountDeleted:
        """Delete an account with everything that belongs to it.

        Args:
            account: its id.
            revoke: also withdraw the grant at the provider, where that is possible; failing does not keep the
                account.
        """
        stored = await self._require(account)
        revoked = await self._revoke(stored.config) if revoke else False
        if stored.config.oauth2 is not None:
            await self._apps.release_user(stored.config.oauth2.app, _user_key(stored.config), account)
        for operation in ("account.connect", "grant.renew"):
            await self._due.done(DueWork(operation, account))
        for queue_id in await self._outbox.remove_of_account(account):
            await self._due.done(DueWork("outbox.send", account, queue_id))
        await self._exports.remove_of_account(account)
        await self._templates.delete_of_account(account)
        await self._tokens.delete_of_account(account)
        # Before the end: should the call break off here, whoever repeats it finds the account, and tells again.
        await self._events.account_deleted(stored.config)
        await self._accounts.delete(account)
        await self._events.forget(account)
        await self._connector.forget(account)
        log.info("account_deleted", account=account)
        return AccountDeleted(account=account, revoked=revoked) if revoke else AccountDeleted(account=account)

    async def oauth_token(self, account: str) -> OAuthTokenInfo:
        """Return a valid access token, for clients that call the provider themselves.

        Raises:
            DisabledError: the operation is off, as it is by default.
            AccountError: the token cannot be renewed (code OauthRenewError); the account waits until somebody acts.
        """
        stored = await self._require(account)
        if not await self._settings.get("enableOAuthTokensApi"):
            raise DisabledError("Disabled API endpoint")
        config = stored.config
        if config.oauth2 is None:
            raise DisabledError("The account does not sign in with OAuth2", code="AccountNotOAuth2")
        try:
            grant, cached = await self._grants.valid(config)
        except AccountError as error:
            await self._health.outcome(account, error)
            raise type(error)(
                error.message, code=RENEWAL_REFUSED, authentication_failed=True, **error.details
            ) from error
        app = await self._apps.stored(config.oauth2.app)
        return OAuthTokenInfo(
            account=account,
            user=config.oauth2.user,
            access_token=grant.access_token,
            provider=app.record.provider,
            app=app.record.id,
            registered_scopes=grant.scopes,
            expires=grant.expires_at,
            cached=cached,
        )

    async def _store(
        self,
        base: AccountConfig,
        old: StoredAccount | None,
        request: AccountCreate | AccountUpdate,
        grant: Grant | None,
    ) -> None:
        config, secrets = merged_config(base, request, self._clock())
        grant = grant or given_grant(request, self._clock())
        await self._check(config, grant, old)
        await self._claim_user(base, config)
        before = await self._accounts.secrets(config.account) if old is not None else AccountSecrets()
        if grant is not None and keeps_refresh_token(request):
            await self._grants.amend(config.account, grant)
        elif grant is not None:
            await self._grants.store(config.account, grant)
        elif config.oauth2 is None:
            await self._grants.forget(config.account)
        state: AccountState = "unset" if nothing_to_connect(config) else "init"
        reconnect = old is None or grant is not None or connection_changed(old, config, before, secrets)
        if old is not None and not reconnect and state != "unset":
            state = old.state
        moved = old is not None and await self._served_by(old.config) != await self._served_by(config)
        await self._accounts.save(config, merged_secrets(before, secrets, config), state)
        if moved:
            # Ids and positions of one provider mean nothing to another; nor how sending ended there.
            await self._forget_mail(config.account)
            await self._accounts.set_smtp_status(config.account, None)
        if request.webhooks and old is not None:
            # Whoever edits the URL has mended it, most likely.
            await self._due.hasten("webhook.deliver", DEFAULT_ENDPOINT, self._clock(), account=config.account)
        if old is None:
            added = self._events.make("accountAdded", config.account, AccountEventData(account=config.account))
            await self._events.append(config.account, [added])
        if reconnect and state != "unset":
            if old is not None:
                await self._connector.disconnect(config.account)
            await self._connector.connect(config.account)

    async def _forget_mail(self, account: str) -> None:
        await self._accounts.set_index(account, "none")
        await self._index.erase(account)

    async def _served_by(self, config: AccountConfig) -> str | None:
        """Return the name of the provider; None where there is none (any more)."""
        try:
            _, provider = await self._sessions.provider(config)
        except GatewayError:
            return None
        return provider.name

    async def _check(self, config: AccountConfig, grant: Grant | None, old: StoredAccount | None) -> None:
        if config.oauth2 is not None:
            try:
                app = await self._apps.stored(config.oauth2.app)
                await self._apps.open(config.oauth2.app)
            except ResourceNotFoundError as error:
                raise invalid("oauth2.provider", "names no OAuth2 app that this gateway serves") from error
            known = old is not None and old.config.oauth2 is not None
            lent = is_service_account(app.record.provider) or config.oauth2.delegated_account is not None
            if not lent and not known and grant is None:
                raise invalid("oauth2", "needs authorize, a refreshToken or an accessToken")
        elif not nothing_to_connect(config):
            key = "provider" if config.provider is not None else "imap"
            try:
                _, provider = await self._sessions.provider(config)
            except GatewayError as error:
                raise invalid(key, "names no provider that is installed here") from error
            try:
                provider_settings(config, provider)
            except ConfigurationError as error:
                field = {"message": error.message, "key": "settings" if config.provider is not None else key}
                raise InvalidRequestError("Invalid input", fields=[field]) from error

    async def _claim_user(self, before: AccountConfig, after: AccountConfig) -> None:
        if after.oauth2 is not None:
            holder = await self._apps.claim_user(after.oauth2.app, _user_key(after), after.account)
            if holder != after.account:
                raise ConflictError(
                    "Another account already uses this OAuth2 user",
                    code="AccountAlreadyExists",
                    existingAccount=holder,
                )
        if before.oauth2 is None:
            return
        old = (before.oauth2.app, _user_key(before))
        if after.oauth2 is None or old != (after.oauth2.app, _user_key(after)):
            await self._apps.release_user(before.oauth2.app, _user_key(before), before.account)

    async def _revoke(self, config: AccountConfig) -> bool:
        if config.oauth2 is None:
            return False
        stored = await self._grants.peek(config.account)
        if stored is None:
            return False
        try:
            return await (await self._apps.identity(config.oauth2.app)).revoke(stored.grant)
        except GatewayError as error:
            log.warning("grant_not_revoked", account=config.account, error=type(error).__name__)
            return False

    async def _app(self, config: AccountConfig, known: dict[str, AppRecord | None]) -> AppRecord | None:
        if config.oauth2 is None:
            return None
        if config.oauth2.app not in known:
            try:
                known[config.oauth2.app] = (await self._apps.stored(config.oauth2.app)).record
            except ResourceNotFoundError:
                known[config.oauth2.app] = None
        return known[config.oauth2.app]

    async def _require(self, account: str) -> StoredAccount:
        stored = await self._accounts.get(account)
        if stored is None:
            raise _not_found()
        return stored


def _not_found() -> ResourceNotFoundError:
    return ResourceNotFoundError("Account record was not found for requested ID", code="AccountNotFound")


def _check_id(account: str) -> None:
    # U+FFFD stands for octets that are not UTF-8: a path that holds it names nothing.
    if account != account.strip() or any(ord(char) < 32 or char in "\x7f\ufffd" for char in account):
        raise invalid("account", "must not hold control or replacement characters, or outer blanks")


def _user_key(config: AccountConfig) -> str:
    """A signed-in user holds one account of an app, and one for each shared mailbox."""
    if config.oauth2 is None:
        raise RequestError("the account has no OAuth2 user")
    return f"{config.oauth2.user}>{config.oauth2.shared}" if config.oauth2.shared else config.oauth2.user

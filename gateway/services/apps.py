"""OAuth2 apps: register, change, look up, diagnose."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET

from gateway.errors import GatewayError, InvalidRequestError, ResourceNotFoundError
from gateway.model.account_errors import LastError
from gateway.model.oauth2 import (
    DEFAULT_AUTHORITY,
    DEFAULT_CLOUD,
    MASK,
    PUB_SUB,
    SERVICE_PROVIDERS,
    AppCreate,
    AppCreated,
    AppDeleted,
    AppDetail,
    AppFields,
    AppList,
    AppRecord,
    AppUpdate,
    AppUpdated,
    VerifyApp,
    VerifyAppResult,
    VerifyStep,
)
from gateway.plugins import Plugins
from gateway.provider import AppGuide, Clock, Identity, OAuth2App, Provider
from gateway.services.paging import page_of
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.store.apps import SECRET_FIELDS, AppStore, StoredApp

_COUNTER = itertools.count()

#: Members that are true or false, and nothing else.
_SWITCHES = frozenset({"enabled", "googleWorkspaceAccounts"})

_NO_MAILBOXES = (
    "No plugin that is installed here opens mailboxes with such an app: it can be registered and verified, and the "
    "sign-in page does not offer it yet."
)

#: Called after an app was changed in a way that may let its accounts connect again.
AppChanged = Callable[[str], Awaitable[None]]


class AppService:
    """OAuth2 apps, and the provider that serves each."""

    def __init__(self, apps: AppStore, plugins: Plugins, settings: RuntimeSettingsService, clock: Clock) -> None:
        self._apps = apps
        self._plugins = plugins
        self._settings = settings
        self._clock = clock
        self.changed: AppChanged | None = None

    async def redirect_url(self) -> str:
        """Return the redirect URL to register at the provider.

        Raises:
            MissingSettingError: the service URL was never set.
        """
        return f"{await self._settings.service_url()}/oauth"

    def guide(self, provider: str, base_scopes: str) -> AppGuide | None:
        """Return how to register such an app at the provider's portal."""
        plugin = self._plugins.identity_for_app(provider, base_scopes)
        guide = plugin.app_guide(provider, base_scopes) if plugin is not None else None
        if guide is None or self._plugins.for_app(provider, base_scopes) is not None:
            return guide
        return msgspec.structs.replace(guide, steps=(*guide.steps, _NO_MAILBOXES))

    async def create(self, request: AppCreate) -> AppCreated:
        """Register an app.

        Raises:
            InvalidRequestError: members are missing or wrong for this kind of app.
        """
        base_scopes = request.base_scopes if isinstance(request.base_scopes, str) else _default_scopes(request.provider)
        now = self._clock()
        record = AppRecord(
            id=_new_id(int(now.timestamp() * 1000)),
            name=request.name,
            provider=request.provider,
            base_scopes=base_scopes,
            created=now,
            updated=now,
        )
        app = _merged(StoredApp(record=record, secrets={}), request)
        self._check(app)
        await self._apps.save(app)
        return AppCreated(id=record.id)

    async def update(self, id: str, request: AppUpdate) -> AppUpdated:
        """Change an app; its last error is forgotten and its accounts try again."""
        app = _merged(await self.stored(id), request)
        if isinstance(request.name, str):
            app = _with(app, name=request.name)
        app = _with(app, updated=self._clock())
        self._check(app)
        await self._apps.save(app)
        await self._apps.set_error(id, None)
        if self.changed is not None:
            await self.changed(id)
        return AppUpdated(id=id, updated=True)

    async def delete(self, id: str) -> AppDeleted:
        """Delete an app; its accounts stay, and cannot renew their grants any more."""
        await self.stored(id)
        accounts = await self._apps.account_count(id)
        await self._apps.delete(id)
        return AppDeleted(id=id, deleted=True, accounts=accounts)

    async def get(self, id: str) -> AppDetail:
        """Return an app, secrets masked, with the number of its accounts."""
        detail = self._detail(await self.stored(id))
        return msgspec.structs.replace(detail, accounts=await self._apps.account_count(id))

    async def list(self, page: int, page_size: int) -> AppList:
        """Return one page of the apps."""
        ids = await self._apps.ids()
        chunk, pages = page_of(ids, page, page_size)
        apps = [await self._apps.get(id) for id in chunk]
        details = tuple(self._detail(app) for app in apps if app is not None)
        return AppList(total=len(ids), page=page, pages=pages, apps=details)

    async def list_pub_sub(self, page: int, page_size: int) -> AppList:
        """Return one page of the apps by which Google would tell of new mail."""
        apps = [await self._apps.get(id) for id in await self._apps.ids()]
        known = [app for app in apps if app is not None and app.record.base_scopes == PUB_SUB]
        chunk, pages = page_of(known, page, page_size)
        return AppList(total=len(known), page=page, pages=pages, apps=tuple(self._detail(app) for app in chunk))

    async def offered(self) -> tuple[AppRecord, ...]:
        """Return the apps that a hosted form offers."""
        apps = [await self._apps.get(id) for id in await self._apps.ids()]
        return tuple(app.record for app in apps if app is not None and self._is_offered(app.record))

    def _is_offered(self, record: AppRecord) -> bool:
        if not record.enabled or record.provider in SERVICE_PROVIDERS:
            return False
        # Whoever signed in would get no mailbox otherwise.
        return self._plugins.for_app(record.provider, record.base_scopes) is not None

    def _detail(self, app: StoredApp) -> AppDetail:
        return _detail(app, listed=self._is_offered(app.record))

    async def stored(self, id: str) -> StoredApp:
        """Return an app with its secrets.

        Raises:
            ResourceNotFoundError: there is none.
        """
        app = await self._apps.get(id)
        if app is None:
            raise ResourceNotFoundError("no such OAuth2 app", code="AppNotFound")
        return app

    async def open(self, id: str) -> tuple[OAuth2App, Provider]:
        """Return an app as its provider wants it, and the provider."""
        stored = await self.stored(id)
        provider = self._plugins.for_app(stored.record.provider, stored.record.base_scopes)
        if provider is None:
            raise ResourceNotFoundError("no installed plugin serves this OAuth2 app", code="ProviderNotInstalled")
        return contract_app(stored), provider

    async def identity(self, id: str) -> Identity:
        """Return the OAuth2 side of an app."""
        stored = await self.stored(id)
        provider = self._plugins.identity_for_app(stored.record.provider, stored.record.base_scopes)
        if provider is None:
            raise ResourceNotFoundError("no installed plugin signs in for this app", code="ProviderNotInstalled")
        return provider.identity(contract_app(stored))

    async def claim_user(self, id: str, user: str, account: str) -> str:
        """Note that `account` signed in as `user`; return the account that holds the user now."""
        return await self._apps.claim_user(id, user, account)

    async def release_user(self, id: str, user: str, account: str) -> None:
        """Forget that `account` signed in as `user`."""
        await self._apps.release_user(id, user, account)

    async def set_error(self, id: str, error: LastError | None) -> None:
        """Remember why token requests of the app fail, or that they work again."""
        await self._apps.set_error(id, error)

    async def verify(
        self, id: str, request: VerifyApp, probe: Callable[[str, str], Awaitable[None]]
    ) -> VerifyAppResult:
        """Diagnose an app step by step.

        Args:
            id: the app.
            request: the mailbox to try, and whether to open it.
            probe: opens a mailbox (app id, user) with the app's own token and raises what goes wrong.
        """
        stored = await self.stored(id)
        steps = [self._config_step(stored)]
        if stored.record.provider not in SERVICE_PROVIDERS:
            message = "A user has to sign in; use the hosted form to try it."
            steps.append(VerifyStep(id="interactive", label="Sign-in", status="skip", message=message))
        else:
            steps.append(await self._attempt("token", "Token of the app", partial(self._token_step, id), steps))
            steps.append(await self._mailbox_step(stored, request, probe, steps))
        return VerifyAppResult(
            app=id,
            provider=stored.record.provider,
            auth_method=None,
            account=request.account,
            ok=all(step.status != "fail" for step in steps),
            steps=tuple(steps),
        )

    async def _mailbox_step(
        self,
        stored: StoredApp,
        request: VerifyApp,
        probe: Callable[[str, str], Awaitable[None]],
        before: Sequence[VerifyStep],
    ) -> VerifyStep:
        skipped = None
        if request.account is None:
            skipped = "No account was given."
        elif not request.test_connection:
            skipped = "Not asked for."
        elif self._plugins.for_app(stored.record.provider, stored.record.base_scopes) is None:
            skipped = "No installed plugin opens the mailboxes of such apps."
        if skipped is not None or request.account is None:
            return VerifyStep(id="mailbox", label="Mailbox", status="skip", message=skipped)
        return await self._attempt("mailbox", "Mailbox", partial(probe, stored.record.id, request.account), before)

    async def _token_step(self, id: str) -> None:
        await (await self.identity(id)).client_credentials()

    async def _attempt(
        self, id: str, label: str, work: Callable[[], Awaitable[None]], before: Sequence[VerifyStep]
    ) -> VerifyStep:
        if any(step.status == "fail" for step in before):
            return VerifyStep(id=id, label=label, status="skip", message="An earlier step failed.")
        try:
            await work()
        except GatewayError as error:
            remedy = getattr(error, "remedy", None)
            hint = " ".join(remedy.steps) if remedy is not None and remedy.steps else UNSET
            return VerifyStep(id=id, label=label, status="fail", message=error.message, hint=hint)
        return VerifyStep(id=id, label=label, status="ok")

    def _config_step(self, stored: StoredApp) -> VerifyStep:
        problems = self._problems(stored)
        if not problems:
            return VerifyStep(id="config", label="Configuration", status="ok")
        message = "; ".join(f"{field}: {text}" for field, text in problems.items())
        return VerifyStep(id="config", label="Configuration", status="fail", message=message)

    def _check(self, stored: StoredApp) -> None:
        if problems := self._problems(stored):
            fields = [{"message": text, "key": field} for field, text in problems.items()]
            raise InvalidRequestError("the OAuth2 app cannot work like this", fields=fields)

    def _problems(self, stored: StoredApp) -> dict[str, str]:
        provider = self._plugins.identity_for_app(stored.record.provider, stored.record.base_scopes)
        if provider is None:
            name = f"{stored.record.provider} with base scopes {stored.record.base_scopes}"
            return {"provider": f"no installed plugin signs in for {name}"}
        return dict(provider.app_problems(contract_app(stored)))


def contract_app(stored: StoredApp) -> OAuth2App:
    """Return an app as providers see it."""
    record, fields = stored.record, stored.record.fields
    return OAuth2App(
        id=record.id,
        provider=record.provider,
        base_scopes=record.base_scopes,
        client_id=fields.get("clientId") or "",
        client_secret=stored.secrets.get("clientSecret", ""),
        authority=fields.get("authority") or DEFAULT_AUTHORITY,
        cloud=fields.get("cloud") or DEFAULT_CLOUD,
        tenant=fields.get("tenant"),
        redirect_url=fields.get("redirectUrl") or "",
        extra_scopes=tuple(fields.get("extraScopes") or ()),
        skip_scopes=tuple(fields.get("skipScopes") or ()),
    )


def _default_scopes(provider: str) -> str:
    return "api" if provider in SERVICE_PROVIDERS else "imap"


def _new_id(milliseconds: int) -> str:
    raw = milliseconds.to_bytes(8, "big") + (next(_COUNTER) % 2**32).to_bytes(4, "big")
    return base64.urlsafe_b64encode(raw).decode()


def _with(app: StoredApp, **changes: Any) -> StoredApp:
    return msgspec.structs.replace(app, record=msgspec.structs.replace(app.record, **changes))


def _merged(app: StoredApp, request: AppFields) -> StoredApp:
    """Return the app with the members of a request; null and false clear, a masked secret stays as it is."""
    wire = msgspec.to_builtins(request)
    fields, secrets = dict(app.record.fields), dict(app.secrets)
    changes: dict[str, Any] = {}
    for name, value in wire.items():
        if name in ("name", "provider", "baseScopes"):
            continue
        if value is True and name not in _SWITCHES:
            field = {"message": f'"{name}" must be a string or false', "key": name}
            raise InvalidRequestError("Input validation failed", fields=[field])
        if name in ("enabled", "title", "description"):
            changes[name] = value
        elif name in SECRET_FIELDS:
            if value and value != MASK:
                secrets[name] = value
            elif not value:
                secrets.pop(name, None)
        elif value in (None, False, ""):
            fields.pop(name, None)
        else:
            fields[name] = value
    if app.record.provider in SERVICE_PROVIDERS:
        # Nobody chooses them on a form, so there is nothing to switch off.
        changes["enabled"] = True
    return _with(msgspec.structs.replace(app, secrets=secrets), fields=fields, **changes)


def _detail(app: StoredApp, *, listed: bool) -> AppDetail:
    record = app.record
    wire = msgspec.to_builtins(record)
    wire.pop("fields", None)
    wire.update(record.fields)
    if record.provider in ("outlook", "outlookService"):
        wire.setdefault("authority", DEFAULT_AUTHORITY)
        wire.setdefault("cloud", DEFAULT_CLOUD)
    wire.update(dict.fromkeys(app.secrets, MASK))
    wire.pop("lastError", None)
    detail = msgspec.convert(wire, AppDetail, strict=False)
    return msgspec.structs.replace(
        detail,
        enabled=record.enabled,
        include_in_listing=listed,
        base_scopes=record.base_scopes,
        last_error=record.last_error,
    )

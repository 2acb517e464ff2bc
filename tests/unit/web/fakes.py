"""In-memory services behind the pages: they keep what they are given and answer as the real ones do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET

from gateway.errors import (
    ConflictError,
    GatewayError,
    InvalidRequestError,
    RequestError,
    ResourceNotFoundError,
)
from gateway.model.account import (
    AccountDeleted,
    AccountDetail,
    AccountEntry,
    AccountList,
    AccountState,
    FormLink,
    FormRequest,
    StateOverview,
)
from gateway.model.account_errors import LastError, RemedyInfo
from gateway.model.event import Event
from gateway.model.oauth2 import MASK, AppCreate, AppCreated, AppDeleted, AppDetail, AppList, AppUpdate, AppUpdated
from gateway.model.token import TokenCreate, TokenCreated, TokenDeleted, TokenList, TokenRecord
from gateway.model.verification import ServerVerdict, VerifyResult
from gateway.provider import AppGuide
from gateway.services.sign_in import (
    BegunSignIn,
    ImapFormData,
    SignInChoice,
    SignInFailedError,
    SignInForm,
    SignInOutcome,
)
from gateway.store.signs import Signs
from tests.unit.web.fake_submissions import FakeSubmissions
from tests.unit.web.fake_webhooks import FakeWebhooks

SERVICE_URL = "http://testserver.local"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ADMIN_TOKEN = "a" * 64
NARROW_TOKEN = "b" * 64

ADMIN_CONSENT = RemedyInfo(
    code="AADSTS90094",
    title="Your organisation has to approve this application first",
    who="tenant_admin",
    steps=("Send the link below to an administrator.", "Sign in again after it was approved."),
    raw="AADSTS90094: The grant requires admin permission.",
    url="https://login.example/contoso/adminconsent?client_id=11111111-2222-4333-8444-555555555555",
)
CONSENT_ERROR = LastError(
    response="consent is required",
    description=ADMIN_CONSENT.title,
    server_response_code="AADSTS90094",
    remedy=ADMIN_CONSENT,
    time=NOW,
)


def digest(value: str) -> str:
    """Return the id of a token."""
    return hashlib.sha256(value.encode()).hexdigest()


class FakeSignIn:
    """Links are ``data=<JSON of the form>&sig=good``; states begin with ``state-``."""

    def __init__(self, accounts: FakeAccounts) -> None:
        self._accounts = accounts
        self.requests: list[FormRequest] = []
        self.choices: tuple[SignInChoice, ...] = (
            SignInChoice(id="app1", title="Contoso mail", provider="outlook"),
            SignInChoice(id="app2", title="Sandbox", provider="outlook"),
        )
        self.imap = True
        self.failure: SignInFailedError | None = None
        self.outcome = SignInOutcome(account="new", state="new")
        self.secrets: dict[str, str] = {}
        self.verdict = VerifyResult(imap=ServerVerdict(success=True), smtp=ServerVerdict(success=True))
        self.created: list[ImapFormData] = []
        self.approved: list[Mapping[str, str]] = []
        self.refusal: GatewayError | None = None

    async def form_link(self, request: FormRequest, /) -> FormLink:
        self.requests.append(request)
        kind = f"&type={request.type}" if request.type else ""
        return FormLink(url=f"{SERVICE_URL}/accounts/new?data=plain&sig=good{kind}")

    async def open_link(self, data: str, sig: str, type: str | None, /) -> SignInForm:
        if sig != "good":
            raise RequestError("Invalid or expired account setup URL", code="InvalidLink")
        request = FormRequest(redirect_url="")
        if data != "plain":
            request = msgspec.json.decode(data, type=FormRequest)
        known = {choice.id for choice in self.choices} | {"imap"}
        return SignInForm(
            nonce="nonce",
            request=request,
            link=f"{SERVICE_URL}/accounts/new?data=plain&sig=good",
            type=type if type in known else None,
            choices=self.choices,
            imap=self.imap,
            redirect_url=request.redirect_url or None,
        )

    async def begin(self, form: SignInForm, app_id: str, /) -> BegunSignIn:
        state = f"state-{len(self.secrets)}"
        self.secrets[state] = f"secret-of-{state}"
        url = f"https://login.example/authorize?state={state}"
        return BegunSignIn(url=url, state=state, browser_secret=self.secrets[state])

    async def complete(self, params: Mapping[str, str], browser_secret: str | None, /) -> SignInOutcome:
        known = self.secrets.get(params.get("state", ""))
        if known is None or known != browser_secret:
            error = RequestError("This sign-in was started in another browser", code="SessionMismatch")
            raise SignInFailedError(error)
        if self.failure is not None:
            raise self.failure
        return self.outcome

    async def admin_consented(self, params: Mapping[str, str], /) -> None:
        self.approved.append(params)

    async def test_imap(self, form: SignInForm, data: ImapFormData, /) -> VerifyResult:
        return self.verdict

    async def create_imap(self, form: SignInForm, data: ImapFormData, /) -> SignInOutcome:
        if form.expected_email and form.expected_email != data.email:
            raise ConflictError("Another mailbox than the expected one", code="UnexpectedMailbox")
        if self.refusal is not None:
            raise self.refusal
        self.created.append(data)
        return msgspec.structs.replace(self.outcome, redirect_url=form.redirect_url)


class FakeAccounts:
    """Accounts by id."""

    def __init__(self) -> None:
        self.details: dict[str, AccountDetail] = {}
        self.deleted: list[tuple[str, bool]] = []
        self.reconnected: list[str] = []

    def add(self, detail: AccountDetail) -> None:
        self.details[detail.account] = detail

    async def list(
        self, *, page: int, page_size: int, state: AccountState | None = None, query: str | None = None
    ) -> AccountList:
        found = [
            detail
            for detail in self.details.values()
            if (state is None or detail.state == state)
            and (query is None or query.lower() in f"{detail.account} {detail.name} {detail.email}".lower())
        ]
        entries = tuple(
            AccountEntry(
                account=detail.account,
                name=detail.name,
                email=detail.email,
                type=detail.type,
                state=detail.state,
                sync_time=detail.sync_time,
                alive_time=detail.alive_time,
                last_error=detail.last_error if isinstance(detail.last_error, LastError) else None,
            )
            for detail in found[page * page_size : (page + 1) * page_size]
        )
        return AccountList(total=len(found), page=page, pages=-(-len(found) // page_size), accounts=entries)

    async def get(self, account: str, /) -> AccountDetail:
        if account not in self.details:
            raise ResourceNotFoundError("no such account", code="AccountNotFound")
        return self.details[account]

    async def delete(self, account: str, /, *, revoke: bool = False) -> AccountDeleted:
        await self.get(account)
        self.deleted.append((account, revoke))
        del self.details[account]
        return AccountDeleted(account=account)

    async def reconnect(self, account: str, /) -> None:
        await self.get(account)
        self.reconnected.append(account)

    async def recent_state(self, account: str, /) -> tuple[AccountState, LastError | None]:
        detail = await self.get(account)
        return detail.state, detail.last_error if isinstance(detail.last_error, LastError) else None


class FakeApps:
    """Apps by id, with their secrets beside them."""

    def __init__(self) -> None:
        self.details: dict[str, AppDetail] = {}
        self.secrets: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        self.guides: dict[tuple[str, str], AppGuide] = {
            ("outlook", scopes): AppGuide(
                title="At the Microsoft Entra admin center",
                clouds=("global", "gcc-high", "dod", "china"),
                authorities=(
                    ("common", "Any organisation and personal accounts"),
                    ("organizations", "Any organisation"),
                    ("consumers", "Personal accounts only"),
                ),
                permissions=permissions,
                steps=(
                    "Open App registrations and press New registration.",
                    "Under Redirect URI choose Web and enter {redirect_url}.",
                    "Under Certificates & secrets press New client secret and copy its Value.",
                    "Under API permissions add the permissions below.",
                ),
            )
            for scopes, permissions in (
                ("imap", ("IMAP.AccessAsUser.All", "SMTP.Send", "offline_access")),
                ("api", ("Mail.ReadWrite", "Mail.Send", "offline_access")),
            )
        }

    async def list(self, page: int, page_size: int) -> AppList:
        return AppList(total=len(self.details), page=page, pages=1, apps=tuple(self.details.values()))

    async def get(self, id: str, /) -> AppDetail:
        if id not in self.details:
            raise ResourceNotFoundError("no such app", code="AppNotFound")
        return self.details[id]

    async def create(self, request: AppCreate, /) -> AppCreated:
        self._check()
        new = f"app{len(self.details) + 1}"
        self._keep(new, request, AppDetail(id=new, name=request.name, provider=request.provider, created=NOW))
        return AppCreated(id=new)

    async def update(self, id: str, request: AppUpdate, /) -> AppUpdated:
        self._check()
        self._keep(id, request, await self.get(id))
        return AppUpdated(id=id, updated=True)

    async def delete(self, id: str, /) -> AppDeleted:
        await self.get(id)
        del self.details[id]
        return AppDeleted(id=id, deleted=True, accounts=2)

    def guide(self, provider: str, base_scopes: str, /) -> AppGuide | None:
        return self.guides.get((provider, base_scopes))

    async def redirect_url(self) -> str:
        return f"{SERVICE_URL}/oauth"

    def _check(self) -> None:
        if self.problems:
            fields = [{"key": key, "message": text} for key, text in self.problems.items()]
            raise InvalidRequestError("wrong", fields=fields)

    def _keep(self, id: str, request: AppCreate | AppUpdate, detail: AppDetail) -> None:
        changes: dict[str, Any] = {
            name: getattr(request, name)
            for name in request.__struct_fields__
            if getattr(request, name) is not UNSET and name in detail.__struct_fields__
        }
        if "client_secret" in changes:
            self.secrets[id] = changes["client_secret"]
            changes["client_secret"] = MASK
        self.details[id] = msgspec.structs.replace(detail, **changes)


class FakeTokens:
    """Tokens by id."""

    def __init__(self) -> None:
        self.records: dict[str, TokenRecord] = {}
        self.put(ADMIN_TOKEN, TokenRecord(id="", description="prepared token", scopes=("*",), created=NOW))

    def put(self, value: str, record: TokenRecord) -> None:
        self.records[digest(value)] = msgspec.structs.replace(record, id=digest(value))

    async def authenticate(self, value: str, /) -> TokenRecord | None:
        return self.records.get(digest(value))

    async def get(self, id: str, /) -> TokenRecord:
        if id not in self.records:
            raise ResourceNotFoundError("no such token", code="TokenNotFound")
        return self.records[id]

    async def list(self, *, page: int, page_size: int) -> TokenList:
        tokens = tuple(self.records.values())
        return TokenList(account=None, total=len(tokens), page=page, pages=1, tokens=tokens)

    async def issue(self, request: TokenCreate, /) -> TokenCreated:
        if request.account is None and request.permissions is None:
            raise InvalidRequestError("narrow it", fields=[{"key": "permissions", "message": "is required"}])
        value = "c" * 64
        self.put(
            value,
            TokenRecord(
                id="",
                account=request.account,
                description=request.description,
                scopes=request.scopes,
                permissions=request.permissions,
                expires=request.expires,
                created=NOW,
            ),
        )
        return TokenCreated(token=value, id=digest(value))

    async def delete(self, id: str, /) -> TokenDeleted:
        return TokenDeleted(deleted=self.records.pop(id, None) is not None)


class FakeSettings:
    """Runtime settings by wire name."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"serviceUrl": SERVICE_URL, "serviceSecret": "0123456789abcdef"}

    async def get(self, name: str, /) -> Any:
        return self.values.get(name)

    async def service_secret(self) -> bytes:
        return str(self.values["serviceSecret"]).encode()

    async def update(self, values: Mapping[str, Any], /) -> list[str]:
        url = values.get("webhooks")
        if url and not url.startswith("http"):
            raise InvalidRequestError("no URL", fields=[{"key": "webhooks", "message": "no URL"}])
        self.values.update(values)
        return sorted(values)

    async def rotate_webhook_secret(self) -> tuple[str, int]:
        return "whsec_new", 2


class FakeOverview:
    """Looks at all accounts."""

    def __init__(self, accounts: FakeAccounts) -> None:
        self._accounts = accounts

    async def states(self) -> dict[AccountState, StateOverview]:
        heard: dict[AccountState, list[datetime | None]] = {}
        for detail in self._accounts.details.values():
            heard.setdefault(detail.state, []).append(detail.alive_time)
        return {
            state: StateOverview(count=len(times), silent_since=None if None in times else min(filter(None, times)))
            for state, times in heard.items()
        }

    async def signs(self, account: str, /) -> Signs:
        detail = self._accounts.details[account]
        return Signs(detail.alive_time, detail.sync_time)


class FakeEvents:
    """What happened, by account, newest first."""

    def __init__(self) -> None:
        self.told: dict[str, list[Event]] = {}

    async def recent(self, account: str, limit: int, /) -> list[Event]:
        return self.told.get(account, [])[:limit]


class FakeServices:
    """Everything the pages call."""

    def __init__(self) -> None:
        self.accounts = FakeAccounts()
        self.overview = FakeOverview(self.accounts)
        self.events = FakeEvents()
        self.apps = FakeApps()
        self.tokens = FakeTokens()
        self.webhooks = FakeWebhooks()
        self.submissions = FakeSubmissions()
        self.runtime_settings = FakeSettings()
        self.sign_in = FakeSignIn(self.accounts)

"""What the pages need from the services, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gateway.model.account import (
    AccountDeleted,
    AccountDetail,
    AccountList,
    AccountState,
    FormLink,
    FormRequest,
    StateOverview,
)
from gateway.model.account_errors import LastError
from gateway.model.blocklist import Source
from gateway.model.event import Event
from gateway.model.oauth2 import AppCreate, AppCreated, AppDeleted, AppDetail, AppList, AppUpdate, AppUpdated
from gateway.model.submission import OutboxDeleted, OutboxEntry, OutboxList
from gateway.model.token import TokenCreate, TokenCreated, TokenDeleted, TokenList, TokenRecord
from gateway.model.verification import VerifyResult
from gateway.model.webhook import (
    DeliveryState,
    Endpoint,
    ReplayRequest,
    ReplayStarted,
    RouteUpdate,
    RouteUpdated,
    TestRequest,
    WebhookDeliveryList,
)
from gateway.provider import AppGuide
from gateway.services.callers import Caller
from gateway.services.sign_in import BegunSignIn, ImapFormData, SignInForm, SignInOutcome
from gateway.services.unsubscribe_link import Subscription
from gateway.store.signs import Signs


class SignIn(Protocol):
    """Hosted form and OAuth2 callback."""

    async def form_link(self, request: FormRequest, /) -> FormLink:
        """Return a signed link to the hosted form."""

    async def open_link(self, data: str, sig: str, type: str | None, /) -> SignInForm:
        """Check a link and return the form it leads to; raises `RequestError` with the code InvalidLink."""

    async def begin(self, form: SignInForm, app_id: str, /) -> BegunSignIn:
        """Begin a sign-in at the identity provider of an app."""

    async def complete(self, params: Mapping[str, str], browser_secret: str | None, /) -> SignInOutcome:
        """Finish a sign-in with the parameters of the redirect; raises `SignInFailedError`."""

    async def admin_consented(self, params: Mapping[str, str], /) -> None:
        """Let the accounts that waited for an administrator's approval try again."""

    async def test_imap(self, form: SignInForm, data: ImapFormData, /) -> VerifyResult:
        """Test the servers of the form without storing anything."""

    async def create_imap(self, form: SignInForm, data: ImapFormData, /) -> SignInOutcome:
        """Test the servers and create the account; raises `InvalidRequestError` naming the server that refused."""


class Push(Protocol):
    """Calls of mail services."""

    async def called(self, account: str, body: bytes, /) -> None:
        """Take a call for an account."""


class Accounts(Protocol):
    """Accounts as the administrator sees them."""

    async def list(
        self, *, page: int, page_size: int, state: AccountState | None = None, query: str | None = None
    ) -> AccountList:
        """Return one page of the accounts."""

    async def get(self, account: str, /) -> AccountDetail:
        """Return one account; raises `ResourceNotFoundError`."""

    async def delete(self, account: str, /, *, revoke: bool = False) -> AccountDeleted:
        """Delete an account, and withdraw its grant if `revoke`."""

    async def reconnect(self, account: str, /) -> None:
        """Build the account's connections anew, in the background."""

    async def recent_state(self, account: str, /) -> tuple[AccountState, LastError | None]:
        """Return state and last error."""


class Overview(Protocol):
    """How the accounts are, all together."""

    async def states(self) -> dict[AccountState, StateOverview]:
        """Return how many accounts are in each state, and since when the quietest of them has been silent."""

    async def signs(self, account: str, /) -> Signs:
        """Return when one account was last heard from, and when its mail was last looked at."""


class Events(Protocol):
    """What happened."""

    async def recent(self, account: str, limit: int, /) -> list[Event]:
        """Return the last events of an account, newest first."""


class Apps(Protocol):
    """OAuth2 apps and how to register them at the provider's portal."""

    async def list(self, page: int, page_size: int) -> AppList:
        """Return one page of the apps."""

    async def get(self, id: str, /) -> AppDetail:
        """Return one app; raises `ResourceNotFoundError`."""

    async def create(self, request: AppCreate, /) -> AppCreated:
        """Register an app; raises `InvalidRequestError` naming the fields."""

    async def update(self, id: str, request: AppUpdate, /) -> AppUpdated:
        """Change an app; raises `InvalidRequestError` naming the fields."""

    async def delete(self, id: str, /) -> AppDeleted:
        """Delete an app and tell how many accounts signed in through it."""

    def guide(self, provider: str, base_scopes: str, /) -> AppGuide | None:
        """Return how to register such an app; None when no installed plugin can use it."""

    async def redirect_url(self) -> str:
        """Return the redirect URL to register at the provider."""


class Tokens(Protocol):
    """API tokens."""

    async def authenticate(self, value: str, /) -> TokenRecord | None:
        """Return the token with this value if it is one and has not expired."""

    async def get(self, id: str, /) -> TokenRecord:
        """Return one token by its id; raises `ResourceNotFoundError`."""

    async def list(self, *, page: int, page_size: int) -> TokenList:
        """Return one page of the tokens."""

    async def issue(self, request: TokenCreate, /) -> TokenCreated:
        """Make a token; raises `InvalidRequestError` or `ResourceNotFoundError` for its account."""

    async def delete(self, id: str, /) -> TokenDeleted:
        """Revoke a token."""


class RuntimeSettings(Protocol):
    """Settings that change at run time."""

    async def get(self, name: str, /) -> Any:
        """Return one setting by its wire name, None when it was never made."""

    async def service_secret(self) -> bytes:
        """Return the key that signs links and cookies."""

    async def update(self, values: Mapping[str, Any], /) -> list[str]:
        """Make settings; raises `InvalidRequestError` naming the fields."""

    async def rotate_webhook_secret(self) -> tuple[str, int]:
        """Make a new secret for webhooks and return it, with the number that are live."""


class WebhookOperations(Protocol):
    """What is done with webhooks beside configuring them."""

    async def endpoints(self) -> list[Endpoint]:
        """Return the endpoints and what is wrong with them."""

    async def deliveries(
        self, *, endpoint: str | None, account: str | None, state: DeliveryState | None, cursor: str | None, size: int
    ) -> WebhookDeliveryList:
        """Return attempts, newest first; raises `InvalidRequestError` for a cursor that is none."""

    async def replay(self, request: ReplayRequest, /) -> ReplayStarted:
        """Have events delivered again; raises `RequestError` if that cannot be."""

    async def ask_test(self, request: TestRequest, /) -> bytes:
        """Send a test event and return a `TestResult` as JSON; raises `GatewayError` if none can be sent."""


class WebhookRoutes(Protocol):
    """Webhook routes."""

    async def update(self, id: str, request: RouteUpdate, /) -> RouteUpdated:
        """Change a route; raises `ResourceNotFoundError`."""


class Webhooks(Protocol):
    """Webhooks as the administrator sees them."""

    @property
    def routes(self) -> WebhookRoutes:
        """Webhook routes."""

    @property
    def operations(self) -> WebhookOperations:
        """What is done with them."""


class Blocklists(Protocol):
    """Who gets the mail of lists."""

    async def open_link(self, data: str, sig: str, /) -> Subscription:
        """Check a link and return what it is about; raises `RequestError` with the code InvalidLink."""

    async def is_subscribed(self, subscription: Subscription, /) -> bool:
        """Tell whether a recipient gets the mail of a list."""

    async def unsubscribe(self, subscription: Subscription, source: Source, caller: Caller, /) -> None:
        """Send a recipient no more mail of a list."""

    async def subscribe(self, subscription: Subscription, caller: Caller, /) -> None:
        """Send a recipient the mail of a list again."""


class Tracking(Protocol):
    """What recipients do with mail that was sent."""

    async def opened(self, data: str, sig: str, caller: Caller, /) -> None:
        """Tell that a message was opened; raises `RequestError` with the code InvalidLink."""

    async def followed(self, data: str, sig: str, caller: Caller, /) -> str:
        """Tell that a link was followed and return where it leads; raises as `opened` does."""


class Submissions(Protocol):
    """What is to be sent."""

    async def list(self, *, page: int, page_size: int, account: str | None = None) -> OutboxList:
        """Return one page of the outbox."""

    async def delete(self, queue_id: str, /) -> OutboxDeleted:
        """Forget an entry unless it is being sent."""

    async def cancel(self, queue_id: str, /) -> OutboxEntry:
        """Cancel an entry that waits; raises `ConflictError` or `ResourceNotFoundError`."""

    async def retry(self, queue_id: str, /, *, may_repeat: bool = False) -> OutboxEntry:
        """Send an entry now; raises `ConflictError` or `ResourceNotFoundError`."""


class WebServices(Protocol):
    """The services behind the pages."""

    @property
    def sign_in(self) -> SignIn:
        """Hosted form and OAuth2 callback."""

    @property
    def push(self) -> Push:
        """Calls of mail services."""

    @property
    def accounts(self) -> Accounts:
        """Accounts."""

    @property
    def overview(self) -> Overview:
        """How the accounts are, all together."""

    @property
    def events(self) -> Events:
        """What happened."""

    @property
    def apps(self) -> Apps:
        """OAuth2 apps."""

    @property
    def tokens(self) -> Tokens:
        """API tokens."""

    @property
    def webhooks(self) -> Webhooks:
        """Webhooks."""

    @property
    def tracking(self) -> Tracking:
        """What recipients do with mail that was sent."""

    @property
    def blocklists(self) -> Blocklists:
        """Who gets the mail of lists."""

    @property
    def submissions(self) -> Submissions:
        """The outbox."""

    @property
    def runtime_settings(self) -> RuntimeSettings:
        """Settings that change at run time."""

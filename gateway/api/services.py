"""What the API needs from the rest of the gateway, as protocols: controllers know nothing else of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from gateway.model.message import ReferenceResult
from gateway.model.submission import ComposeFields
from gateway.model.token import Allowance, TokenRecord
from gateway.queue.operations import Operation
from gateway.services.accounts import AccountService
from gateway.services.apps import AppService
from gateway.services.autoconfig import AutoconfigService
from gateway.services.blocklists import BlocklistService
from gateway.services.delivery_tests.service import DeliveryTestService
from gateway.services.dispatch import Dispatcher
from gateway.services.drafts import DraftService
from gateway.services.events import EventService
from gateway.services.exports import ExportService
from gateway.services.feed import FeedReader
from gateway.services.listings import ListingService
from gateway.services.metrics import MetricsService
from gateway.services.protocol_logs import ProtocolLogs
from gateway.services.queues import QueueService
from gateway.services.relays import RelayService
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.services.sign_in import SignInService
from gateway.services.stats import StatsService
from gateway.services.submissions import SubmissionService
from gateway.services.templates import TemplateService
from gateway.services.tokens import TokenService
from gateway.services.verification import VerificationService
from gateway.services.webhooks.service import Webhooks


class Authenticator(Protocol):
    """Knows the tokens."""

    async def authenticate(self, value: str, /) -> TokenRecord | None:
        """Return the record of the token that has this value; None when it is unknown, revoked or expired."""
        ...

    async def used(self, token: TokenRecord, ip: str | None, /) -> None:
        """Remember that a token was used, and from where."""
        ...

    async def count(self, token: TokenRecord, /) -> Allowance:
        """Count one call against ``token.restrictions.rate_limit``; asked only of tokens that have one."""
        ...


class JobStream(Protocol):
    """An answer that arrives in pieces: `head` is a `StreamHead` as JSON, `chunks` are the octets."""

    @property
    def head(self) -> bytes: ...

    @property
    def chunks(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """End the stream, read or not."""
        ...


class Jobs(Protocol):
    """Has operations done by the worker that owns the account."""

    async def call(self, operation: Operation, account: str, arguments: msgspec.Struct, /, *, timeout: float) -> bytes:
        """Return the answer, JSON as it was encoded where it arose.

        Raises:
            DeadlineError: there was none within `timeout` seconds.
            GatewayError: the error the operation ended with.
        """
        ...

    async def stream(
        self, operation: Operation, account: str, arguments: msgspec.Struct, /, *, timeout: float
    ) -> JobStream:
        """Open an answer that arrives in pieces; `timeout` is the time until its head. Raises like `call`."""
        ...


class Composer(Protocol):
    """Makes messages of what clients send."""

    async def compose_draft(self, account: str, fields: ComposeFields, /) -> tuple[bytes, ReferenceResult | None]:
        """Return a message to be stored, which needs neither author nor recipients, and what became of its reference.

        Raises:
            InvalidRequestError: something cannot stand in a message; its details name the field.
        """
        ...


class Health(Protocol):
    """Knows whether this installation can work."""

    async def check(self) -> dict[str, bool]:
        """Return what the gateway depends on and whether it is there, e.g. {"redis": True, "workers": False}."""
        ...


class Services(Protocol):
    """Everything that controllers call."""

    @property
    def tokens(self) -> TokenService: ...

    @property
    def accounts(self) -> AccountService: ...

    @property
    def apps(self) -> AppService: ...

    @property
    def sign_in(self) -> SignInService: ...

    @property
    def submissions(self) -> SubmissionService: ...

    @property
    def delivery_tests(self) -> DeliveryTestService: ...

    @property
    def drafts(self) -> DraftService: ...

    @property
    def blocklists(self) -> BlocklistService: ...

    @property
    def relays(self) -> RelayService: ...

    @property
    def templates(self) -> TemplateService: ...

    @property
    def exports(self) -> ExportService: ...

    @property
    def verification(self) -> VerificationService: ...

    @property
    def stats(self) -> StatsService: ...

    @property
    def protocol_logs(self) -> ProtocolLogs: ...

    @property
    def queues(self) -> QueueService: ...

    @property
    def autoconfig(self) -> AutoconfigService: ...

    @property
    def events(self) -> EventService: ...

    @property
    def feed(self) -> FeedReader: ...

    @property
    def listings(self) -> ListingService: ...

    @property
    def runtime_settings(self) -> RuntimeSettingsService: ...

    @property
    def webhooks(self) -> Webhooks: ...

    @property
    def dispatcher(self) -> Dispatcher: ...

    @property
    def jobs(self) -> Jobs: ...

    @property
    def composer(self) -> Composer: ...

    @property
    def health(self) -> Health: ...

    @property
    def metrics(self) -> MetricsService: ...

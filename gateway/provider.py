"""The contract between the gateway and a mail provider.

A provider plugin brings one kind of mailbox. It registers `Provider` objects through the hook
``gateway_register_providers`` (`gateway.hookspecs`); the gateway finds it by its entry point in the group ``gateway``.

Words are IMAP's (RFC 9051) and OAuth2's (RFC 6749); a provider translates its own words once. The structs of mail
are the wire structs of `gateway.model`: what a session returns is what the API answers. Identifiers are opaque
strings, unique within one account and stable while the message stays where it is. Times are aware UTC, sizes octets,
durations seconds.

Everything is asynchronous. A blocking library is wrapped in the plugin, a whole operation per thread hop.
Errors are those of `gateway.errors`; the native error is the `__cause__`. No error text holds a secret or an address.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from gateway.errors import (
    AccountError,
    ConnectError,
    GatewayError,
    OutcomeUnknownError,
    Remedy,
    TransientError,
    UnsupportedOperationError,
)
from gateway.model.bulk import Sorted
from gateway.model.message import (
    AppendResult,
    FlagUpdate,
    Mailbox,
    MessageDetail,
    MessageEntry,
    MessageText,
    MessageUpdate,
    SearchQuery,
    TextType,
)

__all__ = [
    "CONSENT_STATE",
    "Account",
    "AppGuide",
    "AttachmentStream",
    "AuthorizationStart",
    "Capability",
    "Changes",
    "Clock",
    "Credentials",
    "Envelope",
    "Environment",
    "Grant",
    "Identity",
    "IdentityProvider",
    "Login",
    "MessagePage",
    "MessageState",
    "Numbers",
    "OAuth2App",
    "PageRequest",
    "PollWatch",
    "Provider",
    "PushWatch",
    "Quota",
    "Remedy",
    "Sandbox",
    "SandboxInfo",
    "Service",
    "Session",
    "SessionContext",
    "Signature",
    "SignedInUser",
    "SocketWatch",
    "SubmitReceipt",
    "Watch",
    "page_cursor",
    "utc_now",
]

#: Messages on a page when all that match are wanted.
_SEARCH_PAGE = 1000

Clock = Callable[[], datetime]
Service = Literal["imap", "smtp", "api"]


def utc_now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)


class Capability(StrEnum):
    """The optional parts of a session. Declared means it works; undeclared means it raises.

    Listing mailboxes and messages, and reading text, source and attachments, are not optional.
    """

    SEARCH = "search"
    FLAGS = "flags"
    LABELS = "labels"
    MOVE = "move"
    COPY = "copy"
    DELETE = "delete"
    APPEND = "append"
    MAILBOXES = "mailboxes"
    SUBMIT = "submit"
    DRAFTS = "drafts"
    CHANGES = "changes"
    WATCH = "watch"
    QUOTA = "quota"
    SIGNATURES = "signatures"


class _Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the contract's own structs."""


class _SecretStruct(_Struct, frozen=True, kw_only=True):
    """A struct whose text form shows only the fields named in `__shown__`."""

    __shown__: ClassVar[tuple[str, ...]] = ()

    def __rich_repr__(self) -> Any:
        for name in self.__shown__:
            yield name, getattr(self, name)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__shown__)
        return f"{type(self).__name__}({shown})"


class Environment(_Struct, frozen=True, kw_only=True):
    """What a plugin may know of the process it runs in.

    Attributes:
        data_dir: the directory of this installation's own files, e.g. overrides of built-in data; may be absent.
        clock: the present time, aware UTC.
    """

    data_dir: Path | None = None
    clock: Clock = utc_now


# --- accounts and what proves the right to open them -----------------------------------------------------------------


class Login(_SecretStruct, frozen=True, kw_only=True):
    """A user name with either a password or an OAuth2 access token."""

    user: str
    password: str | None = None
    access_token: str | None = None


class Credentials(Protocol):
    """Hands out logins at the moment of use, because access tokens change under a long-lived session."""

    async def login(self, service: Service, *, refused: Login | None = None) -> Login:
        """Return a login for a service.

        Args:
            service: what it is for; passwords of IMAP and SMTP may differ.
            refused: a login that the server has just refused. If its access token is still the stored one, it is
                renewed first; a password is returned unchanged.

        Raises:
            ReauthorizationError: there is nothing left to log in with.
            ConnectError, RateLimitError: the token could not be renewed for a passing reason.
        """
        ...


class Numbers(Protocol):
    """A durable numbering of names within one account, for compact ids (first name 1, next 2, ...)."""

    async def number(self, name: str) -> int:
        """Return the number of `name`, giving it the next free one if it has none."""
        ...

    async def name(self, number: int) -> str | None:
        """Return the name that has this number, or None."""
        ...


class Account(_Struct, frozen=True, kw_only=True):
    """What a provider needs to know of an account, besides credentials.

    Attributes:
        id: the gateway's id of it.
        user: the login name, e.g. the user principal name.
        email: the address mail is sent from.
        name: display name.
        settings: an instance of the provider's `settings_type`.
        shared: address of a shared mailbox that `user` opens with their own grant, else None.
        special_use: mailbox paths that the account's owner fixed, e.g. {"\\Sent": "Outbox/Done"}.
    """

    id: str
    user: str
    email: str
    name: str = ""
    settings: Any = None
    shared: str | None = None
    special_use: Mapping[str, str] = msgspec.field(default_factory=dict)


#: The ``state`` of a link for administrators is this followed by the app's id: an answer that carries it belongs to no
#: user's sign-in, and tells which accounts may try again.
CONSENT_STATE = "consent-"


class OAuth2App(_SecretStruct, frozen=True, kw_only=True):
    """A registered OAuth2 application (RFC 6749 section 2), secret in the clear.

    Attributes:
        provider: the kind of identity service, e.g. "outlook", "outlookService".
        base_scopes: "imap" or "api": which family of permissions the app asks for.
        authority: who may sign in: "common", "consumers", "organizations" or a tenant id.
        cloud: name of the service's cloud.
    """

    __shown__ = ("id", "provider", "base_scopes", "authority", "cloud")

    id: str
    provider: str
    base_scopes: str
    client_id: str
    client_secret: str = ""
    authority: str = "common"
    cloud: str = "global"
    tenant: str | None = None
    redirect_url: str = ""
    extra_scopes: tuple[str, ...] = ()
    skip_scopes: tuple[str, ...] = ()


class SessionContext(_Struct, frozen=True, kw_only=True):
    """What the gateway lends to a session: credentials, the account's numbering, and its OAuth2 app if it has one."""

    credentials: Any  # Credentials; a protocol is not a msgspec type
    numbers: Any  # Numbers
    app: OAuth2App | None = None


# --- OAuth2 -----------------------------------------------------------------------------------------------------------


class SignedInUser(_Struct, frozen=True, kw_only=True):
    """Who signed in, as the identity provider says.

    Attributes:
        user: login name (user principal name, `preferred_username`).
        email: mail address.
        emails: every address the identity provider vouches for, lower case.
    """

    user: str
    email: str
    name: str = ""
    emails: tuple[str, ...] = ()


class Grant(_SecretStruct, frozen=True, kw_only=True):
    """Tokens (RFC 6749 sections 4.1.4 and 6) and who they speak for."""

    __shown__ = ("expires_at", "scopes")

    access_token: str
    expires_at: datetime
    refresh_token: str | None = None
    scopes: tuple[str, ...] = ()
    token_type: str = "Bearer"
    user: SignedInUser | None = None


class AuthorizationStart(_SecretStruct, frozen=True, kw_only=True):
    """A sign-in that was begun: the URL for the browser, and what `Identity.exchange` needs back (JSON-able)."""

    url: str
    flow: dict[str, Any]


class Identity(ABC):
    """The OAuth2 side of a provider for one app: authorization URL, token exchange, renewal (RFC 6749, 7636)."""

    @abstractmethod
    def authorization(
        self, *, state: str, login_hint: str | None = None, prompt: str | None = None
    ) -> AuthorizationStart:
        """Begin an authorization code flow with PKCE. No input or output happens."""

    @abstractmethod
    async def exchange(self, start: AuthorizationStart, params: Mapping[str, str]) -> Grant:
        """Redeem the parameters of the redirect for a grant that names its user.

        Raises:
            ConsentRequiredError: an administrator has to consent; the remedy holds the link for it.
            AppRefusedError: the app is wrongly registered (secret, redirect URL, permissions).
            ReauthorizationError: the user cancelled, or the code is no longer valid.
            TransientError: try again.
        """

    @abstractmethod
    async def refresh(self, grant: Grant) -> Grant:
        """Renew a grant; the result always holds the refresh token to use next (rotation).

        Raises:
            ReauthorizationError: only when the identity provider says that the grant itself is gone.
            TransientError: network fault, throttling or 5xx; the grant is as good as before.
        """

    @abstractmethod
    async def client_credentials(self) -> Grant:
        """Get a token for the app itself (RFC 6749 section 4.4).

        Raises:
            UnsupportedOperationError: this kind of app signs in users.
        """

    @abstractmethod
    def explain(self, response: Mapping[str, Any]) -> Remedy:
        """Explain an OAuth2 error response (RFC 6749 sections 4.1.2.1 and 5.2) to the person who must act."""

    async def revoke(self, grant: Grant) -> bool:
        """Withdraw a grant (RFC 7009); False when the identity provider has no way to do it."""
        return False


class AppGuide(_Struct, frozen=True, kw_only=True):
    """What the page for a new application shows: choices, and which buttons to press at the provider's portal.

    Attributes:
        clouds: names, the default first.
        authorities: (value, label) pairs; a tenant id may be typed as well.
        permissions: the permissions to add, in the portal's words.
        steps: sentences, in order; `{redirect_url}` stands for the redirect URL.
    """

    title: str
    clouds: tuple[str, ...] = ()
    authorities: tuple[tuple[str, str], ...] = ()
    permissions: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()


class IdentityProvider(ABC):
    """One kind of identity service, for all apps that are registered there. Holds no account state.

    It stands apart from `Provider`, because one identity service signs in for several kinds of mail access.

    Attributes:
        name: a lower-case identifier, unique among the installed plugins.
        app_types: pairs (OAuth2 app provider, base scopes) that it signs in for.
    """

    name: ClassVar[str]
    app_types: ClassVar[frozenset[tuple[str, str]]]

    @abstractmethod
    def identity(self, app: OAuth2App) -> Identity:
        """Return the OAuth2 side of an app: the same object for the same app."""

    def app_problems(self, app: OAuth2App) -> Mapping[str, str]:
        """Return what is wrong with an app's fields: API field name -> sentence; empty when it can work."""
        return {}

    def app_guide(self, app_provider: str, base_scopes: str) -> AppGuide | None:
        """Return how to register such an app at the service's portal; None when it has nothing to say."""
        return None


# --- mail -------------------------------------------------------------------------------------------------------------


class PageRequest(_Struct, frozen=True, kw_only=True):
    """Which part of a listing: a cursor of an earlier page wins over the page number (from 0)."""

    page: int = 0
    size: int = 20
    cursor: str | None = None


class MessagePage(_Struct, frozen=True, kw_only=True):
    """One page of a listing, newest first; a cursor is None where there is no such page."""

    total: int
    page: int
    messages: tuple[MessageEntry, ...]
    next_cursor: str | None = None
    previous_cursor: str | None = None


def page_cursor(kind: str, page: int) -> str:
    """Return the cursor of a numbered page."""
    return f"{kind}_{base64.urlsafe_b64encode(msgspec.json.encode({'page': page})).rstrip(b'=').decode()}"


class AttachmentStream(_Struct, frozen=True, kw_only=True):
    """An attachment, decoded, as it arrives; `size` is None when the service does not tell it beforehand."""

    content_type: str
    chunks: Any  # AsyncIterator[bytes]; a protocol is not a msgspec type
    filename: str | None = None
    disposition: Literal["inline", "attachment"] = "attachment"
    size: int | None = None


class Envelope(_SecretStruct, frozen=True, kw_only=True):
    """Sender and recipients of a submission (RFC 5321 section 2.3.1)."""

    mail_from: str
    rcpt_to: tuple[str, ...]


class SubmitReceipt(_Struct, frozen=True, kw_only=True):
    """What the service answered to a submission.

    Attributes:
        response: its text.
        message_id: the Message-ID it will use, if it rewrote it.
        refused: recipients refused while others were accepted, with the reason.
    """

    response: str
    message_id: str | None = None
    refused: Mapping[str, str] = msgspec.field(default_factory=dict)


class MessageState(_Struct, frozen=True, kw_only=True):
    """What can change of a message, as it is now.

    Attributes:
        id: of the message.
        position: its place in the mailbox: the newer, the higher (IMAP: the UID). It stays, like the id, and is below
            2**53.
        flags: system flags and keywords, as a listing shows them; never ``\\Recent``.
        labels: as a listing shows them.
    """

    id: str
    position: int
    flags: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


class Changes(_Struct, frozen=True, kw_only=True):
    """What may have happened in one mailbox since a state (RFC 8620 section 5.2).

    The gateway compares with what it knows: an unknown id is a new message, other flags or labels are an update, and
    what is in `removed`, or missing from a complete answer, is gone.

    Attributes:
        state: ask with this next time.
        changed: messages that are new or may have changed; an unchanged one among them does no harm.
        removed: ids that are gone; an unknown one does no harm.
        complete: `changed` is every message there is, over all answers up to the one without `more`; each of them is
            complete.
        more: there is more to fetch right away.
        uid_validity: of the mailbox, where the service has one (RFC 9051 section 2.3.1.1); positions are UIDs then.
    """

    state: str
    changed: tuple[MessageState, ...] = ()
    removed: tuple[str, ...] = ()
    complete: bool = False
    more: bool = False
    uid_validity: int | None = None


class Quota(_Struct, frozen=True, kw_only=True):
    """Octets used and allowed (RFC 9208)."""

    usage: int
    limit: int | None = None


class Signature(_Struct, frozen=True, kw_only=True):
    """A signature kept at the provider for one sending address."""

    address: str
    signature: str


class SocketWatch(ABC):
    """A watch that is a socket to wait on: when it is readable, `poll`, which tells whether to ask for changes.

    None of its methods but `close` ever waits.
    """

    @abstractmethod
    def fileno(self) -> int:
        """Return the descriptor to select on."""

    @abstractmethod
    def poll(self) -> bool:
        """Read everything that is there; True when something may have changed. Never blocks."""

    @abstractmethod
    def probe(self) -> None:
        """Ask the other side for a sign of life; `poll` sees it come. Without effect while the last one is awaited."""

    @property
    @abstractmethod
    def answered(self) -> bool:
        """False while the sign of life that the last `probe` asked for is outstanding."""

    @property
    @abstractmethod
    def dead(self) -> bool:
        """The other side is gone; nothing will ever come again."""

    @abstractmethod
    async def close(self) -> None:
        """End the watch; unless it is dead, the session can be used again. Does no harm twice."""


class PushWatch(ABC):
    """A watch that is a subscription at the service, which calls us."""

    @abstractmethod
    async def create(self, notification_url: str) -> str:
        """Subscribe and return the subscription's id."""

    @abstractmethod
    async def renew(self, subscription: str) -> datetime:
        """Prolong it and return when it ends."""

    @abstractmethod
    async def delete(self, subscription: str) -> None:
        """End it; one that is already gone is not an error."""

    @abstractmethod
    def verify(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Tell whether an incoming call is the service's, in constant time."""


class PollWatch(_Struct, frozen=True, kw_only=True):
    """A watch that is only a period, in seconds, after which to ask again."""

    period: float


Watch = SocketWatch | PushWatch | PollWatch


class Session(ABC):
    """An open connection to one account, used by one task at a time; the worker keeps it warm.

    A session may connect at its first use. A `TransientError` leaves it unusable: the worker closes it and opens
    another. A `PermanentError` leaves it as it was.
    """

    @abstractmethod
    async def check(self) -> None:
        """Connect and log in if that has not happened, and prove that the mailbox answers.

        Raises:
            ConnectError: not reachable.
            ReauthorizationError: the login was refused.
            MailboxUnavailableError: signed in, but the mailbox cannot be opened.
        """

    @abstractmethod
    async def mailboxes(self, *, counters: bool = False) -> Sequence[Mailbox]:
        """Return every mailbox, exactly one of them with the special use ``\\Inbox``, which comes first.

        Args:
            counters: fill `Mailbox.status` with live numbers.
        """

    @abstractmethod
    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        """Return one page of a mailbox, newest first; a page after the last one is empty.

        Raises:
            NotFoundError: there is no such mailbox.
            CursorExpiredError: the cursor can no longer be continued.
        """

    @abstractmethod
    async def message(
        self, id: str, *, text_type: TextType | None = None, max_bytes: int | None = None, mark_as_seen: bool = False
    ) -> MessageDetail:
        """Return one message with headers and attachment list, and its text if `text_type` is given.

        Args:
            id: of the message.
            text_type: which text: "plain", "html" or "*" for both; None for no text.
            max_bytes: at most this many octets of each text part; `MessageText.has_more` tells that it cut.
            mark_as_seen: also set ``\\Seen``.

        Raises:
            NotFoundError: there is no such message.
            InvalidIdentifierError: the id cannot be this provider's.
        """

    @abstractmethod
    async def text(self, id: str, *, text_type: TextType = "*", max_bytes: int | None = None) -> MessageText:
        """Return body text by the `text.id` of a listing."""

    @abstractmethod
    def source(self, id: str) -> AsyncIterator[bytes]:
        """Stream the message as RFC 5322 octets, unchanged. Raises like `message`, at the first step."""

    @abstractmethod
    async def attachment(self, id: str) -> AttachmentStream:
        """Open one attachment; its chunks must be read before the session is used again."""

    async def search(self, mailbox: str, query: SearchQuery, page: PageRequest) -> MessagePage:
        """Return a page of the messages that match, newest first."""
        raise UnsupportedOperationError("search is not supported", capability=Capability.SEARCH.value)

    async def update_flags(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        """Change system flags and keywords (RFC 9051 section 2.3.2) and return the flags afterwards."""
        raise UnsupportedOperationError("flags cannot be changed", capability=Capability.FLAGS.value)

    async def update_labels(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        """Change labels (categories) and return the labels afterwards."""
        raise UnsupportedOperationError("labels are not supported", capability=Capability.LABELS.value)

    async def move(self, id: str, mailbox: str) -> str | None:
        """Move a message and return the id it has now; None when the service does not tell."""
        raise UnsupportedOperationError("moving is not supported", capability=Capability.MOVE.value)

    async def copy(self, id: str, mailbox: str) -> str | None:
        """Copy a message and return the id of the copy; None when the service does not tell."""
        raise UnsupportedOperationError("copying is not supported", capability=Capability.COPY.value)

    async def delete(self, id: str) -> None:
        """Delete a message for good, not into the trash."""
        raise UnsupportedOperationError("deleting is not supported", capability=Capability.DELETE.value)

    # Many messages at once. A service that can do them in a few requests overrides these.

    async def search_ids(self, mailbox: str, query: SearchQuery) -> Sequence[str]:
        """Return the id of every message that matches, newest first."""
        ids: dict[str, None] = {}
        page = PageRequest(size=_SEARCH_PAGE)
        while True:
            found = await self.search(mailbox, query, page)
            ids |= dict.fromkeys(entry.id for entry in found.messages)
            if found.next_cursor is None:
                return list(ids)
            page = PageRequest(size=_SEARCH_PAGE, cursor=found.next_cursor)

    async def update_many(self, ids: Sequence[str], update: MessageUpdate) -> Sorted:
        """Change flags and labels of messages of one mailbox.

        Neither this nor the other two raise because of a message or a broken connection: the result tells.
        """

        async def change(id: str) -> str:
            if update.flags is not None:
                await self.update_flags(id, update.flags)
            if update.labels is not None:
                await self.update_labels(id, update.labels)
            return id

        return await _one_by_one(ids, change)

    async def move_many(self, ids: Sequence[str], mailbox: str) -> Sorted:
        """Move messages of one mailbox; see `update_many`.

        Raises:
            NotFoundError: there is no such mailbox to move them to; none was moved.
        """
        return await _one_by_one(ids, lambda id: self.move(id, mailbox))

    async def delete_many(self, ids: Sequence[str]) -> Sorted:
        """Delete messages of one mailbox for good; see `update_many`."""

        async def change(id: str) -> None:
            await self.delete(id)

        return await _one_by_one(ids, change)

    async def append(
        self, mailbox: str, message: bytes, *, flags: Sequence[str] = (), date: datetime | None = None
    ) -> AppendResult:
        """Store a message as it is (RFC 9051 section 6.3.12)."""
        raise UnsupportedOperationError("storing is not supported", capability=Capability.APPEND.value)

    async def create_mailbox(self, path: str) -> bool:
        """Create a mailbox; False when it existed."""
        raise UnsupportedOperationError("mailboxes cannot be created", capability=Capability.MAILBOXES.value)

    async def rename_mailbox(self, path: str, new_path: str) -> None:
        """Rename a mailbox with everything below it."""
        raise UnsupportedOperationError("mailboxes cannot be renamed", capability=Capability.MAILBOXES.value)

    async def delete_mailbox(self, path: str) -> None:
        """Delete a mailbox and its messages."""
        raise UnsupportedOperationError("mailboxes cannot be deleted", capability=Capability.MAILBOXES.value)

    async def check_submit(self) -> None:
        """Connect and log in to the submission service. Raises like `check`."""
        raise UnsupportedOperationError("sending is not supported", capability=Capability.SUBMIT.value)

    async def submit(self, message: bytes, envelope: Envelope) -> SubmitReceipt:
        """Hand a message over for delivery (RFC 6409).

        Raises:
            MessageRefusedError: sender, all recipients or content were refused for good.
            OutcomeUnknownError: the connection broke after the message was handed over.
        """
        raise UnsupportedOperationError("sending is not supported", capability=Capability.SUBMIT.value)

    async def submit_draft(self, id: str) -> SubmitReceipt:
        """Send a stored draft and remove it from the drafts."""
        raise UnsupportedOperationError("drafts are not supported", capability=Capability.DRAFTS.value)

    async def changes(self, mailbox: str, since: str | None) -> Changes:
        """Return what may have happened since a state; None asks for every message there is.

        This is the truth: everything the gateway announces comes from here. The same state may be asked from again,
        also by another session. A service without history answers `complete` every time.

        Raises:
            NotFoundError: there is no such mailbox.
            CursorExpiredError: the state cannot be continued from; start again from None, ids are as good as before.
            MailboxResetError: likewise, and no id of before is good any more.
        """
        raise UnsupportedOperationError("changes are not supported", capability=Capability.CHANGES.value)

    async def entries(self, mailbox: str, ids: Sequence[str]) -> Sequence[MessageEntry]:
        """Return up to 500 messages of a mailbox as a listing shows them, in any order; those gone are left out.

        Raises:
            NotFoundError: there is no such mailbox.
        """
        raise UnsupportedOperationError("changes are not supported", capability=Capability.CHANGES.value)

    async def revisions(self) -> Mapping[str, str | None]:
        """Return for each mailbox that can hold messages a token that differs when its messages or their flags do.

        None where the service does not tell that cheaply: then only `changes` knows.
        """
        return {mailbox.path: None for mailbox in await self.mailboxes() if not mailbox.no_select}

    async def watch(self, mailbox: str) -> Watch:
        """Return a way to learn that asking for changes is worth it: a hint, never the truth.

        Until the watch is closed the session does nothing else.

        Raises:
            NotFoundError: there is no such mailbox.
        """
        raise UnsupportedOperationError("watching is not supported", capability=Capability.WATCH.value)

    async def quota(self) -> Quota | None:
        """Return the account's quota, None when it has none."""
        raise UnsupportedOperationError("quota is not supported", capability=Capability.QUOTA.value)

    async def signatures(self) -> Sequence[Signature]:
        """Return the signatures kept at the provider."""
        raise UnsupportedOperationError("signatures are not supported", capability=Capability.SIGNATURES.value)


async def _one_by_one(ids: Sequence[str], change: Callable[[str], Awaitable[str | None]]) -> Sorted:
    """Change one message after the other; what breaks the session leaves the rest undone."""
    done: dict[str, str | None] = {}
    failed: dict[str, GatewayError] = {}
    for position, id in enumerate(ids):
        try:
            done[id] = await change(id)
        except UnsupportedOperationError:
            raise
        except (ConnectError, OutcomeUnknownError) as error:
            return Sorted(done=done, failed=failed | dict.fromkeys(ids[position + 1 :], error), unknown=(id,))
        except (TransientError, AccountError) as error:
            return Sorted(done=done, failed=failed | dict.fromkeys(ids[position:], error))
        except GatewayError as error:
            failed[id] = error
    return Sorted(done=done, failed=failed)


class Provider(ABC):
    """One kind of mail service. Holds no account state.

    Attributes:
        name: a lower-case identifier, unique among the installed plugins.
        app_types: pairs (OAuth2 app provider, base scopes) whose accounts this provider serves; an `IdentityProvider`
            signs them in. Empty for providers that log in with a password.
        capabilities: see `Capability`.
        settings_type: connection settings of one account, validated when an account is created; None for none.
        settings_key: the member of the account payload that holds them, e.g. "imap"; None for OAuth2 providers.
        saves_sent_copy: the service files a copy of submitted mail under ``\\Sent`` by itself.
        cursor_kind: of the cursors of listings, when they are `page_cursor`s; the gateway can answer for it only then.
    """

    name: ClassVar[str]
    app_types: ClassVar[frozenset[tuple[str, str]]] = frozenset()
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    settings_type: ClassVar[type[msgspec.Struct] | None] = None
    settings_key: ClassVar[str | None] = None
    saves_sent_copy: ClassVar[bool] = False
    cursor_kind: ClassVar[str | None] = None

    @abstractmethod
    def open(self, account: Account, context: SessionContext) -> AbstractAsyncContextManager[Session]:
        """Open a session; leaving the context closes its connections.

        It may connect here or at the first use; either way it raises as `Session.check` says.
        """


# --- a pretend mail service to try the gateway with -------------------------------------------------------------------


class SandboxInfo(_Struct, frozen=True, kw_only=True):
    """A running sandbox.

    Attributes:
        control_url: where failures are switched on and off.
        ca_file: the authority that signed its servers' certificates.
        other_mailboxes: those that nobody picks on the sign-in page, a line about each: shared ones and who opens them,
            ones with a password and their servers.
    """

    control_url: str
    ca_file: Path | None = None
    other_mailboxes: tuple[str, ...] = ()


class Sandbox(ABC):
    """A pretend mail service on loopback, for trying and testing without an account or the internet.

    Attributes:
        app: members of ``POST /v1/oauth2`` for the app that is registered there.
        users: addresses that can sign in.
    """

    name: ClassVar[str]
    app: ClassVar[Mapping[str, str]]
    users: ClassVar[tuple[str, ...]]

    @abstractmethod
    def running(self, data_dir: Path) -> AbstractAsyncContextManager[SandboxInfo]:
        """Serve until the context is left; what happened survives in `data_dir`."""

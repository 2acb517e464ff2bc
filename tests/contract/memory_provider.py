"""A provider that declares every capability, over `tests.contract.memory_service`."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec

from gateway.errors import (
    ConnectError,
    CursorExpiredError,
    MailboxNotFoundError,
    MessageRefusedError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitError,
    ReauthorizationError,
    Remedy,
)
from gateway.mime.parse import ParsedMessage, parse_message
from gateway.model.message import (
    AppendResult,
    FlagUpdate,
    Mailbox,
    MailboxStatus,
    MessageDetail,
    MessageEntry,
    MessageText,
    SearchQuery,
    TextType,
)
from gateway.provider import (
    Account,
    AttachmentStream,
    AuthorizationStart,
    Capability,
    Changes,
    Clock,
    Envelope,
    Grant,
    Identity,
    IdentityProvider,
    MailboxChanges,
    MessagePage,
    MessageSource,
    MessageState,
    Notification,
    OAuth2App,
    PageRequest,
    Provider,
    Push,
    Quota,
    Session,
    SessionContext,
    Signature,
    SubmitReceipt,
    Watch,
    slice_page,
)
from tests.contract.memory_push import MemoryPush, read_call
from tests.contract.memory_service import BusyError, IdentityService, MailService, RefusedError, Stored
from tests.contract.memory_watch import MemoryWatch

_SPECIAL_USE: dict[str, Any] = {"INBOX": "\\Inbox", "Drafts": "\\Drafts", "Archive": "\\Archive"}


#: Messages, or entries of the history, in one answer.
_AT_ONCE = 3


def position(stored: Stored) -> int:
    return int(stored.id.removeprefix("m"))


def state_of(stored: Stored) -> MessageState:
    return MessageState(id=stored.id, position=position(stored), flags=stored.flags, labels=stored.labels)


def listed(value: tuple[str, ...] | str | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value or ()


def updated(now: tuple[str, ...], update: FlagUpdate) -> tuple[str, ...]:
    if update.set is not None:
        return listed(update.set)
    added = dict.fromkeys((*now, *listed(update.add)))
    return tuple(one for one in added if one not in listed(update.delete))


class MemorySession(Session):
    def __init__(self, service: MailService, context: SessionContext) -> None:
        self.service = service
        self.context = context

    @contextmanager
    def wire(self) -> Iterator[None]:
        """Translate the errors of the service and the network."""
        try:
            self.service.reach()
            yield
        except BusyError as error:
            raise RateLimitError("too many calls", retry_after=30) from error
        except OSError as error:
            raise ConnectError("the service cannot be reached") from error

    def box(self, mailbox: str) -> list[Stored]:
        if mailbox not in self.service.mailboxes:
            raise MailboxNotFoundError("no such mailbox")
        return self.service.mailboxes[mailbox]

    def find(self, id: str) -> tuple[str, Stored]:
        for mailbox, messages in self.service.mailboxes.items():
            for stored in messages:
                if stored.id == id:
                    return mailbox, stored
        raise NotFoundError("no such message")

    async def check(self) -> None:
        with self.wire():
            pass

    async def mailboxes(self, *, counters: bool = False) -> Sequence[Mailbox]:
        with self.wire():
            return [
                Mailbox(
                    path=path,
                    name=path,
                    special_use=_SPECIAL_USE.get(path),
                    subscribed=path not in self.service.unsubscribed,
                    status=self.status(messages) if counters else None,
                )
                for path, messages in self.service.mailboxes.items()
            ]

    def status(self, messages: list[Stored]) -> MailboxStatus:
        return MailboxStatus(messages=len(messages), unseen=sum("\\Seen" not in one.flags for one in messages))

    async def messages(self, mailbox: str, page: PageRequest) -> MessagePage:
        with self.wire():
            return self.page(mailbox, self.box(mailbox), page)

    def page(self, mailbox: str, messages: list[Stored], page: PageRequest) -> MessagePage:
        newest_first = messages[::-1]
        shown = slice_page("memory", page, [position(one) for one in newest_first])
        return MessagePage(
            total=len(messages),
            page=shown.page,
            messages=tuple(self.entry(mailbox, one) for one in newest_first[shown.messages]),
            next_cursor=shown.next_cursor,
            previous_cursor=shown.previous_cursor,
        )

    def entry(self, mailbox: str, stored: Stored) -> MessageEntry:
        entry = parse_message(stored.octets).entry(**self.described(mailbox, stored))
        return msgspec.structs.replace(entry, labels=stored.labels)

    def described(self, mailbox: str, stored: Stored) -> dict[str, Any]:
        return {
            "id": stored.id,
            "path": mailbox,
            "flags": stored.flags,
            "received": stored.received,
            "attachment_id": lambda part: f"{stored.id}~{part}",
        }

    async def message(
        self, id: str, *, text_type: TextType | None = None, max_bytes: int | None = None, mark_as_seen: bool = False
    ) -> MessageDetail:
        with self.wire():
            mailbox, stored = self.find(id)
            if mark_as_seen:
                await self.update_flags(id, FlagUpdate(add="\\Seen"))
            described = self.described(mailbox, stored)
            return parse_message(stored.octets).detail(**described, text_type=text_type, max_bytes=max_bytes)

    async def text(self, id: str, *, text_type: TextType = "*", max_bytes: int | None = None) -> MessageText:
        with self.wire():
            return parse_message(self.find(id)[1].octets).text(text_type, max_bytes, id=id)

    async def source(self, id: str) -> AsyncIterator[bytes]:
        with self.wire():
            yield self.find(id)[1].octets

    async def attachment(self, id: str) -> AttachmentStream:
        with self.wire():
            message, _, part = id.partition("~")
            return parse_message(self.find(message)[1].octets).open(part)

    async def search(self, mailbox: str, query: SearchQuery, page: PageRequest) -> MessagePage:
        with self.wire():
            return self.page(mailbox, [one for one in self.box(mailbox) if self.matches(one, query)], page)

    def matches(self, stored: Stored, query: SearchQuery) -> bool:
        wanted = {"subject": query.subject, "from": query.from_, "to": query.to, **(query.header or {})}
        headers = ParsedMessage(stored.octets).headers
        seen = "\\Seen" in stored.flags
        return (query.seen in (None, seen) and query.unseen in (None, not seen)) and all(
            value is None or any(value in text for text in headers.get(name.lower(), ()))
            for name, value in wanted.items()
        )

    async def update_flags(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        with self.wire():
            mailbox, stored = self.find(id)
            stored.flags = updated(stored.flags, update)
            self.service.happened(mailbox, stored)
            return stored.flags

    async def update_labels(self, id: str, update: FlagUpdate) -> tuple[str, ...]:
        with self.wire():
            mailbox, stored = self.find(id)
            stored.labels = updated(stored.labels, update)
            self.service.happened(mailbox, stored)
            return stored.labels

    async def move(self, id: str, mailbox: str) -> str:
        copy = await self.copy(id, mailbox)
        await self.delete(id)
        return copy

    async def copy(self, id: str, mailbox: str) -> str:
        with self.wire():
            stored = self.find(id)[1]
            self.box(mailbox)
            return self.service.store(mailbox, stored.octets, flags=stored.flags, received=stored.received).id

    async def delete(self, id: str) -> None:
        with self.wire():
            self.service.remove(*self.find(id))

    async def append(
        self, mailbox: str, message: bytes | MessageSource, *, flags: Sequence[str] = (), date: datetime | None = None
    ) -> AppendResult:
        octets = await MessageSource.of(message).octets()
        with self.wire():
            self.box(mailbox)
            return AppendResult(path=mailbox, id=self.service.store(mailbox, octets, flags=flags, received=date).id)

    async def create_mailbox(self, path: str) -> bool:
        with self.wire():
            fresh: list[Stored] = []
            return self.service.mailboxes.setdefault(path, fresh) is fresh

    async def rename_mailbox(self, path: str, new_path: str) -> None:
        with self.wire():
            self.service.mailboxes[new_path] = self.box(path)
            del self.service.mailboxes[path]
            if path in self.service.unsubscribed:
                self.service.unsubscribed ^= {path, new_path}

    async def delete_mailbox(self, path: str) -> None:
        with self.wire():
            for stored in list(self.box(path)):
                self.service.remove(path, stored)
            del self.service.mailboxes[path]

    async def subscribe_mailbox(self, path: str, subscribed: bool) -> None:
        with self.wire():
            self.box(path)
            (self.service.unsubscribed.discard if subscribed else self.service.unsubscribed.add)(path)

    async def check_submit(self) -> None:
        with self.wire():
            pass

    async def submit(self, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        octets = await MessageSource.of(message).octets()
        with self.wire():
            pass
        try:
            refused = self.service.submit(envelope, octets)
        except RefusedError as error:
            raise MessageRefusedError("no recipient was accepted") from error
        except OSError as error:
            raise OutcomeUnknownError("the service hung up after it had the message") from error
        return SubmitReceipt(response="queued", refused=dict.fromkeys(refused, "no such user"))

    async def submit_draft(self, id: str) -> SubmitReceipt:
        with self.wire():
            octets = self.find(id)[1].octets
        recipients = tuple(one.address for one in parse_message(octets).addresses("to"))
        receipt = await self.submit(octets, Envelope(mail_from="zoe@example.org", rcpt_to=recipients))
        await self.delete(id)
        return receipt

    async def changes(self, mailbox: str, since: str | None) -> Changes:
        """A state is how much of the history was told, and in the first listing up to which message."""
        with self.wire():
            messages, history = self.box(mailbox), self.service.history
            found = re.fullmatch("([0-9]{1,6})(?::([0-9]{1,6}))?", f"{len(history)}:0" if since is None else since)
            if found is None:
                raise CursorExpiredError("not a state")
            if found[2] is not None:
                return self.first_changes(found[1], [one for one in messages if position(one) > int(found[2])])
            told = int(found[1]) + _AT_ONCE
            happened = [id for path, id in history[told - _AT_ONCE : told] if path == mailbox]
            here = {one.id: one for one in messages}
            return Changes(
                state=str(min(told, len(history))),
                changed=tuple(state_of(here[id]) for id in dict.fromkeys(happened) if id in here),
                removed=tuple(id for id in dict.fromkeys(happened) if id not in here),
                more=told < len(history),
            )

    def first_changes(self, told: str, rest: list[Stored]) -> Changes:
        shown, more = rest[:_AT_ONCE], len(rest) > _AT_ONCE
        return Changes(
            state=f"{told}:{position(shown[-1])}" if more else told,
            changed=tuple(state_of(one) for one in shown),
            complete=True,
            more=more,
        )

    async def entries(self, mailbox: str, ids: Sequence[str]) -> Sequence[MessageEntry]:
        with self.wire():
            return [self.entry(mailbox, one) for one in self.box(mailbox) if one.id in ids]

    async def revisions(self) -> Mapping[str, str | None]:
        with self.wire():
            return {path: str(sum(one == path for one, _ in self.service.history)) for path in self.service.mailboxes}

    async def mailbox_changes(self, since: str | None) -> MailboxChanges:
        with self.wire():
            now = "/".join(self.service.mailboxes)
            return MailboxChanges(state=now, changed=since not in (None, now))

    async def watch(self, mailbox: str) -> Watch:
        with self.wire():
            self.box(mailbox)
            return MemoryWatch(self.service.hang_bell())

    async def push(self) -> Push:
        with self.wire():
            return MemoryPush(self.service)

    async def quota(self) -> Quota | None:
        with self.wire():
            return Quota(usage=0, limit=1000)

    async def signatures(self) -> Sequence[Signature]:
        with self.wire():
            return [Signature(address="zoe@example.org", signature="<p>Zoë</p>")]


class MemoryIdentity(Identity):
    def __init__(self, app: OAuth2App, service: IdentityService, clock: Clock) -> None:
        self.app = app
        self.service = service
        self.clock = clock

    def authorization(
        self, *, state: str, login_hint: str | None = None, prompt: str | None = None
    ) -> AuthorizationStart:
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": self.app.client_id,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **({"login_hint": login_hint} if login_hint else {}),
        }
        return AuthorizationStart(url=f"https://id.example/?{urlencode(query)}", flow={"verifier": verifier})

    async def exchange(self, start: AuthorizationStart, params: Mapping[str, str]) -> Grant:
        if params.get("error") == "access_denied":
            raise ReauthorizationError("the sign-in was cancelled")
        return self.made({"access_token": secrets.token_hex(), "refresh_token": self.service.sign_in()}, None)

    async def refresh(self, grant: Grant) -> Grant:
        try:
            answer = self.service.token(grant.refresh_token or "")
        except OSError as error:
            raise ConnectError("the identity provider cannot be reached") from error
        if "error" in answer:
            raise ReauthorizationError("the grant has gone", remedy=self.explain(answer))
        return self.made(answer, grant.refresh_token)

    def made(self, answer: Mapping[str, str], refresh_token: str | None) -> Grant:
        return Grant(
            access_token=answer["access_token"],
            refresh_token=answer.get("refresh_token", refresh_token),
            expires_at=self.clock() + timedelta(seconds=self.service.lifetime),
        )

    async def client_credentials(self) -> Grant:
        raise NotImplementedError

    def explain(self, response: Mapping[str, Any]) -> Remedy:
        return Remedy(code=str(response.get("error") or "unknown"), title="Sign in again", who="user")


class MemoryIdentityProvider(IdentityProvider):
    name = "memory"
    app_types = frozenset({("memory", "imap")})

    def __init__(
        self, service: IdentityService, clock: Clock, identity_type: type[MemoryIdentity] = MemoryIdentity
    ) -> None:
        self._service = service
        self._clock = clock
        self._identity_type = identity_type
        self.by_app: dict[str, Identity] = {}

    def identity(self, app: OAuth2App) -> Identity:
        if app.id not in self.by_app:
            self.by_app[app.id] = self._identity_type(app, self._service, self._clock)
        return self.by_app[app.id]


class MemoryProvider(Provider):
    name = "memory"
    app_types = frozenset({("memory", "imap")})
    capabilities = frozenset(Capability)

    def __init__(self, service: MailService, session_type: type[MemorySession] = MemorySession) -> None:
        self._service = service
        self._session_type = session_type

    def notifications(self, body: bytes) -> Sequence[Notification]:
        return read_call(body)

    @asynccontextmanager
    async def open(self, account: Account, context: SessionContext) -> AsyncIterator[Session]:
        yield self._session_type(self._service, context)

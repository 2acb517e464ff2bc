"""IMAP sessions against Dovecot as itself and as Exchange Online, submission against Postfix."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import imapclient
import pytest

from gateway.errors import (
    MailboxNotFoundError,
    MailboxUnavailableError,
    MessageRefusedError,
    NotFoundError,
    ReauthorizationError,
    ServiceUnavailableError,
    TransientError,
)
from gateway.model.message import FlagUpdate
from gateway.model.server import Server
from gateway.provider import Account, Envelope, Login, PageRequest, Session, SessionContext
from gateway.services import mailboxes
from gateway.testing.context import FixedCredentials, MemoryNumbers
from gateway.testing.pieces import Pieces
from gateway_imap import ImapSession, ImapTimeouts, Quirks, open_session
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot
from tests.rigs.exchange_front import ExchangeFront
from tests.rigs.issuer import SMTP_SCOPE, TokenIssuer
from tests.rigs.loop_thread import LoopThread
from tests.rigs.postfix import Postfix
from tests.rigs.processes import wait_until

pytestmark = pytest.mark.anyio
Open = Callable[..., AbstractAsyncContextManager[ImapSession]]
SMALL = b"From: a@example.org\r\nSubject: small\r\nMessage-ID: <small@example.org>\r\n\r\nHello.\r\n"


@pytest.fixture(params=["full", "exchange"])
def server(request: pytest.FixtureRequest, dovecot: Dovecot, certificates: Certificates) -> Server:
    """Dovecot with all its extensions, and with those of Exchange Online."""
    host, port = dovecot.full if request.param == "full" else dovecot.exchange
    return Server(host=host, port=port, ca_file=certificates.authority)


@pytest.fixture
def user(dovecot: Dovecot) -> str:
    """An account with a password and an empty INBOX."""
    return dovecot.new_user()


@pytest.fixture
def open_as(certificates: Certificates) -> Open:
    """Opens sessions: as (login, IMAP server, options of `open_session`)."""

    def open_(login: Login, imap: Server | None, *, renewed: Login | None = None, **options: Any) -> Any:
        special_use = options.pop("special_use", {})
        account = Account(id="a", user=login.user, email=login.user, special_use=special_use)
        context = SessionContext(credentials=FixedCredentials(login, renewed=renewed), numbers=MemoryNumbers())
        options.setdefault("smtp", None)
        return open_session(account=account, context=context, imap=imap, **options)

    return open_


@pytest.fixture
async def session(open_as: Open, server: Server, user: str) -> AsyncIterator[Session]:
    """A session that logs in with a password."""
    async with open_as(Login(user=user, password=GUEST_PASSWORD), server) as opened:
        yield opened


@contextlib.contextmanager
def other_client(dovecot: Dovecot, certificates: Certificates, user: str) -> Any:
    """Somebody else in the same mailbox."""
    host, port = dovecot.full
    with imapclient.IMAPClient(host, port, ssl_context=certificates.client_context(), timeout=10) as client:
        client.login(user, GUEST_PASSWORD)
        yield client


async def _uids(session: Session) -> list[int | None]:
    page = await session.messages("INBOX", PageRequest())
    assert page.total == len(page.messages)
    return [entry.uid for entry in page.messages]


# --- storing ---------------------------------------------------------------------------------------------------------


class Torn(Pieces):
    """A message that cannot be read to its end."""

    async def chunks(self, begin: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See `MessageSource`."""
        yield (await self.octets())[: self.size // 2]
        raise ServiceUnavailableError("gone")

    async def octets(self) -> bytes:
        """See `MessageSource`."""
        return b"".join([chunk async for chunk in super().chunks()])


async def test_message_that_cannot_be_read_to_its_end_is_not_stored(session: Session) -> None:
    """Its rest would be taken from the next command: the connection is not used again."""
    with pytest.raises(ServiceUnavailableError):
        await session.append("INBOX", Torn(SMALL))
    assert await _uids(session) == []
    await session.append("INBOX", Pieces(SMALL * 5000, 4096))
    assert [entry.size for entry in (await session.messages("INBOX", PageRequest())).messages] == [len(SMALL) * 5000]


# --- a kept connection sees what others do ---------------------------------------------------------------------------


async def test_kept_connection_lists_what_others_did_meanwhile(
    session: Session, dovecot: Dovecot, certificates: Certificates, user: str
) -> None:
    """A listing from a warm connection is as true as one from a new connection."""
    dovecot.fill(user, 3)
    assert await _uids(session) == [3, 2, 1]
    dovecot.deliver(user, SMALL)
    assert await _uids(session) == [4, 3, 2, 1]
    with other_client(dovecot, certificates, user) as client:
        client.select_folder("INBOX")
        client.delete_messages([1, 3])
        client.expunge()
        assert await _uids(session) == [4, 2]
        client.append("INBOX", SMALL)
        client.delete_messages([2])
        client.expunge()
        assert await _uids(session) == [5, 4]


async def test_message_that_arrived_after_the_listing_is_found_by_its_id(
    open_as: Open, server: Server, dovecot: Dovecot, user: str
) -> None:
    """The id came from another connection that looked later (RFC 9051 section 7.4.1)."""
    login = Login(user=user, password=GUEST_PASSWORD)
    context = SessionContext(credentials=FixedCredentials(login), numbers=MemoryNumbers())
    account = Account(id="a", user=user, email=user)
    async with (
        open_session(account=account, context=context, imap=server, smtp=None) as first,
        open_session(account=account, context=context, imap=server, smtp=None) as second,
    ):
        assert await _uids(first) == []
        dovecot.deliver(user, SMALL)
        (entry,) = (await second.messages("INBOX", PageRequest())).messages
        assert (await first.message(entry.id)).subject == "small"


@pytest.mark.parametrize(
    "change",
    [
        lambda session, id: session.move(id, "Archive"),
        lambda session, id: session.copy(id, "Archive"),
        lambda session, id: session.delete(id),
        lambda session, id: session.update_flags(id, FlagUpdate(add="\\Seen")),
        lambda session, id: session.update_flags(id, FlagUpdate(set=())),
    ],
)
async def test_change_of_a_message_that_others_expunged_is_not_found(
    session: Session,
    dovecot: Dovecot,
    certificates: Certificates,
    user: str,
    change: Callable[[Session, str], Awaitable[object]],
) -> None:
    """Every change says so, instead of doing nothing; IMAP's own commands do not mind."""
    dovecot.fill(user, 1)
    (entry,) = (await session.messages("INBOX", PageRequest())).messages
    with other_client(dovecot, certificates, user) as client:
        client.select_folder("INBOX")
        client.delete_messages([1])
        client.expunge()
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: change(session, entry.id),
        lambda: session.message(entry.id),
    )
    for call in calls:
        with pytest.raises(NotFoundError):
            await call()


async def test_mailbox_made_anew_makes_old_ids_unknown(
    session: Session, dovecot: Dovecot, certificates: Certificates, user: str
) -> None:
    """Its first message has the UID of another one."""
    with other_client(dovecot, certificates, user) as client:
        client.create_folder("Box")
        client.append("Box", SMALL)
        (entry,) = (await session.messages("Box", PageRequest())).messages
        await session.messages("INBOX", PageRequest())
        client.delete_folder("Box")
        client.create_folder("Box")
        client.append("Box", SMALL)
    with pytest.raises(NotFoundError):
        await session.message(entry.id)
    (again,) = (await session.messages("Box", PageRequest())).messages
    assert again.id != entry.id


async def test_deep_pages_are_exact(session: Session, dovecot: Dovecot, user: str) -> None:
    """Sequence numbers have no gaps, so every page has its size and the last one has the rest."""
    dovecot.fill(user, 250)
    page = await session.messages("INBOX", PageRequest(page=2, size=100))
    assert (page.total, len(page.messages), page.next_cursor) == (250, 50, None)
    assert [entry.uid for entry in page.messages] == list(range(50, 0, -1))


# --- mailboxes -------------------------------------------------------------------------------------------------------


async def test_mailboxes_have_their_uses_and_names(session: Session) -> None:
    """The server tells the uses; names beyond ASCII travel in modified UTF-7 (RFC 3501 section 5.1.3)."""
    path = "Größe & Maß/日本"
    assert await session.create_mailbox(path)
    boxes = {box.path: box for box in await session.mailboxes(counters=True)}
    assert boxes["Sent Items"].special_use == "\\Sent"
    assert boxes["Sent Items"].special_use_source == "extension"
    assert (boxes[path].name, boxes[path].parent_path, boxes[path].delimiter) == ("日本", "Größe & Maß", "/")
    assert boxes[path].subscribed
    assert boxes[path].status is not None
    assert (await session.messages(path, PageRequest())).total == 0


async def test_the_inbox_is_there_in_any_case_and_a_missing_mailbox_named_so(session: Session) -> None:
    """RFC 9051 section 5.1."""
    made = await mailboxes.create(session, "inbox")
    with pytest.raises(MailboxNotFoundError):
        await session.messages("no-such-mailbox", PageRequest())
    assert (made.path, made.created) == ("INBOX", False)


async def test_uses_can_be_fixed_and_mailboxes_hidden(open_as: Open, server: Server, user: str) -> None:
    """An account's owner knows better than the server; a plugin knows which mailboxes hold no mail."""
    login = Login(user=user, password=GUEST_PASSWORD)
    quirks = Quirks(hidden=frozenset({"Drafts"}))
    async with open_as(login, server, quirks=quirks, special_use={"\\Sent": "Archive"}) as session:
        boxes = {box.path: box for box in await session.mailboxes()}
        assert (boxes["Archive"].special_use, boxes["Archive"].special_use_source) == ("\\Sent", "user")
        assert boxes["Sent Items"].special_use is None
        assert "Drafts" not in boxes
        stored = await session.append("\\Sent", SMALL)
        assert stored.path == "Archive"
        assert (await session.messages("\\sent", PageRequest())).messages[0].id == stored.id
        with pytest.raises(NotFoundError):
            await session.messages("\\All", PageRequest())


# --- large messages --------------------------------------------------------------------------------------------------


async def test_large_message_is_streamed_in_pieces(session: Session) -> None:
    """Sixteen downloads at once must fit into 64 MB of a worker."""
    size = 32_000_000
    large = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * (size // 18)
    stored = await session.append("Archive", large)
    assert stored.id is not None
    received, peak = 0, 0
    tracemalloc.start()
    try:
        async for chunk in session.source(stored.id):
            received += len(chunk)
            peak = max(peak, tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert received == len(large)
    assert peak < 4_000_000


async def test_message_that_is_an_exact_number_of_pieces_ends(session: Session) -> None:
    """The last piece is as long as one that is followed by more."""
    exact = b"Subject: x\r\n\r\n" + b"y" * (262_144 - 16) + b"\r\n"
    assert len(exact) == 262_144
    stored = await session.append("Archive", exact)
    assert stored.id is not None
    assert b"".join([chunk async for chunk in session.source(stored.id)]) == exact


# --- tokens ----------------------------------------------------------------------------------------------------------


async def test_expired_token_is_renewed_and_the_session_goes_on(
    open_as: Open, server: Server, token_issuer: TokenIssuer
) -> None:
    """Dovecot explains the refusal in a challenge first (RFC 7628)."""
    user = "alice@contoso.test"
    old = Login(user=user, access_token=token_issuer.mint(user, lifetime=-60))
    new = Login(user=user, access_token=token_issuer.mint(user))
    async with open_as(old, server, renewed=new) as session:
        await session.check()
    async with open_as(old, server) as session:
        with pytest.raises(ReauthorizationError):
            await session.check()


async def test_token_for_something_else_is_refused(open_as: Open, server: Server, token_issuer: TokenIssuer) -> None:
    """A token has the size of Entra ID's, and only its own scope."""
    user = "alice@contoso.test"
    async with open_as(Login(user=user, access_token=token_issuer.mint(user, SMTP_SCOPE)), server) as session:
        with pytest.raises(ReauthorizationError):
            await session.check()


class TestExchangeFront:
    """The manners of Exchange Online at login."""

    @pytest.fixture
    def front(self, exchange_front: ExchangeFront, certificates: Certificates) -> Server:
        host, port = exchange_front.address
        return Server(host=host, port=port, ca_file=certificates.authority)

    async def test_bare_refusal_is_renewed_too(self, open_as: Open, front: Server, token_issuer: TokenIssuer) -> None:
        """Exchange says NO without a challenge and without a reason."""
        user = "bob@contoso.test"
        old = Login(user=user, access_token=token_issuer.mint(user, lifetime=-60))
        new = Login(user=user, access_token=token_issuer.mint(user))
        async with open_as(old, front, renewed=new) as session:
            assert (await session.mailboxes())[0].path == "INBOX"

    async def test_signed_in_but_not_connected(
        self, open_as: Open, exchange_front: ExchangeFront, front: Server, token_issuer: TokenIssuer
    ) -> None:
        """The token is good: renewing it or asking for consent again would change nothing."""
        user = "bob@contoso.test"
        exchange_front.behaviour.unavailable.add(user)
        async with open_as(Login(user=user, access_token=token_issuer.mint(user)), front) as session:
            with pytest.raises(MailboxUnavailableError):
                await session.check()

    async def test_session_that_ends_with_its_token(
        self,
        open_as: Open,
        exchange_front: ExchangeFront,
        front: Server,
        token_issuer: TokenIssuer,
        loop_thread: LoopThread,
    ) -> None:
        """The next operation fails in passing, the one after it works on a new connection."""
        user = "bob@contoso.test"
        async with open_as(Login(user=user, access_token=token_issuer.mint(user)), front) as session:
            await session.check()
            await asyncio.to_thread(loop_thread.run, exchange_front.end_sessions(user))
            with pytest.raises(TransientError):
                await session.check()
            await session.check()

    async def test_throttled_greeting(self, open_as: Open, exchange_front: ExchangeFront, front: Server) -> None:
        """It is no reason to doubt the password."""
        exchange_front.behaviour.refusal = b"* BYE Connection is closed. 15\r\n"
        async with open_as(Login(user="bob@contoso.test", password="x"), front) as session:
            with pytest.raises(TransientError):
                await session.check()


# --- ways to connect -------------------------------------------------------------------------------------------------


async def test_starttls_on_the_plain_port(
    open_as: Open, dovecot: Dovecot, certificates: Certificates, user: str
) -> None:
    """Dovecot takes passwords only after it."""
    server = Server(host="127.0.0.1", port=dovecot.ports.imap, security="starttls", ca_file=certificates.authority)
    async with open_as(Login(user=user, password=GUEST_PASSWORD), server) as session:
        await session.check()


async def test_unknown_authority_is_not_trusted(open_as: Open, dovecot: Dovecot, user: str) -> None:
    """The password is not sent."""
    login = Login(user=user, password=GUEST_PASSWORD)
    for port, security in ((dovecot.ports.imaps, "tls"), (dovecot.ports.imap, "opportunistic")):
        server = Server(host="127.0.0.1", port=port, security=security)  # type: ignore[arg-type]
        async with open_as(login, server) as session:
            with pytest.raises(TransientError) as caught:
                await session.check()
            assert caught.value.native_code == "CERTIFICATE"


async def test_idle_connection_that_died_is_replaced_without_a_word(
    open_as: Open, server: Server, dovecot: Dovecot, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers log out idle clients; the caller has done nothing wrong."""
    monkeypatch.setattr("gateway_imap.link._DOUBTFUL", 0.0)
    async with open_as(Login(user=user, password=GUEST_PASSWORD), server) as session:
        await session.check()
        dovecot.kick(user)
        assert await _uids(session) == []
        dovecot.kick(user)
        assert (await session.append("INBOX", SMALL)).uid == 1


# --- submission ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_submitted_message_is_delivered(
    open_as: Open,
    dovecot: Dovecot,
    postfix: Postfix,
    certificates: Certificates,
    token_issuer: TokenIssuer,
    security: Any,
) -> None:
    """By token, without any IMAP connection."""
    sender, recipient = "carol@contoso.test", dovecot.new_user()
    port = postfix.submission_port if security == "starttls" else postfix.submissions_port
    smtp = Server(host="localhost", port=port, security=security, ca_file=certificates.authority)
    nowhere = Server(host="127.0.0.1", port=1)
    message = SMALL + "Grüße\r\n.\r\nend\r\n".encode()
    expired = Login(user=sender, access_token=token_issuer.mint(sender, lifetime=-60))
    login = Login(user=sender, access_token=token_issuer.mint(sender))
    timeouts = ImapTimeouts(connect=1, read=1)
    async with open_as(expired, nowhere, renewed=login, smtp=smtp, imap_timeouts=timeouts) as session:
        for _ in range(2):
            receipt = await session.submit(message, Envelope(mail_from=sender, rcpt_to=(recipient,)))
            assert receipt.response.startswith("250 2.0.0 Ok: queued as")
    await asyncio.to_thread(wait_until, lambda: dovecot.mail_count(recipient) == 2, "delivery")
    for raw in dovecot.raw_messages(recipient):
        assert raw.replace(b"\r\n", b"\n").endswith(message.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n"))


async def test_sender_must_be_the_account(
    open_as: Open, postfix: Postfix, certificates: Certificates, token_issuer: TokenIssuer
) -> None:
    """Postfix names the sender and the user in its refusal; the error does not."""
    user = "carol@contoso.test"
    smtp = Server(host="localhost", port=postfix.submission_port, security="starttls", ca_file=certificates.authority)
    login = Login(user=user, access_token=token_issuer.mint(user))
    async with open_as(login, None, smtp=smtp) as session:
        with pytest.raises(MessageRefusedError, match=r"5\.7\.1") as caught:
            await session.submit(SMALL, Envelope(mail_from="bob@contoso.test", rcpt_to=(user,)))
    assert "contoso" not in str(caught.value)


async def test_counters_tell_of_mail_that_came_to_the_mailbox_that_is_open(
    session: Session, dovecot: Dovecot, user: str
) -> None:
    """Of the mailbox that is selected, servers count what they told of last (RFC 9051 section 6.3.11)."""
    for count in range(3):
        inbox = (await session.mailboxes(counters=True))[0]
        assert inbox.status is not None
        assert inbox.status.messages == count
        assert (await session.messages("INBOX", PageRequest())).total == count
        dovecot.deliver(user, SMALL)

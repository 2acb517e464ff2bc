"""Outlook over Graph from sign-in to sent mail, and what happens when Microsoft says no."""

from __future__ import annotations

import asyncio
import base64
import secrets
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.errors import (
    AppRefusedError,
    CursorExpiredError,
    MailboxUnavailableError,
    MessageRefusedError,
    NotFoundError,
    RateLimitError,
    ReauthorizationError,
)
from gateway.model.message import FlagUpdate, MessageUpdate, SearchQuery
from gateway.provider import Account, Envelope, PageRequest, Session
from gateway_outlook_graph import folder_changes
from gateway_outlook_graph.provider import OutlookGraphProvider
from gateway_sandbox import directory
from gateway_sandbox.testing import ALICE, BOB, CAROL

if TYPE_CHECKING:
    from conftest import World

pytestmark = pytest.mark.anyio
SUPPORT = directory.SUPPORT.address


def letter(sender: str, subject: str, *, to: str = BOB) -> bytes:
    identity = f"<{subject.replace(' ', '-')}@contoso.test>"
    header = f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: {identity}\r\n"
    return f"{header}MIME-Version: 1.0\r\n\r\nHello Bob.\r\n".encode()


def large_letter(subject: str, *files: bytes) -> bytes:
    """Return a message with files; none of them has to fit into one call."""
    head = f"From: {ALICE}\r\nTo: {BOB}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@contoso.test>\r\n"
    parts = [b"Content-Type: text/plain\r\n\r\nFiles.\r\n"]
    for number, content in enumerate(files):
        encoded = base64.encodebytes(content).replace(b"\n", b"\r\n")
        described = "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
        named = f'Content-Disposition: attachment; filename="{number}.bin"\r\n\r\n'
        parts.append(f"{described}{named}".encode() + encoded)
    begin = f"{head}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".encode()
    return begin + b"".join(b"--b\r\n" + part for part in parts) + b"--b--\r\n"


async def found(outlook: World, mailbox: str, subject: str, user: str) -> int:
    """Return how many messages of a subject a mailbox holds."""

    def count() -> int:
        with outlook.client(user) as client:
            client.select_folder(mailbox, readonly=True)
            return len(client.search(["SUBJECT", subject]))

    return await asyncio.to_thread(count)


async def delivered(outlook: World, session: Session, count: int) -> list[str]:
    """Deliver messages and return their ids, newest first."""
    for number in range(count):
        await asyncio.to_thread(outlook.deliver, letter(BOB, f"number {number}", to=ALICE))
    page = await session.messages("INBOX", PageRequest(size=count))
    return [entry.id for entry in page.messages]


def calls(outlook: World, what: str = "requests") -> int:
    return int(outlook.sandbox.statistics()["graph"][what].get(ALICE, 0))


async def test_listings_and_messages_tell_automatic_replies_by_their_header(outlook: World, session: Session) -> None:
    """Exchange writes their subjects in the language of whoever is away."""
    fields = {
        "Automatic reply: away": "X-Nothing: here",
        "Saya sedang cuti": "Auto-Submitted: auto-replied",
        "Nisam tu": "X-Auto-Response-Suppress: All",
        "hello": "X-Nothing: here",
        "a list": "Auto-Submitted: auto-generated",
    }
    for subject, field in fields.items():
        made = letter(BOB, subject, to=ALICE).replace(b"MIME-Version", field.encode() + b"\r\nMIME-Version", 1)
        await asyncio.to_thread(outlook.deliver, made)
    listed = (await session.messages("INBOX", PageRequest(size=len(fields)))).messages
    assert {entry.subject for entry in listed} == fields.keys()
    assert {entry.subject for entry in listed if entry.is_auto_reply} == set(list(fields)[:3])
    for entry in listed:
        assert (await session.message(entry.id)).is_auto_reply == entry.is_auto_reply


async def test_the_limits_of_exchange_for_sending_are_declared(outlook: World) -> None:
    """The gateway keeps to them; one mailbox has one limit, whichever way it sends."""
    limits = outlook.provider.submission_limits
    assert limits is not None
    assert (limits.service, limits.messages, limits.seconds, limits.connections) == ("exchange", 30, 60, None)


async def test_exchange_files_the_sent_copy_itself(outlook: World, session: Session) -> None:
    """`saves_sent_copy` says so; a gateway that appends one as well makes two."""
    assert outlook.provider.saves_sent_copy
    await session.submit(letter(ALICE, "one-copy"), Envelope(mail_from=ALICE, rcpt_to=(BOB,)))
    assert await found(outlook, "Sent Items", "one-copy", ALICE) == 1
    assert await found(outlook, "INBOX", "one-copy", BOB) == 1


async def test_a_large_message_arrives_whole_once_and_leaves_no_draft(outlook: World, session: Session) -> None:
    """More than one call takes: its files are uploaded in pieces."""
    files = (secrets.token_bytes(7_000_000), secrets.token_bytes(1_000_000), b"small")
    await session.submit(large_letter("large", *files), Envelope(mail_from=ALICE, rcpt_to=(BOB,)))
    assert await found(outlook, "INBOX", "large", BOB) == 1
    assert await found(outlook, "Sent Items", "large", ALICE) == 1
    assert await found(outlook, "Drafts", "large", ALICE) == 0
    (sent,) = (await session.search("Sent Items", SearchQuery(subject="large"), PageRequest())).messages
    assert sent.message_id == "<large@contoso.test>"
    contents = {}
    for attachment in sent.attachments:
        stream = await session.attachment(attachment.id)
        contents[attachment.filename] = b"".join([chunk async for chunk in stream.chunks])
    assert contents == {f"{number}.bin": content for number, content in enumerate(files)}


async def test_who_is_in_the_envelope_alone_gets_it_unseen(outlook: World, session: Session) -> None:
    """Graph sends to whom the header names: a Bcc that was taken off beforehand would get nothing."""
    await session.submit(letter(ALICE, "hidden-copy"), Envelope(mail_from=ALICE, rcpt_to=(BOB, CAROL)))
    assert await found(outlook, "INBOX", "hidden-copy", CAROL) == 1

    def header() -> bytes:
        with outlook.client(BOB) as client:
            client.select_folder("INBOX", readonly=True)
            ids = client.search(["SUBJECT", "hidden-copy"])
            return bytes(client.fetch(ids, ["BODY.PEEK[HEADER]"])[ids[0]][b"BODY[HEADER]"])

    assert CAROL.encode() not in await asyncio.to_thread(header)


async def test_a_delegate_reads_and_sends_as_a_shared_mailbox(outlook: World) -> None:
    outlook.sandbox.deliver(SUPPORT, letter(BOB, "help-wanted"))
    account = await outlook.account(ALICE, shared=SUPPORT)
    async with outlook.provider.open(*account) as session:
        page = await session.messages("INBOX", PageRequest(size=50))
        assert "help-wanted" in {entry.subject for entry in page.messages}
        await session.submit(letter(SUPPORT, "from-support"), Envelope(mail_from=SUPPORT, rcpt_to=(BOB,)))
    assert await found(outlook, "INBOX", "from-support", BOB) == 1


async def test_a_person_sends_as_a_mailbox_that_he_may_open(outlook: World, session: Session) -> None:
    """In one call Exchange would put the person's own name in, and nobody would notice."""
    await session.submit(letter(SUPPORT, "as-support"), Envelope(mail_from=SUPPORT, rcpt_to=(BOB,)))
    account = await outlook.account(BOB)
    async with outlook.provider.open(*account) as bob:
        (arrived,) = (await bob.search("INBOX", SearchQuery(subject="as-support"), PageRequest())).messages
    assert arrived.from_ is not None
    assert arrived.from_.address == SUPPORT
    assert arrived.message_id == "<as-support@contoso.test>"


async def test_sending_as_somebody_else_is_refused_and_leaves_nothing(outlook: World, session: Session) -> None:
    with pytest.raises(MessageRefusedError) as caught:
        await session.submit(letter(BOB, "forged"), Envelope(mail_from=BOB, rcpt_to=(CAROL,)))
    await session.check_submit()
    assert caught.value.native_code == "ErrorSendAsDenied"
    assert caught.value.remedy is not None
    assert "contoso" not in f"{caught.value}"
    for mailbox in ("Drafts", "Sent Items", "Deleted Items"):
        assert await found(outlook, mailbox, "forged", ALICE) == 0


async def test_somebody_who_is_no_delegate_does_not_get_in(outlook: World) -> None:
    account = await outlook.account(CAROL, shared=SUPPORT)
    async with outlook.provider.open(*account) as session:
        with pytest.raises(MailboxUnavailableError) as caught:
            await session.check()
    assert caught.value.remedy is not None
    assert caught.value.remedy.code == "no_access"


async def test_an_app_of_imap_is_refused_when_the_account_connects(outlook: World) -> None:
    """Its tokens would be refused at every call, and nobody could tell why."""
    account = await outlook.account()
    app = msgspec.structs.replace(outlook.app, base_scopes="imap")
    with pytest.raises(AppRefusedError) as caught:
        outlook.provider.open(account.account, msgspec.structs.replace(account.context, app=app))
    assert caught.value.remedy is not None
    assert caught.value.remedy.code == "wrong_base_scopes"


async def test_an_app_opens_the_mailbox_that_it_is_told(outlook: World) -> None:
    """It signs in as itself: ``/me`` would be nobody, and without a name there is no mailbox."""
    context = await outlook.app_context()
    async with outlook.provider.open(Account(id="bob", user=BOB, email=BOB), context) as session:
        await session.check()
        await session.submit(letter(BOB, "by-app", to=ALICE), Envelope(mail_from=BOB, rcpt_to=(ALICE,)))
    assert await found(outlook, "Sent Items", "by-app", BOB) == 1
    assert await found(outlook, "INBOX", "by-app", ALICE) == 1
    with pytest.raises(MailboxUnavailableError) as caught:
        outlook.provider.open(Account(id="nobody", user="", email=BOB), context)
    assert caught.value.remedy is not None
    assert caught.value.remedy.code == "no_mailbox"


async def test_a_mailbox_that_is_not_in_exchange_online_waits_for_an_administrator(outlook: World) -> None:
    account = await outlook.account()
    outlook.sandbox.fail("mailbox_not_connected", user=ALICE)
    async with outlook.provider.open(*account) as session:
        with pytest.raises(MailboxUnavailableError) as caught:
            await session.check()
    assert caught.value.remedy is not None
    assert caught.value.remedy.who == "tenant_admin"
    assert account.context.credentials.renewals == 0


async def test_a_session_outlives_its_token(outlook: World) -> None:
    """The refused call is made again with a new token; its caller notices nothing."""
    account = await outlook.account()
    async with outlook.provider.open(*account) as session:
        await session.check()
        await asyncio.to_thread(outlook.sandbox.http.post, "/sandbox/tokens/expire")
        await session.check()
    assert account.context.credentials.renewals == 1


async def test_a_revoked_grant_waits_for_its_owner(outlook: World) -> None:
    account = await outlook.account()
    outlook.sandbox.fail("grant_revoked", user=ALICE)
    async with outlook.provider.open(*account) as session:
        with pytest.raises(ReauthorizationError):
            await session.check()
    assert account.context.credentials.renewals == 1


async def test_a_pause_that_is_too_long_to_wait_for_is_told(outlook: World) -> None:
    provider = OutlookGraphProvider(outlook.environment)  # the mailbox stays paused for it
    account = await outlook.account()
    outlook.sandbox.fail("throttled", user=ALICE, seconds=300)
    async with provider.open(*account) as session:
        with pytest.raises(RateLimitError) as caught:
            await session.check()
        before = calls(outlook)
        with pytest.raises(RateLimitError):
            await session.check()
    assert caught.value.retry_after == pytest.approx(300, abs=1)
    assert calls(outlook) == before, "the service asked not to be asked"


async def test_many_calls_at_once_are_never_more_than_a_mailbox_takes(outlook: World) -> None:
    """Also when several sessions are open: the fifth call would be refused, and pause all of them."""
    account = await outlook.account()
    refused = calls(outlook, "throttled")

    async def read() -> None:
        async with outlook.provider.open(*account) as session:
            await session.mailboxes(counters=True)
            await session.messages("INBOX", PageRequest(size=5))

    await asyncio.gather(*(read() for _ in range(20)))
    assert calls(outlook, "throttled") == refused
    assert calls(outlook, "peak") <= 4


async def test_many_messages_are_changed_in_batches_of_twenty(outlook: World, session: Session) -> None:
    """One call for twenty: Exchange counts the calls in a batch, but each batch is one round trip."""
    ids = await delivered(outlook, session, 45)
    update = MessageUpdate(flags=FlagUpdate(add="\\Flagged"), labels=FlagUpdate(add="Red category"))
    changed = await session.update_many(ids, update)
    assert (list(changed.done), changed.failed, changed.unknown) == (ids, {}, ())
    page = await session.messages("INBOX", PageRequest(size=100))
    assert all(entry.flagged and entry.labels == ("Red category",) for entry in page.messages)
    assert await session.search_ids("INBOX", SearchQuery(flagged=True)) == ids
    moved = await session.move_many(ids, "\\Archive")
    assert dict(moved.done) == {id: id for id in ids}
    gone = await session.delete_many([*ids[:44], "not an id"])
    assert (len(gone.done), list(gone.failed)) == (44, ["not an id"])
    assert [entry.id for entry in (await session.messages("Archive", PageRequest())).messages] == ids[44:]


async def test_many_changes_in_a_storm_of_refusals_are_all_made(outlook: World, session: Session) -> None:
    """Every third call of a batch is told to come back: it does, the others are not repeated."""
    ids = await delivered(outlook, session, 12)
    await asyncio.to_thread(outlook.sandbox.fail, "throttled", user=ALICE, seconds=1, share=0.3)
    result = await session.update_many(ids, MessageUpdate(flags=FlagUpdate(add="\\Seen")))
    outlook.sandbox.reset()
    assert (list(result.done), result.failed, result.unknown) == (ids, {}, ())


async def test_mark_of_a_forward_survives_a_change_of_flags(outlook: World, session: Session) -> None:
    """Exchange keeps what was done last, an answer or a forward, in one property."""
    (id,) = await delivered(outlook, session, 1)
    assert await session.update_flags(id, FlagUpdate(add=("\\Answered", "\\Seen"))) == ("\\Seen", "\\Answered")
    assert await session.update_flags(id, FlagUpdate(set=("\\Flagged",))) == ("\\Flagged",)


async def test_mailboxes_have_the_paths_of_their_names(outlook: World, session: Session) -> None:
    """A slash in a name is no level, and what stands for it is no ambiguity."""
    await session.create_mailbox("A%2FB 100%25/C")
    names = {mailbox.path: mailbox.name for mailbox in await session.mailboxes()}
    total = (await session.messages("A%2FB 100%25/C", PageRequest())).total
    await session.delete_mailbox("A%2FB 100%25")
    assert (names["A%2FB 100%25"], names["A%2FB 100%25/C"], total) == ("A/B 100%", "C", 0)


async def test_mailboxes_are_found_by_their_use(session: Session) -> None:
    uses = {mailbox.special_use: mailbox.path for mailbox in await session.mailboxes() if mailbox.special_use}
    assert (uses["\\Sent"], uses["\\Trash"], uses["\\Archive"]) == ("Sent Items", "Deleted Items", "Archive")
    assert (await session.messages("\\Sent", PageRequest(size=1))).total > 0
    with pytest.raises(NotFoundError):
        await session.messages("\\Flagged", PageRequest())


@pytest.mark.parametrize(
    "query",
    [
        SearchQuery(subject="number 1"),
        SearchQuery(subject="number 1", from_="bob"),
        SearchQuery(subject="number 1", body="Hello"),
        SearchQuery(subject="number 1", to="alice", seen=False),
        SearchQuery(header={"Subject": "number 1"}),
        SearchQuery(header={"Message-ID": "<number-1@contoso.test>"}),
        SearchQuery(subject="number 1", answered=False, flagged=False, draft=False),
        SearchQuery(subject="number 1", larger=10, smaller=100_000),
    ],
)
async def test_search_finds_the_same_however_it_is_planned(
    outlook: World, session: Session, query: SearchQuery
) -> None:
    """By a filter, by a search of Graph, by looking at the messages here, or by two of these."""
    ids = await delivered(outlook, session, 3)
    page = await session.search("INBOX", query, PageRequest())
    assert [entry.id for entry in page.messages] == ids[1:2]
    assert await session.search_ids("INBOX", query) == ids[1:2]


async def test_messages_of_one_second_are_on_exactly_one_page(outlook: World, session: Session) -> None:
    """Graph tells no fractions of seconds and promises no order within one; an import fills a second with hundreds."""
    for number in range(25):
        await asyncio.to_thread(outlook.sandbox.deliver, ALICE, letter(BOB, f"number {number}", to=ALICE))
    everything = [entry.id for entry in (await session.messages("INBOX", PageRequest(size=100))).messages]
    assert len(set(everything)) == 25
    numbered = [await session.messages("INBOX", PageRequest(page=page, size=4)) for page in range(7)]
    assert [entry.id for page in numbered for entry in page.messages] == everything
    followed = [numbered[0]]
    while (cursor := followed[-1].next_cursor) is not None:
        followed.append(await session.messages("INBOX", PageRequest(size=4, cursor=cursor)))
    assert [entry.id for page in followed for entry in page.messages] == everything
    back = await session.messages("INBOX", PageRequest(size=4, cursor=followed[3].previous_cursor))
    assert back.messages == followed[2].messages
    await session.delete_many(everything[8:])
    last = await session.messages("INBOX", PageRequest(size=4, cursor=followed[5].next_cursor))
    assert last.messages == ()
    again = await session.messages("INBOX", PageRequest(size=4, cursor=last.previous_cursor))
    assert [entry.id for entry in again.messages] == everything[4:8]


@pytest.mark.parametrize("failure", ["delta_expired", "delta_invalid", "resync_required"])
async def test_state_that_the_service_forgot_is_started_again_with_the_same_ids(
    outlook: World, session: Session, failure: str
) -> None:
    ids = await delivered(outlook, session, 3)
    before = await session.changes("INBOX", None)
    assert {state.id for state in before.changed} == set(ids)
    await asyncio.to_thread(outlook.sandbox.fail, failure, user=ALICE)
    with pytest.raises(CursorExpiredError):
        await session.changes("INBOX", before.state)
    outlook.sandbox.reset()
    again = await session.changes("INBOX", None)
    assert (again.complete, {state.id for state in again.changed}) == (True, set(ids))


@pytest.mark.parametrize("failure", ["delta_expired", "delta_invalid", "resync_required"])
async def test_folders_whose_state_the_service_forgot_are_compared_with_what_was_known(
    outlook: World, session: Session, failure: str
) -> None:
    """It is no reason to look at everything; a folder that was made meanwhile is."""
    before = await session.mailbox_changes(None)
    assert before is not None
    await asyncio.to_thread(outlook.sandbox.fail, failure, user=ALICE)
    same = await session.mailbox_changes(before.state)
    assert same is not None
    assert not same.changed
    await session.create_mailbox("Projects")
    for state in (before.state, same.state):
        after = await session.mailbox_changes(state)
        assert after is not None
        assert after.changed


async def test_many_folders_are_told_of_page_by_page(
    outlook: World, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_changes, "_PAGE", "odata.maxpagesize=2")
    before = await session.mailbox_changes(None)
    assert before is not None
    for name in ("Projects", "Done", "Anew"):
        await session.create_mailbox(name)
    after = await session.mailbox_changes(before.state)
    assert after is not None
    assert after.changed
    again = await session.mailbox_changes(after.state)
    assert again is not None
    assert not again.changed


async def test_message_that_moves_away_and_back_is_where_it_is(outlook: World, session: Session) -> None:
    """Delta tells both of them, in no promised order."""
    (id,) = await delivered(outlook, session, 1)
    state = (await session.changes("INBOX", None)).state
    await session.move(id, "Archive")
    await session.move(id, "INBOX")
    changes = await session.changes("INBOX", state)
    assert ([one.id for one in changes.changed], changes.removed) == ([id], ())


async def test_a_subject_in_bare_utf8_does_not_break_the_listing(outlook: World, session: Session) -> None:
    """RFC 6532 allows it, and the letters of the careless have it anyway."""
    await asyncio.to_thread(outlook.deliver, letter(BOB, "Grüße", to=ALICE))
    page = await session.messages("INBOX", PageRequest())
    assert [entry.subject for entry in page.messages] == ["Grüße"]

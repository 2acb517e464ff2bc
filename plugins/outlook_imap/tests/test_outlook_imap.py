"""Outlook over IMAP and SMTP from sign-in to sent mail, and what happens when Microsoft says no."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.errors import (
    AppRefusedError,
    ConsentRequiredError,
    MailboxUnavailableError,
    MessageRefusedError,
    RateLimitError,
    ReauthorizationError,
    TransientError,
)
from gateway.model.message import SearchQuery
from gateway.plugins import load_plugins
from gateway.provider import Envelope, Environment, PageRequest
from gateway_outlook_imap import OutlookImapProvider
from gateway_outlook_imap.quirks import EXCHANGE, NOT_MAIL
from gateway_sandbox import directory
from gateway_sandbox.testing import ALICE, BOB, CAROL

if TYPE_CHECKING:
    from conftest import World

pytestmark = pytest.mark.anyio
SUPPORT = directory.SUPPORT.address


def letter(sender: str, subject: str) -> bytes:
    header = f"From: {sender}\r\nTo: {BOB}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@contoso.test>\r\n"
    return f"{header}MIME-Version: 1.0\r\n\r\nHello Bob.\r\n".encode()


async def found(outlook: World, mailbox: str, subject: str, user: str) -> int:
    """Return how many messages of a subject a mailbox holds."""

    def count() -> int:
        with outlook.client(user) as client:
            client.select_folder(mailbox, readonly=True)
            return len(client.search(["SUBJECT", subject]))

    return await asyncio.to_thread(count)


async def test_somebody_signs_in_and_reads(outlook: World) -> None:
    """The whole path: pages, code, PKCE, token, XOAUTH2 over TLS with the cloud's own certificate authority."""
    grant = await outlook.grant()
    assert grant.user is not None
    assert (grant.user.user, grant.user.emails) == (ALICE, (ALICE,))
    account = await outlook.account()
    async with outlook.provider.open(*account) as session:
        await session.check()
        await session.check_submit()
        page = await session.messages("INBOX", PageRequest(size=5))
    assert page.total > 0


async def test_a_thread_is_told_and_found_though_exchange_has_none(outlook: World) -> None:
    """Over IMAP; Graph has its conversations."""
    async with outlook.provider.open(*await outlook.account()) as session:
        for subject, header in (("first", ""), ("answer", "References: <first@contoso.test> <x@y>\r\n"), ("other", "")):
            await session.append("Archive", header.encode() + letter(ALICE, subject))
        listed = (await session.messages("Archive", PageRequest())).messages
        threads = {entry.subject: entry.thread_id for entry in listed}
        assert threads["first"] == threads["answer"] != threads["other"]
        page = await session.search("Archive", SearchQuery(thread_id=threads["first"]), PageRequest())
        assert [entry.subject for entry in page.messages] == ["answer", "first"]


async def test_folders_without_mail_are_not_listed(outlook: World) -> None:
    """A calendar entry that looks like a letter helps nobody; the special uses come from flags and names."""
    account = await outlook.account()
    async with outlook.provider.open(*account) as session:
        mailboxes = await session.mailboxes()
    paths = {mailbox.path for mailbox in mailboxes}
    assert not paths & set(NOT_MAIL["en"])
    uses = {mailbox.special_use: mailbox.path for mailbox in mailboxes if mailbox.special_use}
    assert uses["\\Sent"] == "Sent Items"
    assert uses["\\Trash"] == "Deleted Items"
    assert uses["\\Junk"] == "Junk Email"
    assert uses["\\Archive"] == "Archive"


async def test_the_limits_of_exchange_for_sending_are_declared(outlook: World) -> None:
    """The gateway keeps to them; one mailbox has one limit, whichever way it sends."""
    limits = outlook.provider.submission_limits
    assert limits is not None
    assert (limits.service, limits.messages, limits.seconds, limits.connections) == ("exchange", 30, 60, 3)


async def test_exchange_files_the_sent_copy_itself(outlook: World) -> None:
    """`saves_sent_copy` says so; a gateway that appends one as well makes two."""
    account = await outlook.account()
    assert outlook.provider.saves_sent_copy
    async with outlook.provider.open(*account) as session:
        await session.submit(letter(ALICE, "one-copy"), Envelope(mail_from=ALICE, rcpt_to=(BOB,)))
    assert await found(outlook, "Sent Items", "one-copy", ALICE) == 1
    assert await found(outlook, "INBOX", "one-copy", BOB) == 1


async def test_a_delegate_reads_and_sends_as_a_shared_mailbox(outlook: World) -> None:
    """IMAP wants the mailbox as user name, SMTP the person: the other way round both are refused."""
    outlook.sandbox.deliver(SUPPORT, letter(BOB, "help-wanted"))
    account = await outlook.account(ALICE, shared=SUPPORT)
    async with outlook.provider.open(*account) as session:
        page = await session.messages("INBOX", PageRequest(size=50))
        assert "help-wanted" in {entry.subject for entry in page.messages}
        await session.submit(letter(SUPPORT, "from-support"), Envelope(mail_from=SUPPORT, rcpt_to=(BOB,)))
    assert await found(outlook, "INBOX", "from-support", BOB) == 1


async def test_somebody_who_is_no_delegate_does_not_get_in(outlook: World) -> None:
    """The account waits, and the person is told which questions to ask; it is no matter of signing in again."""
    account = await outlook.account(CAROL, shared=SUPPORT)
    with pytest.raises((MailboxUnavailableError, ReauthorizationError)) as caught:
        async with outlook.provider.open(*account) as session:
            await session.check()
    assert caught.value.remedy is not None
    assert "mailbox" in " ".join(caught.value.remedy.steps)


async def test_sending_as_somebody_else_is_refused_with_the_reason(outlook: World) -> None:
    """Exchange refuses after DATA; nothing was sent, and the account goes on."""
    account = await outlook.account()
    async with outlook.provider.open(*account) as session:
        with pytest.raises(MessageRefusedError) as caught:
            await session.submit(letter(BOB, "forged"), Envelope(mail_from=BOB, rcpt_to=(CAROL,)))
        await session.check_submit()
    assert caught.value.remedy is not None
    assert caught.value.remedy.code == "send_as_denied"
    assert "contoso" not in f"{caught.value}"


async def test_authenticated_but_not_connected_is_no_sign_in_problem(outlook: World) -> None:
    """The token is good; asking the person to sign in again would go on for ever."""
    account = await outlook.account()
    outlook.sandbox.fail("mailbox_not_connected", user=ALICE)
    with pytest.raises(MailboxUnavailableError) as caught:
        async with outlook.provider.open(*account) as session:
            await session.check()
    assert caught.value.remedy is not None
    assert caught.value.remedy.code == "not_connected"
    assert account.context.credentials.renewals == 0


async def test_smtp_that_is_switched_off_leaves_reading_alone(outlook: World) -> None:
    """OAuth does not help against it; an administrator does, or Graph."""
    account = await outlook.account()
    outlook.sandbox.fail("smtp_auth_disabled", user=ALICE)
    async with outlook.provider.open(*account) as session:
        with pytest.raises(MailboxUnavailableError) as caught:
            await session.check_submit()
        await session.check()
    assert caught.value.remedy is not None
    assert caught.value.remedy.who == "tenant_admin"
    assert any("SmtpClientAuthenticationDisabled" in step for step in caught.value.remedy.steps)


async def test_a_revoked_grant_waits_for_its_owner(outlook: World) -> None:
    """One renewal is tried, its refusal decides (RFC 6749 section 5.2)."""
    account = await outlook.account()
    outlook.sandbox.fail("grant_revoked", user=ALICE)
    with pytest.raises(ReauthorizationError) as caught:
        async with outlook.provider.open(*account) as session:
            await session.check()
    assert caught.value.native_code == "AADSTS50173"
    assert account.context.credentials.renewals == 1


async def test_a_session_outlives_its_token(outlook: World) -> None:
    """Exchange says BYE when the token expires; a new session, or the next operation, comes with a new token."""
    account = await outlook.account()
    async with outlook.provider.open(*account) as session:
        await session.check()
        await asyncio.to_thread(outlook.sandbox.http.post, "/sandbox/tokens/expire")
        with pytest.raises(TransientError):
            await session.check()
    async with outlook.provider.open(*account) as session:
        await session.check()
    assert account.context.credentials.renewals == 1


async def test_throttling_is_a_pause_everywhere(outlook: World) -> None:
    """Three protocols, three ways to say it; the first two tell for how long."""
    account = await outlook.account()
    grant = account.context.credentials.grant
    outlook.sandbox.fail("throttled", seconds=7)
    with pytest.raises(RateLimitError) as token:
        await outlook.identity().refresh(grant)
    async with outlook.provider.open(*account) as session:
        with pytest.raises(RateLimitError) as imap:
            await session.check()
        with pytest.raises(RateLimitError) as smtp:
            await session.submit(letter(ALICE, "throttled"), Envelope(mail_from=ALICE, rcpt_to=(BOB,)))
    assert (token.value.retry_after, imap.value.retry_after, smtp.value.retry_after) == (7.0, 7.0, 30.0)


async def test_an_expired_secret_is_a_matter_of_the_app(outlook: World) -> None:
    """All its accounts wait; their owners can do nothing."""
    grant = await outlook.grant()
    outlook.sandbox.fail("secret_expired")
    with pytest.raises(AppRefusedError) as caught:
        await outlook.identity().refresh(grant)
    assert caught.value.native_code == "AADSTS7000222"
    assert caught.value.remedy is not None
    assert caught.value.remedy.who == "app_owner"
    outlook.sandbox.reset()
    with pytest.raises(AppRefusedError, match="secret"):
        await outlook.identity(client_secret="another").refresh(grant)


async def test_the_link_for_the_administrator_ends_the_waiting(outlook: World) -> None:
    """The person is stopped, forwards the link, the administrator approves, the person gets in."""
    outlook.sandbox.fail("admin_consent_needed")
    identity = outlook.identity()
    start = identity.authorization(state="state", login_hint=BOB)
    stopped = outlook.sandbox.decide(start.url, user=BOB, action="needs_admin")
    with pytest.raises(ConsentRequiredError) as caught:
        await identity.exchange(start, stopped)
    assert caught.value.remedy is not None
    assert caught.value.remedy.url is not None
    assert caught.value.remedy.url.startswith(f"{outlook.sandbox.endpoints.origin}/organizations/adminconsent?")
    back = outlook.sandbox.decide(caught.value.remedy.url, action="accept")
    assert back["admin_consent"] == "True"
    assert (await outlook.grant(BOB)).access_token


async def test_somebody_who_cancels_can_try_again(outlook: World) -> None:
    """Nothing is wrong with the app."""
    identity = outlook.identity()
    start = identity.authorization(state="state", login_hint=CAROL)
    with pytest.raises(ReauthorizationError, match="declined"):
        await identity.exchange(start, outlook.sandbox.decide(start.url, user=CAROL, action="cancel"))


async def test_a_code_is_good_once(outlook: World) -> None:
    """A callback that is loaded twice is told from a lost grant by its code."""
    identity = outlook.identity()
    start = identity.authorization(state="state", login_hint=CAROL)
    back = outlook.sandbox.decide(start.url, user=CAROL, action="accept")
    await identity.exchange(start, back)
    with pytest.raises(ReauthorizationError) as caught:
        await identity.exchange(start, back)
    assert caught.value.error_code == "CodeRedeemed"


def test_the_plugin_is_found_by_its_entry_point() -> None:
    """An installed distribution is all it takes."""
    plugins = load_plugins(Environment())
    provider = plugins.for_app("outlook", "imap")
    assert isinstance(provider, OutlookImapProvider)
    assert plugins.identity_for_app("outlook", "api") is plugins.identities["microsoft"]
    assert not [info.error for info in plugins.installed if info.name == "outlook_imap" and info.error]


def test_problems_and_guide_are_those_of_microsoft(outlook: World) -> None:
    """The registered app of the sandbox is a good one; the guide offers every cloud that is known here."""
    provider = outlook.identities
    assert provider.app_problems(outlook.app) == {}
    assert list(provider.app_problems(msgspec.structs.replace(outlook.app, cloud="moon"))) == ["cloud"]
    guide = provider.app_guide("outlook", "imap")
    assert guide is not None
    assert guide.clouds == ("global", "gcc-high", "dod", "china", "sandbox")
    assert provider.app_guide("outlook", "api") is not None
    assert provider.app_guide("gmail", "imap") is None


def test_an_app_in_an_unknown_cloud_cannot_be_opened(outlook: World) -> None:
    """Falling back to another cloud would send a token to the wrong Microsoft."""
    with pytest.raises(AppRefusedError):
        outlook.identity(cloud="moon")


def test_no_folder_for_mail_is_hidden() -> None:
    """A language's word for the calendar may be another's for the inbox; none of these is."""
    mail = {"INBOX", "Archive", "Archiv", "Drafts", "Entwürfe", "Sent Items", "Gesendete Elemente", "Deleted Items"}
    mail |= {"Junk Email", "Conversation History", "Postfach", "Posteingang", "Brouillons", "Bandeja de entrada"}
    assert not EXCHANGE.hidden & mail
    assert all(len(names) == 7 for names in NOT_MAIL.values())

"""Submission, with the client library the gateway uses, and where the mail ends up."""

from __future__ import annotations

import asyncio
import base64
import email
import time
from collections.abc import Callable
from email import policy
from email.message import EmailMessage
from typing import Any

import aiosmtplib
import imapclient
import pytest

from gateway_sandbox import directory
from gateway_sandbox.testing import ALICE, BOB, CAROL, RunningSandbox

Login = Callable[..., imapclient.IMAPClient]
SUPPORT = directory.SUPPORT.address


def letter(subject: str, *, sender: str = ALICE, to: str = BOB, bcc: str | None = None) -> EmailMessage:
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Message-ID"] = f"<{subject.replace(' ', '-')}@test.example>"
    if bcc is not None:
        message["Bcc"] = bcc
    message.set_content(".\nA line with a dot.\n")
    return message


def submit(
    sandbox: RunningSandbox,
    message: EmailMessage,
    recipients: list[str],
    *,
    login: str = ALICE,
    mail_from: str | None = None,
    token: str | None = None,
    password: str | None = None,
) -> str:
    token = token or ("" if password else sandbox.access_token(login))

    async def run() -> str:
        client = aiosmtplib.SMTP(
            hostname="localhost", port=sandbox.endpoints.smtp_port, tls_context=sandbox.tls, start_tls=True, timeout=10
        )
        async with client:
            if password:
                await client.ehlo()
                await client.auth_login(login, password)
            else:
                await client.auth_xoauth2(login, token)
            _, answer = await client.sendmail(mail_from or login, recipients, message.as_bytes())
            return answer

    return asyncio.run(run())


def find(client: imapclient.IMAPClient, folder: str, subject: str) -> list[email.message.EmailMessage]:
    client.select_folder(folder)
    uids = client.search(["SUBJECT", subject])
    raw = [client.fetch([uid], ["BODY.PEEK[]"])[uid][b"BODY[]"] for uid in uids]
    return [email.message_from_bytes(octets, policy=policy.default) for octets in raw]


def test_submitted_mail_arrives_and_wakes_the_recipient(sandbox: RunningSandbox, imap: Login) -> None:
    """The whole way: alice submits, bob's IDLE wakes up, alice has it in Sent Items."""
    watcher = imap(BOB)
    watcher.select_folder("INBOX")
    watcher.idle()
    answer = submit(sandbox, letter("way through"), [BOB])
    assert "<way-through@test.example>" in answer
    deadline = time.monotonic() + 10
    while not any(line[1] == b"EXISTS" for line in watcher.idle_check(timeout=1)):
        assert time.monotonic() < deadline, "nobody woke up"
    watcher.idle_done()
    (received,) = find(watcher, "INBOX", "way through")
    assert received["Received"]
    assert received.get_content().splitlines()[0] == "."
    (sent,) = find(imap(ALICE), "Sent Items", "way through")
    assert sent["Message-ID"] == "<way-through@test.example>"


def test_blind_copies_are_blind(sandbox: RunningSandbox, imap: Login) -> None:
    """The sender's copy keeps Bcc, no recipient sees it."""
    submit(sandbox, letter("blind", bcc=CAROL), [BOB, CAROL])
    for person in BOB, CAROL:
        (received,) = find(imap(person), "INBOX", "blind")
        assert received["Bcc"] is None
    (sent,) = find(imap(ALICE), "Sent Items", "blind")
    assert sent["Bcc"] == CAROL


def test_wrong_tokens_are_refused_like_exchange_does(sandbox: RunningSandbox) -> None:
    """SMTP wants the delegate's own address: a shared mailbox as identity is the classic mistake."""
    for login, token in ((ALICE, "rubbish"), (ALICE, sandbox.access_token(BOB)), (SUPPORT, sandbox.access_token())):
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as caught:
            submit(sandbox, letter("no"), [BOB], login=login, token=token)
        assert caught.value.code == 535
        assert caught.value.message.startswith("5.7.3 Authentication unsuccessful")


def test_passwords_work_only_outside_the_tenant(sandbox: RunningSandbox, imap: Login) -> None:
    """Basic authentication is off in the tenant; the plain mailbox files its own copies."""
    with pytest.raises(aiosmtplib.SMTPAuthenticationError, match="basic authentication is disabled"):
        submit(sandbox, letter("no"), [BOB], password="anything")
    dave = directory.DAVE
    submit(sandbox, letter("from dave", sender=dave.address), [ALICE], login=dave.address, password=dave.password)
    assert find(imap(ALICE), "INBOX", "from dave")
    with imapclient.IMAPClient("localhost", sandbox.endpoints.imap_port, ssl_context=sandbox.tls) as client:
        client.login(dave.address, dave.password)
        assert not find(client, "Sent", "from dave")


def test_send_as(sandbox: RunningSandbox, imap: Login) -> None:
    """A delegate may send as the shared mailbox; anybody else is refused after DATA."""
    submit(sandbox, letter("as support", sender=SUPPORT), [BOB], mail_from=SUPPORT)
    assert find(imap(BOB), "INBOX", "as support")[0]["From"] == SUPPORT
    for mail_from, sender in ((BOB, BOB), (ALICE, BOB)):
        with pytest.raises(aiosmtplib.SMTPDataError, match=r"5\.2\.252 SendAsDenied") as caught:
            submit(sandbox, letter("not me", sender=sender), [CAROL], mail_from=mail_from)
        assert caught.value.code == 554


def test_unknown_recipients_come_back_as_a_report(sandbox: RunningSandbox, imap: Login) -> None:
    """This is the input of the gateway's bounce detection, so it has to be a real RFC 3464 report."""
    submit(sandbox, letter("lost"), ["nobody@contoso.test", "x@elsewhere.example", BOB])
    (report,) = find(imap(ALICE), "INBOX", "Undeliverable: lost")
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert report["In-Reply-To"] == "<lost@test.example>"
    text, status, returned = report.iter_parts()
    assert "nobody@contoso.test" in text.get_content()
    blocks: Any = status.get_payload()
    assert blocks[0]["Reporting-MTA"].startswith("dns;")
    assert [block["Status"] for block in blocks[1:]] == ["5.1.10", "5.4.310"]
    assert blocks[1]["Final-Recipient"] == "rfc822; nobody@contoso.test"
    assert returned.get_content_type() == "text/rfc822-headers"
    assert "<lost@test.example>" in returned.get_payload()
    assert find(imap(BOB), "INBOX", "lost")


def test_long_token_without_initial_response(sandbox: RunningSandbox) -> None:
    """Clients may send AUTH and the token in two steps; both lines are longer than SMTP allows."""
    token = sandbox.access_token()

    async def run() -> int:
        client = aiosmtplib.SMTP(
            hostname="localhost", port=sandbox.endpoints.smtp_port, tls_context=sandbox.tls, start_tls=True
        )
        async with client:
            await client.ehlo()
            code, _ = await client.execute_command(b"AUTH", b"XOAUTH2")
            assert code == 334
            response = _xoauth2(ALICE, token)
            assert len(response) > 2500
            code, _ = await client.execute_command(response)
            return code

    assert asyncio.run(run()) == 235


def _xoauth2(user: str, token: str) -> bytes:
    return base64.b64encode(f"user={user}\x01auth=Bearer {token}\x01\x01".encode())


def test_smtp_auth_can_be_disabled_for_the_tenant(sandbox: RunningSandbox) -> None:
    """OAuth does not help then; the gateway must say who has to act."""
    sandbox.fail("smtp_auth_disabled")
    with pytest.raises(aiosmtplib.SMTPAuthenticationError, match="SmtpClientAuthentication is disabled for the Tenant"):
        submit(sandbox, letter("no"), [BOB])


def test_throttled_and_unavailable_are_temporary(sandbox: RunningSandbox) -> None:
    """Both are 4xx: the gateway tries again."""
    sandbox.fail("throttled", user=ALICE)
    with pytest.raises(aiosmtplib.SMTPSenderRefused) as refused:
        submit(sandbox, letter("no"), [BOB])
    assert refused.value.code == 432
    sandbox.fail("temporarily_unavailable")
    with pytest.raises(aiosmtplib.SMTPConnectResponseError) as unavailable:
        submit(sandbox, letter("no"), [BOB], token="unused")
    assert unavailable.value.code == 421


def test_missing_message_id_is_added(sandbox: RunningSandbox, imap: Login) -> None:
    """RFC 6409 section 8 lets submission complete a message."""
    message = letter("no id")
    del message["Message-ID"]
    answer = submit(sandbox, message, [BOB])
    (received,) = find(imap(BOB), "INBOX", "no id")
    assert received["Message-ID"] in answer
    assert received["Date"]

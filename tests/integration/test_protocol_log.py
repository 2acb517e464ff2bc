"""Protocol logs of conversations with real servers: complete, and without any secret or octet of mail."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.errors import ConnectError, ReauthorizationError
from gateway.model.server import Server
from gateway.provider import Account, Envelope, Login, PageRequest, Session, SessionContext, Speaker
from gateway.testing.context import FixedCredentials, MemoryNumbers
from gateway_imap import open_session
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot
from tests.rigs.issuer import TokenIssuer
from tests.unit.smtp.smtp_sink import SmtpSink

pytestmark = pytest.mark.anyio

BODY = "the-words-of-the-letter"
MESSAGE = f"From: a@example.org\r\nSubject: subject-of-the-letter\r\n\r\n{BODY}\r\n".encode()


class Lines:
    """Keeps everything; `text` is all of it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, connection: str, speaker: Speaker, text: str) -> None:
        """Keep a line."""
        self.lines.append(f"{connection.partition('-')[0]} {speaker}: {text}")

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines)

    def has(self, *parts: str) -> bool:
        """Tell whether one line has all these parts."""
        return any(all(part in line for part in parts) for line in self.lines)


@asynccontextmanager
async def logged(login: Login, imap: Server | None, smtp: Server | None = None) -> AsyncIterator[tuple[Session, Lines]]:
    lines = Lines()
    context = SessionContext(credentials=FixedCredentials(login), numbers=MemoryNumbers(), protocol_log=lines)
    account = Account(id="a", user=login.user, email=login.user)
    async with open_session(account=account, context=context, imap=imap, smtp=smtp) as session:
        yield session, lines


def server_of(dovecot: Dovecot, certificates: Certificates) -> Server:
    host, port = dovecot.full
    return Server(host=host, port=port, ca_file=certificates.authority)


async def test_reading_and_storing_mail_shows_commands_and_no_mail(
    dovecot: Dovecot, certificates: Certificates
) -> None:
    user = dovecot.new_user()
    dovecot.deliver(user, MESSAGE)
    async with logged(Login(user=user, password=GUEST_PASSWORD), server_of(dovecot, certificates)) as (session, lines):
        (entry,) = (await session.messages("INBOX", PageRequest())).messages
        message = await session.message(entry.id, text_type="*")
        assert message.text is not None
        assert BODY in (message.text.plain or "")
        await session.append("INBOX", MESSAGE)
    assert lines.has("imap *: connected to")
    assert lines.has("imap S: * OK")
    assert lines.has("imap C: ", "AUTHENTICATE PLAIN <hidden>")
    assert lines.has("imap C: ", "FETCH")
    assert lines.has("imap S: * 1 FETCH (UID 1")
    assert lines.has("imap C: ", "APPEND", "{")
    assert lines.has("imap *: connection closed")
    sasl = base64.b64encode(f"\0{user}\0{GUEST_PASSWORD}".encode()).decode()
    for secret in (GUEST_PASSWORD, sasl, BODY, "subject-of-the-letter"):
        assert secret not in lines.text


async def test_a_refused_token_is_not_shown_but_that_it_was_refused_is(
    dovecot: Dovecot, certificates: Certificates, token_issuer: TokenIssuer
) -> None:
    user = dovecot.new_user()
    token = token_issuer.mint(user, lifetime=-60)
    async with logged(Login(user=user, access_token=token), server_of(dovecot, certificates)) as (session, lines):
        with pytest.raises(ReauthorizationError):
            await session.messages("INBOX", PageRequest())
    assert lines.has("imap C: ", "AUTHENTICATE XOAUTH2 <hidden>")
    assert lines.has("imap S: ", " NO ")
    assert token not in lines.text
    assert base64.b64encode(token.encode()).decode()[:40] not in lines.text


async def test_what_a_watch_hears_is_shown(dovecot: Dovecot, certificates: Certificates) -> None:
    user = dovecot.new_user()
    async with logged(Login(user=user, password=GUEST_PASSWORD), server_of(dovecot, certificates)) as (session, lines):
        watch = await session.watch("INBOX")
        await watch.close()
    assert lines.has("imap C: ", " IDLE")
    assert lines.has("imap C: DONE")


async def test_sending_shows_commands_and_answers_and_no_mail() -> None:
    login = Login(user="a@x.test", password="geheim-geheim")
    async with SmtpSink() as sink, logged(login, None, sink.server) as (session, lines):
        await session.submit(MESSAGE, Envelope(mail_from="a@x.test", rcpt_to=("b@y.test",)))
    for shown in (
        ("smtp *: connected to localhost:",),
        ("smtp S: 220 ",),
        ("smtp C: EHLO ",),
        ("smtp S: 250 ", "PIPELINING"),
        ("smtp C: AUTH PLAIN <hidden>",),
        ("smtp S: 235 ",),
        ("smtp C: RCPT TO:<b@y.test>",),
        ("smtp C: DATA",),
        ("octets of a message sent",),
        ("smtp C: QUIT",),
    ):
        assert lines.has(*shown), (shown, lines.text)
    for secret in (BODY, "geheim-geheim", base64.b64encode(b"\0a@x.test\0geheim-geheim").decode()):
        assert secret not in lines.text


async def test_no_word_of_a_login_in_several_steps_is_shown() -> None:
    login = Login(user="a@x.test", password="geheim-geheim")
    async with SmtpSink(extensions=(b"AUTH LOGIN",)) as sink, logged(login, None, sink.server) as (session, lines):
        password = base64.b64encode(b"geheim-geheim")
        sink.answers = {b"AUTH LOGIN": b"334 UGFzc3dvcmQ6", password.upper(): b"235 2.7.0 welcome"}
        await session.submit(MESSAGE, Envelope(mail_from="a@x.test", rcpt_to=("b@y.test",)))
    assert lines.has("smtp C: AUTH LOGIN <hidden>")
    assert lines.has("smtp S: 334 <hidden>")
    assert lines.has("smtp C: <hidden>")
    assert password in sink.commands
    assert password.decode() not in lines.text


async def test_a_server_that_is_not_there_is_shown() -> None:
    nowhere = Server(host="127.0.0.1", port=1)
    async with logged(Login(user="a@x.test", password="geheim"), nowhere, nowhere) as (session, lines):
        with pytest.raises(ConnectError):
            await session.messages("INBOX", PageRequest())
        with pytest.raises(ConnectError):
            await session.submit(MESSAGE, Envelope(mail_from="a@x.test", rcpt_to=("b@y.test",)))
    assert lines.has("imap *: no connection to 127.0.0.1:1")
    assert lines.has("smtp *: no connection to 127.0.0.1:1")

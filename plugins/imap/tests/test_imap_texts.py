"""Texts of which only the beginning is wanted, and asked for."""

from __future__ import annotations

import base64
import codecs
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.model.server import Server
from gateway.provider import Account, Login, PageRequest, Session
from gateway.testing.context import AccountUnderTest, session_context
from gateway_imap import ImapAccountSettings, ImapProvider
from gateway_imap.known_texts import KnownTexts
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("dovecot")]
Start = Callable[..., Awaitable[Any]]
DONE = b"TAG OK done\r\n"
LETTERS = {
    "utf-8": "aé丝\U0001f600 =",
    "iso-2022-jp": "aい日本 =",
    "gb2312": "a中文丝 =",
    "utf-16": "aé丝\U0001f600 =",
    "shift_jis": "aい日本 =",
}


@pytest.fixture
async def session(dovecot: Dovecot, certificates: Certificates) -> AsyncIterator[Session]:
    """Of an account with an empty INBOX."""
    user, (host, port) = dovecot.new_user(), dovecot.full
    imap = Server(host=host, port=port, ca_file=certificates.authority)
    account = Account(id=user, user=user, email=user, settings=ImapAccountSettings(imap=imap))
    under_test = AccountUnderTest(account, session_context(Login(user=user, password=GUEST_PASSWORD)))
    async with ImapProvider().open(*under_test) as opened:
        yield opened


def _encoded(octets: bytes, encoding: str, line: int) -> bytes:
    """Return octets in lines of so many, or of so many groups of three."""
    line *= 3 if encoding == "base64" else 1
    pieces = [octets[start : start + line] for start in range(0, len(octets), line)]
    if encoding == "quoted-printable":
        return b"=\r\n".join(b"".join(b"=%02X" % octet for octet in piece) for piece in pieces)
    return b"\r\n".join(map(base64.b64encode, pieces))


def _beginning(text: str, charset: str, most: int) -> str:
    """Return the characters that are whole within so many octets."""
    encoder = codecs.getincrementalencoder(charset)()
    size = 0
    for index, character in enumerate(text):
        size += len(encoder.encode(character))
        if size > most:
            return text[:index]
    return text


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(LETTERS)).flatmap(
        lambda charset: st.tuples(st.just(charset), st.text(LETTERS[charset], min_size=5, max_size=30))
    ),
    st.sampled_from(["quoted-printable", "base64"]),
    st.integers(1, 30),
    st.lists(st.integers(1000, 6000), min_size=3, max_size=3),
    st.booleans(),
)
async def test_cut_text_is_the_beginning_of_the_text_and_as_long_as_can_be(
    session: Session, written: tuple[str, str], encoding: str, line: int, limits: list[int], is_known: bool
) -> None:
    """Whatever the line breaks, of which the server tells nothing, and whether the encoding is known beforehand."""
    charset, letters = written
    text = letters * (5000 // len(letters.encode(charset)) + 1)
    octets = text.encode(charset)
    head = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    await session.append("INBOX", head.encode() + _encoded(octets, encoding, line))
    entry = (await session.messages("INBOX", PageRequest(size=1))).messages[0]
    for limit in limits:
        if not is_known:
            session._texts = KnownTexts()  # type: ignore[attr-defined]
        found = (await session.message(entry.id, text_type="plain", max_bytes=limit)).text
        assert found is not None
        assert found.plain == _beginning(text, charset, limit)
        assert found.has_more == (len(octets) > limit)


async def test_html_names_its_charset_beyond_the_limit(session: Session) -> None:
    html = "<p>čš</p><meta charset=iso-8859-2>" + " " * 2000
    await session.append("INBOX", b"Content-Type: text/html\r\n\r\n" + html.encode("iso-8859-2"))
    entry = (await session.messages("INBOX", PageRequest())).messages[0]
    for limit, shown in ((5, "<p>čš"), (None, html)):
        text = (await session.message(entry.id, text_type="html", max_bytes=limit)).text
        assert text is not None
        assert text.html == shown


async def test_text_is_whole_when_fewer_octets_come_than_were_asked_for(scripted: Start) -> None:
    """Some servers estimate the size of a part; what comes tells better."""
    body = b'("text" "plain" ("charset" "utf-8") NIL NIL "base64" 500 9 NIL NIL NIL NIL)'
    row = b"* 1 FETCH (UID 5 FLAGS () BODYSTRUCTURE %b BODY[HEADER] {2}\r\n\r\n BODY[1]<0> {10}\r\naGVsbG8h\r\n)\r\n"
    answers = {b"FETCH": b"* 1 FETCH (UID 5 FLAGS ())\r\n" + DONE, b"UID FETCH": row % body + DONE}
    server = await scripted(answers)
    async with ImapProvider().open(*server.account()) as session:
        (entry,) = (await session.messages("INBOX", PageRequest())).messages
        text = (await session.message(entry.id, text_type="plain", max_bytes=400)).text
    assert text is not None
    assert (text.plain, text.has_more) == ("hello!", False)
    assert len([line for line in server.commands if line.startswith(b"UID FETCH")]) == 1

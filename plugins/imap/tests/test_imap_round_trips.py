"""What a session asks of Dovecot far away: round trips are counted by a proxy that delays, and TLS passes through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gateway.errors import NotFoundError
from gateway.model.message import FlagUpdate
from gateway.model.server import Server
from gateway.provider import Account, Login, PageRequest, Session, SessionContext
from gateway.testing.context import FixedCredentials, MemoryNumbers
from gateway.testing.fault_proxy import FaultProxy, Faults
from gateway_imap import ImapProvider, open_session
from gateway_imap.known_texts import KnownTexts, shared_texts
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot

pytestmark = pytest.mark.anyio
Start = Callable[..., Awaitable[Any]]
LETTER = (
    b"From: a@example.org\r\nSubject: two texts\r\nMessage-ID: <%d@example.org>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=m\r\n\r\n"
    b"--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n"
    b"--a\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8gV29ybGQ=\r\n"
    b"--a\r\nContent-Type: text/html\r\n\r\n<p>Hello World</p>\r\n--a--\r\n"
    b"--m\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\n%%PDF\r\n--m--\r\n"
)


class Distant:
    """A session of one account through the proxy, and a second one of the same account beside it."""

    def __init__(self, session: Session, other: Session, proxy: FaultProxy) -> None:
        self.session = session
        self.other = other
        self._proxy = proxy

    async def round_trips(self, operation: Awaitable[Any]) -> tuple[Any, int]:
        """Return what comes of an operation, and how many round trips it took."""
        before = self._proxy.turns
        return await operation, self._proxy.turns - before


@pytest.fixture
async def distant(dovecot: Dovecot, certificates: Certificates) -> AsyncIterator[Distant]:
    """Two sessions that have listed an INBOX with two letters, of which nothing else is known."""
    user = dovecot.new_user()
    for number in (1, 2):
        dovecot.deliver(user, LETTER % number)
    login = Login(user=user, password=GUEST_PASSWORD)
    context = SessionContext(credentials=FixedCredentials(login), numbers=MemoryNumbers())
    account = Account(id=user, user=user, email=user)
    async with FaultProxy(dovecot.full) as proxy:
        proxy.to_client = proxy.to_server = Faults(latency=0.02)
        server = Server(host=proxy.address[0], port=proxy.address[1], ca_file=certificates.authority)
        async with (
            open_session(account=account, context=context, imap=server, smtp=None) as session,
            open_session(account=account, context=context, imap=server, smtp=None) as other,
        ):
            await session.messages("INBOX", PageRequest())
            await other.messages("INBOX", PageRequest())
            yield Distant(session, other, proxy)


async def _newest(distant: Distant) -> str:
    return (await distant.session.messages("INBOX", PageRequest())).messages[0].id


async def test_listing_takes_one_round_trip(distant: Distant) -> None:
    """The same page again, and another one."""
    for page in (PageRequest(), PageRequest(size=1), PageRequest(page=1, size=1)):
        listed, trips = await distant.round_trips(distant.session.messages("INBOX", page))
        assert (listed.total, trips) == (2, 1)


@pytest.mark.parametrize("max_bytes", [None, 5, 0])
async def test_message_that_was_listed_comes_with_its_text_in_one_round_trip(
    distant: Distant, max_bytes: int | None
) -> None:
    """Where its text is was told with the listing."""
    id = await _newest(distant)
    message, trips = await distant.round_trips(distant.session.message(id, text_type="*", max_bytes=max_bytes))
    assert message.text is not None
    shown = (message.text.plain, (message.text.html or "").rstrip(), message.text.has_more, trips)
    assert (
        shown
        == {
            None: ("Hello World", "<p>Hello World</p>", False, 1),
            5: ("Hello", "<p>He", True, 1),
            0: ("", "", True, 1),
        }[max_bytes]
    )
    assert [attachment.filename for attachment in message.attachments] == ["a.pdf"]


async def test_message_of_which_nothing_is_known_takes_two_and_one_the_next_time(
    distant: Distant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its texts come in one FETCH, whatever their number."""
    id = await _newest(distant)
    monkeypatch.setattr(distant.session, "_texts", KnownTexts())
    first, trips = await distant.round_trips(distant.session.message(id, text_type="*"))
    again, trips_again = await distant.round_trips(distant.session.message(id, text_type="*"))
    assert (trips, trips_again) == (2, 1)
    assert first.text == again.text
    assert first.text.plain == "Hello World"


async def test_text_by_its_own_id_takes_one_round_trip(distant: Distant) -> None:
    """The id says where the text is."""
    entry = (await distant.session.messages("INBOX", PageRequest())).messages[0]
    assert entry.text is not None
    text, trips = await distant.round_trips(distant.session.text(entry.text.id))
    assert (text.plain, trips) == ("Hello World", 1)


async def test_what_another_session_did_is_seen_in_the_same_round_trip(distant: Distant) -> None:
    """A session that asks only for the message is told stale flags (RFC 9051 section 7): it has to look as well."""
    id = await _newest(distant)
    await distant.other.update_flags(id, FlagUpdate(add=("\\Flagged",)))
    message, trips = await distant.round_trips(distant.session.message(id))
    assert (message.flagged, trips) == (True, 1)
    await distant.other.delete(id)
    with pytest.raises(NotFoundError):
        await distant.session.message(id, text_type="*")


async def test_wrong_knowledge_of_a_text_is_found_out(scripted: Start) -> None:
    """The structure that comes along has the last word."""
    part = b'("text" "%b" NIL NIL NIL "7bit" 5 1 NIL NIL NIL NIL)'
    plain, html = part % b"plain", part % b"html"
    listed = b'* 1 FETCH (UID 5 FLAGS () ENVELOPE (%b) BODYSTRUCTURE (%b%b "mixed"))\r\n' % (
        b" ".join([b"NIL"] * 10),
        html,
        plain,
    )
    read = b"* 1 FETCH (UID 5 FLAGS () BODYSTRUCTURE %b BODY[HEADER] {2}\r\n\r\n BODY[2] NIL)\r\n" % plain
    text = b"* 1 FETCH (UID 5 BODY[1] {5}\r\nHello)\r\n"
    server = await scripted(
        {
            b"FETCH": listed + b"TAG OK done\r\n",
            b"UID FETCH": lambda command: (read if b"BODYSTRUCTURE" in command else text) + b"TAG OK done\r\n",
        }
    )
    async with ImapProvider().open(*server.account()) as session:
        id = (await session.messages("INBOX", PageRequest())).messages[0].id
        known = shared_texts().of("scripted", id)
        assert known is not None
        assert known.plain == ("2",)
        message = await session.message(id, text_type="*")
    assert message.text is not None
    assert message.text.plain == "Hello"


async def test_only_the_newest_texts_are_remembered(distant: Distant) -> None:
    """What all accounts of a process together know has a bound."""
    texts = KnownTexts(limit=1)
    newest, oldest = (await distant.session.messages("INBOX", PageRequest())).messages
    texts.keep("a", (oldest, newest))
    assert texts.of("a", oldest.id) is None
    assert texts.of("a", newest.id) is not None
    assert texts.of("b", newest.id) is None


async def test_beginning_of_a_text_full_of_escapes_takes_one_round_trip(distant: Distant) -> None:
    """A line of eight characters, each of three octets, is the longest that fits (RFC 2045 section 6.7, rule 5)."""
    line = b"=E4=B8=80" * 8 + b"=\r\n"
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    await distant.session.append("INBOX", head + line * 400)
    id = await _newest(distant)
    message, trips = await distant.round_trips(distant.session.message(id, text_type="plain", max_bytes=5000))
    assert message.text is not None
    assert (message.text.plain, message.text.has_more, trips) == ("一" * 1666, True, 1)

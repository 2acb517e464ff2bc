"""`threadId` on servers that have no threads of their own (RFC 8474)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.errors import InvalidRequestError, UnsupportedOperationError
from gateway.mime.identity import thread_id_of
from gateway.model.message import SearchQuery
from gateway.model.server import Server
from gateway.provider import Account, Login, PageRequest, Session
from gateway.testing.context import AccountUnderTest, session_context
from gateway_imap import ImapAccountSettings, ImapProvider
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("dovecot")]
Start = Callable[..., Awaitable[Any]]
DONE = b"TAG OK done\r\n"
ROOT = thread_id_of("<root@x>", None, None)
MANY = " ".join(["<root@x>", *(f"<{number}@x>" for number in range(10_000))])
LETTERS = {
    "root": "Message-ID: <root@x>",
    "reply": "Message-ID: <reply@x>\r\nReferences: <root@x>\r\nIn-Reply-To: <root@x>",
    "folded": "Message-ID: <folded@x>\r\nReferences:\r\n <root@x>\r\n <reply@x>",
    "only parent": "Message-ID: <parent@x>\r\nIn-Reply-To: <root@x>",
    "long": "Message-ID: <long@x>\r\nReferences: " + MANY.replace(" ", "\r\n "),
    "elsewhere": "Message-ID: <elsewhere@x>\r\nReferences: <other@x> <root@x>",
    "similar": "Message-ID: <more-root@x>",
    "louder": "Message-ID: <ROOT@x>",
    "alone": "X-Nothing: here",
}
THREAD = {"root", "reply", "folded", "only parent", "long"}


@asynccontextmanager
async def _filled(dovecot: Dovecot, certificates: Certificates, face: str) -> AsyncIterator[Session]:
    user, (host, port) = dovecot.new_user(), getattr(dovecot, face)
    imap = Server(host=host, port=port, ca_file=certificates.authority)
    account = Account(id=user, user=user, email=user, settings=ImapAccountSettings(imap=imap))
    under_test = AccountUnderTest(account, session_context(Login(user=user, password=GUEST_PASSWORD)))
    async with ImapProvider().open(*under_test) as session:
        for subject, header in LETTERS.items():
            await session.append("INBOX", f"Subject: {subject}\r\n{header}\r\n\r\nHello.\r\n".encode())
        yield session


@pytest.mark.parametrize("face", ["full", "exchange"])
async def test_threads_are_told_and_found_without_help_of_the_server(
    dovecot: Dovecot, certificates: Certificates, face: str
) -> None:
    """In listings, also of a page that is listed again; in full; and by search, which finds nobody else's messages."""
    async with _filled(dovecot, certificates, face) as session:
        for _ in range(2):
            listed = (await session.messages("INBOX", PageRequest())).messages
            assert {entry.subject for entry in listed if entry.thread_id == ROOT} == THREAD
        assert len({entry.thread_id for entry in listed}) == 5
        assert next(entry.thread_id for entry in listed if entry.subject == "alone") is None
        for entry in listed:
            assert (await session.message(entry.id)).thread_id == entry.thread_id
        found = await session.search("INBOX", SearchQuery(thread_id=ROOT), PageRequest(size=3))
        assert (found.total, len(found.messages)) == (len(THREAD), 3)
        rest = await session.search("INBOX", SearchQuery(thread_id=ROOT), PageRequest(size=3, cursor=found.next_cursor))
        assert {entry.subject for entry in (*found.messages, *rest.messages)} == THREAD
        both = SearchQuery(thread_id=ROOT, subject="folded")
        assert [one.subject for one in (await session.search("INBOX", both, PageRequest())).messages] == ["folded"]


def _capable(*names: bytes) -> bytes:
    return b"* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR %b\r\n" % b" ".join(names) + DONE


def _row(extra: bytes, references: bytes) -> bytes:
    envelope = b'(NIL NIL NIL NIL NIL NIL NIL NIL NIL "<own@x>")'
    section = b" BODY[HEADER.FIELDS (REFERENCES)]<0> {%d}\r\n%b" % (len(references), references)
    return b"* 1 FETCH (UID 5 FLAGS () RFC822.SIZE 9 ENVELOPE %b%b%b)\r\n" % (envelope, extra, section) + DONE


@pytest.mark.parametrize(
    ("extra", "thread"),
    [(b" THREADID (T1)", "T1"), (b" THREADID NIL", ROOT), (b"", ROOT)],
    ids=["threads", "no threads", "silence"],
)
async def test_the_thread_of_the_server_goes_first(scripted: Start, extra: bytes, thread: str) -> None:
    """RFC 8474 section 5.2: a server that has ids of messages only tells NIL."""
    row = _row(extra, b"References: <root@x>\r\n\r\n")
    server = await scripted({b"CAPABILITY": _capable(b"OBJECTID"), b"FETCH": row})
    async with ImapProvider().open(*server.account()) as session:
        (entry,) = (await session.messages("INBOX", PageRequest())).messages
    assert entry.thread_id == thread


async def test_nothing_is_asked_for_beside_the_listing(scripted: Start) -> None:
    """One round trip, and no more of a References field than its beginning."""
    server = await scripted({b"FETCH": _row(b"", b"References: <root@x>\r\n\r\n")})
    async with ImapProvider().open(*server.account()) as session:
        await session.messages("INBOX", PageRequest())
    (fetch,) = [line for line in server.commands if b"FETCH" in line]
    assert fetch.endswith(b" X-MAIL-AUTOREPLY)]<0.4096>)")


@pytest.mark.parametrize(
    ("thread", "error", "code"),
    [
        (thread_id_of(f"<{'a' * 300}@x>", None, None), UnsupportedOperationError, "UnsupportedSearchTerm"),
        ("r.", InvalidRequestError, None),
        ("r.\x00", InvalidRequestError, None),
        ("T1", UnsupportedOperationError, "MissingServerExtension"),
    ],
)
async def test_thread_that_cannot_be_found_is_refused_and_not_ignored(
    scripted: Start, thread: str, error: type[Exception], code: str | None
) -> None:
    """A deletion of what was found may follow."""
    server = await scripted()
    async with ImapProvider().open(*server.account()) as session:
        with pytest.raises(error) as caught:
            await session.search("INBOX", SearchQuery(thread_id=thread), PageRequest())
    assert code is None or getattr(caught.value, "error_code", None) == code
    assert not [line for line in server.commands if line.startswith(b"UID SEARCH")]

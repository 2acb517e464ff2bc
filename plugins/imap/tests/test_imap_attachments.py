"""Attachments: octet by octet what was sent, whoever decodes them, and as much as there is where they are damaged."""

from __future__ import annotations

import base64
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.mime.decode import decode_transfer
from gateway.model.server import Server
from gateway.provider import Account, Login, PageRequest, Session
from gateway.testing.context import AccountUnderTest, session_context
from gateway_imap import ImapAccountSettings, ImapProvider
from gateway_imap.attachments import DECODED_CHUNK
from gateway_imap.ids import decode_message_id
from gateway_imap.reading import CHUNK
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("dovecot")]
Start = Callable[..., Awaitable[Any]]
DONE = b"TAG OK done\r\n"
HANG_UP = b"<hang up>"
BINARY = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR UNSELECT BINARY\r\n" + DONE


def _lines(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


def _random(size: int) -> bytes:
    return random.Random(size).randbytes(size)


FORWARDED = b"Subject: inside\r\nContent-Transfer-Encoding: base64\r\n\r\n" + _lines(b"Hello inside")
#: Content type, transfer encoding and what is sent, by a name.
PARTS: dict[str, tuple[str, str, bytes]] = {
    "small": ("image/png", "base64", _lines(_random(1000))),
    "empty": ("image/png", "base64", b""),
    "chunk less one": ("image/png", "base64", _lines(_random(DECODED_CHUNK - 1))),
    "chunk": ("image/png", "base64", _lines(_random(DECODED_CHUNK))),
    "chunk and one": ("image/png", "base64", _lines(_random(DECODED_CHUNK + 1))),
    "three chunks": ("image/png", "base64", _lines(_random(3 * DECODED_CHUNK))),
    "one line": ("image/png", "BASE64", base64.b64encode(_random(2000))),
    "foreign octets": ("image/png", "base64", _lines(_random(500)) + b"!-?*\r\n" + _lines(_random(300))),
    "joined": ("image/png", "base64", _lines(_random(500)) + _lines(_random(301))),
    "cut off": ("image/png", "base64", _lines(_random(500))[:-5] + b"\r\n"),
    "damaged late": ("image/png", "base64", _lines(_random(2 * DECODED_CHUNK)) + b"!-?*\r\n" + _lines(_random(300))),
    "no base64": ("image/png", "base64", b"This is no base64 at all; somebody made a mistake.\r\n" * 40),
    "quoted-printable": ("text/csv", "quoted-printable", b"a=3Db=\r\n;c\r\n" * 10),
    "seven bit": ("text/csv", "7bit", b"a;b\r\n" * 10),
    "odd": ("image/png", "x-uuencode", b"begin 644 a\r\n"),
    "message": ("message/rfc822", "7bit", FORWARDED),
    "encoded message": ("message/rfc822", "base64", _lines(FORWARDED)),
    "encoded message in UTF-8": ("message/global", "base64", _lines(FORWARDED)),
}


def _letter(subject: str, content_type: str, encoding: str, content: bytes) -> bytes:
    head = f"Subject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=limit\r\n\r\n"
    text = "--limit\r\nContent-Type: text/plain\r\n\r\nHello.\r\n"
    part = (
        f"--limit\r\nContent-Type: {content_type}\r\nContent-Disposition: attachment; filename=a\r\n"
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return (head + text + part).encode() + content + b"\r\n--limit--\r\n"


async def _read(session: Session, id: str) -> bytes:
    return b"".join([chunk async for chunk in (await session.attachment(id)).chunks])


def _account(dovecot: Dovecot, certificates: Certificates, face: str) -> AccountUnderTest:
    """One face of the server decodes (RFC 3516), the other, "exchange", does not."""
    user, (host, port) = dovecot.new_user(), getattr(dovecot, face)
    imap = Server(host=host, port=port, ca_file=certificates.authority)
    account = Account(id=user, user=user, email=user, settings=ImapAccountSettings(imap=imap))
    return AccountUnderTest(account, session_context(Login(user=user, password=GUEST_PASSWORD)))


@pytest.mark.parametrize("face", ["full", "exchange"])
async def test_attachments_arrive_as_they_were_sent(dovecot: Dovecot, certificates: Certificates, face: str) -> None:
    async with ImapProvider().open(*_account(dovecot, certificates, face)) as session:
        for name, (content_type, encoding, content) in PARTS.items():
            await session.append("INBOX", _letter(name, content_type, encoding, content))
        listed = (await session.messages("INBOX", PageRequest(size=50))).messages
        found = {entry.subject or "": await _read(session, entry.attachments[0].id) for entry in listed}
    assert found.keys() == PARTS.keys()
    for name, (_, encoding, content) in PARTS.items():
        assert found[name] == decode_transfer(content, encoding), name


async def test_size_that_the_server_tells_is_the_true_one(dovecot: Dovecot, certificates: Certificates) -> None:
    """Parts of a download can be asked for then; of what is damaged the size is not told, or is ours too."""
    async with ImapProvider().open(*_account(dovecot, certificates, "full")) as session:
        for name, (content_type, encoding, content) in PARTS.items():
            await session.append("INBOX", _letter(name, content_type, encoding, content))
        listed = (await session.messages("INBOX", PageRequest(size=50))).messages
        sizes = {each.subject or "": (await session.attachment(each.attachments[0].id)).size for each in listed}
    octets = {name: len(decode_transfer(content, encoding)) for name, (_, encoding, content) in PARTS.items()}
    assert [name for name, size in sizes.items() if size not in (None, octets[name])] == []
    assert {name for name, size in sizes.items() if size} >= {"small", "chunk", "three chunks", "one line"}
    assert sizes["damaged late"] is sizes["encoded message"] is None


@pytest.mark.parametrize("size", [1000, DECODED_CHUNK, 2 * DECODED_CHUNK + 7])
async def test_octets_from_one_on_are_fetched_without_those_before(
    dovecot: Dovecot, certificates: Certificates, size: int
) -> None:
    async with ImapProvider().open(*_account(dovecot, certificates, "full")) as session:
        await session.append("INBOX", _letter("parts", "image/png", "base64", _lines(_random(size))))
        (attachment,) = (await session.messages("INBOX", PageRequest())).messages[0].attachments
        for offset in sorted({0, 1, size // 2, size - 1, min(size, DECODED_CHUNK), size}):
            stream = await session.attachment(attachment.id)
            chunks = [chunk async for chunk in stream.chunks_from(offset)]
            assert b"".join(chunks) == _random(size)[offset:]
            assert len(chunks) <= 1 + size // DECODED_CHUNK - offset // DECODED_CHUNK


async def test_size_of_what_is_too_large_to_be_decoded_by_the_server_is_told(
    dovecot: Dovecot, certificates: Certificates
) -> None:
    """It is decoded here, to as many octets."""
    content = _random(CHUNK) * 13
    async with ImapProvider().open(*_account(dovecot, certificates, "full")) as session:
        await session.append("INBOX", _letter("large", "image/png", "base64", _lines(content)))
        (attachment,) = (await session.messages("INBOX", PageRequest())).messages[0].attachments
        stream = await session.attachment(attachment.id)
        assert (stream.size, stream.chunks_from) == (len(content), None)
        assert b"".join([chunk async for chunk in stream.chunks]) == content


@pytest.mark.parametrize("face", ["full", "exchange"])
async def test_attachments_have_the_parameters_of_their_type(
    dovecot: Dovecot, certificates: Certificates, face: str
) -> None:
    """Without its charset a table is misread; the charset that Dovecot tells where there is none says nothing."""
    async with ImapProvider().open(*_account(dovecot, certificates, face)) as session:
        for written, told in (
            ("text/csv; charset=iso-8859-1; name=a.csv", "text/csv; charset=iso-8859-1"),
            ("text/csv; header=present", "text/csv; header=present"),
        ):
            await session.append("INBOX", _letter("table", written, "base64", _lines(b"a;\xe4")))
            (attachment,) = (await session.messages("INBOX", PageRequest(size=1))).messages[0].attachments
            assert (await session.attachment(attachment.id)).content_type == told


LISTED = b"* 1 FETCH (UID 5 FLAGS ())\r\n" + DONE


def _row(encoding: bytes, size: int, section: bytes, content: bytes) -> bytes:
    body = b'("image" "png" NIL NIL NIL "%b" %d NIL ("attachment" NIL) NIL NIL)' % (encoding, size)
    told = b"BODYSTRUCTURE %b BINARY.SIZE[1] 5 %b{%d}\r\n%b" % (body, section, len(content), content)
    return b"* 1 FETCH (UID 5 %b)\r\n" % told + DONE


@pytest.mark.parametrize(
    ("encoding", "size", "decoded"),
    [
        (b"base64", 8, b"TAG NO [UNKNOWN-CTE] cannot decode\r\n"),
        (b"base64", 8, b"TAG BAD what is that?\r\n"),
        (b"base64", 8, b"* BYE internal error\r\n" + HANG_UP),
        (b"base64", 8, _row(b"base64", 8, b"BINARY[1]<0> ~", b"hel")),
        (b"base64", 17 * CHUNK, _row(b"base64", 17 * CHUNK, b"BINARY[1]<0> ~", b"hello")),
        (b"7bit", 8, _row(b"7bit", 8, b"BINARY[1]<0> ~", b"something else")),
    ],
    ids=["refused", "not understood", "end of the connection", "less than there is", "large", "another encoding"],
)
async def test_what_the_server_does_not_decode_well_is_decoded_here(
    scripted: Start, encoding: bytes, size: int, decoded: bytes
) -> None:
    """Dovecot begins anew with all of a part for each chunk, so that large ones are decoded here, too."""
    answers = [decoded, _row(encoding, size, b"BODY[1]<0> ", b"aGVsbG8=" if encoding == b"base64" else b"hello")]
    server = await scripted({b"CAPABILITY": BINARY, b"FETCH": LISTED, b"UID FETCH": lambda _: answers.pop(0)})
    async with ImapProvider().open(*server.account()) as session:
        (entry,) = (await session.messages("INBOX", PageRequest())).messages
        id = decode_message_id(entry.id).encode_attachment("1")
        assert await _read(session, id) == b"hello"
    fetches = [line for line in server.commands if line.startswith(b"UID FETCH")]
    assert [b" BINARY.PEEK[1]<0." in line for line in fetches] == [True, False]


async def test_what_the_server_decodes_takes_one_round_trip(scripted: Start) -> None:
    decoded = _row(b"base64", 8, b"BINARY[1]<0> ~", b"hello")
    server = await scripted({b"CAPABILITY": BINARY, b"FETCH": LISTED, b"UID FETCH": decoded})
    async with ImapProvider().open(*server.account()) as session:
        (entry,) = (await session.messages("INBOX", PageRequest())).messages
        assert await _read(session, decode_message_id(entry.id).encode_attachment("1")) == b"hello"
    assert len([line for line in server.commands if line.startswith(b"UID FETCH")]) == 1


@pytest.mark.parametrize(("subject", "name"), [("inside", "inside.eml"), ("", "message.eml")])
async def test_a_nameless_attached_message_is_named_by_its_subject(
    dovecot: Dovecot, certificates: Certificates, subject: str, name: str
) -> None:
    user, (host, port) = dovecot.new_user(), dovecot.full
    imap = Server(host=host, port=port, ca_file=certificates.authority)
    account = Account(id=user, user=user, email=user, settings=ImapAccountSettings(imap=imap))
    letter = _letter("outer", "message/rfc822", "7bit", f"Subject: {subject}\r\n\r\nHello.".encode())
    under_test = AccountUnderTest(account, session_context(Login(user=user, password=GUEST_PASSWORD)))
    async with ImapProvider().open(*under_test) as session:
        await session.append("INBOX", letter.replace(b"; filename=a", b""))
        (entry,) = (await session.messages("INBOX", PageRequest())).messages
        assert (await session.attachment(entry.attachments[0].id)).file_name == name

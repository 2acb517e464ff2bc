"""The sample mail: what a client reads over IMAP is what was put in."""

from __future__ import annotations

import base64
import email
import quopri
from collections.abc import Callable
from datetime import UTC, datetime
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from pathlib import Path

import imapclient
import pytest

from gateway_sandbox import directory
from gateway_sandbox.database import connect
from gateway_sandbox.mailstore import MailStore
from gateway_sandbox.sample_letters import letters
from gateway_sandbox.samples import populate, render
from gateway_sandbox.testing import ALICE, BOB, CAROL

Login = Callable[..., imapclient.IMAPClient]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FOLDERS = ("INBOX", "Sent Items", "Archive", "Junk Email", "Deleted Items")


def read_all(client: imapclient.IMAPClient) -> dict[str, list[EmailMessage]]:
    found: dict[str, list[EmailMessage]] = {}
    for folder in FOLDERS:
        client.select_folder(folder, readonly=True)
        uids = client.search("ALL")
        fetched = client.fetch(uids, ["BODY.PEEK[]"]) if uids else {}
        found[folder] = [email.message_from_bytes(fetched[uid][b"BODY[]"], policy=policy.default) for uid in uids]
    return found


@pytest.mark.parametrize("person", [ALICE, BOB, CAROL])
def test_each_main_mailbox_has_about_25_varied_messages(imap: Login, person: str) -> None:
    """A newcomer should see something worth looking at; tests want every kind of message."""
    folders = read_all(imap(person))
    messages = [message for messages in folders.values() for message in messages]
    assert 23 <= len(messages) <= 35
    assert all(folders[folder] for folder in FOLDERS)
    assert any(message["List-Unsubscribe"] for message in messages)
    assert any(message["References"] for message in messages)
    assert any(part.get_content_type() == "message/rfc822" for message in messages for part in message.walk())
    charsets = {part.get_content_charset() for message in messages for part in message.walk()}
    assert {"utf-8", "iso-2022-jp", "gb2312", "iso-8859-1"} <= charsets
    sizes = [len(part.get_content()) for m in messages for part in m.walk() if part.get_content_type() == "image/png"]
    assert 190_000 < max(sizes) < 230_000


def test_flags_vary(imap: Login) -> None:
    """Read, unread, flagged and answered mail."""
    client = imap()
    exists = client.select_folder("INBOX", readonly=True)[b"EXISTS"]
    for key in "UNSEEN", "FLAGGED", "ANSWERED":
        assert 0 < len(client.search(key)) < exists


def test_same_moment_gives_the_same_octets() -> None:
    """Golden files and bug reports need mail that does not change."""
    first, second = ([*rendered_all()] for _ in range(2))
    assert first == second


def rendered_all() -> list[bytes]:
    written = {letter.key: letter for letter in letters()}
    rendered: dict[str, bytes] = {}
    for letter in written.values():
        rendered[letter.key] = render(letter, written, rendered, NOW)
    return list(rendered.values())


def test_every_message_is_well_formed() -> None:
    """No parser defects, subjects and texts as written, lines that may be sent."""
    for letter, octets in zip(letters(), rendered_all(), strict=True):
        message = email.message_from_bytes(octets, policy=policy.default)
        assert not [part.defects for part in message.walk() if part.defects]
        assert message["Subject"] == letter.subject
        body = message.get_body(("plain",))
        assert body is not None
        assert body.get_content().replace("\r\n", "\n") == letter.text
        assert max(len(line) for line in octets.split(b"\r\n")) <= 998
        assert b"\n" not in octets.replace(b"\r\n", b"")


def test_old_character_sets_are_used_in_headers() -> None:
    """The point of these samples: encoded words that are not UTF-8."""
    everything = b"".join(rendered_all()).lower()
    for charset in b"=?iso-2022-jp?", b"=?gb2312?", b"=?iso-8859-1?", b"=?utf-8?":
        assert charset in everything


def test_envelope_and_structure_agree_with_the_message(imap: Login) -> None:
    """The gateway builds its listings from ENVELOPE and BODYSTRUCTURE: they must be what real servers send."""
    client = imap()
    client.select_folder("INBOX", readonly=True)
    fetched = client.fetch(client.search("ALL"), ["ENVELOPE", "BODYSTRUCTURE", "BODY.PEEK[]", "RFC822.SIZE"])
    for uid, found in fetched.items():
        message = email.message_from_bytes(found[b"BODY[]"], policy=policy.default)
        envelope = found[b"ENVELOPE"]
        assert str(make_header(decode_header(envelope.subject.decode()))) == message["Subject"]
        assert envelope.date.replace(tzinfo=None) is not None
        assert envelope.message_id.decode() == message["Message-ID"]
        sender = envelope.from_[0]
        assert f"{sender.mailbox.decode()}@{sender.host.decode()}" == message["From"].addresses[0].addr_spec
        assert found[b"RFC822.SIZE"] == len(found[b"BODY[]"])
        check_structure(client, uid, "", found[b"BODYSTRUCTURE"], message)


def check_structure(
    client: imapclient.IMAPClient,
    uid: int,
    section: str,
    structure: imapclient.response_types.BodyData,
    message: EmailMessage,
) -> None:
    if structure.is_multipart:
        parts = list(message.iter_parts())
        assert len(structure[0]) == len(parts)
        for number, (child, part) in enumerate(zip(structure[0], parts, strict=True), 1):
            assert isinstance(part, EmailMessage)
            check_structure(client, uid, f"{section}.{number}".lstrip("."), child, part)
        return
    assert f"{structure[0].decode()}/{structure[1].decode()}" == message.get_content_type()
    section = section or "1"
    octets = client.fetch([uid], [f"BODY.PEEK[{section}]"])[uid][f"BODY[{section}]".encode()]
    assert structure[6] == len(octets)
    assert structure[5].decode().lower() == (message["Content-Transfer-Encoding"] or "7bit").lower()
    if message.get_content_disposition() == "attachment" and message.get_content_type() != "message/rfc822":
        disposition = next(item for item in structure if isinstance(item, tuple) and item[0] == b"attachment")
        assert disposition[1] == (b"filename", (message.get_filename() or "").encode())
        assert base64.b64decode(octets) == message.get_content()


def test_parts_can_be_fetched_alone(imap: Login) -> None:
    """Attachments are streamed part by part."""
    client = imap()
    client.select_folder("INBOX", readonly=True)
    (uid,) = client.search(["SUBJECT", "Aurora photos", "FROM", BOB, "LARGER", "200000"])
    found = client.fetch([uid], ["BODY.PEEK[1]", "BODY.PEEK[2]", "BODY.PEEK[]", "BODY.PEEK[2]<0.16>"])[uid]
    whole: EmailMessage = email.message_from_bytes(found[b"BODY[]"], policy=policy.default)
    text, picture = whole.iter_parts()
    decoded = quopri.decodestring(found[b"BODY[1]"]).decode()
    assert decoded.replace("\r\n", "\n") == text.get_content().replace("\r\n", "\n")
    assert base64.b64decode(found[b"BODY[2]"]) == picture.get_content()
    assert found[b"BODY[2]<0>"] == found[b"BODY[2]"][:16]


def test_mailboxes_that_exist_are_left_alone(tmp_path: Path) -> None:
    """A second start must not bring deleted samples back."""
    database = connect(tmp_path / "mail.sqlite3")
    store = MailStore(database, lambda: NOW)
    populate(store, NOW)
    inbox = store.mailbox(ALICE, "INBOX")
    store.expunge(inbox.id, [message.uid for message in store.messages(inbox.id)])
    populate(store, NOW)
    assert store.messages(inbox.id) == []
    assert len(store.mailboxes(directory.DAVE.address)) == 6
    database.close()

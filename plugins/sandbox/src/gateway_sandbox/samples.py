"""Fills new mailboxes: the folders a mailbox has from the start, and mail that looks real."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime

from gateway_sandbox import directory
from gateway_sandbox.directory import Person
from gateway_sandbox.mailstore import INBOX, MailStore
from gateway_sandbox.sample_files import File
from gateway_sandbox.sample_letters import Letter, letters

#: As Exchange Online lists them: the ones that hold no mail are listed too.
EXCHANGE_FOLDERS = (
    *(INBOX, "Archive", "Calendar", "Contacts", "Conversation History", "Deleted Items", "Drafts", "Journal"),
    *("Junk Email", "Notes", "Outbox", "Sent Items", "Tasks"),
)
PLAIN_FOLDERS = (INBOX, "Archive", "Drafts", "Junk", "Sent", "Trash")
#: Read by now, unless younger.
_UNREAD_HOURS = 60.0


def populate(store: MailStore, now: datetime) -> None:
    """Give everybody who has no mailbox yet their folders and sample mail."""
    new = [person for person in directory.PEOPLE if not store.mailboxes(person.address)]
    for person in new:
        for name in EXCHANGE_FOLDERS if person.exchange else PLAIN_FOLDERS:
            store.create_mailbox(person.address, name)
    if not new:
        return
    written = {letter.key: letter for letter in letters()}
    answered = {(letter.answers, letter.sender[1]) for letter in written.values()}
    rendered: dict[str, bytes] = {}
    for letter in written.values():
        rendered[letter.key] = render(letter, written, rendered, now)
        _file(store, new, letter, rendered[letter.key], now - timedelta(hours=letter.hours), answered)


def render(letter: Letter, written: Mapping[str, Letter], rendered: Mapping[str, bytes], now: datetime) -> bytes:
    """Return a letter as a message (RFC 5322); the same for the same `now`."""
    message = EmailMessage(policy=policy.SMTP)
    message["Date"] = format_datetime(now - timedelta(hours=letter.hours))
    message["Message-ID"] = _message_id(letter.key)
    if letter.answers is not None:
        message["In-Reply-To"] = _message_id(letter.answers)
        message["References"] = " ".join(_message_id(key) for key in _ancestors(letter, written))
    if letter.unsubscribe is not None:
        message["List-Unsubscribe"] = f"<{letter.unsubscribe}>, <mailto:leave@northwind.example?subject=unsubscribe>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message["List-ID"] = "Northwind Weekly <weekly.northwind.example>"
        message["Precedence"] = "bulk"
    message["To"] = ", ".join(_mailbox(address) for address in letter.to)
    if letter.cc:
        message["Cc"] = ", ".join(_mailbox(address) for address in letter.cc)
    message.set_content(letter.text, charset=letter.charset)
    _add_html(message, letter)
    _attach(message, [file for file in letter.files if file.content_id is None])
    if letter.forwards is not None:
        message.add_attachment(message_from_bytes(rendered[letter.forwards], policy=policy.SMTP))
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        if part.get_content_maintype() == "multipart":
            part.set_boundary(f"_{number:03d}_{letter.key}_")
    return _originator_fields(letter) + message.as_bytes()


def _file(
    store: MailStore,
    new: list[Person],
    letter: Letter,
    content: bytes,
    when: datetime,
    answered: set[tuple[str | None, str]],
) -> None:
    """Put a letter into the mailboxes of those who wrote and got it; `answered` says who replied to what."""
    for person in new:
        if person.address == letter.sender[1]:
            sent = store.mailbox(person.address, "Sent Items" if person.exchange else "Sent")
            store.append(sent.id, content, received=when, flags={r"\Seen"})
        elif person.address in (*letter.to, *letter.cc):
            replied = (letter.key, person.address) in answered
            folder = store.mailbox(person.address, letter.folder)
            store.append(folder.id, content, received=when, flags=_flags(letter, person.address, replied))


def _flags(letter: Letter, address: str, replied: bool) -> set[str]:
    flags = set()
    if replied:
        flags.add(r"\Answered")
    if replied or letter.hours > _UNREAD_HOURS:
        flags.add(r"\Seen")
    if letter.flagged and address == letter.to[0]:
        flags.add(r"\Flagged")
    return flags


def _originator_fields(letter: Letter) -> bytes:
    """Return From and Subject, encoded in the letter's own character set (the email package would use UTF-8)."""
    name, address = letter.sender
    originator, subject = _encoded(name, letter.charset), _encoded(letter.subject, letter.charset)
    return f"From: {originator} <{address}>\r\nSubject: {subject}\r\n".encode("ascii")


def _encoded(text: str, charset: str) -> str:
    """Return encoded words (RFC 2047), each short enough for its line."""
    if text.isascii():
        return text
    pieces = [text[start : start + 12] for start in range(0, len(text), 12)]
    words = (f"=?{charset}?B?{b64encode(piece.encode(charset)).decode()}?=" for piece in pieces)
    return "\r\n ".join(words)


def _add_html(message: EmailMessage, letter: Letter) -> None:
    if letter.html is None:
        return
    message.add_alternative(letter.html, subtype="html", charset=letter.charset)
    page = list(message.iter_parts())[-1]
    for file in letter.files:
        if file.content_id is not None and isinstance(page, EmailMessage):
            main, _, sub = file.media_type.partition("/")
            page.add_related(file.octets, maintype=main, subtype=sub, cid=f"<{file.content_id}>", filename=file.name)


def _attach(message: EmailMessage, files: Iterable[File]) -> None:
    for file in files:
        main, _, sub = file.media_type.partition("/")
        message.add_attachment(file.octets, maintype=main, subtype=sub, filename=file.name)


def _ancestors(letter: Letter, written: Mapping[str, Letter]) -> list[str]:
    chain: list[str] = []
    while letter.answers is not None:
        chain.insert(0, letter.answers)
        letter = written[letter.answers]
    return chain


def _message_id(key: str) -> str:
    return f"<{key}@mail.sandbox.example>"


def _mailbox(address: str) -> str:
    person = directory.find(address)
    return address if person is None or not person.name.isascii() else f"{person.name} <{address}>"

"""What is Maildir's own: directories, file names, other programs at work in them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from gateway.errors import MailboxUnavailableError, PermanentError
from gateway.model.message import FlagUpdate
from gateway.plugins import load_plugins
from gateway.provider import Account, Environment, PageRequest, Session
from gateway.testing.context import session_context
from gateway_maildir import MaildirProvider, MaildirSettings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "served" / "zoe"
    for name in ("", ".Work", ".Work.2024", ".Outgoing"):
        for part in ("cur", "new", "tmp"):
            (root / name / part).mkdir(parents=True)
    return root


@asynccontextmanager
async def opened(root: Path, path: str = "zoe", **fields: object) -> AsyncIterator[Session]:
    account = Account(id="a", user="zoe", email="zoe@example.org", settings=MaildirSettings(path=path))
    account = msgspec.structs.replace(account, **fields)
    async with MaildirProvider(root.parent).open(account, session_context(None)) as session:
        yield session


@pytest.mark.parametrize("path", ["../other", "/etc", "zoe/../../other"])
async def test_account_cannot_leave_the_served_directory(root: Path, path: str) -> None:
    """Whoever may add accounts may not read the disk."""
    with pytest.raises(MailboxUnavailableError):
        async with opened(root, path):
            pass


async def test_directory_that_is_no_maildir_is_not_available(root: Path) -> None:
    """Found when the account is added."""
    async with opened(root, "nobody") as session:
        with pytest.raises(MailboxUnavailableError):
            await session.check()


async def test_message_is_found_after_another_program_changed_it(root: Path) -> None:
    """A mail reader moves files from new to cur and changes their letters; the unique name stays."""
    (root / "new" / "1.a").write_bytes(b"Subject: x\r\n\r\n")
    async with opened(root) as session:
        (entry,) = (await session.messages("INBOX", PageRequest())).messages
        (root / "new" / "1.a").rename(root / "cur" / "1.a:2,FS")
        detail = await session.message(entry.id)
        assert (detail.flags, detail.unseen) == (("\\Flagged", "\\Seen"), False)


@pytest.mark.parametrize("name", ["no-digits", "1" * 200, "1.a:2,", "1.a:3,x", "sp ace", "ünï"])
async def test_any_file_name_is_served(root: Path, name: str) -> None:
    """Delivery agents invent their own."""
    (root / "cur" / name).write_bytes(b"Subject: x\r\n\r\n")
    async with opened(root) as session:
        (entry,) = (await session.messages("INBOX", PageRequest())).messages
        assert (await session.message(entry.id)).subject == "x"
        assert await session.update_flags(entry.id, FlagUpdate(add="\\Seen")) == ("\\Seen",)


@pytest.mark.parametrize("mailbox", ["x" * 249, "ä" * 124])
@pytest.mark.parametrize("name", ["1." + "y" * 240, "1." + "ü" * 120])
async def test_ids_stay_short_when_names_are_long(root: Path, mailbox: str, name: str) -> None:
    """The API takes ids of at most 256 characters; names of files have up to 255 octets."""
    async with opened(root) as session:
        await session.create_mailbox(mailbox)
        (root / f".{mailbox}" / "new" / name).write_bytes(b"Subject: x\r\n\r\n")
        (root / f".{mailbox}" / "new" / f"{name}z").write_bytes(b"Subject: z\r\n\r\n")
        found = (await session.messages(mailbox, PageRequest())).messages
        assert all(len(entry.id) <= 256 for entry in found)
        for entry in found:
            assert ((await session.message(entry.id)).subject, entry.path) == (entry.subject, mailbox)
        assert sorted(entry.subject for entry in await session.entries(mailbox, [e.id for e in found])) == ["x", "z"]


async def test_file_name_that_is_not_text_is_served(root: Path) -> None:
    """File names are octets."""
    Path(os.fsdecode(os.fsencode(root / "cur") + b"/1.\xff:2,")).write_bytes(b"Subject: x\r\n\r\n")
    async with opened(root) as session:
        (entry,) = (await session.messages("INBOX", PageRequest())).messages
        assert (await session.message(entry.id)).subject == "x"


async def test_keyword_has_no_place_and_the_answer_says_so(root: Path) -> None:
    """Maildir knows five flags; what is answered is what was kept."""
    (root / "new" / "1.a").write_bytes(b"Subject: x\r\n\r\n")
    async with opened(root) as session:
        (entry,) = (await session.messages("INBOX", PageRequest())).messages
        assert await session.update_flags(entry.id, FlagUpdate(add=("\\seen", "work"))) == ("\\Seen",)


async def test_renaming_takes_the_mailboxes_below_along(root: Path) -> None:
    """The tree stays a tree."""
    async with opened(root) as session:
        await session.rename_mailbox("Work", "Jobs")
        paths = {mailbox.path: mailbox.parent_path for mailbox in await session.mailboxes()}
        assert paths == {"INBOX": "", "Jobs": "", "Jobs.2024": "Jobs", "Outgoing": ""}


async def test_inbox_stays(root: Path) -> None:
    """It is the directory itself: deleting it would take every other mailbox along."""
    async with opened(root) as session:
        for call in (session.delete_mailbox("INBOX"), session.rename_mailbox("INBOX", "Old")):
            with pytest.raises(PermanentError):
                await call
        with pytest.raises(PermanentError):
            await session.rename_mailbox("Work", "Outgoing")
        assert len(await session.mailboxes()) == 4


@pytest.mark.parametrize("path", ["", ".", "..", "a/b", "a..b", "../x", "a\0", "a\n", "x" * 300, "\ud800"])
async def test_mailbox_is_not_created_elsewhere(root: Path, path: str) -> None:
    """A path is a name, never a way."""
    before = sorted(root.parent.rglob("*"))
    async with opened(root) as session:
        for call in (session.create_mailbox(path), session.rename_mailbox("Work", path)):
            with pytest.raises(PermanentError) as refused:
                await call
            assert refused.value.error_code == "InvalidMailboxName"
    assert sorted(root.parent.rglob("*")) == before


async def test_owner_fixes_a_special_use(root: Path) -> None:
    """People name their mailboxes in every language."""
    async with opened(root, special_use={"\\Sent": "Outgoing"}) as session:
        uses = {
            mailbox.path: (mailbox.special_use, mailbox.special_use_source) for mailbox in await session.mailboxes()
        }
        assert uses["Outgoing"] == ("\\Sent", "user")
        assert uses["Work"] == (None, None)


def test_plugin_is_installed_and_found() -> None:
    """Its entry point leads to it, like that of any other plugin."""
    plugins = load_plugins(Environment())
    info = next(info for info in plugins.installed if info.distribution == "email-gateway-maildir")
    assert (info.providers, info.error) == (("maildir",), None)
    assert plugins.for_settings("maildir") is plugins.providers["maildir"]


async def test_messages_have_threads_and_ids_that_stay_when_they_are_moved(root: Path) -> None:
    """A file has no such ids; they follow from what is in it."""
    (root / "new" / "1.a").write_bytes(b"Message-ID: <root@x>\r\n\r\n")
    (root / "new" / "2.b").write_bytes(b"Message-ID: <b@x>\r\nReferences: <root@x>\r\n <a@x>\r\n\r\n")
    async with opened(root) as session:
        second, first = (await session.messages("INBOX", PageRequest())).messages
        assert first.thread_id == second.thread_id == (await session.message(second.id)).thread_id
        assert first.email_id != second.email_id
        moved = await session.message(await session.move(second.id, "Work"))
    assert moved.id != second.id
    assert (moved.email_id, moved.thread_id) == (second.email_id, first.thread_id)

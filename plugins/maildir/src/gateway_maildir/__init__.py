"""Maildir++ directories as mail accounts: the smallest complete provider.

``settings.path`` is the inbox; the mailbox "A.B" below it is the directory ".A.B" (https://cr.yp.to/proto/maildir.html,
https://www.courier-mta.org/imap/README.maildirquota.html).
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

import msgspec

from gateway import errors, hookimpl, provider
from gateway.mime.parse import ParsedMessage, parse_message
from gateway.model import message as model
from gateway.provider import Capability
from gateway_maildir import files

P = ParamSpec("P")
T = TypeVar("T")

_SPECIAL_USE = ("Archive", "Drafts", "Junk", "Sent", "Trash")
_CHUNK = 1024 * 1024


def in_thread(
    method: Callable[Concatenate[MaildirSession, P], T],
) -> Callable[Concatenate[MaildirSession, P], Coroutine[Any, Any, T]]:
    """Run a whole operation in a thread, and translate the errors of the file system."""

    @functools.wraps(method)
    async def call(self: MaildirSession, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.to_thread(method, self, *args, **kwargs)
        except FileNotFoundError as error:
            raise errors.NotFoundError("the message has gone in the meantime") from error
        except OSError as error:
            raise errors.ServiceUnavailableError("the file system refused", native_code=str(error.errno)) from error

    return call


class MaildirSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Connection settings of one account.

    Attributes:
        path: its inbox, below the directory that the gateway serves.
        poll_interval: seconds between two looks for changes.
    """

    path: Annotated[str, msgspec.Meta(min_length=1)]
    poll_interval: Annotated[float, msgspec.Meta(ge=1)] = 10.0


class MaildirSession(provider.Session):
    """Reads the directory at every call and keeps nothing, so that other programs may use it too."""

    readers = 4

    def __init__(self, root: Path, account: provider.Account) -> None:
        self._root = root
        self._period = account.settings.poll_interval
        self._special_use = {path: use for use, path in account.special_use.items()}

    def _directory(self, mailbox: str, *, new: bool = False) -> Path:
        path = self._root if mailbox == "INBOX" else self._root / f".{mailbox}"
        if new and not files.is_mailbox_name(mailbox):
            raise errors.PermanentError("no mailbox can have this name", code="InvalidMailboxName")
        if not new and not (files.is_mailbox_name(mailbox) and (path / "cur").is_dir()):
            raise errors.MailboxNotFoundError("there is no such mailbox")
        return path

    def _paths(self) -> list[str]:
        names = (file.name[1:] for file in self._root.iterdir() if file.name[0] == "." and (file / "cur").is_dir())
        return ["INBOX", *sorted(name for name in names if files.is_mailbox_name(name))]

    def _files(self, mailbox: str) -> list[Path]:
        directory = self._directory(mailbox)
        return sorted((*(directory / "new").iterdir(), *(directory / "cur").iterdir()), key=files.place, reverse=True)

    def _find(self, id: str) -> tuple[str, Path]:
        name, key = files.decode(id, 2)
        mailbox = next((path for path in self._paths() if files.brief(path) == name), name)
        for file in self._files(mailbox):
            if files.brief(files.key(file)) == key:
                return mailbox, file
        raise errors.NotFoundError("there is no such message", code="MessageNotFound")

    def _described(self, mailbox: str, file: Path) -> tuple[ParsedMessage, dict[str, Any]]:
        return parse_message(file.read_bytes()), {
            "id": files.encode(mailbox, files.key(file)),
            "path": mailbox,
            "flags": files.flags_of(file),
            "received": datetime.fromtimestamp(file.stat().st_mtime, UTC),
            "attachment_id": lambda part: files.encode(mailbox, files.key(file), part),
        }

    @in_thread
    def check(self) -> None:
        """See that the directory is there."""
        if not (self._root / "cur").is_dir():
            raise errors.MailboxUnavailableError("the directory is not a Maildir")

    @in_thread
    def mailboxes(self, *, counters: bool = False) -> Sequence[model.Mailbox]:
        """Return the inbox and the dotted directories below it."""
        paths = self._paths()
        return [self._mailbox(path, paths, counters) for path in paths]

    def _mailbox(self, path: str, paths: Sequence[str], counters: bool) -> model.Mailbox:
        parent, _, name = path.rpartition(".")
        listed = self._files(path) if counters else []
        unseen = sum("\\Seen" not in files.flags_of(file) for file in listed)
        by_name = "\\Inbox" if path == "INBOX" else f"\\{path}" if path in _SPECIAL_USE else None
        use: Any = self._special_use.get(path, by_name)
        return model.Mailbox(
            path=path,
            name=name,
            delimiter=".",
            parent_path=parent if parent in paths else "",
            special_use=use,
            special_use_source="user" if path in self._special_use else "name" if use else None,
            status=model.MailboxStatus(messages=len(listed), unseen=unseen) if counters else None,
        )

    @in_thread
    def messages(self, mailbox: str, page: provider.PageRequest) -> provider.MessagePage:
        """Return one page, newest first by the time in the unique names."""
        found = self._files(mailbox)
        shown = provider.slice_page("maildir", page, [files.place(file) for file in found])
        return provider.MessagePage(
            total=len(found),
            page=shown.page,
            messages=tuple(self._entries(mailbox, found[shown.messages])),
            next_cursor=shown.next_cursor,
            previous_cursor=shown.previous_cursor,
        )

    def _entries(self, mailbox: str, listed: Iterable[Path]) -> Iterator[model.MessageEntry]:
        for file in listed:
            # Another program may rename or delete it at any time; the others are still good.
            with suppress(FileNotFoundError):
                message, described = self._described(mailbox, file)
                yield message.entry(**described)

    @in_thread
    def message(
        self,
        id: str,
        *,
        text_type: model.TextType | None = None,
        max_bytes: int | None = None,
        mark_as_seen: bool = False,
    ) -> model.MessageDetail:
        """Return one message."""
        mailbox, file = self._find(id)
        if mark_as_seen:
            file = self._flagged(mailbox, file, {"\\seen"} | files.low(files.flags_of(file)))
        message, described = self._described(mailbox, file)
        return message.detail(**described, text_type=text_type, max_bytes=max_bytes)

    @in_thread
    def text(self, id: str, *, text_type: model.TextType = "*", max_bytes: int | None = None) -> model.MessageText:
        """Return body text; the id is that of the message."""
        return parse_message(self._find(id)[1].read_bytes()).text(text_type, max_bytes, id=id)

    @in_thread
    def _octets(self, id: str, start: int) -> bytes:
        with self._find(id)[1].open("rb") as file:
            file.seek(start)
            return file.read(_CHUNK)

    async def source(self, id: str) -> AsyncIterator[bytes]:
        """Stream the file as it is."""
        start = 0
        while octets := await self._octets(id, start):
            yield octets
            start += len(octets)

    @in_thread
    def source_size(self, id: str) -> int | None:
        """Return the size of the file."""
        return self._find(id)[1].stat().st_size

    @in_thread
    def attachment(self, id: str) -> provider.AttachmentStream:
        """Open one part; the id is that of the message and the number of the part."""
        mailbox, key, part = files.decode(id, 3)
        return parse_message(self._find(files.encode(mailbox, key))[1].read_bytes()).open(part)

    def _flagged(self, mailbox: str, file: Path, low_flags: set[str]) -> Path:
        return file.rename(self._directory(mailbox) / "cur" / files.named(files.key(file), low_flags))

    @in_thread
    def update_flags(self, id: str, update: model.FlagUpdate) -> tuple[str, ...]:
        """Rename the file; keywords have no place in its name."""
        mailbox, file = self._find(id)
        flags = (files.low(files.flags_of(file)) | files.low(update.add)) - files.low(update.delete)
        return files.flags_of(self._flagged(mailbox, file, flags if update.set is None else files.low(update.set)))

    @in_thread
    def move(self, id: str, mailbox: str) -> str:
        """Rename the file into the other directory, under a new unique name."""
        _, file = self._find(id)
        return files.encode(
            mailbox, files.key(file.rename(self._directory(mailbox) / "cur" / files.new_name(files.flags_of(file))))
        )

    @in_thread
    def copy(self, id: str, mailbox: str) -> str:
        """Store the octets once more."""
        _, file = self._find(id)
        unfinished = self._unfinished(mailbox, files.flags_of(file))
        shutil.copyfile(file, unfinished)
        return files.encode(mailbox, files.key(self._filed(unfinished, file.stat().st_mtime)))

    @in_thread
    def delete(self, id: str) -> None:
        """Remove the file."""
        self._find(id)[1].unlink()

    async def append(
        self,
        mailbox: str,
        message: bytes | provider.MessageSource,
        *,
        flags: Sequence[str] = (),
        date: datetime | None = None,
    ) -> model.AppendResult:
        """Write the octets to a file, as they come."""
        unfinished = await self._begin(mailbox, flags)
        try:
            async for chunk in provider.MessageSource.of(message).chunks():
                await self._write(unfinished, chunk)
            file = await self._file(unfinished, date.timestamp() if date else None)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        return model.AppendResult(id=files.encode(mailbox, files.key(file)), path=mailbox)

    def _unfinished(self, mailbox: str, flags: Sequence[str]) -> Path:
        return self._directory(mailbox) / "tmp" / files.new_name(flags)

    @in_thread
    def _write(self, unfinished: Path, chunk: bytes) -> None:
        with unfinished.open("ab") as file:
            file.write(chunk)

    def _filed(self, unfinished: Path, mtime: float | None) -> Path:
        if mtime is not None:
            os.utime(unfinished, (mtime, mtime))
        return unfinished.rename(unfinished.parent.parent / "cur" / unfinished.name)

    _begin, _file = in_thread(_unfinished), in_thread(_filed)

    @in_thread
    def create_mailbox(self, path: str) -> bool:
        """Make the three directories of a Maildir."""
        directory = self._directory(path, new=True)
        if (directory / "cur").is_dir():
            return False
        for name in ("cur", "new", "tmp"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        return True

    @in_thread
    def rename_mailbox(self, path: str, new_path: str) -> None:
        """Rename the directory and those below it."""
        source, target = self._directory(path), self._directory(new_path, new=True)
        if self._root in (source, target) or target.exists():
            raise errors.PermanentError("the inbox cannot be renamed, nor another mailbox replaced")
        for directory in list(self._root.glob(".*")):
            if directory == source or directory.name.startswith(f"{source.name}."):
                directory.rename(self._root / f"{target.name}{directory.name.removeprefix(source.name)}")

    @in_thread
    def delete_mailbox(self, path: str) -> None:
        """Remove the directory."""
        if path == "INBOX":
            raise errors.PermanentError("the inbox cannot be deleted")
        shutil.rmtree(self._directory(path))

    @in_thread
    def changes(self, mailbox: str, since: str | None) -> provider.Changes:
        """Return the whole listing if it is another than it was: a directory has no history."""
        if since is not None and not re.fullmatch("[0-9a-f]{32}", since):
            raise errors.CursorExpiredError("not a state of this mailbox")
        found = self._files(mailbox)
        state = hashlib.md5(repr([file.name for file in found]).encode(), usedforsecurity=False).hexdigest()
        if state == since:
            return provider.Changes(state=state)
        return provider.Changes(
            state=state, changed=tuple(files.state(mailbox, file) for file in reversed(found)), complete=True
        )

    @in_thread
    def entries(self, mailbox: str, ids: Sequence[str]) -> Sequence[model.MessageEntry]:
        """Return those that are still there."""
        wanted = frozenset(ids)
        found = (file for file in self._files(mailbox) if files.encode(mailbox, files.key(file)) in wanted)
        return list(self._entries(mailbox, found))

    @in_thread
    def watch(self, mailbox: str) -> provider.Watch:
        """Look again after the period of the settings."""
        self._directory(mailbox)
        return provider.PollWatch(period=self._period)


class MaildirProvider(provider.Provider):
    """Serves the Maildirs below one directory."""

    name = "maildir"
    settings_key = "maildir"
    settings_type = MaildirSettings
    capabilities = frozenset(
        {
            *(Capability.FLAGS, Capability.MOVE, Capability.COPY, Capability.DELETE, Capability.APPEND),
            *(Capability.MAILBOXES, Capability.CHANGES, Capability.WATCH),
        }
    )

    def __init__(self, base: Path) -> None:
        self._base = base.resolve()

    @asynccontextmanager
    async def open(
        self, account: provider.Account, context: provider.SessionContext
    ) -> AsyncIterator[provider.Session]:
        """Open the directory of the account, if it lies below the one that is served."""
        root = (self._base / account.settings.path).resolve()
        if not root.is_relative_to(self._base):
            raise errors.MailboxUnavailableError("the directory is not one that this gateway serves")
        yield MaildirSession(root, account)


@hookimpl
def gateway_register_providers(
    register: Callable[[provider.Provider], None], environment: provider.Environment
) -> None:
    """Register the provider for the Maildirs in the data directory."""
    register(MaildirProvider((environment.data_dir or Path("data")) / "maildir"))

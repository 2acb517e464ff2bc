"""A worker that watches accounts on Dovecot, and a second client that changes them behind its back."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec

from gateway.model.account import AccountCreate, ImapConfig, PasswordAuth, TlsOptions
from gateway.queue import operations
from gateway.services.container import Services, build_services
from gateway.settings import Settings
from gateway_workers.process import run_worker
from gateway_workers.watching import Periods
from tests.integration.queue.rig import eventually
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot

KEY = bytes(range(32))


def letter(number: int | str, *, size: int = 0) -> bytes:
    """A message whose subject is its number."""
    message = EmailMessage()
    message["From"] = "Sender <sender@example.org>"
    message["To"] = "guest@contoso.test"
    message["Subject"] = str(number)
    message["Message-ID"] = f"<{number}@example.org>"
    message.set_content("Hello\n" + "x" * size)
    return message.as_bytes()


class SecondClient:
    """Another client of one mailbox, e.g. a telephone."""

    def __init__(self, address: tuple[str, int], certificates: Certificates, user: str) -> None:
        self._imap = imaplib.IMAP4_SSL(*address, ssl_context=certificates.client_context())
        self._imap.login(user, GUEST_PASSWORD)

    def close(self) -> None:
        """Log out."""
        with contextlib.suppress(imaplib.IMAP4.abort, OSError):
            self._imap.logout()

    def select(self, mailbox: str = "INBOX") -> None:
        """Open a mailbox."""
        self._do("select", mailbox)

    def uids(self) -> list[int]:
        """The UIDs in the open mailbox, ascending."""
        found = self._do("uid", "SEARCH", "ALL")
        return [int(uid) for uid in (found[0] or b"").split()]

    def flag(self, uids: str, flags: str, *, sign: str = "+") -> None:
        """Add, remove or set flags."""
        self._do("uid", "STORE", uids, f"{sign}FLAGS.SILENT", f"({flags})")

    def expunge(self, uids: str) -> None:
        """Delete for good."""
        self.flag(uids, "\\Deleted")
        self._do("expunge")

    def move(self, uids: str, mailbox: str) -> None:
        """Move to another mailbox."""
        self._do("uid", "MOVE", uids, mailbox)

    def append(self, raw: bytes, mailbox: str = "INBOX", flags: str = "") -> None:
        """Store a message; deliveries in quick succession may get their UIDs in another order, these do not."""
        self._do("append", mailbox, f"({flags})", None, raw)

    def create(self, mailbox: str) -> None:
        """Create a mailbox."""
        self._do("create", mailbox)

    def rename(self, mailbox: str, name: str) -> None:
        """Rename a mailbox."""
        self._do("rename", mailbox, name)

    def delete(self, mailbox: str) -> None:
        """Delete a mailbox."""
        self._do("delete", mailbox)

    def _do(self, name: str, *arguments: Any) -> list[Any]:
        answer, data = getattr(self._imap, name)(*arguments)
        assert answer == "OK", (name, answer)
        return list(data)


class Account:
    """One watched account.

    Attributes:
        id: its id.
        user: its mail address.
        phone: the second client.
    """

    def __init__(self, services: Services, id: str, user: str, phone: SecondClient) -> None:
        self.id = id
        self.user = user
        self.phone = phone
        self._services = services

    async def events(self, *names: str) -> list[dict[str, Any]]:
        """What is in its log, of all events or of some."""
        found, _ = await self._services.events.log(self.id, set(names), after="0", until="+", limit=100_000)
        return [msgspec.json.decode(event) for event in found]

    async def subjects(self) -> list[str]:
        """The subjects of the messages that were announced, in order."""
        return [event["data"]["subject"] for event in await self.events("messageNew")]

    async def told(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until that many events of a name are in the log, and return them."""

        async def enough() -> list[dict[str, Any]]:
            found = await self.events(name)
            return found if len(found) >= count else []

        found: list[dict[str, Any]] = await eventually(enough, f"{count} {name}", 20)
        return found

    async def state(self, state: str) -> None:
        """Wait for a state."""

        async def reached() -> bool:
            found = await self._services.account_store.state(self.id)
            return found is not None and found[0] == state

        await eventually(reached, f"{self.id} is {state}")

    async def indexed(self, path: str = "INBOX", size: int = 100) -> dict[str, Any] | None:
        """What the index answers; None when it does not."""
        found = await self._services.listings.page(self.id, path, page=0, size=size, cursor=None)
        return None if found is None else msgspec.json.decode(found)

    async def confirmed(self, path: str = "INBOX") -> dict[str, Any]:
        """Wait until the index answers, and return what."""
        found: dict[str, Any] = await eventually(lambda: self.indexed(path), f"{path} is answered from the index")
        return found

    async def settled(self, subjects: list[str], path: str = "INBOX") -> dict[str, Any]:
        """Wait until the index shows these messages, the newest first."""

        async def shown() -> dict[str, Any] | None:
            found = await self.indexed(path)
            if found is None or [message["subject"] for message in found["messages"]] != subjects:
                return None
            return found

        found: dict[str, Any] = await eventually(shown, f"{path} shows {subjects}", 20)
        return found

    async def asked(self, path: str = "INBOX", size: int = 100) -> dict[str, Any]:
        """What a worker answers."""
        arguments = operations.ListMessages(path=path, page_size=size)
        return dict(msgspec.json.decode(await self.call(operations.MESSAGES_LIST, arguments)))

    async def listed(self, path: str = "INBOX") -> dict[str, Any]:
        """What a client is answered."""
        return await self.indexed(path) or await self.asked(path)

    async def call(self, operation: operations.Operation, arguments: operations.Arguments) -> bytes:
        """Have an operation done by the worker."""
        return await self._services.jobs.call(operation, self.id, arguments, timeout=10)

    async def sync(self) -> None:
        """Have every mailbox looked at."""
        await self._services.dispatcher.sync(self.id)


class Watching:
    """Services, a worker, and accounts on one personality of Dovecot."""

    def __init__(self, services: Services, settings: Settings, dovecot: Dovecot, address: tuple[str, int]) -> None:
        self.services = services
        self.dovecot = dovecot
        self.address = address
        self._settings = settings
        self._phones: list[SecondClient] = []

    async def user(self) -> tuple[str, SecondClient]:
        """A mail account that nobody used before, and a second client of it."""
        user = self.dovecot.new_user()
        phone = await asyncio.to_thread(SecondClient, self.dovecot.full, self.dovecot.certificates, user)
        self._phones.append(phone)
        return user, phone

    async def account(self, *, wait: bool = True, **members: Any) -> Account:
        """Create an account of a new user and wait until it is watched."""
        user, phone = await self.user()
        return await self.create(user, phone, wait=wait, **members)

    async def create(
        self,
        user: str,
        phone: SecondClient,
        *,
        wait: bool = True,
        address: tuple[str, int] | None = None,
        **members: Any,
    ) -> Account:
        """Create the account of a user."""
        host, port = address or self.address
        await self.services.accounts.create(
            AccountCreate(
                account=user.partition("@")[0],
                name="Guest",
                email=user,
                imap=ImapConfig(
                    host=host,
                    port=port,
                    secure=True,
                    auth=PasswordAuth(user=user, pass_=GUEST_PASSWORD),
                    tls=TlsOptions(reject_unauthorized=False),
                ),
                **members,
            )
        )
        account = Account(self.services, user.partition("@")[0], user, phone)
        if wait:
            await account.state("connected")
        return account

    @asynccontextmanager
    async def worker(self, name: str = "worker", periods: Periods | None = None) -> AsyncIterator[None]:
        """Run a worker."""
        stop = asyncio.Event()
        task = asyncio.create_task(run_worker(self._settings, stop, name=name, periods=periods))
        try:
            yield
        finally:
            stop.set()
            await task

    async def close(self) -> None:
        """Close the second clients."""
        for phone in self._phones:
            await asyncio.to_thread(phone.close)


@asynccontextmanager
async def watching(
    redis_url: str, dovecot: Dovecot, address: tuple[str, int], data_dir: Path
) -> AsyncIterator[Watching]:
    """Open services without a worker."""
    settings = Settings(redis_url=redis_url, secret_keys=(KEY,), data_dir=data_dir)
    services = build_services(settings)
    await services.start(settings)
    world = Watching(services, settings, dovecot, address)
    try:
        yield world
    finally:
        await world.close()
        await services.aclose()

"""``gateway demo``: the whole flow against a running gateway, without a browser, each step with its time.

It uses the public API and the sandbox' sign-in page, as a client app and a person would.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urljoin

import httpx

from gateway.plugins import load_plugins
from gateway.provider import Environment

Report = Callable[[str], None]

#: Seconds that something which happens in the background may take.
PATIENCE = 30.0


class DemoFailedError(Exception):
    """A step did not do what it should."""


async def run_demo(url: str, token: str, report: Report, *, base_scope: str | None = None) -> int:
    """Run the demonstration and return the exit code: 0 only if every step happened.

    Args:
        url: where the gateway is.
        token: an API token without restrictions.
        report: told of each step.
        base_scope: of the OAuth2 app, in place of the one that the sandbox registers: "imap" or "api".
    """
    sandboxes = load_plugins(Environment()).sandboxes
    if not sandboxes:
        report("No sandbox plugin is installed; the demonstration needs its pretend mail service.")
        return 1
    async with httpx.AsyncClient(base_url=url, timeout=30, headers={"Authorization": f"Bearer {token}"}) as api:
        try:
            sandbox = next(iter(sandboxes.values()))
            app = {**sandbox.app, **({} if base_scope is None else {"baseScopes": base_scope})}
            await _Demo(api, app, sandbox.users, report).run()
        except DemoFailedError as error:
            report(f"  failed: {error}")
            return 1
        except httpx.HTTPError as error:
            report(f"  failed: no answer from {url} ({type(error).__name__})")
            return 1
    report("Everything happened.")
    return 0


class _Demo:
    def __init__(self, api: httpx.AsyncClient, app: Mapping[str, str], users: tuple[str, ...], report: Report) -> None:
        self._api = api
        self._app = app
        self._users = users
        self._report = report
        self._mark = secrets.token_hex(4)
        self._made: list[str] = []

    async def run(self) -> None:
        """Take every step, then remove the accounts and the app again."""
        alice_address, bob_address = self._users[:2]
        try:
            app = await self._step("create an OAuth2 app", self._create_app())
            alice = await self._sign_in(app, "alice", alice_address)
            mailboxes = await self._step("list mailboxes", self._list_mailboxes(alice))
            messages = await self._step("list messages", self._list_messages(alice))
            await self._step("read a message and its attachment", self._read(alice, messages))
            await self._step("flag a message", self._flag(alice, messages[0]))
            await self._step("move a message", self._move(alice, messages[-1], mailboxes))
            bob = await self._sign_in(app, "bob", bob_address)
            subject = f"Demonstration {self._mark}"
            await self._step("send from alice to bob", self._send(alice, bob_address, subject))
            await self._step("see it in bob's inbox", self._arrived(bob, subject))
        finally:
            await self._clean_up()

    async def _step(self, name: str, work: Any) -> Any:
        began = time.perf_counter()
        found = await work
        self._report(f"{name:<36} {(time.perf_counter() - began) * 1000:8.1f} ms")
        return found

    async def _sign_in(self, app: str, name: str, address: str) -> str:
        account = f"demo-{name}-{self._mark}"
        link = await self._step(f"form link for {name}", self._form_link(app, account, address))
        await self._step(f"sign in as {name}", self._visit(link, address))
        self._made.append(f"/v1/account/{account}")
        await self._step(f"{name} connected", self._connected(account))
        return account

    async def _create_app(self) -> str:
        payload = {
            "name": f"Demonstration {self._mark}",
            "enabled": True,
            "redirectUrl": str(self._api.base_url.join("/oauth")),
            **self._app,
        }
        created = await self._call("POST", "/v1/oauth2", payload)
        self._made.insert(0, f"/v1/oauth2/{created['id']}")
        return str(created["id"])

    async def _form_link(self, app: str, account: str, address: str) -> str:
        payload = {
            "account": account,
            "email": address,
            "type": app,
            "redirectUrl": str(self._api.base_url.join("/admin")),
        }
        return str((await self._call("POST", "/v1/authentication/form", payload))["url"])

    async def _visit(self, link: str, address: str) -> None:
        """Do what a person's browser does, from the form to the account."""
        # A browser of its own, with cookies and without our token.
        async with httpx.AsyncClient(timeout=30, follow_redirects=True) as browser:
            page = await browser.get(link)
            form = _Form.of(page.text)
            if page.status_code != 200 or form is None:
                raise DemoFailedError(f"the sign-in page did not appear (HTTP {page.status_code})")
            fields = {**form.fields, "user": address, "action": "accept"}
            back = await browser.post(urljoin(str(page.url), form.action), data=fields)
            if back.status_code != 200 or "/oauth" not in str(back.url):
                raise DemoFailedError(f"the sign-in did not come back to the gateway (HTTP {back.status_code})")

    async def _connected(self, account: str) -> None:
        async for _ in _patiently("the account to connect"):
            found = await self._call("GET", f"/v1/account/{quote(account)}")
            if found["state"] == "connected":
                return
            if found["state"] in ("authenticationError", "connectError"):
                raise DemoFailedError(f"the account is {found['state']}: {found.get('lastError')}")

    async def _list_mailboxes(self, account: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._call("GET", f"/v1/account/{account}/mailboxes"))["mailboxes"]
        if not any(mailbox.get("specialUse") == "\\Inbox" for mailbox in found):
            raise DemoFailedError("there is no inbox")
        return found

    async def _list_messages(self, account: str) -> list[dict[str, Any]]:
        page = await self._call("GET", f"/v1/account/{account}/messages?path=INBOX&pageSize=100")
        if not page["messages"]:
            raise DemoFailedError("the inbox is empty")
        found: list[dict[str, Any]] = page["messages"]
        return found

    async def _read(self, account: str, messages: list[dict[str, Any]]) -> None:
        entry = next((message for message in messages if message.get("attachments")), None)
        if entry is None:
            raise DemoFailedError("no message has an attachment")
        message = await self._call("GET", f"/v1/account/{account}/message/{entry['id']}?textType=*")
        if not message.get("text"):
            raise DemoFailedError("the message has no text")
        attachment = message["attachments"][0]
        answer = await self._api.get(f"/v1/account/{account}/attachment/{attachment['id']}")
        if answer.status_code != 200 or not answer.content:
            raise DemoFailedError(f"the attachment did not arrive (HTTP {answer.status_code})")

    async def _flag(self, account: str, entry: Mapping[str, Any]) -> None:
        path = f"/v1/account/{account}/message/{entry['id']}"
        await self._call("PUT", path, {"flags": {"add": ["\\Flagged"]}})
        if not (await self._call("GET", path)).get("flagged"):
            raise DemoFailedError("the message is not flagged")

    async def _move(self, account: str, entry: Mapping[str, Any], mailboxes: list[dict[str, Any]]) -> None:
        target = next((box["path"] for box in mailboxes if box.get("specialUse") == "\\Archive"), None)
        if target is None:
            raise DemoFailedError("there is no archive")
        path = f"/v1/account/{account}/message/{entry['id']}/move"
        moved = await self._call("PUT", path, {"path": target})
        found = await self._call("GET", f"/v1/account/{account}/message/{moved['id']}")
        if found.get("messageId") != entry.get("messageId"):
            raise DemoFailedError("another message arrived")
        # And back again: the next demonstration wants a full inbox too.
        await self._call("PUT", f"/v1/account/{account}/message/{moved['id']}/move", {"path": "INBOX"})

    async def _send(self, account: str, to: str, subject: str) -> None:
        payload = {"to": [{"address": to}], "subject": subject, "text": "Sent by `gateway demo`."}
        answer = await self._call("POST", f"/v1/account/{account}/submit", payload)
        if not answer.get("queueId"):
            raise DemoFailedError("the message was not queued")

    async def _arrived(self, account: str, subject: str) -> None:
        async for _ in _patiently("the message to arrive"):
            page = await self._call("GET", f"/v1/account/{account}/messages?path=INBOX&pageSize=20")
            if any(message.get("subject") == subject for message in page["messages"]):
                return

    async def _clean_up(self) -> None:
        for path in reversed(self._made):
            await self._api.delete(path)

    async def _call(self, method: str, path: str, payload: Mapping[str, Any] | None = None) -> Any:
        answer = await self._api.request(method, path, json=payload)
        if answer.status_code != 200:
            try:
                text = answer.json().get("message", "")
            except ValueError:
                text = ""
            raise DemoFailedError(f"{method} {path.partition('?')[0]} answered {answer.status_code} {text}")
        return answer.json()


async def _patiently(what: str) -> AsyncIterator[None]:
    """Yield until the caller leaves, or until patience ends."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        yield
        await asyncio.sleep(0.05)
    raise DemoFailedError(f"waited {PATIENCE:.0f} s for {what}")


class _Form(HTMLParser):
    """The first form of a page: where it goes, and its hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str = ""
        self.fields: dict[str, str] = {}
        self._seen = False

    @classmethod
    def of(cls, page: str) -> _Form | None:
        """Return the form of a page, None when there is none."""
        form = cls()
        form.feed(page)
        return form if form._seen else None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the form's address and its hidden fields."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and not self._seen:
            self._seen, self.action = True, values.get("action", "")
        elif tag == "input" and values.get("type") == "hidden" and "name" in values:
            self.fields[values["name"]] = values.get("value", "")

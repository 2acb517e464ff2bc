"""A lab of the sandbox plugin, in a process of its own and reached as its users reach it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx

from tests.rigs.ports import reserve_port
from tests.rigs.processes import ServerProcess, rig_directory
from tests.rigs.requirement import require

_RUNNER = Path(__file__).with_name("sandbox_process.py")


class SandboxLab:
    """See `tests.rigs.labs.Lab`."""

    def __init__(self, directory: Path, name: str, base_scopes: str) -> None:
        """Take over a sandbox that runs in `directory`; apps ask for `base_scopes`."""
        self.name = name
        self._base_scopes = base_scopes
        info = json.loads((directory / "info.json").read_text())
        self.users: tuple[str, ...] = tuple(info["users"])
        self.control_url: str = info["control_url"]
        self._app: dict[str, str] = info["app"]
        self._cloud: dict[str, Any] = json.loads((directory / "clouds.json").read_text())[self._app["cloud"]]

    def clouds_entry(self) -> dict[str, Any]:
        return dict(self._cloud)

    def app_fields(self) -> dict[str, str]:
        fields = {name: self._app[name] for name in ("clientId", "clientSecret", "authority", "cloud")}
        return {**fields, "baseScopes": self._base_scopes}

    def sign_in(self, authorization_url: str, user: str) -> str:
        return self._decide(authorization_url, user, "accept")

    def decline(self, authorization_url: str, user: str) -> str:
        return self._decide(authorization_url, user, "cancel")

    def deliver(self, user: str, raw: bytes) -> None:
        self._control("deliver", params={"user": user}, content=raw)

    def expire_access_tokens(self, user: str) -> None:
        self._control("tokens/expire", json={"user": user})

    def revoke(self, user: str) -> None:
        # Switching it on is what ends the grants; off again, the user may sign in anew.
        for on in (True, False):
            self._control("failures", json={"failure": "grant_revoked", "user": user, "on": on})

    def fail(self, failure: str, **more: Any) -> None:
        """Switch a failure on, or (`on` False) off."""
        self._control("failures", json={"failure": failure, **more})

    def lifecycle(self, event: str, user: str) -> None:
        """Send a lifecycle notification to who is subscribed to a mailbox over Graph."""
        self._control("lifecycle", json={"event": event, "user": user})

    def refresh_count(self) -> int:
        return int(self.statistics()["tokenRequests"].get("refresh_token", 0))

    def statistics(self) -> dict[str, Any]:
        """Return what the sandbox counted."""
        with httpx.Client(trust_env=False) as client:
            return dict(client.get(f"{self.control_url}/statistics").raise_for_status().json())

    def _decide(self, authorization_url: str, user: str, action: str) -> str:
        # What is published says https, which client libraries insist on; the pages themselves are plain.
        url = urlunsplit(urlsplit(authorization_url)._replace(scheme=urlsplit(self._cloud["login"]).scheme))
        with httpx.Client(trust_env=False) as browser:
            page = browser.get(url).raise_for_status()
            form = _Form(page.text)
            answer = browser.post(urljoin(url, form.action), data={**form.hidden, "user": user, "action": action})
        if not answer.is_redirect:
            raise RuntimeError(f"the sign-in ended on a page: {answer.status_code} {answer.text[-300:]}")
        return answer.headers["location"]

    def _control(self, path: str, **request: Any) -> None:
        with httpx.Client(trust_env=False) as client:
            client.post(f"{self.control_url}/{path}", **request).raise_for_status()


class _Form(HTMLParser):
    """The form of a page: where it goes and what it carries unseen."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.hidden: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = values["action"]
        elif tag == "input" and values.get("type") == "hidden":
            self.hidden[values["name"]] = values["value"]


@contextlib.contextmanager
def open_sandbox_lab(name: str = "sandbox", base_scopes: str = "imap") -> Iterator[SandboxLab]:
    """Start a sandbox with nothing but its samples in it, and end it whatever happens in between.

    Args:
        name: of the lab.
        base_scopes: what apps ask for: "imap", or "api" for Microsoft Graph.
    """
    require("sandbox")
    with rig_directory("sandbox") as directory:
        (directory / "sandbox").mkdir(mode=0o700)
        # The sandbox takes the ports it had last time; these are nobody else's, also while several start at once.
        ports = {name: reserve_port() for name in ("http", "imap", "smtp")}
        (directory / "sandbox" / "ports.json").write_text(json.dumps(ports))
        process = ServerProcess([sys.executable, str(_RUNNER), str(directory)], directory / "sandbox.log")
        try:
            process.start((directory / "info.json").exists)
            yield SandboxLab(directory, name, base_scopes)
        finally:
            process.stop()

"""A client app and a person's browser: all that the acceptance suite knows of the gateway."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, quote, urljoin, urlsplit

import httpx

from tests.contract.documented import check_answer_now
from tests.rigs.labs import Lab
from tests.rigs.processes import wait_until

#: Where the client app wants its users back; nothing listens there, as the browser here stops before.
CLIENT_PAGE = "https://client.example/connected"


class RefusedError(Exception):
    """A call was not answered with 200.

    Attributes:
        status: of the answer.
        body: its JSON.
    """

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body

    @property
    def code(self) -> str:
        """The stable error code."""
        return str(self.body.get("code"))


class Client:
    """Calls the REST API; every answer is checked against the OpenAPI document."""

    def __init__(self, url: str, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        hooks = {"response": [check_answer_now]}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False, event_hooks=hooks)

    def close(self) -> None:
        """Close its connections."""
        self.http.close()

    def call(self, method: str, path: str, payload: Any = None, /, **query: Any) -> Any:
        """Return the JSON of an answer.

        Raises:
            RefusedError: its status is not 200.
        """
        answer = self.http.request(method, path, json=payload, params=query or None)
        if answer.status_code != 200:
            raise RefusedError(answer.status_code, answer.json())
        return answer.json()

    def get(self, path: str, /, **query: Any) -> Any:
        """GET."""
        return self.call("GET", path, **query)

    def post(self, path: str, payload: Any) -> Any:
        """POST."""
        return self.call("POST", path, payload)

    def put(self, path: str, payload: Any) -> Any:
        """PUT."""
        return self.call("PUT", path, payload)

    def delete(self, path: str, /, **query: Any) -> Any:
        """DELETE."""
        return self.call("DELETE", path, **query)

    def octets(self, path: str) -> httpx.Response:
        """Return a download.

        Raises:
            RefusedError: its status is not 200.
        """
        answer = self.http.get(path)
        if answer.status_code != 200:
            raise RefusedError(answer.status_code, answer.json())
        return answer

    def account(self, account: str) -> Any:
        """Return an account in full."""
        return self.get(account_path(account))

    def log(self, account: str) -> list[Any]:
        """Return all events of an account."""
        found: list[Any] = []
        query: dict[str, Any] = {"account": account, "pageSize": 1000}
        while (page := self.get("/v1/events", **query))["events"]:
            found += page["events"]
            query["cursor"] = page["nextCursor"]
        return found

    def wait_for_state(self, account: str, *states: str, timeout: float = 30.0) -> Any:
        """Wait until an account is in one of some states, and return it."""
        found: dict[str, Any] = {}

        def reached() -> bool:
            found.update(self.account(account))
            return found["state"] in states

        try:
            wait_until(reached, f"account {' or '.join(states)}", timeout)
        except TimeoutError:
            raise AssertionError(f"wanted {states}, found {found}") from None
        return self.account(account)

    def mailbox_of_use(self, account: str, special_use: str) -> str:
        """Return the path of the mailbox with a special use."""
        mailboxes = self.get(f"{account_path(account)}/mailboxes")["mailboxes"]
        return next(str(box["path"]) for box in mailboxes if box.get("specialUse") == special_use)

    def messages(self, account: str, path: str = "INBOX", **query: Any) -> Any:
        """Return one page of a mailbox."""
        return self.get(f"{account_path(account)}/messages", path=path, **query)

    def unwatched(self, account: str) -> Any:
        """Return a page of a mailbox that nobody watches: it has to be asked of the mail server."""
        return self.messages(account, "\\Sent", pageSize=1)

    def with_subject(self, account: str, subject: str, path: str = "INBOX") -> list[Any]:
        """Return the messages with a subject among the newest."""
        return [
            entry for entry in self.messages(account, path, pageSize=100)["messages"] if entry.get("subject") == subject
        ]

    def wait_for_message(self, account: str, subject: str, path: str = "INBOX", timeout: float = 30.0) -> Any:
        """Wait until a message is there, and return its entry."""
        wait_until(lambda: self.with_subject(account, subject, path), "message arrived", timeout)
        (entry,) = self.with_subject(account, subject, path)
        return entry


def account_path(account: str) -> str:
    """Return the path of an account in the API."""
    return f"/v1/account/{quote(account, safe='')}"


def message_path(account: str, id: str) -> str:
    """Return the path of a message in the API."""
    return f"{account_path(account)}/message/{quote(id, safe='')}"


class Browser:
    """A person's browser: follows redirects by hand, keeps cookies, runs no script, has no API token."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def close(self) -> None:
        """Close its connections and forget its cookies."""
        self.http.close()

    def begin(self, link: str) -> str:
        """Open a form link that names an app, and return where at the identity provider it leads."""
        answer = self.http.get(link)
        assert answer.is_redirect, f"{answer.status_code} {answer.text[-500:]}"
        return str(answer.headers["location"])

    def open(self, url: str) -> httpx.Response:
        """Open a page."""
        return self.http.get(url)

    def submit(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """Send the first form of a page, with what a person filled in."""
        form = PageForm(page.text)
        headers = {"Origin": self.url}
        return self.http.post(urljoin(str(page.url), form.action), data={**form.fields, **fields}, headers=headers)

    def sign_in(self, link: str, lab: Lab, user: str) -> dict[str, str]:
        """Sign in from a form link to the end, and return the parameters that the client app gets."""
        return client_parameters(self.open(lab.sign_in(self.begin(link), user)))


def client_parameters(page: httpx.Response) -> dict[str, str]:
    """Return the query of the client's page to which a finished sign-in leads."""
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', page.text)
    assert found is not None, f"{page.status_code} {re.sub(r'<[^>]+>', ' ', page.text)[-800:]}"
    url = html.unescape(found[1])
    assert url.startswith(CLIENT_PAGE), url
    return dict(parse_qsl(urlsplit(url).query))


class PageForm(HTMLParser):
    """The first form of a page: where it goes, and the values it comes with."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self._seen = False
        self._inside = False
        self.feed(page)
        assert self._seen, f"no form on this page: {page[-500:]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the form's address and the values of its fields."""
        values: Mapping[str, str] = {name: value or "" for name, value in attrs}
        if tag == "form" and not self._seen:
            self._seen = self._inside = True
            self.action = values.get("action", "")
        elif tag == "input" and self._inside and values.get("name"):
            self.fields[values["name"]] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """Notice the end of the form."""
        if tag == "form":
            self._inside = False

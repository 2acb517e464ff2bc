"""A second client that does over Microsoft Graph whatever comes to its mind."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from tests.acceptance.letters import letter
from tests.acceptance.replay import Content
from tests.rigs.processes import wait_until
from tests.rigs.sandbox_lab import SandboxLab

_REDIRECT = "http://localhost:3000/oauth"
_SCOPE = "https://graph.microsoft.com/Mail.ReadWrite"


class GraphTelephone:
    """Random operations on one mailbox of the sandbox.

    Attributes:
        done: how many there were of each kind.
    """

    def __init__(
        self, origin: str, token: str, user: str, deliver: Callable[[bytes], Any], chance: random.Random
    ) -> None:
        """Prepare.

        Args:
            origin: of the sandbox.
            token: for Graph.
            user: whose mailbox it is.
            deliver: puts a message into their inbox.
            chance: decides.
        """
        self._user = user
        self._deliver_raw = deliver
        self._chance = chance
        self._http = httpx.Client(base_url=origin, trust_env=False, timeout=30)
        self._http.headers["authorization"] = f"Bearer {token}"
        self._http.headers["prefer"] = 'IdType="ImmutableId"'
        self._boxes = ["inbox", "archive"]
        self._made: list[str] = []
        self._number = 0
        self.done: dict[str, int] = {}

    def act(self) -> None:
        """Do one thing."""
        kinds = {
            self._deliver: 6,
            self._draft: 2,
            self._flag: 8,
            self._remove: 3,
            self._move: 4,
            self._copy: 1,
            self._create: 0.6,
            self._rename: 0.6,
        }
        (kind,) = self._chance.choices(list(kinds), list(kinds.values()))
        kind()
        name = kind.__name__.strip("_")
        self.done[name] = self.done.get(name, 0) + 1

    def empty(self) -> None:
        """Have no message in any mailbox."""
        for ids in self.truth().values():
            for id in ids:
                self.call("POST", f"/me/messages/{id}/permanentDelete")

    def truth(self) -> Content:
        """Return what is there: id -> flags of the messages of each mailbox."""
        content: Content = {}
        for folder in self._pages("/me/mailFolders?$top=100"):
            path = "INBOX" if folder["displayName"] == "Inbox" else folder["displayName"]
            fields = "$select=id,isRead,isDraft,flag&$top=200"
            content[path] = {
                message["id"]: _flags(message)
                for message in self._pages(f"/me/mailFolders/{folder['id']}/messages?{fields}")
            }
        return content

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return what Graph answers, once it takes the call."""
        answers: list[httpx.Response] = []

        def taken() -> bool:
            # The gateway uses up what a mailbox may be asked at a time.
            answers.append(self._http.request(method, f"/graph/v1.0{path}", json=body))
            return answers[-1].status_code != httpx.codes.TOO_MANY_REQUESTS

        wait_until(taken, "the service takes the call", 60)
        answer = answers[-1].raise_for_status()
        return answer.json() if answer.content else None

    def close(self) -> None:
        """End."""
        self._http.close()

    def _deliver(self) -> None:
        self._number += 1
        self._deliver_raw(letter(self._user, subject=f"letter {self._number}").raw)

    def _draft(self) -> None:
        self._number += 1
        self.call("POST", f"/me/mailFolders/{self._box()}/messages", {"subject": f"draft {self._number}"})

    def _flag(self) -> None:
        for id in self._some(3):
            change = self._chance.choice(({"isRead": True}, {"isRead": False}, {"flag": {"flagStatus": "flagged"}}))
            self.call("PATCH", f"/me/messages/{id}", change)

    def _remove(self) -> None:
        for id in self._some(2):
            self.call("POST", f"/me/messages/{id}/permanentDelete")

    def _move(self) -> None:
        for id in self._some(2):
            self.call("POST", f"/me/messages/{id}/move", {"destinationId": self._box()})

    def _copy(self) -> None:
        for id in self._some(1):
            self.call("POST", f"/me/messages/{id}/copy", {"destinationId": self._box()})

    def _create(self) -> None:
        if len(self._made) < 4:
            self._number += 1
            made = self.call("POST", "/me/mailFolders", {"displayName": f"Box{self._number}"})
            self._made.append(made["id"])
            self._boxes.append(made["id"])

    def _rename(self) -> None:
        if self._made:
            self._number += 1
            folder = self._chance.choice(self._made)
            self.call("PATCH", f"/me/mailFolders/{folder}", {"displayName": f"Box{self._number}"})

    def _some(self, most: int) -> list[str]:
        found = self.call("GET", f"/me/mailFolders/{self._box()}/messages?$select=id&$top=100")["value"]
        ids = [message["id"] for message in found]
        return self._chance.sample(ids, min(len(ids), self._chance.randrange(1, most + 1)))

    def _box(self) -> str:
        return self._chance.choice(self._boxes) if self._chance.random() < 0.5 else "inbox"

    def _pages(self, link: str | None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while link:
            page = self.call("GET", link)
            found += page["value"]
            link = page.get("@odata.nextLink")
            if link:
                parts = urlsplit(link)
                link = f"{parts.path.partition('/v1.0')[2]}?{parts.query}"
        return found


def telephone_of(lab: SandboxLab, user: str, chance: random.Random) -> GraphTelephone:
    """Return the telephone of a user who signs in to it."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(lab.control_url))
    return GraphTelephone(origin, _token(lab, origin, user), user, lambda raw: lab.deliver(user, raw), chance)


def _token(lab: SandboxLab, origin: str, user: str) -> str:
    app = lab.app_fields()
    base = f"{origin}/{app['authority']}/oauth2/v2.0"
    query = {"client_id": app["clientId"], "response_type": "code", "redirect_uri": _REDIRECT, "scope": _SCOPE}
    (code,) = parse_qs(urlsplit(lab.sign_in(f"{base}/authorize?{urlencode(query)}", user)).query)["code"]
    form = {
        "client_id": app["clientId"],
        "client_secret": app["clientSecret"],
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": _REDIRECT,
        "scope": _SCOPE,
    }
    answer = httpx.post(f"{base}/token", data=form, trust_env=False).raise_for_status()
    return str(answer.json()["access_token"])


def _flags(message: dict[str, Any]) -> frozenset[str]:
    is_flagged = message.get("flag", {}).get("flagStatus") == "flagged"
    flags = {"\\Seen": message["isRead"], "\\Flagged": is_flagged, "\\Draft": message["isDraft"]}
    return frozenset(flag for flag, there in flags.items() if there)

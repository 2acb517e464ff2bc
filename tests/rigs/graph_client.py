"""A client of Graph for tests, which checks all it sends and gets against Microsoft's description."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from gateway_sandbox.testing import ALICE, RunningSandbox
from tests.rigs import graph_document

_VERSION = "/graph/v1.0"
#: The document is older than this action.
_NOT_IN_DOCUMENT = ("permanentdelete",)
GRAPH_SCOPES = tuple(
    f"https://graph.microsoft.com/{name}"
    for name in ("Mail.ReadWrite", "Mail.Send", "Mail.ReadWrite.Shared", "Mail.Send.Shared", "User.Read")
)


class GraphClient:
    """Calls as one user, or (`user` None) as the app."""

    def __init__(
        self, sandbox: RunningSandbox, user: str | None = ALICE, scopes: tuple[str, ...] = GRAPH_SCOPES
    ) -> None:
        self.sandbox = sandbox
        self.token = app_token(sandbox) if user is None else sandbox.sign_in(user, scopes)["access_token"]
        self.http = httpx.Client(base_url=sandbox.endpoints.origin, trust_env=False, timeout=20)
        self.prefer: tuple[str, ...] = ()

    def close(self) -> None:
        self.http.close()

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Send a call and check it; `path` is that below the version, or a whole link."""
        headers = {"authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        if self.prefer:
            headers["prefer"] = ", ".join(self.prefer)
        url = path if "://" in path else f"{_VERSION}{path}"
        below = unquote(urlsplit(url).path.removeprefix(_VERSION))
        checked = graph_document.AVAILABLE and not below.lower().endswith(_NOT_IN_DOCUMENT)
        if body is not None:
            more["json"] = body
            if checked:
                graph_document.check_request(method, below, body)
        answer = self.http.request(method, url, headers=headers, **more)
        if checked and answer.headers.get("content-type", "").startswith("application/json"):
            graph_document.check_answer(method, below, answer.status_code, answer.json() if answer.content else None)
        return answer

    def get(self, path: str, **more: Any) -> Any:
        """Return what a call answers, which must succeed."""
        return self.call("GET", path, **more).raise_for_status().json()

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """Return what a call answers, which must succeed."""
        answer = self.call("POST", path, body, **more).raise_for_status()
        return answer.json() if answer.content else None

    def patch(self, path: str, body: Any) -> Any:
        """Return what a call answers, which must succeed."""
        return self.call("PATCH", path, body).raise_for_status().json()

    def refusal(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str]:
        """Return status and code of a call that must fail; `body` is sent as it is, however wrong."""
        if body is not None:
            more["json"] = body
        headers = {"authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        answer = self.http.request(method, f"{_VERSION}{path}", headers=headers, **more)
        assert answer.status_code >= 400, answer.text
        if graph_document.AVAILABLE:
            graph_document.check_schema("microsoft.graph.ODataErrors.ODataError", answer.json())
        return answer.status_code, answer.json()["error"]["code"]

    def all(self, path: str, **more: Any) -> list[Any]:
        """Return what all pages hold."""
        found: list[Any] = []
        answer = self.get(path, **more)
        found += answer["value"]
        while "@odata.nextLink" in answer:
            answer = self.get(answer["@odata.nextLink"])
            found += answer["value"]
        return found


def app_token(sandbox: RunningSandbox) -> str:
    """Return an access token of the app itself (RFC 6749 section 4.4)."""
    answer = sandbox.token_request(grant_type="client_credentials", scope="https://graph.microsoft.com/.default")
    token: str = answer.raise_for_status().json()["access_token"]
    return token

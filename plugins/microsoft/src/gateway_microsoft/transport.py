"""The HTTP client that MSAL uses, with the gateway's own ideas of timeouts, trust, errors and caching.

MSAL would keep an answer of status 400 for 60 seconds, and one of 429 or 5xx longer, and give it again to the same
request, so that "try again now" answered from memory. Here everything that is not a token answer leaves as an
exception, which MSAL does not keep; how long to wait is told by the error and decided by the gateway.

MSAL insists on https and starts with a discovery request. The endpoints of the v2.0 service are fixed
(https://learn.microsoft.com/entra/identity-platform/v2-protocols#endpoints), so that request is answered here: making
an MSAL application, and with it an authorization URL, takes no network.
"""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests

from gateway_microsoft.clouds import Cloud

#: Seconds to connect, and seconds between two pieces of an answer.
TIMEOUTS = (10.0, 30.0)

_DISCOVERY = "/v2.0/.well-known/openid-configuration"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP answer in the shape that MSAL reads (`msal.oauth2cli.http.Response`)."""

    status_code: int
    text: str
    headers: dict[str, str] = {}

    def raise_for_status(self) -> None:
        """Do nothing: answers that are errors never get this far."""


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The members of a token answer (RFC 6749 section 5.1) that have to be what they should be."""

    access_token: str
    expires_in: int | None = None
    id_token: str | None = None
    refresh_token: str | None = None
    scope: str | None = None
    token_type: str | None = None


class TokenRefusal(requests.RequestException):
    """The token endpoint answered with something else than tokens; never leaves this package.

    It counts as a failed request for MSAL, which then still returns a token of the app itself that is due for renewal
    but valid.

    Attributes:
        status: of HTTP.
        body: the JSON object of the answer (RFC 6749 section 5.2), None when it was none.
        retry_after: header field Retry-After (RFC 9110 section 10.2.3) as it came.
    """

    def __init__(self, status: int, body: dict[str, Any] | None, retry_after: str | None) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status
        self.body = body
        self.retry_after = retry_after


class Transport:
    """What MSAL calls an `http_client`, for one cloud."""

    def __init__(self, cloud: Cloud, *, timeouts: tuple[float, float] = TIMEOUTS) -> None:
        self._login = cloud.login
        self._timeouts = timeouts
        self._session = requests.Session()
        # Otherwise REQUESTS_CA_BUNDLE and .netrc of the process would win over the settings made here.
        self._session.trust_env = False
        self._session.verify = True if cloud.ca_file is None else str(cloud.ca_file)
        # One session serves all users of an app: nothing of one may stick to the next.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get(
        self, url: str, params: dict[str, str] | None = None, headers: dict[str, str] | None = None, **ignored: Any
    ) -> Answer:
        """Answer the discovery request; send any other (MSAL's instance discovery).

        Raises:
            requests.RequestException: not reachable; `TokenRefusal`: not answered with JSON.
        """
        if url.endswith(_DISCOVERY):
            return _discovery(url.removesuffix(_DISCOVERY))
        return _answer(self._send("GET", url, params=params, headers=headers), dict[str, Any])

    def post(
        self,
        url: str,
        params: dict[str, str] | None = None,
        data: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        **ignored: Any,
    ) -> Answer:
        """Send a token request.

        Raises:
            requests.RequestException: not reachable; `TokenRefusal`: answered with anything but tokens.
        """
        return _answer(self._send("POST", url, params=params, data=data, headers=headers), TokenAnswer)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def public_url(self, url: str) -> str:
        """Return an address at the login host as the browser and the network know it: http where the cloud says so."""
        parts = urlsplit(url)
        login = urlsplit(self._login)
        return parts._replace(scheme=login.scheme).geturl() if parts.netloc == login.netloc else url

    def _send(self, method: str, url: str, **arguments: Any) -> requests.Response:
        # A redirect followed would hand the client secret to whatever it names.
        return self._session.request(
            method, self.public_url(url), timeout=self._timeouts, allow_redirects=False, **arguments
        )


def _discovery(authority: str) -> Answer:
    endpoints = {
        "issuer": f"{authority}/v2.0",
        "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
        "token_endpoint": f"{authority}/oauth2/v2.0/token",
    }
    return Answer(status_code=200, text=msgspec.json.encode(endpoints).decode())


def _answer(response: requests.Response, type_: Any) -> Answer:
    try:
        body = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        body = None
    refusal = TokenRefusal(response.status_code, body, response.headers.get("retry-after"))
    if body is None or "error" in body or response.status_code != 200:
        raise refusal
    try:
        msgspec.convert(body, type_, strict=False)
    except msgspec.ValidationError as error:
        raise refusal from error
    return Answer(status_code=200, text=msgspec.json.encode(body).decode())

"""What the network and the boxes in between do to a token request, as `requests` really raises it."""

from __future__ import annotations

import contextlib
import inspect
import socket
import struct
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.client import HTTPException
from types import ModuleType
from typing import TYPE_CHECKING

import msal.exceptions
import pytest
import requests
import trustme
import urllib3
from msal.oauth2cli import oidc

from gateway.errors import (
    ConnectError,
    ProviderError,
    RateLimitError,
    ReauthorizationError,
    ServiceUnavailableError,
    TransientError,
)
from gateway.provider import Grant, OAuth2App
from gateway_microsoft import Cloud, MicrosoftIdentity, load_clouds
from gateway_microsoft.classify import NATIVE_ERRORS, native_error
from gateway_microsoft.transport import Transport

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Clock, TokenServer

    MakeIdentity = Callable[..., MicrosoftIdentity]
    MakeCloud = Callable[..., Cloud]

HTML = b"<!doctype html><title>Sign in to the hotel network</title>"


async def refused(identity: MicrosoftIdentity, clock: Clock) -> ProviderError:
    """Renew a grant and return how it fails."""
    with pytest.raises(ProviderError) as caught:
        await identity.refresh(Grant(access_token="", expires_at=clock(), refresh_token="secret-refresh"))
    assert "secret" not in f"{caught.value}{caught.value.record()}"
    return caught.value


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b""), (200, HTML), (403, HTML), (404, b""), (400, b"\xff\xfe"), (500, HTML), (502, b""), (503, b"{}")],
)
async def test_what_is_no_token_answer_is_a_passing_fault(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock, status: int, body: bytes
) -> None:
    """Captive portals, proxies and half-dead front ends say nothing about the grant."""
    endpoint.answer(body, status, content_type="text/html")
    assert type(await refused(make_identity(), clock)) is ServiceUnavailableError


@pytest.mark.anyio
async def test_a_refusal_behind_status_503_is_no_refusal(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """The status says that the service is not itself."""
    endpoint.refuse("invalid_grant", 50173, status=503)
    assert type(await refused(make_identity(), clock)) is ServiceUnavailableError


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("17", 17.0),
        ("0", 1.0),
        ("9999999", 86400.0),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120.0),
        ("soon", 30.0),
        (None, 30.0),
    ],
)
async def test_throttling_tells_how_long_to_wait(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock, retry_after: str | None, seconds: float
) -> None:
    """RFC 9110 section 10.2.3 allows seconds and dates; rubbish and extremes must not stop an account for ever."""
    headers = {} if retry_after is None else {"retry_after": retry_after}
    endpoint.answer(b"Too many requests", 429, **headers)
    failure = await refused(make_identity(), clock)
    assert isinstance(failure, RateLimitError)
    assert failure.retry_after == seconds


@pytest.mark.anyio
async def test_unavailable_with_a_pause_tells_the_pause(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """503 with Retry-After."""
    endpoint.answer(HTML, 503, retry_after="5")
    failure = await refused(make_identity(), clock)
    assert isinstance(failure, RateLimitError)
    assert failure.retry_after == 5.0


@pytest.mark.anyio
async def test_a_redirect_is_not_followed(endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock) -> None:
    """With status 307 the client secret would go to whatever the redirect names (RFC 9110 section 15.4.8)."""
    endpoint.answer(b"", 307, location=f"{endpoint.origin}/elsewhere")
    assert isinstance(await refused(make_identity(), clock), TransientError)
    assert endpoint.lines == ["POST /common/oauth2/v2.0/token"]


@pytest.mark.anyio
async def test_a_connection_that_is_reset_is_a_connection_fault(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """The second request finds the service well again: nothing is remembered."""
    identity = make_identity()
    endpoint.fault = _reset
    assert type(await refused(identity, clock)) is ConnectError
    endpoint.fault = None
    assert await identity.refresh(Grant(access_token="", expires_at=clock(), refresh_token="r"))


@pytest.mark.anyio
async def test_an_answer_cut_in_the_middle_is_a_connection_fault(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """The length was announced and not kept."""
    endpoint.fault = lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    assert type(await refused(make_identity(), clock)) is ConnectError


@pytest.mark.anyio
async def test_what_is_not_http_is_a_connection_fault(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """Some other service has got the port."""
    endpoint.fault = lambda connection: connection.sendall(b"220 mail.example ESMTP\r\n")
    assert type(await refused(make_identity(), clock)) is ConnectError


@pytest.mark.anyio
async def test_silence_ends_after_the_timeout(endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock) -> None:
    """Without a timeout a thread would wait for ever."""
    endpoint.fault = lambda connection: endpoint.released.wait(30) and None
    failure = await refused(make_identity(), clock)
    assert type(failure) is ConnectError
    assert failure.native_code == "ETIMEDOUT"


@pytest.mark.anyio
async def test_nobody_listening_is_a_connection_fault(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """Connection refused."""
    identity = make_identity()
    endpoint.close()
    assert type(await refused(identity, clock)) is ConnectError


@pytest.mark.anyio
async def test_a_name_that_does_not_resolve_is_a_connection_fault(
    app: OAuth2App, make_cloud: MakeCloud, clock: Clock
) -> None:
    """DNS faults were once shown as bad credentials. RFC 6761: "invalid" never resolves."""
    identity = MicrosoftIdentity(app, make_cloud("https://login.invalid"), clock)
    assert type(await refused(identity, clock)) is ConnectError


@pytest.mark.anyio
async def test_a_certificate_of_a_stranger_is_refused(
    tls_endpoint: TokenServer, app: OAuth2App, make_cloud: MakeCloud, clock: Clock
) -> None:
    """Client secret and refresh tokens go through this connection."""
    identity = MicrosoftIdentity(app, make_cloud(tls_endpoint.origin), clock)
    failure = await refused(identity, clock)
    assert type(failure) is ConnectError
    assert failure.native_code == "ETLS"


@pytest.mark.anyio
async def test_the_clouds_own_authority_is_trusted_whatever_the_environment_says(
    tls_endpoint: TokenServer,
    authority: trustme.CA,
    app: OAuth2App,
    make_cloud: MakeCloud,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """requests prefers REQUESTS_CA_BUNDLE to what the program says, unless it is told not to."""
    other, own = tmp_path / "other.pem", tmp_path / "own.pem"
    trustme.CA().cert_pem.write_to_path(other)
    authority.cert_pem.write_to_path(own)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(other))
    identity = MicrosoftIdentity(app, make_cloud(tls_endpoint.origin, ca_file=own), clock)
    assert (await identity.refresh(Grant(access_token="", expires_at=clock(), refresh_token="r"))).access_token


@pytest.mark.anyio
async def test_a_missing_file_of_authorities_is_a_connection_fault(
    tls_endpoint: TokenServer, app: OAuth2App, make_cloud: MakeCloud, clock: Clock, tmp_path: Path
) -> None:
    """It may be written a moment later."""
    identity = MicrosoftIdentity(app, make_cloud(tls_endpoint.origin, ca_file=tmp_path / "gone.pem"), clock)
    assert type(await refused(identity, clock)) is ConnectError


@pytest.mark.anyio
async def test_cookies_of_one_user_do_not_travel_with_the_next(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """All users of an app share the connections."""
    identity, grant = make_identity(), Grant(access_token="", expires_at=clock(), refresh_token="r")
    endpoint.answer({"access_token": "a"}, set_cookie="session=alice; Path=/")
    await identity.refresh(grant)
    await identity.refresh(grant)
    assert endpoint.cookies == [None, None]


@pytest.mark.anyio
async def test_a_token_that_is_due_but_valid_survives_an_outage(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """Microsoft asks for early renewal (refresh_in) of long tokens so that its outages do not matter."""
    identity = make_identity(provider="outlookService", authority="contoso.test")
    endpoint.answer({"access_token": "long", "expires_in": 86400, "refresh_in": -1})
    assert (await identity.client_credentials()).access_token == "long"
    endpoint.answer(HTML, 503)
    grant = await identity.client_credentials()
    assert grant.access_token == "long"
    assert grant.expires_at > clock() + timedelta(hours=23)


# --- the mapping is total ---------------------------------------------------------------------------------------------


def exception_types(*modules: ModuleType) -> Iterator[type[Exception]]:
    for module in modules:
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, Exception) and not issubclass(found, Warning):
                yield found


NATIVE = sorted(
    {*exception_types(requests.exceptions, urllib3.exceptions, msal.exceptions, oidc)},
    key=lambda each: (each.__module__, each.__name__),
)


def instance(type_: type[Exception]) -> Exception:
    """Make an exception without knowing its constructor."""
    with contextlib.suppress(TypeError):
        return type_("text")
    return type_.__new__(type_)


@pytest.mark.parametrize("type_", NATIVE, ids=lambda each: f"{each.__module__}.{each.__name__}")
def test_every_exception_of_the_libraries_is_mapped(type_: type[Exception], app: OAuth2App, clock: Clock) -> None:
    """A new release of a library must not bring an exception that nobody catches."""
    assert issubclass(type_, NATIVE_ERRORS)
    failure = native_error(instance(type_), app, load_clouds(None)["global"], clock())
    network = issubclass(type_, (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException))
    assert isinstance(failure, ConnectError if network else (TransientError, ReauthorizationError))


@pytest.mark.parametrize("outer", [ValueError, RuntimeError, msal.exceptions.MsalError])
@pytest.mark.parametrize(
    "inner",
    [requests.ConnectTimeout("x"), urllib3.exceptions.ProtocolError("x"), ConnectionResetError(), socket.gaierror()],
)
def test_a_network_fault_is_found_behind_other_exceptions(
    outer: type[Exception], inner: Exception, app: OAuth2App, clock: Clock
) -> None:
    """Libraries wrap them, with and without "from"."""
    for hidden in (_raised_from(outer, inner), _raised_during(outer, inner)):
        assert type(native_error(hidden, app, load_clouds(None)["global"], clock())) is ConnectError


def _raised_from(outer: type[Exception], inner: Exception) -> Exception:
    try:
        raise outer("wrapped") from inner
    except outer as error:
        return error


def _raised_during(outer: type[Exception], inner: Exception) -> Exception:
    try:
        try:
            raise inner
        except Exception:
            raise outer("wrapped")  # noqa: B904 - this is what is tested
    except outer as error:
        return error


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_plain_http_is_put_back_into_addresses_of_a_loopback_login(make_cloud: MakeCloud) -> None:
    """MSAL insists on https; a pretend service on loopback has no certificate."""
    transport = Transport(make_cloud("http://localhost:4711"))
    assert transport.public_url("https://localhost:4711/common/x?y=1") == "http://localhost:4711/common/x?y=1"
    assert transport.public_url("https://login.microsoftonline.com/x") == "https://login.microsoftonline.com/x"
    assert (
        Transport(make_cloud("https://login.example")).public_url("https://login.example/x")
        == "https://login.example/x"
    )

"""Connections to mail servers that take a way of their own: from an address, through a proxy.

Only what `gateway.provider.Route` asks for goes this way; everything else connects as its library does.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import ipaddress
import re
import socket
from collections.abc import Sequence

from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.async_.asyncio import Proxy as SocksProxy

from gateway.errors import ConnectError, Remedy
from gateway.provider import Route
from gateway.smtp.proxies import Proxy, parse_proxy
from gateway.smtp.server_text import masked
from gateway.smtp.socket_codes import TIMED_OUT, socket_code

#: What clients of the wire API know failures of proxies by.
PROXY_FAILED = "EPROXY"

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: ([^\r\n]*))?")
#: Octets of a proxy's answer to CONNECT.
_LONGEST_ANSWER = 16_384


async def dial(host: str, port: int, route: Route, *, timeout: float) -> socket.socket:
    """Connect to a server by a route and return the socket, which does not block.

    Args:
        host: name or address.
        port: of the server.
        route: not a direct one.
        timeout: seconds for all of it.

    Raises:
        ConnectError: not connected; its text names no address and nothing of the proxy's URL.
        OSError: the server itself cannot be reached.
    """
    try:
        async with asyncio.timeout(timeout):
            if route.proxy is None:
                return await _connect(await _addresses(host, port, route), port, route)
            return await _through(_proxy(route.proxy), host, port, route)
    except TimeoutError:
        if route.proxy is None:
            raise
        raise ConnectError("the proxy did not answer in time", native_code=TIMED_OUT) from None


def dial_blocking(host: str, port: int, route: Route, *, timeout: float) -> socket.socket:
    """Connect as `dial` does, from a thread without an event loop; the socket blocks for up to `timeout` seconds."""
    connected = asyncio.run(dial(host, port, route, timeout=timeout))
    connected.settimeout(timeout)
    return connected


async def _addresses(host: str, port: int, route: Route) -> list[str]:
    """Return the addresses of a host that can be connected to from the route's own address."""
    family = socket.AF_UNSPEC
    if route.local_address is not None:
        family = socket.AF_INET6 if ipaddress.ip_address(route.local_address).version == 6 else socket.AF_INET
    found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _connect(addresses: Sequence[str], port: int, route: Route) -> socket.socket:
    """Connect to the first address that can be reached.

    Raises:
        ConnectError: the route's own address is not one of this machine.
        OSError: none can be reached.
    """
    failure = OSError(errno.EHOSTUNREACH, "no address")
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connecting = socket.socket(family, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            _bind(connecting, route)
            await asyncio.get_running_loop().sock_connect(connecting, (address, port))
            return connecting
        except OSError as error:
            connecting.close()
            failure = error
        except BaseException:
            connecting.close()
            raise
    raise failure


def _bind(connecting: socket.socket, route: Route) -> None:
    if route.local_address is None:
        return
    try:
        connecting.bind((route.local_address, 0))
    except OSError as error:
        remedy = Remedy(
            code="local_address",
            title="The address to connect from is not one of the gateway's machine",
            who="operator",
            steps=("Name an address of the workers' machine as localAddress or in the setting localAddresses.",),
        )
        raise ConnectError("the local address cannot be used", native_code=socket_code(error), remedy=remedy) from error


async def _through(proxy: Proxy, host: str, port: int, route: Route) -> socket.socket:
    try:
        addresses = await _addresses(proxy.host, proxy.port, route)
    except OSError as error:
        raise _unreachable(error) from error
    allowed = [each for each in addresses if route.refusal is None or route.refusal(each) is None]
    if not allowed:
        remedy = Remedy(
            code="proxy_egress",
            title="The gateway may not connect to the proxy",
            who="operator",
            steps=("Allow the proxy's network by GATEWAY_EGRESS, or use a proxy with a public address.",),
        )
        raise ConnectError(
            "the egress rules do not allow the proxy", code="EgressRefused", native_code=PROXY_FAILED, remedy=remedy
        )
    if proxy.kind == "http":
        return await _by_http(proxy, allowed, host, port, route)
    return await _by_socks(proxy, allowed, host, port, route)


async def _by_socks(proxy: Proxy, addresses: Sequence[str], host: str, port: int, route: Route) -> socket.socket:
    kind = ProxyType.SOCKS5 if proxy.kind == "socks5" else ProxyType.SOCKS4
    # The library connects by itself: to see first that the route's own address can be used gives a better answer.
    with socket.socket(socket.AF_INET6 if ":" in addresses[0] else socket.AF_INET, socket.SOCK_STREAM) as trial:
        _bind(trial, route)
    local = None if route.local_address is None else (route.local_address, 0)
    failure: OSError = OSError(errno.EHOSTUNREACH, "no address")
    for address in addresses:
        way = SocksProxy(kind, address, proxy.port, proxy.user, proxy.password, rdns=proxy.remote_names)
        try:
            return await way.connect(host, port, local_addr=local)
        except ProxyConnectionError as error:
            failure = error
        except ProxyTimeoutError:
            raise TimeoutError from None
        except ProxyError as error:
            raise _refused(str(error)) from error
        except ValueError as error:
            raise _refused("the server's name or the login has a form that it cannot be told") from error
        except OSError as error:
            # Reset in the middle of the handshake, or the server's name is not known here.
            raise _unreachable(error) from error
    raise _unreachable(failure) from failure


async def _by_http(proxy: Proxy, addresses: Sequence[str], host: str, port: int, route: Route) -> socket.socket:
    """Ask for a tunnel (RFC 9110 section 9.3.6).

    Not with python-socks, seen in 3.2.1: it takes whatever arrives with the proxy's answer for a part of that, and
    mail servers speak first, so that their greeting would be lost.
    """
    try:
        connected = await _connect(addresses, proxy.port, route)
    except OSError as error:
        raise _unreachable(error) from error
    try:
        await asyncio.get_running_loop().sock_sendall(connected, _connect_request(proxy, host, port))
        answer = await _http_answer(connected)
    except OSError as error:
        connected.close()
        raise _unreachable(error) from error
    except BaseException:
        connected.close()
        raise
    status = _STATUS_LINE.match(answer)
    if status is None or not status[1].startswith(b"2"):
        connected.close()
        words = b"not an HTTP answer" if status is None else b" ".join(part for part in status.groups() if part)
        raise _refused(words.decode("ascii", "replace"))
    return connected


def _connect_request(proxy: Proxy, host: str, port: int) -> bytes:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.user is not None:
        login = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {login}")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii")


async def _http_answer(connected: socket.socket) -> bytes:
    """Read the head of an answer, and not one octet of what follows it."""
    answer = bytearray()
    while not answer.endswith(b"\r\n\r\n"):
        octet = await asyncio.get_running_loop().sock_recv(connected, 1)
        if not octet or len(answer) >= _LONGEST_ANSWER:
            raise ConnectionResetError(errno.ECONNRESET, "no answer")
        answer += octet
    return bytes(answer)


def _proxy(url: str) -> Proxy:
    try:
        return parse_proxy(url)
    except ValueError as error:
        raise ConnectError(f"the proxy {error}", native_code=PROXY_FAILED) from None


def _unreachable(error: OSError) -> ConnectError:
    native = socket_code(error) or PROXY_FAILED
    return ConnectError("the proxy cannot be reached, or hung up", code="ProxyUnreachable", native_code=native)


def _refused(words: str) -> ConnectError:
    remedy = Remedy(
        code="proxy_refused",
        title="The proxy does not connect to the mail server",
        who="operator",
        steps=("Check user and password of the proxy, and whether it may connect to the server and its port.",),
        retryable=True,
        raw=masked(words),
    )
    return ConnectError(
        f"the proxy refuses to connect: {masked(words)}", code="ProxyRefused", native_code=PROXY_FAILED, remedy=remedy
    )

"""URLs of proxies: what they mean, and how they are shown."""

from __future__ import annotations

from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

Kind = Literal["socks5", "socks4", "http"]

#: Scheme -> protocol, whether the proxy looks up the server's name, usual port.
#: SOCKS5 (RFC 1928) and HTTP's CONNECT (RFC 9110 section 9.3.6) do so, SOCKS4 only in its version 4a.
_SCHEMES: dict[str, tuple[Kind, bool, int]] = {
    "socks": ("socks5", True, 1080),
    "socks5": ("socks5", True, 1080),
    "socks5h": ("socks5", True, 1080),
    "socks4": ("socks4", False, 1080),
    "socks4a": ("socks4", True, 1080),
    "http": ("http", True, 80),
}

#: Octets of a user or password (RFC 1929 section 2).
_LONGEST_LOGIN = 255

#: Stands for user and password.
_HIDDEN = "******"


class Proxy(NamedTuple):
    """A proxy and the login at it; `remote_names` tells that it looks up the names of servers."""

    kind: Kind
    host: str
    port: int
    user: str | None
    password: str | None
    remote_names: bool

    def __repr__(self) -> str:
        return f"Proxy(kind={self.kind!r})"


def parse_proxy(url: str) -> Proxy:
    """Read the URL of a proxy.

    Raises:
        ValueError: it is none, with a text that completes "the proxy ..." and repeats nothing of it.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme == "https":
        raise ValueError("must not begin with https: TLS on the way to a proxy is not supported, use http")
    if parts.scheme not in _SCHEMES:
        raise ValueError("must begin with socks5://, socks4://, socks4a:// or http://")
    if not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must be scheme, host and port, with user and password where needed")
    kind, remote_names, usual = _SCHEMES[parts.scheme]
    user = None if parts.username is None else unquote(parts.username)
    password = None if user is None else unquote(parts.password or "")
    if kind != "http" and not f"{user}{password}".isascii():
        # python-socks can tell a proxy no other.
        raise ValueError("must have a user and password in ASCII")
    if kind == "socks5" and max(len((part or "").encode()) for part in (user, password)) > _LONGEST_LOGIN:
        raise ValueError("must not have a user or password of more than 255 octets (RFC 1929)")
    if kind == "http" and ":" in (user or ""):
        raise ValueError("must not have a colon in its user name (RFC 7617)")
    return Proxy(kind, host, port or usual, user, password, remote_names)


def masked_proxy(url: str) -> str:
    """Return the URL of a proxy as it may be shown: without user and password."""
    scheme, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme}://{_HIDDEN}@{place}" if at and login else f"{scheme}://{place}"

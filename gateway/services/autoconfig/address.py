"""The address whose servers are looked for."""

from __future__ import annotations

import re

import dns.exception
import dns.name
import msgspec

from gateway.model.autoconfig import SuggestedAuth, SuggestedServer

#: RFC 1123 section 2.1; two labels at least, and a last one that is no number, so that no address passes for a name.
_HOST = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def is_host(name: str) -> bool:
    """Tell whether this is the full name of a host, in lower case."""
    return _HOST.fullmatch(name) is not None


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """An address; `domain` in ASCII and lower case (RFC 5890)."""

    email: str
    local_part: str
    domain: str

    def server(self, host: str, port: int, *, secure: bool, user: str | None = None) -> SuggestedServer:
        """Return the suggestion of a server; who signs in is the address unless `user` says otherwise."""
        return SuggestedServer(auth=SuggestedAuth(user=user or self.email), host=host, port=port, secure=secure)


def read_address(email: str) -> Address | None:
    """Return an address, None when mail to it would not go to a host on the internet."""
    local_part, _, domain = email.rpartition("@")
    try:
        ascii_domain = dns.name.from_text(domain).to_text(omit_final_dot=True).lower()
    except (dns.exception.DNSException, UnicodeError):
        return None
    if not local_part or not is_host(ascii_domain):
        return None
    return Address(email=email, local_part=local_part, domain=ascii_domain)

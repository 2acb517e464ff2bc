"""Which addresses outbound HTTP may connect to, and connections to proxies.

The rules look at the address that a socket is about to be connected to, never at a name: a name may resolve to one
address when it is checked and to another when it is used (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from gateway.settings import Egress

_Network = IPv4Network | IPv6Network
_Address = IPv4Address | IPv6Address


def _networks(*texts: str) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


#: Where clouds hand out credentials to whoever asks; AWS, Google, Azure, Oracle, Alibaba. No policy opens them.
METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "168.63.129.16",
        "192.0.0.192",
        "100.100.100.200",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)

#: Of one's own machine and networks (RFC 1918, 4193, 6598); a policy may open them as a whole.
PRIVATE = _networks("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1", "fc00::/7")

#: Of no use for HTTP to a third party (IANA's special-purpose registries); only a network named by a policy opens them.
SPECIAL = _networks(
    "0.0.0.0/8",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)

_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")


def refusal(address: str, egress: Egress) -> str | None:
    """Return why an address must not be connected to, None when it may be.

    An IPv6 address that stands for an IPv4 one (mapped, 6to4, NAT64, ISATAP) is judged as that one, and as itself.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "not an address"
    for judged in _meant(found):
        if reason := _reason(judged, egress):
            return reason
    return None


def _reason(address: _Address, egress: Egress) -> str | None:
    if address in METADATA:
        return "metadata service"
    if any(address in network for network in egress.networks):
        return None
    if any(address in network for network in PRIVATE):
        return None if egress.private else "private address"
    if any(address in network for network in SPECIAL) or address.is_multicast:
        return "special-purpose address"
    # What a newer Python knows and the lists above do not.
    return None if address.is_global else "not a public address"


def _meant(address: _Address) -> tuple[_Address, ...]:
    """Return the addresses that a packet to this one may end at."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    last = IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _NAT64:
        return (last,)
    if address in _SIX_TO_FOUR:
        return (IPv4Address(int(address) >> 80 & 0xFFFFFFFF),)
    # RFC 5214 section 6.1.
    if int(address) >> 32 & 0xFDFFFFFF == 0x00005EFE:
        return (address, last)
    return (address,)

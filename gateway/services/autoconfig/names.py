"""MX and SRV records. A name server that does not answer, and one that knows nothing, are the same here: no records."""

from __future__ import annotations

from typing import Any, NamedTuple

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver

from gateway.services.autoconfig.address import is_host


class Service(NamedTuple):
    """Where a service is offered (RFC 2782)."""

    host: str
    port: int


class Names:
    """Asks the name servers of the system."""

    def __init__(self, resolver: dns.asyncresolver.Resolver | None = None) -> None:
        """Prepare; `resolver` instead of one that the system's configuration describes."""
        self._resolver = resolver

    async def exchangers(self, domain: str, *, timeout: float) -> list[str]:
        """Return the hosts that take the mail of a domain, the preferred ones first, names in lower case.

        Args:
            domain: in ASCII.
            timeout: seconds for everything.
        """
        records = await self._ask(domain, dns.rdatatype.MX, timeout)
        ordered = sorted((record.preference, _host(record.exchange)) for record in records)
        # A single dot says that the domain takes no mail (RFC 7505).
        return [host for _, host in ordered if is_host(host)]

    async def service(self, name: str, domain: str, *, timeout: float) -> Service | None:
        """Return where a domain offers a service, e.g. ``imaps``; None when it does not, or does not say.

        Of several hosts of one priority the one of the greatest weight is returned, not one by lot as RFC 2782 has it
        for connections: two calls give the same suggestion.
        """
        records = await self._ask(f"_{name}._tcp.{domain}", dns.rdatatype.SRV, timeout)
        ordered = sorted((record.priority, -record.weight, _host(record.target), record.port) for record in records)
        # A single dot says that the service is not offered (RFC 6186 section 3.4).
        return next((Service(host, port) for _, _, host, port in ordered if is_host(host) and port), None)

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType, timeout: float) -> list[Any]:
        try:
            resolver = self._resolver or dns.asyncresolver.Resolver()
            answer = await resolver.resolve(f"{name}.", kind, lifetime=timeout)
        except (dns.exception.DNSException, OSError):
            return []
        return list(answer)


def _host(name: Any) -> str:
    return str(name.to_text(omit_final_dot=True)).lower()

"""A name server on loopback (RFC 1035 over UDP), with a few records and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class NameServer(asyncio.DatagramProtocol):
    """Answers what it was told, and that there is no such name to everything else.

    Attributes:
        asked: every question, as `name type`.
        silent: answers nothing.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.silent = False
        self._records: dict[str, list[str]] = {}
        self._transport: Any = None

    def add(self, name: str, kind: str, *values: str) -> None:
        """Set the records of a name, in the form of a zone file."""
        self._records[f"{name}. {kind}"] = list(values)

    def resolver(self) -> dns.asyncresolver.Resolver:
        """Return a resolver that asks this server alone."""
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self._transport.get_extra_info("sockname")[1]
        return resolver

    def connection_made(self, transport: Any) -> None:
        """Keep what to answer through."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answer a question."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        asked = f"{question.name.to_text().lower()} {question.rdtype.name}"
        self.asked.append(asked)
        if self.silent:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        if values := self._records.get(asked):
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", question.rdtype.name, *values))
        elif not any(known.startswith(f"{question.name.to_text().lower()} ") for known in self._records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(response.to_wire(), addr)


@asynccontextmanager
async def running_name_server() -> AsyncIterator[NameServer]:
    """A name server for one test."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()

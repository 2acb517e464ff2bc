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
        broken: answers that it could not find out.
        mute: names, in lower case and with the last dot, about which it answers nothing.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.silent = False
        self.broken = False
        self.mute: set[str] = set()
        self._records: dict[str, list[str]] = {}
        self._transport: Any = None

    def add(self, name: str, kind: str, *values: str) -> None:
        """Set the records of a name, in the form of a zone file."""
        self._records[f"{name}. {kind}"] = list(values)

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return int(self._transport.get_extra_info("sockname")[1])

    def resolver(self) -> dns.asyncresolver.Resolver:
        """Return a resolver that asks this server alone."""
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self.port
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
        if self.silent or question.name.to_text().lower() in self.mute:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        if self.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif values := self._records.get(asked):
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

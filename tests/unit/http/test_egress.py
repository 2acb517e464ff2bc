"""Webhooks never reach what only the gateway's own network should, however the address is written."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigurationError, ConnectError
from gateway.http import HttpClient, refusal
from gateway.http.egress import PRIVATE, SPECIAL
from gateway.settings import Egress, read_settings

pytestmark = pytest.mark.anyio

PUBLIC = Egress()
OWN = Egress(private=True)

CLOSED = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "2001:db8::1",
    "2001::7f00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2606:4700::5efe:7f00:1",
    "2606:4700::200:5efe:a00:1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "not an address",
]
OPEN = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("address", CLOSED)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert refusal(address, PUBLIC)


@pytest.mark.parametrize("address", OPEN)
def test_a_public_address_is_allowed(address: str) -> None:
    assert refusal(address, PUBLIC) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "fd12::1", "::ffff:192.168.1.1"])
def test_own_networks_are_opened_by_the_policy_private(address: str) -> None:
    assert refusal(address, OWN) is None


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "100.100.100.200"])
def test_no_policy_opens_a_metadata_service(address: str) -> None:
    everything = read_settings({"GATEWAY_EGRESS": "private, 0.0.0.0/0, ::/0"}).egress
    assert refusal(address, everything) == "metadata service"


@pytest.mark.parametrize("address", ["0.0.0.0", "169.254.1.1", "fe80::1", "224.0.0.1", "::"])
def test_private_does_not_open_what_is_no_network_of_ones_own(address: str) -> None:
    assert refusal(address, OWN)


def test_a_named_network_is_opened_and_no_other() -> None:
    egress = read_settings({"GATEWAY_EGRESS": "public 10.1.0.0/16"}).egress
    assert refusal("10.1.2.3", egress) is None
    assert refusal("::ffff:10.1.2.3", egress) is None
    assert refusal("10.2.0.1", egress)
    assert refusal("127.0.0.1", egress)


@pytest.mark.parametrize("value", ["off", "10.1.0.1/16", "everything"])
def test_a_policy_that_is_not_understood_stops_the_process(value: str) -> None:
    """One that is ignored would look like one that works."""
    with pytest.raises(ConfigurationError, match="GATEWAY_EGRESS"):
        read_settings({"GATEWAY_EGRESS": value})


closed_ipv4 = st.one_of(
    *(st.ip_addresses(v=4, network=str(network)) for network in (*PRIVATE, *SPECIAL) if network.version == 4)
)


@given(closed_ipv4)
def test_every_way_to_write_a_closed_address_in_ipv6_is_closed(inner: Any) -> None:
    number = int(inner)
    written = [
        0xFFFF << 32 | number,
        number,
        int(ipaddress.IPv6Address("64:ff9b::")) | number,
        int(ipaddress.IPv6Address("2002::")) | number << 80,
        int(ipaddress.IPv6Address("2606:4700::5efe:0:0")) | number,
    ]
    assert [text for value in written if not refusal(text := str(ipaddress.IPv6Address(value)), PUBLIC)] == []


class Answers(AbstractResolver):
    """A resolver that gives each of these in turn, and the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server on loopback that notes what it is sent."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


async def failure(client: HttpClient, url: str) -> str:
    with pytest.raises(ConnectError) as caught:
        await client.post(url, b"{}", {}, timeout=5)
    return caught.value.error_code


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"]
)
async def test_loopback_is_not_reached_however_it_is_written(host: str) -> None:
    async with listening() as (port, seen), contextlib.aclosing(HttpClient(PUBLIC)) as client:
        code = await failure(client, f"http://{host}:{port}/")
        assert code in ("EgressRefused", "NameNotFound", "InvalidUrl"), code
        assert seen == []


async def test_a_name_that_changes_its_answer_is_judged_by_the_answer_that_is_used() -> None:
    """DNS rebinding: public when somebody looks, loopback when the connection is made."""
    resolver = Answers(["192.0.2.1"], ["127.0.0.1"])
    async with listening() as (port, seen), contextlib.aclosing(HttpClient(PUBLIC, resolver=resolver)) as client:
        await resolver.resolve("rebinding.test")
        assert await failure(client, f"http://rebinding.test:{port}/") == "EgressRefused"
        assert resolver.asked == 2
        assert seen == []


async def test_of_several_addresses_only_an_allowed_one_is_connected_to() -> None:
    egress = read_settings({"GATEWAY_EGRESS": "127.0.0.1/32"}).egress
    resolver = Answers(["10.255.255.1", "127.0.0.1", "::1"])
    async with listening() as (port, seen), contextlib.aclosing(HttpClient(egress, resolver=resolver)) as client:
        answer = await client.post(f"http://mixed.test:{port}/", b"{}", {}, timeout=5)
        assert answer.status == 200
        assert len(seen) == 1


async def test_a_name_is_asked_for_at_every_connection() -> None:
    """An answer that is kept could be older than the rules that it was judged by."""
    resolver = Answers(["127.0.0.1"], ["10.0.0.1"])
    egress = read_settings({"GATEWAY_EGRESS": "127.0.0.0/8"}).egress
    async with listening() as (port, _), contextlib.aclosing(HttpClient(egress, resolver=resolver)) as client:
        assert (await client.post(f"http://changing.test:{port}/", b"{}", {}, timeout=5)).status == 200
        assert await failure(client, f"http://changing.test:{port}/") == "EgressRefused"

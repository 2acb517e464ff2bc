"""The longest requests that are documented: the server has limits before the gateway sees anything."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread
import pytest

from gateway.api.catalogue import OPERATIONS
from gateway.api.openapi import LONGEST_ADDRESS, openapi_document
from tests.integration.events.served import Served

pytestmark = pytest.mark.anyio

DOCUMENT = openapi_document(OPERATIONS)
#: A character takes four octets at most, and each of them three when it is encoded.
WIDEST = "%F0%9F%98%80"


def longest(schema: dict[str, Any]) -> str:
    """Return the longest value that a parameter can have, as it stands in an address; patterns are not looked at."""
    for choice in schema.get("anyOf", ()):
        if choice.get("type") != "null":
            return longest(choice)
    if "enum" in schema:
        return "".join(f"%{octet:02X}" for octet in max(schema["enum"], key=len).encode())
    if schema["type"] == "boolean":
        return "%66%61%6C%73%65"
    if schema["type"] == "integer":
        return "".join(f"%{octet:02X}" for octet in str(schema["maximum"]).encode())
    return WIDEST * int(schema["maxLength"])


def addresses() -> dict[str, tuple[str, str]]:
    """Return method and longest address by the id of each operation."""
    found = {}
    for path, methods in DOCUMENT["paths"].items():
        for method, described in methods.items():
            address, query = path, [f"access_token={'%61' * 64}"]
            for parameter in described["parameters"]:
                if parameter.get("in") == "path":
                    address = address.replace(f"{{{parameter['name']}}}", longest(parameter["schema"]))
                elif parameter.get("in") == "query":
                    name = "".join(f"%{octet:02X}" for octet in parameter["name"].encode())
                    query.append(f"{name}={longest(parameter['schema'])}")
            found[described["operationId"]] = (method.upper(), f"{address}?{'&'.join(query)}")
    return found


def answer(served: Served, method: str, address: str) -> tuple[int, str | None, bytes]:
    """Return status, the id of the request, and body; clients made for people refuse to send what is so long."""
    place = urlsplit(served.url)
    headers = {"Authorization": f"Bearer {served.token}"}
    # There are no workers: nothing that is refused needs one.
    body = None if method in ("GET", "DELETE") else b'{"noSuchMember": 1}'
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
    try:
        connection.request(method, address, body, headers)
        found = connection.getresponse()
        return found.status, found.getheader("x-request-id"), found.read()
    finally:
        connection.close()


async def test_longest_documented_request_of_every_operation_reaches_the_gateway(served: Served) -> None:
    """All parameters at once, each as long as it may be, in characters that take the most room."""
    reached, documented = {}, {}
    for id, (method, address) in addresses().items():
        assert len(address) <= LONGEST_ADDRESS, f"{id}: {len(address)}"
        status, request, _ = await anyio.to_thread.run_sync(answer, served, method, address)
        reached[id] = request is not None
        documented[id] = str(status) in DOCUMENT["paths"][_path(id)][method.lower()]["responses"]
    assert len(reached) == len(OPERATIONS)
    assert [id for id, there in reached.items() if not there] == []
    assert [id for id, there in documented.items() if not there] == []


def _path(operation: str) -> str:
    return next(
        path
        for path, methods in DOCUMENT["paths"].items()
        for described in methods.values()
        if described["operationId"] == operation
    )


async def test_cursor_that_is_too_long_is_refused_by_name(served: Served) -> None:
    """As long as the address still is one."""
    cursor = "a" * 60_000
    for path in ("/v1/account/a/messages?path=INBOX&", "/v1/webhooks/deliveries?", "/v1/events?"):
        status, _, body = await anyio.to_thread.run_sync(answer, served, "GET", f"{path}cursor={cursor}")
        assert status == 400
        assert b'"key":"cursor"' in body


@pytest.mark.parametrize(("length", "status"), [(LONGEST_ADDRESS, 400), (LONGEST_ADDRESS + 1, 414), (2_000_000, 431)])
async def test_longer_addresses_are_refused_as_documented(served: Served, length: int, status: int) -> None:
    """By the server in front, without a body."""
    address = "/v1/outbox?account=".ljust(length, "a")
    found, _, body = await anyio.to_thread.run_sync(answer, served, "GET", address)
    assert found == status
    assert str(status) in DOCUMENT["paths"]["/v1/outbox"]["get"]["responses"]
    assert (body == b"") == (status != 400)

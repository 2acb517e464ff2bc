"""The OpenAPI document says what the API does, and the reference page needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated, Any, Literal

import httpx
import pytest
from msgspec import UNSET, Meta, UnsetType
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.api.catalogue import OPERATIONS
from gateway.api.openapi import openapi_document
from gateway.api.operation import operation
from gateway.api.schemas import component_schemas
from gateway.model.base import Payload, Resource

pytestmark = pytest.mark.anyio

DOCUMENT = openapi_document(OPERATIONS)


def every(value: Any) -> Any:
    """Yield a value and all that it holds."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from every(inner)


def test_the_document_is_openapi_3_1() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(json.loads(json.dumps(DOCUMENT))).iter_errors()] == []


def test_the_same_operations_give_the_same_document() -> None:
    """Its difference is reviewed, so it must not depend on order."""
    again = openapi_document(tuple(reversed(OPERATIONS)))
    assert json.dumps(again) == json.dumps(DOCUMENT)


def test_every_operation_is_described() -> None:
    described = {
        (method.upper(), path): found for path, item in DOCUMENT["paths"].items() for method, found in item.items()
    }
    assert set(described) == {(op.method, op.path) for op in OPERATIONS}
    ids = [found["operationId"] for found in described.values()]
    assert len(set(ids)) == len(ids)
    for op in OPERATIONS:
        found = described[op.method, op.path]
        assert found["summary"] and found["description"] and found["tags"] == [op.tag]
        assert (found["x-token-action"], found["x-token-group"]) == (op.action, op.group)


def test_bounds_of_integers_are_integers() -> None:
    bounds = [
        found[name]
        for found in every(DOCUMENT)
        if isinstance(found, dict)
        for name in ("minimum", "maximum")
        if name in found
    ]
    assert bounds
    assert all(isinstance(bound, int) for bound in bounds)


def test_what_clients_send_is_closed_and_what_they_get_is_open() -> None:
    """Unknown keys are refused in requests; in answers they may appear later."""
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["MessageUpdate"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["MessageDetail"]


class Part(Resource, frozen=True, kw_only=True):
    """Sent without what is empty."""

    when: datetime | None = None
    kind: Literal["b", "a"] | None = None
    flag: bool = False
    times: tuple[datetime, ...] = ()


class Whole(Resource, frozen=True, omit_defaults=False, kw_only=True):
    """Sent in full."""

    cursor: str | None = None
    maybe: int | UnsetType = UNSET
    part: Part


class Question(Payload, frozen=True, kw_only=True):
    """Asked in a query."""

    size: Annotated[int, Meta(ge=1, le=9, description="How many")] | None = None


def test_schemas_tell_what_goes_over_the_wire() -> None:
    """What is left out is optional and not null; what is always sent is required, and null where it can be."""
    schemas = component_schemas([Whole])
    part, whole = schemas["Part"], schemas["Whole"]
    assert part["properties"]["when"] == {"type": "string", "format": "date-time"}
    assert part["properties"]["kind"] == {"type": "string", "enum": ["a", "b"]}
    assert part["properties"]["flag"] == {"type": "boolean", "default": False}
    assert part["properties"]["times"]["items"] == {"type": "string", "format": "date-time"}
    assert "required" not in part
    assert whole["properties"]["cursor"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert whole["required"] == ["cursor", "part"]


def test_two_structs_of_one_name_are_refused() -> None:
    """A reference would lead to either of them."""
    other = type("Part", (Resource,), {"__annotations__": {"x": int}}, frozen=True)
    pair = type("Pair", (Resource,), {"__annotations__": {"one": Part, "two": other}}, frozen=True)
    with pytest.raises(ValueError, match="Part"):
        component_schemas([pair])


def test_query_members_become_parameters() -> None:
    async def controller(call: Any, query: Any) -> None:
        """Do nothing."""

    controller.__annotations__["query"] = Question
    made = operation(
        "GET", "/x/{id}", operation_id="x", summary="x", tag="x", action="read", group="logs", returns="text/plain"
    )(controller)
    found = openapi_document([made], examples={"x": {}})["paths"]["/x/{id}"]["get"]
    by_name = {parameter.get("name"): parameter for parameter in found["parameters"]}
    assert by_name["size"] == {
        "name": "size",
        "in": "query",
        "required": False,
        "description": "How many",
        "schema": {"type": "integer", "minimum": 1, "maximum": 9},
    }
    assert by_name["id"]["required"] is True
    assert found["responses"]["200"]["content"]["text/plain"]["schema"]["format"] == "binary"


def test_examples_stand_beside_their_schemas() -> None:
    examples = {"postV1AccountAccountMailbox": {"request": {"path": "A"}, "response": {"path": "A", "created": True}}}
    found = openapi_document(OPERATIONS, examples=examples)["paths"]["/v1/account/{account}/mailbox"]["post"]
    assert found["requestBody"]["content"]["application/json"]["example"] == {"path": "A"}
    assert found["responses"]["200"]["content"]["application/json"]["example"]["created"] is True


def test_descriptions_are_markdown_with_the_names_that_clients_know() -> None:
    """What is indented by four is code there."""
    text = json.dumps(DOCUMENT)
    assert re.findall(r"`[a-z]+(?:_[a-z]+)+`", text) == []
    assert "\\n    `" not in text


@pytest.mark.parametrize("path", ["/openapi.json", "/swagger.json"])
async def test_the_document_is_served_to_anybody(client: httpx.AsyncClient, path: str) -> None:
    del client.headers["authorization"]
    assert (await client.get(path)).json() == json.loads(json.dumps(DOCUMENT))


async def test_the_reference_page_asks_nobody_else(client: httpx.AsyncClient) -> None:
    """It works without the internet: all it names is here, and its policy lets a browser ask nobody else."""
    page = await client.get("/docs")
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    script = await client.get("/docs/reference.js")
    assert "http" not in page.text + script.text
    for address in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        assert (await client.get(address)).status_code == 200, address

"""The OpenAPI document that is committed: it is the one the gateway serves, valid, and complete."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.api.catalogue import OPERATIONS
from gateway.api.errors import STATUS, STATUS_BY_CODE
from gateway.api.openapi import STATUS_TEXT
from gateway.api.operation import Operation

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "openapi" / "openapi.json"
COMMAND = [sys.executable, "-m", "gateway", "openapi"]

every_operation = pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.operation_id)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document as it lies in the repository."""
    found: dict[str, Any] = json.loads(COMMITTED.read_text())
    return found


def described(document: dict[str, Any], op: Operation) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][op.path][op.method.lower()]
    return found


def every(value: Any) -> Iterator[Any]:
    """Yield a value and all that it holds."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from every(inner)


def test_the_committed_document_is_what_the_command_prints() -> None:
    """Its difference is reviewed with the change that causes it: `make openapi` renews it."""
    printed = subprocess.run(COMMAND, capture_output=True, text=True, check=True, timeout=60).stdout
    assert printed == COMMITTED.read_text()


def test_a_process_that_described_the_api_ends_well() -> None:
    """Whatever libraries do while the interpreter ends, a command that did its work exits with 0."""
    runs = [subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL) for _ in range(8)]
    assert [run.wait(60) for run in runs] == [0] * 8


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_operation_is_described_and_nothing_else(document: dict[str, Any]) -> None:
    found = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert found == {(op.method, op.path) for op in OPERATIONS}


@every_operation
def test_a_description_is_complete(op: Operation, document: dict[str, Any]) -> None:
    """Id, tag, summary, description, security, parameters, errors: what generators and readers need."""
    found = described(document, op)
    assert found["operationId"] == op.operation_id
    assert found["tags"] == [op.tag]
    assert op.tag in {tag["name"] for tag in document["tags"]}
    assert found["summary"] and not found["summary"].endswith(".")
    assert found["description"].endswith(".")
    assert {"200", "400", "500", "503"} <= set(found["responses"])
    if op.scope is None:
        assert found["security"] == []
    else:
        assert {"401", "403", "429"} <= set(found["responses"])
        assert (found["x-token-scope"], found["x-token-action"], found["x-token-group"]) == (
            op.scope,
            op.action,
            op.group,
        )
        assert "security" not in found
    named = {parameter["name"] for parameter in found["parameters"] if parameter.get("in") == "path"}
    assert named == set(op.parameters)
    assert ("requestBody" in found) == (op.body is not None)
    if op.body is not None:
        assert {"413", "415"} <= set(found["responses"])


def test_calls_need_a_token_unless_they_say_otherwise(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert document["security"]
    assert {name for choice in document["security"] for name in choice} == set(schemes)


def test_tags_have_a_description_of_their_own(document: dict[str, Any]) -> None:
    """A tag without one was written differently in two places."""
    assert [tag["name"] for tag in document["tags"] if tag["description"] == tag["name"]] == []


def test_every_status_of_an_error_has_a_text() -> None:
    assert {*STATUS.values(), *STATUS_BY_CODE.values(), 404, 405, 413} <= set(STATUS_TEXT)


def test_every_response_is_used(document: dict[str, Any]) -> None:
    used = {
        response["$ref"]
        for item in document["paths"].values()
        for op in item.values()
        for response in op["responses"].values()
        if "$ref" in response
    }
    assert {f"#/components/responses/{name}" for name in document["components"]["responses"]} == used


def test_every_integer_has_bounds(document: dict[str, Any]) -> None:
    """Generators choose the width of a type by them, and JavaScript holds 53 bits."""
    integers = [value for value in every(document) if isinstance(value, dict) and value.get("type") == "integer"]
    assert integers
    assert [found for found in integers if not -(2**53) < found["minimum"] <= found["maximum"] < 2**53] == []


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for value in every(document):
        if isinstance(value, dict) and isinstance(value.get("$ref"), str):
            node: Any = document
            for part in value["$ref"].removeprefix("#/").split("/"):
                node = node[part]


def test_every_schema_is_used(document: dict[str, Any]) -> None:
    used = {
        value["$ref"].rpartition("/")[2] for value in every(document) if isinstance(value, dict) and "$ref" in value
    }
    assert set(document["components"]["schemas"]) <= used


def test_the_document_names_no_place(document: dict[str, Any]) -> None:
    """Neither hosts nor files: it is the same wherever the gateway runs."""
    assert document["servers"] == [{"url": "/"}]
    text = COMMITTED.read_text()
    places = re.findall(r"\w+://([^/\"\s]+)", text)
    assert [place for place in places if not place.endswith(".example")] == []  # RFC 2606 section 2
    assert re.findall(r"localhost|127\.0\.0\.1|/(?:home|root|usr|work|tmp)/", text) == []


def test_secrets_in_answers_are_only_ever_the_mask_or_new(document: dict[str, Any]) -> None:
    """Members named after secrets stand in these answers; another one needs somebody's thought."""
    names = ("password", "pass", "clientSecret", "accessToken", "refreshToken", "serviceKey", "token")
    schemas = document["components"]["schemas"]
    answered = {name for name, schema in schemas.items() if schema.get("additionalProperties") is not False}
    holders = {name for name in answered for member in schemas[name].get("properties", {}) if member in names}
    # A member of the wire API that is never told.
    assert "Never told" in schemas["TokenRequestInfo"]["properties"]["clientSecret"]["description"]
    holders.remove("TokenRequestInfo")
    assert holders == {"AuthInfo", "OAuth2Info", "AppDetail", "OAuthTokenInfo", "TokenCreated", "TokenLog", "Relay"}

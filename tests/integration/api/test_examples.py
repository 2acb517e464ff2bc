"""Every example of the API document works: requests are accepted, answers are what their schemas say."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]

from tests.contract.documented import CLOSED, DOCUMENT

pytestmark = pytest.mark.anyio

JSON = "application/json"
DESCRIBED = [(path, method, found) for path, item in DOCUMENT["paths"].items() for method, found in item.items()]
REQUESTS = [
    pytest.param(path, method, found["requestBody"]["content"][JSON]["example"], id=found["operationId"])
    for path, method, found in DESCRIBED
    if "example" in found.get("requestBody", {}).get("content", {}).get(JSON, {})
]
ANSWERS = [
    pytest.param(found["responses"]["200"]["content"][JSON], id=found["operationId"])
    for _, _, found in DESCRIBED
    if "example" in found["responses"]["200"]["content"].get(JSON, {})
]
#: The account is there, and nothing else that a path could name; no worker asks a mail server.
TAKEN = {200, 404, 503, 504}


@pytest.mark.parametrize(("path", "method", "example"), REQUESTS)
async def test_a_request_is_accepted(client: httpx.AsyncClient, path: str, method: str, example: Any) -> None:
    account = DOCUMENT["paths"]["/v1/account"]["post"]["requestBody"]["content"][JSON]["example"]
    if path != "/v1/account":
        assert (await client.post("/v1/account", json=account)).status_code == 200
    filled, query = path.replace("{account}", account["account"]), {}
    for parameter in DOCUMENT["paths"][path][method].get("parameters", ()):
        if "name" in parameter:
            value, *_ = parameter["schema"].get("enum", [parameter["name"]])
            filled = filled.replace(f"{{{parameter['name']}}}", str(value))
            if parameter["in"] == "query" and parameter["required"]:
                query[parameter["name"]] = value
    answer = await client.request(method, filled, params=query, json=example)
    assert answer.status_code in TAKEN, answer.text


@pytest.mark.parametrize("content", ANSWERS)
def test_an_answer_is_what_its_schema_says(content: dict[str, Any]) -> None:
    validator = Draft202012Validator({**content["schema"], "components": CLOSED}, format_checker=FormatChecker())
    assert [error.message for error in validator.iter_errors(content["example"])] == []

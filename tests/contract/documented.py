"""Checks answers against the OpenAPI document, more strictly than a client may: what it does not name is an error."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]

from gateway.api.catalogue import OPERATIONS
from gateway.api.openapi import openapi_document
from gateway.api.operation import PATH_PARAMETER

DOCUMENT: dict[str, Any] = json.loads(json.dumps(openapi_document(OPERATIONS)))
#: An error has details of its own kind, which depend on its code.
_OPEN = frozenset({"Error"})


async def check_answer(response: httpx.Response) -> None:
    """Fail if the answer of an operation is not what the document says; a hook of `httpx.AsyncClient`."""
    if (described := _described(response.request)) is not None:
        await response.aread()
        _check(response, described)


def check_answer_now(response: httpx.Response) -> None:
    """Fail as `check_answer` does; a hook of `httpx.Client`. A body that is no JSON is left to who reads it."""
    described = _described(response.request)
    if described is None:
        return
    if _media_type(response).endswith("json"):
        response.read()
    _check(response, described)


def _check(response: httpx.Response, described: dict[str, Any]) -> None:
    what = f"{response.request.method} {response.request.url.path} answered {response.status_code}"
    declared = described["responses"].get(str(response.status_code))
    assert declared is not None, f"{what}, which is not documented"
    while "$ref" in declared:
        declared = _resolve(declared["$ref"])
    content = declared["content"]
    media_type = _media_type(response)
    assert media_type in content or "*/*" in content, f"{what} as {media_type}"
    if media_type in content and media_type.endswith("json"):
        problems = list(_problems(content[media_type]["schema"], response.json()))
        assert problems == [], f"{what}: {problems}"


def _media_type(response: httpx.Response) -> str:
    return str(response.headers["content-type"]).partition(";")[0]


def _described(request: httpx.Request) -> dict[str, Any] | None:
    method, path = request.method, request.url.raw_path.decode().partition("?")[0]
    for pattern, item in _routes():
        if pattern.fullmatch(path) and method.lower() in item:
            found: dict[str, Any] = item[method.lower()]
            return found
    return None


@cache
def _routes() -> tuple[tuple[re.Pattern[str], dict[str, Any]], ...]:
    return tuple(
        (re.compile("[^/]+".join(map(re.escape, PATH_PARAMETER.split(path)[::2]))), item)
        for path, item in DOCUMENT["paths"].items()
    )


def _resolve(reference: str) -> Any:
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def _problems(schema: dict[str, Any], value: Any) -> Iterator[str]:
    validator = Draft202012Validator({**schema, "components": CLOSED}, format_checker=FormatChecker())
    for error in validator.iter_errors(value):
        yield f"{error.json_path}: {error.message}"


def _closed() -> dict[str, Any]:
    components: dict[str, Any] = copy.deepcopy(DOCUMENT["components"])
    for name, schema in components["schemas"].items():
        if "properties" in schema and name not in _OPEN:
            schema.setdefault("additionalProperties", False)
    return components


#: The components, with nothing in an object that is not named.
CLOSED = _closed()

"""Microsoft's description of Graph's mail: checks of requests and answers against it, strictly.

The document is not a part of this repository. Where it is not at hand, nothing is checked, and `AVAILABLE` says so.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

_BESIDE = Path(__file__).parents[2].parent / "shared" / "reference" / "graph-mail-openapi.json"
PATH = Path(os.environ.get("GATEWAY_GRAPH_DOCUMENT", _BESIDE))
AVAILABLE = PATH.exists()
_KEY = re.compile(r"\('([^']*)'\)")
_QUALIFIER = re.compile(r"/microsoft\.graph\.|\(\)", re.IGNORECASE)


class NotInDocumentError(AssertionError):
    """A request or an answer that the document does not allow."""


def check_request(method: str, path: str, body: Any) -> None:
    """Check a JSON request body; the path is that below the version."""
    content = _operation(method, path).get("requestBody")
    if content is None:
        if body is not None:
            raise NotInDocumentError(f"{method} {path} takes no body")
        return
    _check(body, _followed(content)["content"]["application/json"]["schema"], f"{method} {path}")


def check_answer(method: str, path: str, status: int, body: Any) -> None:
    """Check status and JSON body of an answer."""
    responses = _operation(method, path)["responses"]
    wanted = next((responses[key] for key in (str(status), f"{status // 100}XX") if key in responses), None)
    if wanted is None:
        if status < 400:
            raise NotInDocumentError(f"{method} {path}: {status} is not one of {sorted(responses)}")
        wanted = responses["default"]
    content = _followed(wanted).get("content", {})
    if body is not None and "application/json" in content:
        _check(body, content["application/json"]["schema"], f"{method} {path} -> {status}")


def check_schema(name: str, value: Any) -> None:
    """Check a value against a named schema, as `microsoft.graph.changeNotificationCollection`."""
    _check(value, {"$ref": f"#/components/schemas/{name}"}, name)


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(PATH.read_text())
    return document


@cache
def _operations() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    found = []
    # The literal ones first: delta is no id.
    for path, methods in sorted(_document()["paths"].items(), key=lambda item: item[0].count("{")):
        pattern = re.sub(r"\\\{[^/]*?\\\}", "[^/]+", re.escape(path))
        found.append((re.compile(pattern, re.IGNORECASE), methods))
    return found


def _operation(method: str, path: str) -> dict[str, Any]:
    plain = _KEY.sub(r"/\1", _QUALIFIER.sub(lambda match: "/" if match[0] != "()" else "", path))
    for pattern, methods in _operations():
        if pattern.fullmatch(plain) and method.lower() in methods:
            operation: dict[str, Any] = methods[method.lower()]
            return operation
    raise NotInDocumentError(f"{method} {path} is not in the document")


def _followed(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        target: Any = _document()
        for name in schema["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        schema = target
    return schema


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    schema = _followed(schema)
    found: dict[str, Any] = {}
    for part in schema.get("allOf", ()):
        found.update(_properties(part))
    found.update(schema.get("properties", {}))
    return found


def _check(value: Any, schema: dict[str, Any], where: str) -> None:
    referred = "$ref" in schema
    schema = _followed(schema)
    if value is None:
        if not schema.get("nullable") and not referred:
            raise NotInDocumentError(f"{where} is null")
        return
    if "enum" in schema:
        if value not in schema["enum"]:
            raise NotInDocumentError(f"{where}: {value!r} is not one of {schema['enum']}")
    elif schema.get("type") == "array":
        _check_array(value, schema, where)
    elif schema.get("type") == "object" or "allOf" in schema:
        _check_object(value, schema, where)
    else:
        _check_plain(value, schema, where)


def _check_array(value: Any, schema: dict[str, Any], where: str) -> None:
    if not isinstance(value, list):
        raise NotInDocumentError(f"{where} is no array")
    for number, element in enumerate(value):
        _check(element, schema.get("items", {}), f"{where}[{number}]")


def _check_object(value: Any, schema: dict[str, Any], where: str) -> None:
    if not isinstance(value, dict):
        raise NotInDocumentError(f"{where} is no object")
    known = _properties(schema)
    if kind := value.get("@odata.type"):
        schemas = {name.lower(): name for name in _document()["components"]["schemas"]}
        known |= _properties({"$ref": f"#/components/schemas/{schemas[kind.removeprefix('#').lower()]}"})
    names = {_lowered(name): each for name, each in known.items()}
    for name in schema.get("required", ()):
        if name not in value:
            raise NotInDocumentError(f"{where} has no {name}")
    for name, member in value.items():
        if _lowered(name) in names:
            _check(member, names[_lowered(name)], f"{where}.{name}")
        elif "@" not in name and known and isinstance(schema.get("additionalProperties", False), bool):
            raise NotInDocumentError(f"{where} has the unknown member {name}")


def _lowered(name: str) -> str:
    """Return a name as its resource has it: parameters of actions are described with a capital letter."""
    return name[:1].lower() + name[1:]


def _check_plain(value: Any, schema: dict[str, Any], where: str) -> None:
    types = {"string": str, "boolean": bool, "integer": int, "number": (int, float)}
    wanted = types.get(schema.get("type", ""))
    if wanted is not None and (not isinstance(value, wanted) or (wanted is int and isinstance(value, bool))):
        raise NotInDocumentError(f"{where}: {value!r} is no {schema['type']}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        raise NotInDocumentError(f"{where}: {value!r} does not match {schema['pattern']}")

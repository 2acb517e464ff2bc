"""JSON schemas of structs, fitted to what goes over the wire.

msgspec describes what a struct can hold. A `Resource` is sent without its empty members, so what is None by default
is absent, never null; and what has a default but is always sent is required.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import inspect

from gateway.api.validation import SAFE_INTEGER, struct_info
from gateway.model.base import Resource

Schema = dict[str, Any]

_MEMBER = re.compile(r"`[a-z][a-z0-9_]*`")

REFERENCE = "#/components/schemas/{name}"


def component_schemas(structs: Iterable[type[msgspec.Struct]]) -> dict[str, Schema]:
    """Return the schemas of these structs and of all that they hold, by name.

    Raises:
        ValueError: two structs have the same name, so that a reference would not tell which is meant.
    """
    ordered = sorted(structs, key=lambda cls: cls.__name__)
    classes: dict[str, type[msgspec.Struct]] = {}
    for cls in ordered:
        _collect(struct_info(cls), classes)
    _, components = msgspec.json.schema_components(ordered, ref_template=REFERENCE)
    return {
        name: bounded(_fit(classes[name], schema) if name in classes else schema) for name, schema in components.items()
    }


def parameter_schemas(cls: type[msgspec.Struct]) -> dict[str, Schema]:
    """Return the schemas of a struct's members where they stand in a query, in which nothing is null."""
    schema = component_schemas([cls])[cls.__name__]
    return {name: _without_null(member) for name, member in schema["properties"].items()}


def bounded(schema: Any) -> Any:
    """Return a schema in which every integer has bounds; those that had none get what every JSON reader can hold."""
    if isinstance(schema, list):
        return [bounded(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: bounded(part) for name, part in schema.items()}
    if found.get("type") == "integer":
        found.setdefault("minimum", -SAFE_INTEGER)
        found.setdefault("maximum", SAFE_INTEGER)
    return found


def _collect(info: inspect.Type, classes: dict[str, type[msgspec.Struct]]) -> None:
    if not isinstance(info, inspect.StructType):
        for part in _parts(info):
            _collect(part, classes)
    elif info.cls.__name__ not in classes:
        classes[info.cls.__name__] = info.cls
        for field in info.fields:
            _collect(field.type, classes)
    elif (known := classes[info.cls.__name__]) is not info.cls:
        raise ValueError(f"two structs are named {info.cls.__name__}: {known.__module__}, {info.cls.__module__}")


def _parts(info: inspect.Type) -> tuple[inspect.Type, ...]:
    if isinstance(info, inspect.Metadata):
        return (info.type,)
    if isinstance(info, inspect.UnionType):
        return info.types
    if isinstance(info, inspect.VarTupleType | inspect.ListType):
        return (info.item_type,)
    if isinstance(info, inspect.DictType):
        return (info.value_type,)
    return ()


def _fit(cls: type[msgspec.Struct], schema: Schema) -> Schema:
    fitted = {**schema, "properties": dict(schema["properties"])}
    if "description" in schema:
        described = cleandoc(schema["description"])
        fitted["description"] = _MEMBER.sub(lambda found: _wire_name(cls, found[0]), described)
    sent = issubclass(cls, Resource)
    omits = bool(cls.__struct_config__.omit_defaults)
    required = set(schema.get("required", ()))
    for field in struct_info(cls).fields:
        member = _complete(field.type, schema["properties"][field.encode_name])
        has_default = field.default is not msgspec.NODEFAULT or field.default_factory is not msgspec.NODEFAULT
        if sent and omits and field.default is None:
            member = _without_null(member)
        elif sent and not omits and has_default:
            required.add(field.encode_name)
            member = {name: value for name, value in member.items() if name != "default"}
        if field.default is None:
            # Absent and null mean the same; generators take a default for a reason to require the member.
            member = {name: value for name, value in member.items() if name != "default"}
        fitted["properties"][field.encode_name] = member
    fitted.pop("required", None)
    if required:
        fitted["required"] = [name for name in fitted["properties"] if name in required]
    return fitted


def _wire_name(cls: type[msgspec.Struct], quoted: str) -> str:
    """Return the name of a member as clients know it; other names stay as they are."""
    name = quoted.strip("`")
    wire = next((field.encode_name for field in struct_info(cls).fields if field.name == name), name)
    return f"`{wire}`"


def _without_null(member: Schema) -> Schema:
    choices = [choice for choice in member.get("anyOf", ()) if choice != {"type": "null"}]
    rest = {name: value for name, value in member.items() if name != "anyOf" and (name, value) != ("default", None)}
    if not choices:
        return rest
    return {**choices[0], **rest} if len(choices) == 1 else {"anyOf": choices, **rest}


def _complete(info: inspect.Type, member: Schema) -> Schema:
    """Add what msgspec leaves out: the type of enumerated strings, the format of times."""
    if isinstance(info, inspect.Metadata):
        return _complete(info.type, member)
    if isinstance(info, inspect.DateTimeType):
        return {**member, "format": "date-time"}
    if "enum" in member and all(isinstance(value, str) for value in member["enum"]):
        return {"type": "string", **member}
    if isinstance(info, inspect.VarTupleType | inspect.ListType) and "items" in member:
        return {**member, "items": _complete(info.item_type, member["items"])}
    if isinstance(info, inspect.UnionType):
        return _complete_choices(info, member)
    return member


def _complete_choices(info: inspect.UnionType, member: Schema) -> Schema:
    bare = [choice.type if isinstance(choice, inspect.Metadata) else choice for choice in info.types]
    if "anyOf" not in member:
        return next((_complete(choice, member) for choice in bare if not isinstance(choice, inspect.NoneType)), member)
    strings = [choice for choice in bare if isinstance(choice, inspect.DateTimeType | inspect.LiteralType)]
    lists = [choice for choice in bare if isinstance(choice, inspect.VarTupleType | inspect.ListType)]
    completed = []
    for choice in member["anyOf"]:
        meant = strings if "enum" in choice or choice.get("type") == "string" else lists if "items" in choice else []
        completed.append(_complete(meant[0], choice) if meant else choice)
    return {**member, "anyOf": completed}

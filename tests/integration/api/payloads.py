"""Values for a struct, made of its own type: a valid one with nothing but what is required, and every bad one.

What is wrong is judged here by the types alone, not by the code under test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

#: A kind of value each; which of them are wrong depends on the member.
_KINDS: tuple[Any, ...] = (None, True, 7.5, "no such value", [["x"]], {"noSuchMember": [1]})

_LONGEST_QUERY = 16_384

_NAMES = {
    "email": "somebody@example.com",
    "address": "somebody@example.com",
    "recipient": "somebody@example.com",
    "host": "mail.example.com",
    "targetUrl": "https://receiver.example.com/events",
}


def valid(cls: type[msgspec.Struct]) -> dict[str, Any]:
    """Return an object with the required members of a struct, and nothing else."""
    return {field.encode_name: _value(field.type, field.encode_name) for field in _info(cls).fields if field.required}


def _info(cls: type[msgspec.Struct]) -> inspect.StructType:
    found = inspect.type_info(cls)
    assert isinstance(found, inspect.StructType)
    return found


def _value(info: inspect.Type, name: str) -> Any:
    match info:
        case inspect.Metadata():
            return _value(info.type, name)
        case inspect.UnionType():
            return _value(next(choice for choice in info.types if not isinstance(choice, inspect.NoneType)), name)
        case inspect.StrType():
            return _NAMES.get(name, "x")
        case inspect.IntType():
            return info.ge or 1
        case inspect.BoolType():
            return False
        case inspect.DateTimeType():
            # Of two that bound a period, the end is the later one.
            return "2025-01-01T00:00:00Z" if name.startswith("end") else "2024-01-01T00:00:00Z"
        case inspect.LiteralType():
            return info.values[0]
        case inspect.VarTupleType():
            return [_value(info.item_type, name)]
        case inspect.StructType():
            return valid(info.cls)
    raise TypeError(f"no sample for {info}")


def bad(cls: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    """Yield (what is wrong, value) for everything that can be wrong with one member of a struct."""
    yield from ((label, value) for label, value in _bad_struct(_info(cls), "") if value is not None)


def bad_in_query(cls: type[msgspec.Struct] | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (what is wrong, query) likewise; in a query everything is text, and no longer than a URL can be."""
    yield "noSuchMember", {"noSuchMember": "1"}
    for label, value in bad(cls) if cls is not None else ():
        query = {name: item if isinstance(item, str) else f"{item:d}" for name, item in value.items() if _textual(item)}
        if len(query) == len(value) and sum(map(len, query.values())) < _LONGEST_QUERY:
            yield label, query


def _textual(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _bad(info: inspect.Type, key: str) -> Iterator[tuple[str, Any]]:
    for value in _KINDS:
        if not _accepts(info, value):
            yield f"{key} is {type(value).__name__}", value
    for choice in _choices(info):
        yield from _bad_choice(choice, key)


def _choices(info: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(info, inspect.Metadata):
        yield from _choices(info.type)
    elif isinstance(info, inspect.UnionType):
        for choice in info.types:
            yield from _choices(choice)
    else:
        yield info


def _bad_choice(info: inspect.Type, key: str) -> Iterator[tuple[str, Any]]:
    match info:
        case inspect.StrType():
            yield from _bad_text(info, key)
        case inspect.IntType():
            if info.ge is not None:
                yield f"{key} is below", info.ge - 1
            yield f"{key} is above", info.le + 1 if info.le is not None else 2**63
        case inspect.VarTupleType():
            yield from ((label, [value]) for label, value in _bad(info.item_type, f"{key}[0]"))
        case inspect.DictType():
            yield from ((label, {"x": value}) for label, value in _bad(info.value_type, f"{key}.x"))
        case inspect.StructType():
            yield from _bad_struct(info, key)
        case inspect.DateTimeType():
            yield f"{key} is before time", "0001-01-01T00:00:00+10:00"


def _bad_text(info: inspect.StrType, key: str) -> Iterator[tuple[str, Any]]:
    yield f"{key} holds NUL", "x\x00y"
    if info.max_length is not None:
        yield f"{key} is too long", "x" * (info.max_length + 1)
    if info.min_length:
        yield f"{key} is empty", ""
    if info.pattern is not None:
        yield f"{key} has the wrong form", "x y\n"


def _bad_struct(info: inspect.StructType, key: str) -> Iterator[tuple[str, Any]]:
    base = valid(info.cls)
    yield f"{key}.noSuchMember", {**base, "noSuchMember": 1}
    for field in info.fields:
        name = f"{key}.{field.encode_name}"
        if field.required:
            yield f"{name} is missing", {other: value for other, value in base.items() if other != field.encode_name}
        for label, value in _bad(field.type, name):
            yield label, {**base, field.encode_name: value}


def _accepts(info: inspect.Type, value: Any) -> bool:
    match info:
        case inspect.Metadata():
            return _accepts(info.type, value)
        case inspect.UnionType():
            return any(_accepts(choice, value) for choice in info.types)
        case inspect.NoneType():
            return value is None
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.FloatType():
            return isinstance(value, float)
        case inspect.VarTupleType():
            return isinstance(value, list) and all(_accepts(info.item_type, item) for item in value)
        case inspect.DictType():
            return isinstance(value, dict) and all(_accepts(info.value_type, item) for item in value.values())
    return isinstance(info, inspect.AnyType)

"""Checks values against structs as the wire API does: leniently typed, strictly named, every mistake reported.

msgspec stops at the first mistake and does not know the API's spellings of booleans and dates. So a value is first
walked along the struct's type: spellings are brought into form and mistakes collected, named by their path
(``imap.host``, ``to[0].address``). What passes is converted by msgspec, which has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from gateway.errors import InvalidRequestError

S = TypeVar("S", bound=msgspec.Struct)

#: Mistakes reported at once.
MOST_PROBLEMS = 50
#: Levels of objects and arrays inside members of free form.
MOST_LEVELS = 32

_BOOLEANS = {"y": True, "true": True, "1": True, "n": False, "false": False, "0": False}
_INTEGER = re.compile(r"[+-]?\d{1,18}(\.0+)?")
_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,3})?")
_KEY_SHOWN = 100
#: Beyond this, a number that went through JavaScript is another one (RFC 8259 section 6).
SAFE_INTEGER = 2**53 - 1


class _Problems:
    """The mistakes found in one value."""

    def __init__(self) -> None:
        self.fields: list[dict[str, str]] = []

    def add(self, key: str, problem: str) -> None:
        """Note one mistake; `problem` continues the sentence that the key begins."""
        if len(self.fields) < MOST_PROBLEMS:
            shown = key if len(key) <= _KEY_SHOWN else f"{key[:_KEY_SHOWN]}..."
            self.fields.append({"message": f'"{shown or "value"}" {problem}', "key": shown})


def validate(value: Any, cls: type[S]) -> S:
    """Return a struct made of JSON values.

    Raises:
        InvalidRequestError: with every mistake in ``fields``.
    """
    problems = _Problems()
    walked = _walk(struct_info(cls), value, "", problems)
    if problems.fields:
        raise InvalidRequestError("Input validation failed", fields=problems.fields)
    try:
        return msgspec.convert(walked, cls)
    except msgspec.ValidationError as error:
        raise InvalidRequestError("Input validation failed", fields=[_last_word(str(error))]) from None


def _last_word(text: str) -> dict[str, str]:
    """Turn msgspec's "Expected ... - at `$.a.b`" into a field."""
    message, _, path = text.partition(" - at `")
    return {"message": message, "key": path.rstrip("`").removeprefix("$").removeprefix(".")}


def struct_info(cls: type[msgspec.Struct]) -> inspect.StructType:
    """Return what msgspec knows of a struct type."""
    return _type_info(cls)  # type: ignore[return-value]


@cache
def _type_info(cls: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(cls)


@cache
def _fields(cls: type[msgspec.Struct]) -> Mapping[str, inspect.Field]:
    return {field.encode_name: field for field in struct_info(cls).fields}


def takes_list(info: inspect.Type) -> bool:
    """Tell whether a type is a list, or a choice that includes one."""
    if isinstance(info, inspect.Metadata):
        return takes_list(info.type)
    if isinstance(info, inspect.UnionType):
        return any(takes_list(choice) for choice in info.types)
    return isinstance(info, _LISTS)


_LISTS = (inspect.VarTupleType, inspect.ListType, inspect.SetType, inspect.FrozenSetType)


def _walk(info: inspect.Type, value: Any, key: str, problems: _Problems) -> Any:
    walker = _WALKERS.get(type(info))
    return walker(info, value, key, problems) if walker else value


def _metadata(info: inspect.Metadata, value: Any, key: str, problems: _Problems) -> Any:
    return _walk(info.type, value, key, problems)


def _string(info: inspect.StrType, value: Any, key: str, problems: _Problems) -> Any:
    if not isinstance(value, str):
        problems.add(key, "must be a string")
    elif "\x00" in value:
        problems.add(key, "must not contain NUL characters")
    elif info.min_length is not None and len(value) < info.min_length:
        problems.add(key, "must not be empty" if info.min_length == 1 else f"is shorter than {info.min_length}")
    elif info.max_length is not None and len(value) > info.max_length:
        problems.add(key, f"must be at most {info.max_length} characters long")
    elif info.pattern is not None and not _pattern(info.pattern).search(value):
        problems.add(key, "has the wrong format")
    return value


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    """Compile as JSON Schema means it (ECMA-262): ``$`` is the end, never a line break before it."""
    return re.compile(f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern)


def _number(info: inspect.IntType | inspect.FloatType, value: Any, key: str, problems: _Problems) -> Any:
    whole = isinstance(info, inspect.IntType)
    if isinstance(value, str) and (_INTEGER if whole else _NUMBER).fullmatch(value):
        value = int(value.partition(".")[0]) if whole else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -SAFE_INTEGER <= value <= SAFE_INTEGER:
        problems.add(key, "must be an integer" if whole else "must be a number")
    elif whole and value != value // 1:
        problems.add(key, "must be an integer")
    elif (bound := info.ge if info.ge is not None else info.gt) is not None and value < bound:
        problems.add(key, f"must be at least {bound:g}")
    elif (bound := info.le if info.le is not None else info.lt) is not None and value > bound:
        problems.add(key, f"must be at most {bound:.15g}")
    elif whole:
        return int(value)
    return value


def _boolean(info: inspect.BoolType, value: Any, key: str, problems: _Problems) -> Any:
    if isinstance(value, bool):
        return value
    found = _BOOLEANS.get(str(value).lower()) if isinstance(value, str | int) else None
    if found is None:
        problems.add(key, "must be a boolean")
    return found


def _time(info: inspect.DateTimeType, value: Any, key: str, problems: _Problems) -> Any:
    try:
        time = datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        problems.add(key, "must be a date in ISO 8601 form")
        return value


def _nothing(info: inspect.NoneType, value: Any, key: str, problems: _Problems) -> Any:
    if value is not None:
        problems.add(key, "must be null")
    return value


def _literal(info: inspect.LiteralType, value: Any, key: str, problems: _Problems) -> Any:
    if isinstance(value, bool | float) or value not in info.values:
        problems.add(key, f"must be one of [{', '.join(sorted(map(str, info.values)))}]")
    return value


def _list(info: inspect.VarTupleType, value: Any, key: str, problems: _Problems) -> Any:
    if not isinstance(value, list):
        problems.add(key, "must be an array")
        return value
    if info.min_length is not None and len(value) < info.min_length:
        problems.add(key, f"must have at least {info.min_length} items")
    if info.max_length is not None and len(value) > info.max_length:
        problems.add(key, f"must have at most {info.max_length} items")
        return value
    return [_walk(info.item_type, item, f"{key}[{index}]", problems) for index, item in enumerate(value)]


def _dict(info: inspect.DictType, value: Any, key: str, problems: _Problems) -> Any:
    if not isinstance(value, dict):
        problems.add(key, "must be an object")
        return value
    return {
        _walk(info.key_type, name, _join(key, name), problems): _walk(info.value_type, item, _join(key, name), problems)
        for name, item in value.items()
    }


def _struct(info: inspect.StructType, value: Any, key: str, problems: _Problems) -> Any:
    if not isinstance(value, dict):
        problems.add(key, "must be an object")
        return value
    fields = _fields(info.cls)
    walked = {}
    for name, item in value.items():
        field = fields.get(name)
        if field is not None:
            walked[name] = _walk(field.type, item, _join(key, name), problems)
        elif name == info.tag_field:
            walked[name] = item
        elif info.forbid_unknown_fields:
            problems.add(_join(key, name), "is not allowed")
    for name, field in fields.items():
        if field.required and name not in value:
            problems.add(_join(key, name), "is required")
    return walked


def _anything(info: inspect.AnyType, value: Any, key: str, problems: _Problems) -> Any:
    level: list[Any] = [value]
    for _ in range(MOST_LEVELS):
        if any(isinstance(found, int) and not -SAFE_INTEGER <= found <= SAFE_INTEGER for found in level):
            problems.add(key, "holds a number that is too large")
        level = [item for found in level for item in _inside(found)]
        if not level:
            return value
    problems.add(key, f"is nested deeper than {MOST_LEVELS} levels")
    return None


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _union(info: inspect.UnionType, value: Any, key: str, problems: _Problems) -> Any:
    """Walk along the choice that fits the kind of value; failing that, along the first one that could be meant."""
    choices = [choice.type if isinstance(choice, inspect.Metadata) else choice for choice in info.types]
    for choice in choices:
        if _fits(choice, value):
            return _walk(choice, value, key, problems)
    meant = [choice for choice in choices if isinstance(choice, _SPELLED)] if isinstance(value, str | int) else []
    rest = [choice for choice in choices if not isinstance(choice, inspect.NoneType)]
    return _walk((meant or rest or choices)[0], value, key, problems)


_SPELLED = (inspect.BoolType, inspect.IntType, inspect.FloatType, inspect.DateTimeType, inspect.LiteralType)


def _fits(info: inspect.Type, value: Any) -> bool:
    if isinstance(info, inspect.StructType) and info.tag_field is not None:
        return isinstance(value, dict) and value.get(info.tag_field) == info.tag
    kinds = _KINDS.get(type(info))
    if kinds is None:
        return isinstance(info, inspect.AnyType)
    return isinstance(value, kinds) and (not isinstance(value, bool) or kinds == (bool,))


_KINDS: dict[type[inspect.Type], tuple[type, ...]] = {
    inspect.NoneType: (type(None),),
    inspect.BoolType: (bool,),
    inspect.IntType: (int,),
    inspect.FloatType: (int, float),
    inspect.StrType: (str,),
    inspect.StructType: (dict,),
    inspect.DictType: (dict,),
    inspect.VarTupleType: (list,),
    inspect.ListType: (list,),
}


def _join(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)


_WALKERS: dict[type[inspect.Type], Callable[[Any, Any, str, _Problems], Any]] = {
    inspect.Metadata: _metadata,
    inspect.StrType: _string,
    inspect.IntType: _number,
    inspect.FloatType: _number,
    inspect.BoolType: _boolean,
    inspect.DateTimeType: _time,
    inspect.NoneType: _nothing,
    inspect.LiteralType: _literal,
    inspect.VarTupleType: _list,
    inspect.ListType: _list,
    inspect.DictType: _dict,
    inspect.StructType: _struct,
    inspect.UnionType: _union,
    inspect.AnyType: _anything,
}

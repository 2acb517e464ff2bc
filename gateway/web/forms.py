"""Submitted forms: reading fields, and turning them into the structs that services take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.datastructures import UploadFile

from gateway.errors import InvalidRequestError

T = TypeVar("T")


class Form:
    """The fields of a submitted form."""

    def __init__(self, fields: Mapping[str, tuple[str, ...]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """Return a field without the space around it, empty when it was left out."""
        return self.secret(name).strip()

    def secret(self, name: str) -> str:
        """Return a field exactly as it was typed."""
        values = self._fields.get(name, ())
        return values[0] if values else ""

    def flag(self, name: str) -> bool:
        """Tell whether a box was ticked."""
        return bool(self.secret(name))

    def many(self, name: str) -> tuple[str, ...]:
        """Return every value of a group of boxes."""
        return tuple(value for value in self._fields.get(name, ()) if value)


async def read_form(request: Request[Any, Any, Any]) -> Form:
    """Return the form in the body of a request; uploads are ignored, as no page has any."""
    data = await request.form()
    fields: dict[str, tuple[str, ...]] = {}
    for name in data:
        fields[name] = tuple(value for value in data.getall(name) if not isinstance(value, UploadFile))
    return Form(fields)


def decode(values: Mapping[str, Any], type: type[T]) -> T:
    """Turn wire names and values into a struct.

    Raises:
        InvalidRequestError: a value is wrong; `fields` names it.
    """
    try:
        return msgspec.convert(dict(values), type)
    except msgspec.ValidationError as error:
        key, sentence = _explained(str(error))
        raise InvalidRequestError(sentence, fields=[{"key": key, "message": sentence}]) from error


def field_errors(error: InvalidRequestError) -> dict[str, str]:
    """Return what is wrong by field name; a problem of no single field stands under the empty name."""
    found: dict[str, str] = {}
    for entry in error.details.get("fields") or ():
        if isinstance(entry, Mapping) and entry.get("key"):
            found.setdefault(str(entry["key"]).partition(".")[0], str(entry.get("message", error.message)))
    return found or {"": error.message}


def _explained(message: str) -> tuple[str, str]:
    """Split msgspec's message into the member's name and a sentence."""
    reason, _, place = message.partition(" - at `$.")
    key = re.split(r"[.\[`]", place, maxsplit=1)[0]
    if limit := re.search(r"length <= (\d+)", reason):
        return key, f"At most {limit[1]} characters."
    if "length >= 1" in reason or reason.startswith("Object missing required field"):
        return key, "Fill this in."
    if "matching regex" in reason:
        return key, "This does not have the right form."
    return key, f"{reason}."

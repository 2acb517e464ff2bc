"""Reads query, body and timeout of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar.types import HTTPScope

from gateway.api.validation import struct_info, takes_list, validate
from gateway.errors import InvalidRequestError

S = TypeVar("S", bound=msgspec.Struct)

#: Members of a query string.
MOST_MEMBERS = 500
#: Milliseconds that a caller may ask to wait.
LONGEST_WAIT = 7_200_000

#: Names of the timeout header, the compatible one first.
TIMEOUT_HEADERS = ("x-ee-timeout", "x-gateway-timeout")

IDEMPOTENCY_HEADER = "idempotency-key"
#: Visible ASCII with spaces inside: HTTP takes those at the ends away, and knows no charset of headers.
IDEMPOTENCY_KEY = r"[!-~]([ -~]{0,254}[!-~])?"

#: The query parameter that may stand in every call in place of the Authorization header.
TOKEN_PARAMETER = "access_token"

#: Query parameters that any call may carry, documented or not; clients still send the second, which
#: asked for a store that is no more.
_IGNORED = frozenset({TOKEN_PARAMETER, "documentStore"})

_KEY = re.compile(IDEMPOTENCY_KEY, re.ASCII)
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;\s*charset=\"?utf-?8\"?\s*)?", re.IGNORECASE)


def read_headers(scope: HTTPScope) -> dict[str, str]:
    """Return the headers of a request, names in lower case; of one that was sent twice, the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def parse_query(query_string: bytes) -> dict[str, list[str]]:
    """Return the members of a query string.

    Raises:
        InvalidRequestError: it is not UTF-8, or has too many members.
    """
    if not query_string:
        return {}
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_MEMBERS,
        )
    except ValueError:
        raise InvalidRequestError("The query string is not valid percent-encoded UTF-8") from None
    members: dict[str, list[str]] = {}
    for name, value in pairs:
        members.setdefault(name, []).append(value)
    return members


def decode_query(members: Mapping[str, list[str]], cls: type[S]) -> S:
    """Return the query as a struct; a member that takes a list may be given once or several times.

    Raises:
        InvalidRequestError: with every mistake in ``fields``.
    """
    lists, named = _list_members(cls), cls.__struct_encode_fields__
    values: dict[str, Any] = {}
    repeated = []
    for name, found in members.items():
        if name in _IGNORED and name not in named:
            continue
        if name not in lists and len(found) > 1:
            repeated.append({"message": f'"{name[:100]}" must be given once', "key": name[:100]})
        values[name] = found if name in lists else found[0]
    if repeated:
        raise InvalidRequestError("Input validation failed", fields=repeated)
    return validate(values, cls)


@cache
def _list_members(cls: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in struct_info(cls).fields if takes_list(field.type))


class NoQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The query of an operation that takes none."""


def decode_body(body: bytes, content_type: str | None, cls: type[S]) -> S:
    """Return a JSON body as a struct; an absent body is an empty object.

    Raises:
        InvalidRequestError: it is not JSON, or with every mistake in ``fields``.
    """
    if not body:
        return validate({}, cls)
    if content_type and not _JSON.fullmatch(content_type.strip()):
        raise InvalidRequestError("The request body must be application/json in UTF-8", code="UnsupportedMediaType")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise InvalidRequestError("The request body is not valid JSON", code="InvalidJson") from None
    except RecursionError:
        raise InvalidRequestError("The request body is nested too deeply", code="InvalidJson") from None
    return validate(value, cls)


def read_idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Return the key of a request that must not be done twice, None when it has none; raises as the next one."""
    value = headers.get(IDEMPOTENCY_HEADER)
    return None if value is None else check_idempotency_key(value)


def check_idempotency_key(value: str) -> str:
    """Return a key that is one.

    Raises:
        InvalidRequestError: it is empty, too long, or holds anything but ASCII.
    """
    if not _KEY.fullmatch(value):
        problem = f'"{IDEMPOTENCY_HEADER}" must have 1 to 256 visible ASCII characters'
        fields = [{"message": problem, "key": IDEMPOTENCY_HEADER}]
        raise InvalidRequestError("Input validation failed", code="InvalidIdempotencyKey", fields=fields)
    return value


def read_timeout(headers: Mapping[str, str], default: float) -> float:
    """Return the seconds that the caller is prepared to wait; `default` when no header says so, or one says 0.

    Raises:
        InvalidRequestError: the header is not a number of milliseconds.
    """
    for name in TIMEOUT_HEADERS:
        value = headers.get(name)
        if value is None:
            continue
        if not (value.isascii() and value.isdigit()) or len(value) > 8 or int(value) > LONGEST_WAIT:
            problem = f'"{name}" must be a number of milliseconds between 0 and {LONGEST_WAIT}'
            raise InvalidRequestError("Input validation failed", fields=[{"message": problem, "key": name}])
        return int(value) / 1000 or default
    return default

"""Path parameters: what may stand in them, and how an encoded slash survives routing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.errors import InvalidRequestError
from gateway.services.queues import QUEUE_NAMES


@dataclass(frozen=True, slots=True)
class PathParameter:
    """A path parameter; `max_length` in characters, `values` when there are no others."""

    max_length: int
    description: str
    values: tuple[str, ...] = ()


PATH_PARAMETERS: Mapping[str, PathParameter] = {
    "account": PathParameter(256, "Account id"),
    "message": PathParameter(256, "Message id"),
    "text": PathParameter(4096, "Id of a message's text, from its `text.id`"),
    "attachment": PathParameter(2048, "Attachment id"),
    "app": PathParameter(256, "OAuth2 app id"),
    "token": PathParameter(128, "Token id, or the token itself"),
    "webhookRoute": PathParameter(256, "Webhook route id"),
    "template": PathParameter(256, "Template id"),
    "listId": PathParameter(253, "Id of a list, like a host name"),
    "gateway": PathParameter(256, "Id of a gateway"),
    "exportId": PathParameter(28, "Export id"),
    "queue": PathParameter(16, "Name of a queue", QUEUE_NAMES),
    "queueId": PathParameter(128, "Id of an outbox entry"),
}
OTHER = PathParameter(256, "Id")

#: Stands for an encoded slash while a path is routed. A lone surrogate cannot come out of decoding UTF-8.
_SLASH = "\udc2f"


def decode_path(raw: Mapping[str, str]) -> dict[str, str]:
    """Return path parameters with their slashes."""
    return {name: value.replace(_SLASH, "/") for name, value in raw.items()}


def check_path(path: Mapping[str, str]) -> None:
    """Refuse path parameters that nothing can be named.

    Raises:
        InvalidRequestError: one is too long or holds a control character.
    """
    fields = [
        {"message": f'"{name}" {problem}', "key": name}
        for name, value in path.items()
        if (problem := _problem(value, PATH_PARAMETERS.get(name, OTHER)))
    ]
    if fields:
        raise InvalidRequestError("Input validation failed", fields=fields)


def _problem(value: str, parameter: PathParameter) -> str | None:
    if parameter.values and value not in parameter.values:
        return f"must be one of [{', '.join(sorted(parameter.values))}]"
    if len(value) > parameter.max_length:
        return f"must be at most {parameter.max_length} characters long"
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
        return "must not contain control characters"
    # What an ASGI server makes of octets that are not UTF-8: lone surrogates, or the replacement character.
    if any(0xD800 <= ord(character) <= 0xDFFF or character == "\ufffd" for character in value):
        return "must be valid UTF-8"
    return None


def keep_encoded_slashes(app: ASGIApp) -> ASGIApp:
    """Wrap an application so that ``%2F`` inside a path parameter does not separate path segments.

    Account ids are the caller's choice and may hold a slash; ASGI servers decode a path before it is routed.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path") or b""
        if scope["type"] == ScopeType.HTTP and b"%2f" in raw.lower():
            parts = raw.split(b"?", 1)[0].replace(b"%2f", b"%2F").split(b"%2F")
            scope["path"] = _SLASH.join(unquote_to_bytes(part).decode("utf-8", "surrogateescape") for part in parts)
        await app(scope, receive, send)

    return wrapped

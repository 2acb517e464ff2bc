"""One call of Graph: whose mailbox, with which rights and preferences, and its path taken apart."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from gateway_sandbox.directory import Person
from gateway_sandbox.graph_errors import GraphError, bad_request
from gateway_sandbox.tokens import Bearer
from gateway_sandbox.web import Request, Response, json_response

PREFIX = "/graph/v1.0"
_UNREADABLE = "Unable to read JSON request payload. Please ensure the Content-Type header is set and payload is valid."
_KEY = re.compile(r"([^()]+)\('([^']*)'\)")
_PREFERENCE = re.compile(r'([\w.-]+)\s*=\s*(?:"([^"]*)"|([^\s,;]+))')
#: Of what a path may say in more than one way: parentheses and namespaces of functions and actions.
_QUALIFIED = re.compile(r"^microsoft\.graph\.|\(\)$", re.IGNORECASE)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was let in.

    Attributes:
        base: the address of the service, as the client wrote it.
        path: segments below the version, keys in parentheses as segments of their own.
        query: options by their names in lower case; system options begin with a dollar sign.
        mailbox: whose mail it is about; None outside ``/me`` and ``/users``.
        arguments: the segments that stand for the names in the route's braces.
    """

    request: Request
    base: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    bearer: Bearer
    mailbox: Person | None = None
    arguments: Mapping[str, str] = {}

    @property
    def owner(self) -> str:
        """The address of the mailbox.

        Raises:
            GraphError: the call is not about a mailbox.
        """
        if self.mailbox is None:
            raise bad_request("Resource not found for the segment.")
        return self.mailbox.address

    @property
    def immutable(self) -> bool:
        """Whether immutable ids are asked for."""
        return self.preferences().get("idtype", "").lower() == "immutableid"

    def preferences(self) -> dict[str, str]:
        """Return the fields of ``Prefer`` (RFC 7240), names in lower case."""
        found = _PREFERENCE.findall(self.request.headers.get("prefer", ""))
        return {name.lower(): quoted or plain for name, quoted, plain in found}

    def json(self) -> dict[str, Any]:
        """Return the body as an object, ``{}`` when there is none. Names begin with a lower-case letter.

        Raises:
            GraphError: it is not JSON.
        """
        if not self.request.body:
            return {}
        try:
            body = msgspec.json.decode(self.request.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise bad_request(_UNREADABLE) from error
        if not isinstance(body, dict):
            raise bad_request(_UNREADABLE)
        return {f"{name[:1].lower()}{name[1:]}": value for name, value in body.items()}

    @property
    def mime(self) -> bool:
        """Whether the body is a message in base64 and not JSON."""
        return self.request.headers.get("content-type", "").lower().startswith("text/plain")

    def context(self, what: str) -> str:
        """Return the value of ``@odata.context``."""
        user = "" if self.mailbox is None else f"users('{self.mailbox.object_id}')/"
        return f"{self.base}/$metadata#{user}{what}"

    def answer(self, value: Any, status: int = 200, *headers: tuple[str, str]) -> Response:
        """Return a JSON answer that says which preferences were heeded."""
        applied = [("preference-applied", 'IdType="ImmutableId"')] if self.immutable else []
        if (body := self.preferences().get("outlook.body-content-type")) is not None:
            applied.append(("preference-applied", f'outlook.body-content-type="{body}"'))
        joined = [("preference-applied", ", ".join(value for _, value in applied))] if applied else []
        return json_response(value, status, *joined, *headers)


Handler = Callable[[Call], Awaitable[Response]]


def segments(path: str) -> tuple[str, ...]:
    """Take the part of a path below the version apart."""
    found: list[str] = []
    for segment in path.strip("/").split("/"):
        plain = _QUALIFIED.sub("", segment)
        keyed = _KEY.fullmatch(plain)
        found.extend(keyed.groups() if keyed is not None else (plain,))
    return tuple(found)


def options(query: Mapping[str, str]) -> dict[str, str]:
    """Return query options by lower-case name; a system option may lack its dollar sign."""
    system = ("top", "skip", "select", "filter", "orderby", "search", "count", "expand", "skiptoken", "deltatoken")
    lower = {name.lower(): value for name, value in query.items()}
    return {f"${name}" if name in system else name: value for name, value in lower.items()}


class Table:
    """Which handler answers a method and a path. Segments match in any case, as Graph's do."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, tuple[str, ...], Handler]] = []

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Register a handler; ``{name}`` matches one segment."""
        self._routes.append((method, segments(path), handler))

    def find(self, method: str, path: tuple[str, ...]) -> tuple[Handler, dict[str, str]]:
        """Return the handler of a call and its arguments.

        Raises:
            GraphError: no such path, or not with this method.
        """
        allowed = False
        for wanted, pattern, handler in self._routes:
            arguments = _match(pattern, path)
            if arguments is None:
                continue
            if wanted == method:
                return handler, arguments
            allowed = True
        if allowed:
            raise GraphError(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
        last = path[-1] if path else ""
        raise bad_request(f"Resource not found for the segment '{last}'.")


def _match(pattern: tuple[str, ...], path: tuple[str, ...]) -> dict[str, str] | None:
    if len(pattern) != len(path):
        return None
    arguments: dict[str, str] = {}
    for wanted, found in zip(pattern, path, strict=True):
        if wanted.startswith("{"):
            arguments[wanted[1:-1]] = found
        elif wanted.lower() != found.lower():
            return None
    return arguments

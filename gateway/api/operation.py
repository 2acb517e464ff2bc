"""API operations: a typed function and everything that routing, tokens and documentation must know of it."""

from __future__ import annotations

import re
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import cleandoc, signature
from typing import Any, Literal

import msgspec

from gateway.model.token import Action, OperationGroup, Scope

Method = Literal["GET", "POST", "PUT", "DELETE"]

#: Which tokens of one account reach an operation: those whose account is in the path, those whose account is the
#: query parameter ``account``, the same where that may be left out and the controller then keeps to the token's
#: account, all of them where the controller itself keeps to the token's account, or none.
Binding = Literal["path", "query", "optional", "controller", "none"]

#: What a controller returns: a struct, JSON that is ready (`bytes`), or a `gateway.api.call.Download`, `EventStream`
#: or `Text`.
Controller = Callable[..., Awaitable[Any]]

#: Octets of a request body, unless the operation takes mail.
BODY_LIMIT = 1024 * 1024

PATH_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API.

    Attributes:
        operation_id: its name in generated clients.
        scope: the token scope it needs; None for operations open to anybody.
        action, group: what a narrowed token must be allowed (`gateway.model.token.TokenPermissions`).
        query, body: what it accepts.
        returns: the struct it answers, or a media type when it answers anything else.
        errors: status codes beyond those every operation can answer.
        takes_mail: its body may be as large as the installation allows mail to be.
        ranges: a part of what it answers can be asked for (RFC 9110 section 14).
        idempotent: with an Idempotency-Key it is done once.
    """

    method: Method
    path: str
    operation_id: str
    summary: str
    description: str
    tag: str
    scope: Scope | None
    action: Action
    group: OperationGroup
    binding: Binding
    query: type[msgspec.Struct] | None
    body: type[msgspec.Struct] | None
    returns: type[msgspec.Struct] | str
    errors: tuple[int, ...]
    takes_mail: bool
    ranges: bool
    idempotent: bool
    controller: Controller

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the path parameters, in order."""
        return tuple(PATH_PARAMETER.findall(self.path))


def operation(
    method: Method,
    path: str,
    *,
    operation_id: str,
    summary: str,
    tag: str,
    action: Action,
    group: OperationGroup,
    returns: type[msgspec.Struct] | str,
    scope: Scope | None = "api",
    binding: Binding | None = None,
    errors: tuple[int, ...] = (),
    takes_mail: bool = False,
    ranges: bool = False,
    idempotent: bool = False,
) -> Callable[[Controller], Operation]:
    """Make an operation of an async function.

    The function is given a `Call`, and by name a `query` and a `body` if it has such parameters; their annotations
    are the structs that are accepted. Its docstring is the operation's description.

    Args:
        binding: as of `Operation`; left out, the path decides.
    """

    def make(controller: Controller) -> Operation:
        accepted = _accepted(controller)
        return Operation(
            method=method,
            path=path,
            operation_id=operation_id,
            summary=summary,
            description=cleandoc(controller.__doc__ or ""),
            tag=tag,
            scope=scope,
            action=action,
            group=group,
            binding=binding or ("path" if "{account}" in path else "none"),
            query=accepted.get("query"),
            body=accepted.get("body"),
            returns=returns,
            errors=errors,
            takes_mail=takes_mail,
            ranges=ranges,
            idempotent=idempotent,
            controller=controller,
        )

    return make


def _accepted(controller: Controller) -> dict[str, type[msgspec.Struct]]:
    names = list(signature(controller).parameters)
    if not names or names[0] != "call" or not set(names[1:]) <= {"query", "body"}:
        raise TypeError(f"{controller.__name__} must take (call), and query and body if it needs them")
    hints = typing.get_type_hints(controller)
    return {name: hints[name] for name in names[1:]}

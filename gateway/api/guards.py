"""Who may call what: tokens, their scopes, accounts, permissions and restrictions."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

import msgspec

from gateway.api.errors import ForbiddenError, UnauthorizedError
from gateway.api.operation import Operation
from gateway.api.requests import TOKEN_PARAMETER
from gateway.api.services import Authenticator
from gateway.errors import RateLimitError
from gateway.model.token import Allowance, TokenRecord

_TOKEN = re.compile(r"[0-9a-fA-F]{64}")
_BEARER = re.compile(r"bearer +(\S+)\s*", re.IGNORECASE)


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """A token that may make the call; `allowance` is None unless the token has a rate limit."""

    token: TokenRecord
    allowance: Allowance | None = None


async def admit(
    operation: Operation,
    authenticator: Authenticator,
    *,
    headers: Mapping[str, str],
    query: Mapping[str, list[str]],
    path: Mapping[str, str],
    remote_address: str | None,
) -> Admission:
    """Authenticate a call and check that its token allows it.

    Raises:
        UnauthorizedError: no token, or not a valid one.
        ForbiddenError: the token does not allow this.
        RateLimitError: the token was used too often.
    """
    value = token_value(headers, query)
    token = await authenticator.authenticate(value) if value else None
    if token is None:
        raise UnauthorizedError("Missing or invalid access token")
    _check_restrictions(token, remote_address, headers.get("referer", ""))
    _check_scope(operation, token)
    _check_account(operation, token, path, query)
    _check_permissions(operation, token)
    allowance = None
    if token.restrictions is not None and token.restrictions.rate_limit is not None:
        allowance = await authenticator.count(token)
        if allowance.remaining < 0:
            raise RateLimitError("This token was used too often", retry_after=allowance.reset, limit=allowance.limit)
    await authenticator.used(token, remote_address)
    return Admission(token=token, allowance=allowance)


def token_value(headers: Mapping[str, str], query: Mapping[str, list[str]]) -> str | None:
    """Return the token of a request if it has the form of one: from the Authorization header, else from the query."""
    header = headers.get("authorization")
    if header is not None:
        match = _BEARER.fullmatch(header)
        value = match[1] if match else ""
    else:
        value = query.get(TOKEN_PARAMETER, [""])[0]
    return value if _TOKEN.fullmatch(value) else None


def _check_scope(operation: Operation, token: TokenRecord) -> None:
    if "*" not in token.scopes and operation.scope not in token.scopes:
        raise ForbiddenError("Unauthorized scope", requested_scope=operation.scope)


def _check_account(
    operation: Operation, token: TokenRecord, path: Mapping[str, str], query: Mapping[str, list[str]]
) -> None:
    left_open = operation.binding == "controller" or (operation.binding == "optional" and "account" not in query)
    if token.account is None or left_open:
        return
    named = query.get("account")
    asked = {"path": [path.get("account")], "query": named, "optional": named}.get(operation.binding)
    if asked != [token.account]:
        raise ForbiddenError("Unauthorized account")


def _check_permissions(operation: Operation, token: TokenRecord) -> None:
    if token.permissions is None:
        return
    actions, groups = token.permissions.actions, token.permissions.groups
    allowed = (
        operation.group != "admin"
        and (actions is not None or groups is not None)
        and (actions is None or operation.action in actions)
        and (groups is None or operation.group in groups)
    )
    if not allowed:
        required = {"action": operation.action, "group": operation.group}
        raise ForbiddenError("Unauthorized permission", required_permission=required)


def _check_restrictions(token: TokenRecord, remote_address: str | None, referrer: str) -> None:
    if token.restrictions is None:
        return
    addresses, referrers = token.restrictions.addresses, token.restrictions.referrers
    if addresses and not any(_inside(remote_address, network) for network in addresses):
        raise ForbiddenError("Unauthorized address", remote_address=remote_address)
    if referrers and not any(fnmatchcase(referrer.lower(), pattern.lower()) for pattern in referrers):
        raise ForbiddenError("Unauthorized referrer")


def _inside(address: str | None, network: str) -> bool:
    try:
        found = ipaddress.ip_address(address or "")
        wanted = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found) in wanted

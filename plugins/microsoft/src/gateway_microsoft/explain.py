"""What an error of the identity service means, in words for the person who has to act.

The numbers (AADSTS...) and their texts explain and never decide alone: Microsoft changes them
(https://learn.microsoft.com/entra/identity-platform/reference-error-codes). `classify` decides. The words are data,
``explanations.json``: rows by number, and rows by OAuth2 error code for numbers that nobody has described.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec

from gateway.errors import Actor, Remedy
from gateway.provider import CONSENT_STATE, OAuth2App
from gateway_microsoft.clouds import Cloud
from gateway_microsoft.scopes import requested_scopes, resource_scopes

Kind = Literal[
    "admin",
    "ambiguous",
    "backoff",
    "bug",
    "config",
    "consent",
    "consent_declined",
    "idempotency",
    "reauth",
    "retry",
    "stop",
    "throttled",
    "user",
]

_NUMBER = re.compile(r"AADSTS(\d{4,9})\b")
_ADDRESS = re.compile(r"""[^\s<>"'(),;:]+(?:@|%40)[^\s<>"'(),;]+""")
_RAW_LENGTH = 1000


class Explanation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of ``explanations.json``.

    Attributes:
        codes: AADSTS numbers or OAuth2 error codes that mean this.
        kind: what `classify` makes of it ("class" in the file).
        who: who has to act.
        steps: what to do; may hold {redirect_url}, {client_id}, {authority}, {cloud} and {scopes}.
        phrase: recognises errors without a number by their description.
    """

    codes: tuple[str, ...]
    title: str
    who: Actor
    kind: Kind = msgspec.field(name="class")
    steps: tuple[str, ...]
    retryable: bool = False
    phrase: str | None = None


class OAuthError(msgspec.Struct, frozen=True, kw_only=True):
    """An OAuth2 error response (RFC 6749 sections 4.1.2.1 and 5.2) with Microsoft's additions.

    Attributes:
        numbers: as "AADSTS50173", the most telling first.
    """

    error: str
    suberror: str = ""
    description: str = ""
    numbers: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def explanations() -> Mapping[str, Explanation]:
    """Return every explanation by each of its codes."""
    text = resources.files("gateway_microsoft").joinpath("explanations.json").read_bytes()
    rows = msgspec.json.decode(text, type=tuple[Explanation, ...])
    return MappingProxyType({code: row for row in rows for code in row.codes})


def parse_error(response: Mapping[str, Any]) -> OAuthError | None:
    """Take an error response apart; None when it is not one. Members of unexpected types count as absent."""
    error = response.get("error")
    if not isinstance(error, str) or not error:
        return None
    suberror = response.get("suberror") or response.get("error_subcode") or ""
    description = response.get("error_description")
    description = description if isinstance(description, str) else ""
    codes = response.get("error_codes")
    listed = [f"AADSTS{code}" for code in (codes if isinstance(codes, list) else []) if str(code).isdecimal()]
    written = [f"AADSTS{number}" for number in _NUMBER.findall(description)]
    numbers = tuple(dict.fromkeys((*listed, *written)))
    known = sorted(numbers, key=lambda number: number not in explanations())
    return OAuthError(
        error=error,
        suberror=suberror if isinstance(suberror, str) else "",
        description=description,
        numbers=tuple(known),
    )


def explanation_by_number(error: OAuthError) -> Explanation | None:
    """Return the row for the number or the wording of an error."""
    if error.numbers:
        return explanations().get(error.numbers[0])
    described = error.description.casefold()
    return next((row for row in explanations().values() if row.phrase is not None and row.phrase in described), None)


def remedy(error: OAuthError, app: OAuth2App, cloud: Cloud) -> Remedy:
    """Return what an error means and who has to do what about it.

    Microsoft's own words are kept in `Remedy.raw`, without mail addresses. Its ``error_uri`` is for developers and is
    not passed on.
    """
    native = error.numbers[0] if error.numbers else error.error
    row = explanation_by_number(error) or explanations().get(error.error)
    raw = _raw(error.description)
    if row is None:
        title = "Microsoft refused for a reason that is not known here"
        return Remedy(code=native, title=title, who="microsoft", retryable=True, raw=raw or _raw(error.error))
    consent = row.kind == "consent" or error.suberror == "consent_required"
    return Remedy(
        code=native,
        title=row.title,
        who=row.who,
        steps=_filled(row.steps, app, cloud),
        retryable=row.retryable,
        raw=raw,
        url=admin_consent_url(app, cloud) if consent else None,
    )


def admin_consent_url(app: OAuth2App, cloud: Cloud) -> str | None:
    """Return the link with which an administrator approves an app for the organisation.

    See https://learn.microsoft.com/entra/identity-platform/v2-admin-consent. Personal accounts have no administrator.
    """
    if app.authority == "consumers":
        return None
    tenant = "organizations" if app.authority == "common" else app.authority
    state = f"{CONSENT_STATE}{app.id}"
    query = urlencode({"client_id": app.client_id, "redirect_uri": app.redirect_url, "state": state})
    return f"{cloud.login}/{tenant}/adminconsent?{query}"


def _raw(text: str) -> str | None:
    """Return Microsoft's words on one line; cut first, because looking for addresses in a long one takes long."""
    return _ADDRESS.sub("<address>", " ".join(text[: 2 * _RAW_LENGTH].split()))[:_RAW_LENGTH] or None


def _filled(steps: tuple[str, ...], app: OAuth2App, cloud: Cloud) -> tuple[str, ...]:
    words = {
        "redirect_url": app.redirect_url,
        "client_id": app.client_id,
        "authority": app.authority,
        "cloud": cloud.name,
        "scopes": " ".join(resource_scopes(requested_scopes(app, cloud))),
    }
    return tuple(step.format_map(words) for step in steps)

"""What people and the administrator have granted: authorization codes, refresh tokens, consents."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from datetime import datetime

import msgspec

from gateway.provider import Clock
from gateway_sandbox.database import transaction

_CODE_LIFETIME = 600.0
_REFRESH_TOKEN_LIFETIME = 90 * 86400.0  # https://learn.microsoft.com/entra/identity-platform/refresh-tokens
#: The person under whom the administrator's approval for everybody is kept.
EVERYBODY = "*"


class CodeGrant(msgspec.Struct, frozen=True, kw_only=True):
    """What an authorization code stands for (RFC 6749 section 4.1.2)."""

    person: str
    client_id: str
    tenant: str
    redirect_uri: str
    scope: str
    nonce: str | None = None
    code_challenge: str | None = None
    code_challenge_method: str | None = None


class RefreshGrant(msgspec.Struct, frozen=True, kw_only=True):
    """What a refresh token stands for: bound to a person and an app, not to a resource."""

    person: str
    client_id: str
    scope: str


class GrantState(msgspec.Struct, frozen=True, kw_only=True):
    """A grant as found, with what speaks against it."""

    expired: bool
    spent: bool


class Grants:
    """Codes and refresh tokens are stored as digests: the file gives no one access."""

    def __init__(self, database: sqlite3.Connection, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def issue_code(self, grant: CodeGrant) -> str:
        """Return a new authorization code."""
        code = "1." + secrets.token_urlsafe(480)
        self._database.execute("DELETE FROM codes WHERE expires < ?", (self._now() - 86400,))
        self._database.execute(
            "INSERT INTO codes (digest, value, expires) VALUES (?, ?, ?)",
            (_digest(code), msgspec.json.encode(grant), self._now() + _CODE_LIFETIME),
        )
        return code

    def find_code(self, code: str) -> tuple[CodeGrant, GrantState] | None:
        """Return what a code stands for; `spent` when it was redeemed before."""
        row = self._database.execute(
            "SELECT value, expires, used FROM codes WHERE digest = ?", (_digest(code),)
        ).fetchone()
        if row is None:
            return None
        return msgspec.json.decode(row[0], type=CodeGrant), self._state(row[1], row[2])

    def spend_code(self, code: str) -> None:
        """Note that a code was redeemed."""
        self._database.execute("UPDATE codes SET used = 1 WHERE digest = ?", (_digest(code),))

    def issue_refresh_token(self, grant: RefreshGrant) -> str:
        """Return a new refresh token. Those before it stay valid, as they do at Entra."""
        token = "1.AX0" + secrets.token_urlsafe(720)
        self._database.execute(
            "INSERT INTO refresh_tokens (digest, value, person, expires) VALUES (?, ?, ?, ?)",
            (_digest(token), msgspec.json.encode(grant), grant.person, self._now() + _REFRESH_TOKEN_LIFETIME),
        )
        return token

    def find_refresh_token(self, token: str) -> tuple[RefreshGrant, GrantState] | None:
        """Return what a refresh token stands for; `spent` when it was revoked."""
        row = self._database.execute(
            "SELECT value, expires, revoked FROM refresh_tokens WHERE digest = ?", (_digest(token),)
        ).fetchone()
        if row is None:
            return None
        return msgspec.json.decode(row[0], type=RefreshGrant), self._state(row[1], row[2])

    def revoke(self, person: str | None) -> None:
        """Revoke the refresh tokens of one person or of everybody; this cannot be undone."""
        self._database.execute("UPDATE refresh_tokens SET revoked = 1 WHERE ?1 IS NULL OR person = ?1", (person,))

    def consent(self, person: str, client_id: str, resource: str, scopes: frozenset[str]) -> None:
        """Add scopes of a resource to what a person (or `EVERYBODY`) has allowed an app."""
        with transaction(self._database):
            scopes = scopes | self._scopes(person, client_id, resource)
            self._database.execute(
                "INSERT INTO consents VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET scopes = excluded.scopes, given = excluded.given",
                (person, client_id, resource, " ".join(sorted(scopes)), self._now()),
            )

    def consented(self, person: str, client_id: str, resource: str) -> frozenset[str]:
        """Return the scopes of a resource that a person or their administrator has allowed an app."""
        return self._scopes(person, client_id, resource) | self._scopes(EVERYBODY, client_id, resource)

    def consented_since(self, person: str, client_id: str, moment: datetime) -> bool:
        """Return whether a person or their administrator has allowed the app anything since then."""
        row = self._database.execute(
            "SELECT max(given) FROM consents WHERE person IN (?, ?) AND client_id = ?", (person, EVERYBODY, client_id)
        ).fetchone()
        return row[0] is not None and row[0] >= moment.timestamp()

    def _scopes(self, person: str, client_id: str, resource: str) -> frozenset[str]:
        row = self._database.execute(
            "SELECT scopes FROM consents WHERE person = ? AND client_id = ? AND resource = ?",
            (person, client_id, resource),
        ).fetchone()
        return frozenset() if row is None else frozenset(row[0].split())

    def _state(self, expires: float, spent: int) -> GrantState:
        return GrantState(expired=expires <= self._now(), spent=bool(spent))

    def _now(self) -> float:
        return self._clock().timestamp()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

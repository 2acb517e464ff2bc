"""JWT access and ID tokens with the claims Microsoft's have, and the check the mail servers do on them.

Claims: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
"""

from __future__ import annotations

import secrets
import sqlite3
import uuid
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from gateway.provider import Clock
from gateway_sandbox import directory
from gateway_sandbox.grants import EVERYBODY

DEFAULT_LIFETIME = 3600
#: Real access tokens for Exchange have about this size; the servers between client and mailbox must take it.
_FILLING = 900


class InvalidTokenError(Exception):
    """An access token that does not open anything."""


class Bearer(msgspec.Struct, frozen=True, kw_only=True):
    """What a valid access token says.

    Attributes:
        person: who it is for; None for an app-only token.
        scopes: delegated scopes, or the roles of an app-only token.
        expires: seconds since the epoch.
        generation: which generation of tokens it belongs to.
    """

    person: str | None
    audience: str
    scopes: frozenset[str]
    expires: float
    generation: tuple[int, int]


class Tokens:
    """Signs tokens and says whether one is good.

    Attributes:
        lifetime: seconds for which new access tokens are good.
    """

    def __init__(self, database: sqlite3.Connection, clock: Clock, origin: str) -> None:
        self._database = database
        self._clock = clock
        self._origin = origin
        self._key = _signing_key(database)
        self.lifetime = DEFAULT_LIFETIME

    @property
    def public_keys(self) -> dict[str, Any]:
        """The key set that verifies the tokens (RFC 7517 section 5)."""
        key = self._key.as_dict(private=False)
        return {"keys": [{**key, "x5t": key["kid"], "issuer": f"{self._origin}/{{tenantid}}/v2.0"}]}

    @property
    def issuer(self) -> str:
        """The issuer of every token, whichever tenant alias was asked."""
        return f"{self._origin}/{directory.TENANT_ID}/v2.0"

    def access_token(self, *, person: directory.Person, client_id: str, resource: str, scopes: frozenset[str]) -> str:
        """Sign a delegated access token."""
        return self._sign(
            {
                **self._claims(resource, client_id),
                **_who(person),
                "scp": " ".join(sorted(scopes)),
                "generation": self._generation(person.address),
                "upn": person.address,
                "unique_name": person.address,
            }
        )

    def app_token(self, *, client_id: str, resource: str) -> str:
        """Sign an app-only access token."""
        return self._sign(
            {
                **self._claims(resource, client_id),
                "oid": client_id,
                "sub": client_id,
                "idtyp": "app",
                "roles": list(directory.ROLES[resource]),
                "generation": self._generation(EVERYBODY),
            }
        )

    def id_token(self, *, person: directory.Person, client_id: str, nonce: str | None) -> str:
        """Sign an ID token (OpenID Connect Core section 2)."""
        now = int(self._clock().timestamp())
        claims: dict[str, Any] = {
            "aud": client_id,
            "iss": self.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "tid": directory.TENANT_ID,
            "ver": "2.0",
            **_who(person),
        }
        if nonce is not None:
            claims["nonce"] = nonce
        return self._sign(claims)

    def verify(self, token: str) -> Bearer:
        """Return what an access token says.

        Raises:
            InvalidTokenError: it is not ours, has run out, or was revoked.
        """
        try:
            claims = jwt.decode(token, self._key, algorithms=["RS256"]).claims
            bearer = Bearer(
                person=claims.get("upn"),
                audience=claims["aud"],
                scopes=frozenset(claims["scp"].split() if "scp" in claims else claims["roles"]),
                expires=float(claims["exp"]),
                generation=(claims["generation"][0], claims["generation"][1]),
            )
        except (JoseError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
            raise InvalidTokenError("not an access token of this issuer") from error
        if not self.still_good(bearer):
            raise InvalidTokenError("run out or revoked")
        return bearer

    def still_good(self, bearer: Bearer) -> bool:
        """Return whether a token that was good has neither run out nor been revoked."""
        everybody, own = self._generation(bearer.person or EVERYBODY)
        fresh = bearer.generation[0] >= everybody and bearer.generation[1] >= own
        return fresh and self._clock().timestamp() < bearer.expires

    def seconds_left(self, bearer: Bearer) -> float:
        """Return for how many seconds a token is good if nobody revokes it."""
        return max(0.0, bearer.expires - self._clock().timestamp())

    def invalidate(self, person: str | None = None) -> None:
        """Make the access tokens that are out, of one person or of everybody, worthless."""
        self._database.execute(
            "INSERT INTO token_generations VALUES (?, 1) ON CONFLICT DO UPDATE SET generation = generation + 1",
            (EVERYBODY if person is None else person,),
        )

    def reset_lifetime(self) -> None:
        """Give new access tokens the usual lifetime again."""
        self.lifetime = DEFAULT_LIFETIME

    def _generation(self, person: str) -> tuple[int, int]:
        rows = dict(
            self._database.execute(
                "SELECT person, generation FROM token_generations WHERE person IN (?, ?)", (person, EVERYBODY)
            ).fetchall()
        )
        return rows.get(EVERYBODY, 0), rows.get(person, 0)

    def _claims(self, resource: str, client_id: str) -> dict[str, Any]:
        now = int(self._clock().timestamp())
        return {
            "aud": resource,
            "iss": self.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime,
            "app_displayname": directory.APP_NAME,
            "appid": client_id,
            "appidacr": "1",
            "tid": directory.TENANT_ID,
            "ver": "1.0",
            "uti": secrets.token_urlsafe(16),
            "aio": secrets.token_urlsafe(_FILLING),
        }

    def _sign(self, claims: dict[str, Any]) -> str:
        header = {"alg": "RS256", "typ": "JWT", "kid": self._key.kid}
        return jwt.encode(header, claims, self._key, algorithms=["RS256"])


def _who(person: directory.Person) -> dict[str, str]:
    return {
        "name": person.name,
        "oid": person.object_id,
        "sub": f"sub-{person.object_id}",
        "preferred_username": person.address,
        "email": person.address,
        "tid": directory.TENANT_ID,
    }


def _signing_key(database: sqlite3.Connection) -> RSAKey:
    row = database.execute("SELECT value FROM facts WHERE name = 'signing_key'").fetchone()
    if row is not None:
        return RSAKey.import_key(msgspec.json.decode(row[0]))
    key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": uuid.uuid4().hex}, private=True)
    value = msgspec.json.encode(key.as_dict(private=True)).decode()
    database.execute("INSERT INTO facts VALUES ('signing_key', ?)", (value,))
    return key

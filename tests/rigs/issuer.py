"""The key and the name under which access tokens are issued, shared by identity provider and mail servers."""

from __future__ import annotations

import secrets
import time
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from tests.rigs.ports import reserve_port

MAIL_RESOURCE = "https://outlook.office.com"
IMAP_SCOPE = f"{MAIL_RESOURCE}/IMAP.AccessAsUser.All"
SMTP_SCOPE = f"{MAIL_RESOURCE}/SMTP.Send"
CLIENT_ID = "6f5b1c1e-8a43-4c55-9d0c-2f4f3a9f7b10"
# About what Entra ID issues: lines of this size are what servers and clients fail on first.
_ENTRA_TOKEN_SIZE = 2_700


class TokenIssuer:
    """Signs access tokens as the identity provider does, so that a mail server can be tested without running one."""

    def __init__(self) -> None:
        """Make a new RS256 key and reserve the port that the identity provider will listen on."""
        self.key_id = "rig-1"
        self._key = RSAKey.generate_key(2048, {"kid": self.key_id, "alg": "RS256", "use": "sig"})
        self.port = reserve_port()
        self.url = f"https://localhost:{self.port}/common"

    @property
    def public_pem(self) -> bytes:
        """What a resource server checks signatures with."""
        return self._key.as_pem(private=False)

    @property
    def private_jwk(self) -> dict[str, Any]:
        """What the identity provider signs with."""
        return dict(self._key.as_dict(private=True))

    def mint(
        self,
        user: str,
        scope: str = f"{IMAP_SCOPE} {SMTP_SCOPE}",
        *,
        lifetime: float = 3600,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """An access token of Entra ID's claims and size for `user`, valid for `lifetime` seconds from now.

        `header` and `claims` replace single values, to make the tokens that must be refused.
        """
        now = time.time()
        content = {
            "iss": self.url,
            "aud": MAIL_RESOURCE,
            "azp": CLIENT_ID,
            "jti": secrets.token_urlsafe(16),
            # Five minutes ago, as Entra ID says. A server that checks it within milliseconds, by a clock that is read
            # in ticks (time(2) of glibc), takes a token of this second for one of the future.
            "iat": int(now) - 300,
            "exp": int(now + lifetime),
            "issued_ms": now * 1000,
            "sub": user,
            "upn": user,
            "scope": scope,
            "scp": scope.replace(f"{MAIL_RESOURCE}/", ""),
        }
        content["pad"] = "x" * max(0, (_ENTRA_TOKEN_SIZE * 3 // 4) - len(str(content)) - 300)
        protected = {"alg": "RS256", "kid": self.key_id, "typ": "JWT"}
        return jwt.encode({**protected, **(header or {})}, {**content, **claims}, self._key)

    def claims(self, token: str) -> dict[str, Any] | None:
        """The claims of a token of this issuer's, whatever its age, or None if its signature is another's."""
        try:
            return dict(jwt.decode(token, self._key).claims)
        except (JoseError, ValueError):
            return None

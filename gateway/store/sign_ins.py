"""Sign-ins under way and the links that led to them; each is used once."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.model.account import FormRequest
from gateway.redis import keys
from gateway.store.store import Store

#: Seconds in which an administrator's approval counts once.
CONSENT = 20

#: Seconds a person has to finish signing in at the provider.
SIGN_IN = 24 * 3600


class PendingSignIn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has to be known when the browser comes back with a code.

    Attributes:
        app: id of the OAuth2 app.
        flow: what `Identity.exchange` needs back.
        payload: the account to create, as JSON of `AccountCreate` without OAuth2 members.
        browser: SHA-256 of the secret in the browser's cookie; None for links that no browser asked us for.
        nonce: the hosted form's link that is used up by success.
        retry: where to start again.
    """

    app: str
    url: str
    flow: dict[str, Any]
    form: FormRequest | None = None
    payload: str | None = None
    redirect_url: str | None = None
    browser: str | None = None
    nonce: str | None = None
    retry: str | None = None
    shared: str | None = None


class SignInStore:
    """Pending sign-ins (sealed: the PKCE verifier is a secret) and used form links, in the control tier."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, state: str, pending: PendingSignIn) -> None:
        """Remember a sign-in."""
        sealed = self._store.cipher.seal(msgspec.json.encode(pending).decode(), f"sign-in:{state}")
        await self._store.control.call("SET", keys.sign_in(state), sealed, "EX", SIGN_IN)

    async def get(self, state: str) -> PendingSignIn | None:
        """Return a sign-in without using it up."""
        return self._decode(state, await self._store.control.call("GET", keys.sign_in(state)))

    async def take(self, state: str) -> PendingSignIn | None:
        """Return a sign-in and forget it, in one step."""
        return self._decode(state, await self._store.control.call("GETDEL", keys.sign_in(state)))

    async def claim_form(self, nonce: str) -> bool:
        """Use up a form link; False when it was used before."""
        return bool(await self._store.control.call("SET", keys.form_nonce(nonce), "1", "NX", "EX", SIGN_IN))

    async def release_form(self, nonce: str) -> None:
        """Make a form link usable again, because what it was used for failed."""
        await self._store.control.call("DEL", keys.form_nonce(nonce))

    async def form_used(self, nonce: str) -> bool:
        """Tell whether a form link was used up."""
        return bool(await self._store.control.call("EXISTS", keys.form_nonce(nonce)))

    async def claim_consent(self, app: str) -> bool:
        """Note that an administrator came back; False when that was noted a moment ago."""
        return bool(await self._store.control.call("SET", keys.consent(app), "1", "NX", "EX", CONSENT))

    async def count_probe(self, nonce: str) -> int:
        """Count one connection test made through a form link."""
        count = int(await self._store.control.call("INCR", keys.form_probes(nonce)))
        if count == 1:
            await self._store.control.call("EXPIRE", keys.form_probes(nonce), SIGN_IN)
        return count

    def _decode(self, state: str, sealed: bytes | None) -> PendingSignIn | None:
        if sealed is None:
            return None
        return msgspec.json.decode(self._store.cipher.open(sealed.decode(), f"sign-in:{state}"), type=PendingSignIn)

"""Secrets at rest: AES-256-GCM with the record's identity as associated data, keys that rotate online.

A sealed value is ``1.<key id>.<base64 of nonce and ciphertext>``. The key id lets every value be opened with the key it
was sealed with while new values use the newest key; the associated data keeps a value from being moved to another
record (NIST SP 800-38D).
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import ConfigurationError

_NONCE = 12


class Cipher:
    """Seals with the newest key of a key ring and opens with any of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ConfigurationError(
                "GATEWAY_SECRET_KEYS is not set: without a key no secret can be stored; "
                "`gateway secrets generate` makes one"
            )
        self._ring = {key_id(key): AESGCM(key) for key in keys}
        self.newest = key_id(keys[0])

    def seal(self, secret: str, identity: str) -> str:
        """Encrypt `secret` for the record and field named by `identity`."""
        return f"1.{self.newest}.{base64.b64encode(self._box(secret.encode(), identity)).decode()}"

    def seal_octets(self, content: bytes | memoryview, identity: str) -> bytes:
        """Encrypt octets like `seal`; what is sealed is not base64."""
        return b"1.%b.%b" % (self.newest.encode(), self._box(content, identity))

    def open(self, sealed: str, identity: str) -> str:
        """Decrypt a sealed value.

        Raises:
            ConfigurationError: its key is not in the key ring, or it was sealed for another record.
        """
        version, _, rest = sealed.partition(".")
        name, _, text = rest.partition(".")
        return self._unboxed(self._key(version, name), base64.b64decode(text), identity).decode()

    def open_octets(self, sealed: bytes, identity: str) -> bytes:
        """Decrypt what `seal_octets` returned. Raises like `open`."""
        version, name, box = sealed.split(b".", 2)
        return self._unboxed(self._key(version.decode(), name.decode()), box, identity)

    def _box(self, content: bytes | memoryview, identity: str) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._ring[self.newest].encrypt(nonce, content, identity.encode())

    def _key(self, version: str, name: str) -> AESGCM:
        key = self._ring.get(name)
        if version != "1" or key is None:
            raise ConfigurationError(f"a stored secret needs the key {name!r}, which GATEWAY_SECRET_KEYS does not hold")
        return key

    def _unboxed(self, key: AESGCM, box: bytes, identity: str) -> bytes:
        try:
            return key.decrypt(box[:_NONCE], box[_NONCE:], identity.encode())
        except InvalidTag as error:
            raise ConfigurationError("a stored secret does not belong to the record it stands in") from error


def key_id(key: bytes) -> str:
    """Return the public name of a key."""
    return hashlib.sha256(b"gateway key id" + key).hexdigest()[:8]

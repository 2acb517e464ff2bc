"""Links in sent mail: signed, and valid as long as the mail may be read.

``data`` is the base64url JSON of what the link is about; ``sig`` is its HMAC-SHA256, with a purpose, so that no link is
taken for one of another kind.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from gateway.services.form_link import encode, invalid_link

S = TypeVar("S", bound=msgspec.Struct)


def signed_link(address: str, key: bytes, purpose: bytes, content: msgspec.Struct) -> str:
    """Return the address with a query that carries `content`."""
    data = msgspec.json.encode(content)
    return f"{address}?{urlencode({'data': encode(data), 'sig': _signature(key, purpose, data)})}"


def read_signed(key: bytes, purpose: bytes, data: str, signature: str, cls: type[S]) -> S:
    """Check the query of a link and return what it carries.

    Raises:
        RequestError: it is forged or damaged (code InvalidLink).
    """
    try:
        text = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
    except (binascii.Error, ValueError) as error:
        raise invalid_link() from error
    if not hmac.compare_digest(_signature(key, purpose, text).encode(), signature.encode(errors="replace")):
        raise invalid_link()
    try:
        return msgspec.json.decode(text, type=cls)
    except msgspec.DecodeError as error:
        raise invalid_link() from error


def _signature(key: bytes, purpose: bytes, data: bytes) -> str:
    return encode(hmac.new(key, purpose + b"\0" + data, hashlib.sha256).digest())

"""Links to the hosted form: signed, expiring, used once.

``data`` is the base64url JSON of the request with a nonce and the time it was made; ``sig`` is its HMAC-SHA256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec

from gateway.errors import RequestError
from gateway.model.account import FormRequest

#: How long a link can be used.
LIFE = timedelta(hours=24) - timedelta(minutes=1)


class LinkData(msgspec.Struct, frozen=True, kw_only=True):
    """What a link carries: the request, its nonce `n` and the time `t` in milliseconds."""

    request: FormRequest
    nonce: str
    made: datetime


def invalid_link() -> RequestError:
    """Return the error for a link that is forged, expired or used up."""
    return RequestError("Invalid or expired account setup URL", code="InvalidLink")


def encode(text: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def make_link(service_url: str, key: bytes, request: FormRequest, now: datetime) -> str:
    """Return a new link to the hosted form."""
    wire: dict[str, Any] = {
        name: value
        for name, value in msgspec.to_builtins(request).items()
        if value not in (None, False, "") and name != "type"
    }
    wire |= {"n": encode(secrets.token_bytes(16)), "t": int(now.timestamp() * 1000)}
    data = msgspec.json.encode(wire)
    query = {"data": encode(data), "sig": _signature(key, data)}
    if request.type:
        query["type"] = str(request.type)
    return f"{service_url}/accounts/new?{urlencode(query)}"


def read_link(key: bytes, data: str, signature: str, now: datetime) -> LinkData:
    """Check a link and return what it carries.

    Raises:
        RequestError: it is forged, damaged or expired (code InvalidLink).
    """
    try:
        text = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
    except (binascii.Error, ValueError) as error:
        raise invalid_link() from error
    if not hmac.compare_digest(_signature(key, text).encode(), signature.encode(errors="replace")):
        raise invalid_link()
    try:
        wire = msgspec.json.decode(text, type=dict[str, Any])
        nonce, made = wire.pop("n"), datetime.fromtimestamp(wire.pop("t") / 1000, UTC)
        wire.setdefault("redirectUrl", "")
        request = msgspec.convert(wire, FormRequest)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise invalid_link() from error
    if not now - LIFE <= made <= now + timedelta(minutes=5):
        raise invalid_link()
    return LinkData(request=request, nonce=nonce, made=made)


def _signature(key: bytes, data: bytes) -> str:
    return encode(hmac.new(key, data, hashlib.sha256).digest())

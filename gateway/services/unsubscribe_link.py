"""Links by which recipients leave a list: signed, and valid as long as the mail may be read.

``data`` is the base64url JSON of what the link is about; ``sig`` is its HMAC-SHA256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from urllib.parse import urlencode

import msgspec

from gateway.services.form_link import encode, invalid_link

#: A link stands in one header line of at most 998 octets (RFC 5322 section 2.1.1).
_LONGEST = 900


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient of a list, and the message that the link stood in."""

    account: str = msgspec.field(name="a")
    list_id: str = msgspec.field(name="l")
    recipient: str = msgspec.field(name="r")
    message_id: str | None = msgspec.field(name="m", default=None)

    def __repr__(self) -> str:
        return "Subscription()"


def make_link(service_url: str, key: bytes, subscription: Subscription) -> str:
    """Return the address; a Message-ID for which there is no room is left out."""
    link = _link(service_url, key, subscription)
    if len(link) <= _LONGEST or subscription.message_id is None:
        return link
    return _link(service_url, key, msgspec.structs.replace(subscription, message_id=None))


def read_link(key: bytes, data: str, signature: str) -> Subscription:
    """Check a link and return what it carries.

    Raises:
        RequestError: it is forged or damaged (code InvalidLink).
    """
    try:
        text = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
    except (binascii.Error, ValueError) as error:
        raise invalid_link() from error
    if not hmac.compare_digest(_signature(key, text).encode(), signature.encode(errors="replace")):
        raise invalid_link()
    try:
        return msgspec.json.decode(text, type=Subscription)
    except msgspec.DecodeError as error:
        raise invalid_link() from error


def _link(service_url: str, key: bytes, subscription: Subscription) -> str:
    data = msgspec.json.encode(subscription)
    return f"{service_url}/unsubscribe?{urlencode({'data': encode(data), 'sig': _signature(key, data)})}"


def _signature(key: bytes, data: bytes) -> str:
    # With a purpose, so that no other link signed with this key is taken for one of these.
    return encode(hmac.new(key, b"gateway.unsubscribe\0" + data, hashlib.sha256).digest())

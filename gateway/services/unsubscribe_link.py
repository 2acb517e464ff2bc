"""Links by which recipients leave a list."""

from __future__ import annotations

import msgspec

from gateway.services.signed_link import read_signed, signed_link

_PURPOSE = b"gateway.unsubscribe"

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
    address = f"{service_url}/unsubscribe"
    link = signed_link(address, key, _PURPOSE, subscription)
    if len(link) <= _LONGEST or subscription.message_id is None:
        return link
    return signed_link(address, key, _PURPOSE, msgspec.structs.replace(subscription, message_id=None))


def read_link(key: bytes, data: str, signature: str) -> Subscription:
    """Check a link and return what it carries.

    Raises:
        RequestError: it is forged or damaged (code InvalidLink).
    """
    return read_signed(key, _PURPOSE, data, signature, Subscription)

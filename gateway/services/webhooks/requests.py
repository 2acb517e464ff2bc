"""What is sent to an endpoint: the reference's headers and signature, and those of Standard Webhooks.

https://www.standardwebhooks.com: `webhook-id` is the event's id, the same at every attempt; `webhook-signature` holds
one signature for each secret that is live, so that a receiver may change over whenever it likes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as random_secrets
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from gateway.model.account import CustomHeader
from gateway.model.oauth2 import MASK
from gateway.model.webhook import DEFAULT_ENDPOINT

SECRET_PREFIX = "whsec_"
_SECRET_OCTETS = 32

#: Says that the event was delivered before; a receiver that keeps ids knows it by its id anyway.
REPLAY_HEADER = "X-Gateway-Replay"


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """In whose name deliveries are made: the keys that they are signed with; `webhook_secrets` newest first."""

    service_url: str | None
    service_secret: bytes
    webhook_secrets: tuple[str, ...]

    def __repr__(self) -> str:
        return "Sender()"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint; `attempt` counts from 0, `waited` is in seconds."""

    event_id: str
    body: bytes
    attempt: int
    waited: float
    route: str | None = None
    replay: bool = False

    def __repr__(self) -> str:
        return f"Message({self.event_id!r})"

    @property
    def id(self) -> str:
        """Of this event at this endpoint, the same at every attempt: some receivers drop what has an id they know."""
        return f"{self.event_id}-{self.route or DEFAULT_ENDPOINT}"


def new_secret() -> str:
    """Return a new Standard Webhooks secret."""
    return SECRET_PREFIX + base64.b64encode(random_secrets.token_bytes(_SECRET_OCTETS)).decode()


def secret_key(secret: str) -> bytes:
    """Return the key of a Standard Webhooks secret.

    Raises:
        ValueError: it is none, or has not between 24 and 64 octets.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("is not base64") from error
    if not secret.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError("must be whsec_ and 24 to 64 octets in base64")
    return key


def headers(message: Message, custom: Sequence[CustomHeader], sender: Sender, now: datetime) -> dict[str, str]:
    """Return the headers of a delivery; custom ones come first, so that they cannot replace those of the gateway."""
    own = {
        "Content-Type": "application/json",
        "X-EE-Wh-Id": message.id,
        "X-EE-Wh-Attempts-Made": str(message.attempt),
        "X-EE-Wh-Queued-Time": f"{max(0, round(message.waited))}s",
        "X-EE-Wh-Event-Id": message.event_id,
        "X-EE-Wh-Signature": service_signature(message.body, sender.service_secret),
        **standard_headers(message.event_id, message.body, sender.webhook_secrets, now),
    }
    if message.route is not None:
        own["X-EE-Wh-Custom-Route"] = message.route
    if message.replay:
        own[REPLAY_HEADER] = "true"
    taken = {name.lower() for name in own} | {"host", "content-length", "transfer-encoding", "connection"}
    chosen: dict[str, str] = {}
    for header in custom:
        if header.key.lower() not in taken:
            # The last one of a name holds: the account's are behind those of the endpoint.
            chosen = {name: value for name, value in chosen.items() if name.lower() != header.key.lower()}
            chosen[header.key] = header.value
    return {**chosen, **own}


def service_signature(body: bytes, secret: bytes) -> str:
    """Return the reference's signature: HMAC-SHA256 of the body in base64url, without padding."""
    return base64.urlsafe_b64encode(hmac.digest(secret, body, hashlib.sha256)).decode().rstrip("=")


def standard_headers(event_id: str, body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """Return the headers of Standard Webhooks."""
    stamp = str(int(now.timestamp()))
    signed = b".".join((event_id.encode(), stamp.encode(), body))
    signatures = [
        base64.b64encode(hmac.digest(secret_key(secret), signed, hashlib.sha256)).decode() for secret in secrets
    ]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def shown(sent: Mapping[str, str], custom: Sequence[CustomHeader]) -> dict[str, str]:
    """Return headers as they may be shown to an operator."""
    secret = {header.key.lower() for header in custom} | {"authorization"}
    return {name: MASK if name.lower() in secret else value for name, value in sent.items()}

"""Control headers: what a finished message asks of the gateway, in header fields that are not sent with it.

Programs that can only hand over a message, through SMTP as a rule, say by them what others say in members of a request.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.mime.decode import unfold
from gateway.mime.headers import HeaderBlock
from gateway.model.submission import SubmitRequest
from gateway.services.account_payload import invalid
from gateway.services.outgoing import finished

SEND_AT = "X-EE-Send-At"
DELIVERY_ATTEMPTS = "X-EE-Delivery-Attempts"
GATEWAY = "X-EE-Gateway"
IDEMPOTENCY_KEY = "X-EE-Idempotency-Key"
TRACKING_ENABLED = "X-EE-Tracking-Enabled"
ACCOUNT = "X-EE-Account"

_ALL = (SEND_AT, DELIVERY_ATTEMPTS, GATEWAY, IDEMPOTENCY_KEY, TRACKING_ENABLED, ACCOUNT)


class Controls(msgspec.Struct, frozen=True, kw_only=True):
    """What control headers said.

    Attributes:
        raw: the message without them; all its other octets are as they were.
        send_at: not before this time, aware.
        delivery_attempts: at most so many.
        gateway: id of the relay to send through.
        idempotency_key: see `Idempotency-Key` of the API.
    """

    raw: bytes
    send_at: datetime | None = None
    delivery_attempts: int | None = None
    gateway: str | None = None
    idempotency_key: str | None = None


def take_controls(raw: bytes) -> Controls:
    """Take the control headers off a message; of several of one name the first counts.

    `TRACKING_ENABLED` and `ACCOUNT` are taken off without effect: a finished message is sent as it is, and whoever
    sends it has logged in.

    Raises:
        InvalidRequestError: a value makes no sense; its details name the header.
    """
    block = HeaderBlock(raw)
    said = {name: unfold(values[0]) for name in _ALL if (values := block.values(name))}
    if not said:
        return Controls(raw=raw)
    for name in said:
        block.remove(name)
    return Controls(
        raw=block.octets(),
        send_at=_read(said, SEND_AT, _time, "must be a time (ISO 8601)"),
        delivery_attempts=_read(said, DELIVERY_ATTEMPTS, _attempts, "must be a number from 1 to 100"),
        gateway=_read(said, GATEWAY, str, ""),
        idempotency_key=_read(said, IDEMPOTENCY_KEY, str, ""),
    )


def with_controls(request: SubmitRequest) -> SubmitRequest:
    """Return a request with what the control headers of its finished message say; its own members go first.

    Raises:
        InvalidRequestError: `raw` is no base64, or a header makes no sense.
    """
    if request.raw is None:
        return request
    given = finished(request.raw)
    said = take_controls(given)
    if said.raw is given:
        return request
    return msgspec.structs.replace(
        request,
        raw=base64.b64encode(said.raw).decode(),
        send_at=request.send_at or said.send_at,
        delivery_attempts=request.delivery_attempts or said.delivery_attempts,
        gateway=request.gateway or said.gateway,
    )


def _read(said: dict[str, str], name: str, read: Callable[[str], Any], message: str) -> Any:
    value = said.get(name)
    if not value:
        return None
    try:
        return read(value)
    except ValueError as error:
        raise invalid(name, message) from error


def _time(value: str) -> datetime:
    found = datetime.fromisoformat(value)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _attempts(value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value[:4]) <= 100):
        raise ValueError
    return int(value)

"""What the server answers instead of raising: reply codes (RFC 5321 section 4.2) and enhanced ones (RFC 3463)."""

from __future__ import annotations

from gateway.errors import (
    GatewayError,
    InvalidRequestError,
    RateLimitError,
    RequestError,
    ResourceNotFoundError,
    TransientError,
)

LATER = "451 4.3.0 The gateway cannot take mail now; try again later"


def reply_to(error: GatewayError) -> str:
    """Return the reply that tells of an error; what may pass is told as such."""
    match error:
        case RateLimitError():
            return "451 4.7.0 Too many messages; try again later"
        case TransientError():
            return LATER
        case InvalidRequestError():
            return f"554 5.6.0 {_reason(error)}"
        case ResourceNotFoundError():
            return f"554 5.3.5 {_line(error.message)}"
        case RequestError():
            return f"554 5.7.0 {_line(error.message)}"
    return "554 5.3.0 The message cannot be taken"


def _reason(error: InvalidRequestError) -> str:
    fields = error.details.get("fields") or ()
    return _line("; ".join(str(field["message"]) for field in fields) or error.message)


def _line(text: str) -> str:
    """Return text as one line of a reply (RFC 5321 section 4.5.3.1.5)."""
    return " ".join(text.encode("ascii", "replace").decode().split())[:400]

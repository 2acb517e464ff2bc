"""Delta tokens: where a round of change tracking stands, and whether the service still knows it.

https://learn.microsoft.com/graph/delta-query-overview
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

import msgspec

from gateway_sandbox.failures import Failure, Failures
from gateway_sandbox.graph_call import Call
from gateway_sandbox.graph_errors import GraphError, bad_request

_GONE = "The sync state generation is not found; the resource must be synchronized anew."


class Position(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Where a round stands.

    Attributes:
        folder: which folder's messages; 0 for folders.
        modseq: of the last change that was told; of folders, the number of the state that was told.
        uid: of the last change that was told.
        start: changes up to this one need no removals: the client knows nothing from before.
        issued: when the token was made.
    """

    folder: int
    modseq: int = 0
    uid: int = 0
    start: int = 0
    issued: datetime
    select: tuple[str, ...] | None = None
    filter: str = ""
    change_types: tuple[str, ...] = ()
    uid_next: int = 0
    expand: str = ""


def encode(position: Position) -> str:
    """Return a token."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(position)).decode().rstrip("=")


def decode(call: Call, failures: Failures) -> Position | None:
    """Return the position of the token in a call, or None when it has none.

    Raises:
        GraphError: no token of this service, or one that it does not know any more.
    """
    text = call.query.get("$deltatoken") or call.query.get("$skiptoken")
    if text is None:
        return None
    if text.lower() == "latest":
        raise bad_request("The delta token 'latest' is not supported for this resource.")
    try:
        position = msgspec.msgpack.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Position)
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise bad_request("Badly formed token.") from error
    _check_known(call, position, failures)
    return position


def gone(call: Call) -> GraphError:
    """Return the error for a token that is too old."""
    location = f"{call.base}/{'/'.join(call.path)}"
    return GraphError(410, "syncStateNotFound", _GONE, ("location", location))


def _check_known(call: Call, position: Position, failures: Failures) -> None:
    for failure, error in (
        (Failure.DELTA_EXPIRED, gone(call)),
        (Failure.DELTA_INVALID, GraphError(400, "SyncStateInvalid", _GONE)),
        (Failure.RESYNC_REQUIRED, GraphError(410, "resyncRequired", "Resync required.")),
    ):
        switch = failures.active(failure, call.owner)
        if switch is not None and position.issued < switch.since:
            raise error

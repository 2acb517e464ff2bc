"""Graph's errors: status, code and message, in the body that all of its services answer with.

https://learn.microsoft.com/graph/errors
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any


class GraphError(Exception):
    """A refusal."""

    def __init__(self, status: int, code: str, message: str, *headers: tuple[str, str]) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers

    def body(self, now: datetime, client_request_id: str | None) -> dict[str, Any]:
        """Return the JSON body."""
        request_id = str(uuid.uuid4())
        inner = {
            "date": now.strftime("%Y-%m-%dT%H:%M:%S"),
            "request-id": request_id,
            "client-request-id": client_request_id or request_id,
        }
        return {"error": {"code": self.code, "message": self.message, "innerError": inner}}


def item_not_found() -> GraphError:
    """Return the error for a message, folder or attachment that is not there."""
    return GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")


def malformed_id() -> GraphError:
    """Return the error for something that is no id of this mailbox."""
    return GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.")


def access_denied() -> GraphError:
    """Return the error for a token without the permission."""
    return GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")


def bad_request(message: str, code: str = "BadRequest") -> GraphError:
    """Return the error for a request that makes no sense."""
    return GraphError(400, code, message)


def too_complex() -> GraphError:
    """Return the error for a filter and an order that do not go together."""
    return bad_request("The restriction or sort order is too complex for this operation.", "InefficientFilter")

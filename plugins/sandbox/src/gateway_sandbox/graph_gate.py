"""Who may do what over Graph: tokens, permissions, and whose mailbox a path means.

https://learn.microsoft.com/graph/permissions-reference#mail-permissions
"""

from __future__ import annotations

from gateway_sandbox import directory
from gateway_sandbox.directory import GRAPH, Person
from gateway_sandbox.failures import Failure, Failures
from gateway_sandbox.graph_errors import GraphError, access_denied, bad_request
from gateway_sandbox.tokens import Bearer, InvalidTokenError, Tokens
from gateway_sandbox.web import Request

_CHALLENGE = ("www-authenticate", 'Bearer realm="", authorization_uri="http://localhost/common/oauth2/authorize"')
_SENDING = frozenset({"send", "sendmail", "reply", "replyall", "forward"})


class GraphGate:
    """Checks tokens and permissions."""

    def __init__(self, tokens: Tokens, failures: Failures) -> None:
        self._tokens = tokens
        self._failures = failures

    def bearer(self, request: Request) -> Bearer:
        """Return what the token of a request says.

        Raises:
            GraphError: 401 when there is none, or it is not good, or not for Graph.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unauthorized("Access token is empty.")
        try:
            bearer = self._tokens.verify(token.strip())
        except InvalidTokenError as error:
            raise _unauthorized("Lifetime validation failed, the token is expired.") from error
        if bearer.audience != GRAPH:
            raise _unauthorized("Access token validation failure. Invalid audience.")
        return bearer

    def mailbox(self, path: tuple[str, ...], bearer: Bearer) -> tuple[Person, tuple[str, ...]]:
        """Return whose mailbox a path is about, and the rest of the path.

        Raises:
            GraphError: nobody's.
        """
        if path[0].lower() == "me":
            if bearer.person is None:
                raise bad_request("/me request is only valid with delegated authentication flow.")
            return self._usable(directory.find(bearer.person), bearer.person), path[1:]
        if len(path) < 2:
            raise bad_request("Resource not found for the segment 'users'.")
        person = next((person for person in directory.PEOPLE if person.object_id == path[1].lower()), None)
        return self._usable(person or directory.find(path[1]), path[1]), path[2:]

    def check(self, mailbox: Person, rest: tuple[str, ...], method: str, bearer: Bearer) -> None:
        """Check that a token may do this in this mailbox.

        Raises:
            GraphError: it may not.
        """
        if not rest:
            return
        needed = _needed(rest, method)
        if bearer.person is None or bearer.person == mailbox.address:
            if not needed & {scope.removesuffix(".Shared") for scope in bearer.scopes}:
                raise access_denied()
            return
        if not {f"{scope}.Shared" for scope in needed} & bearer.scopes:
            raise access_denied()
        if not directory.may_open(bearer.person, mailbox.address):
            # Exchange does not tell a stranger that the mailbox is there.
            raise GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")

    def _usable(self, person: Person | None, name: str) -> Person:
        if person is None or not person.exchange:
            raise GraphError(404, "ErrorInvalidUser", f"The requested user '{name}' is invalid.")
        if self._failures.active(Failure.MAILBOX_NOT_CONNECTED, person.address):
            message = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
            raise GraphError(404, "MailboxNotEnabledForRESTAPI", message)
        return person


def _needed(rest: tuple[str, ...], method: str) -> frozenset[str]:
    """Return the permissions of which one is enough."""
    if rest[-1].lower() in _SENDING:
        return frozenset({"Mail.Send"})
    return frozenset({"Mail.Read", "Mail.ReadWrite"}) if method == "GET" else frozenset({"Mail.ReadWrite"})


def _unauthorized(message: str) -> GraphError:
    return GraphError(401, "InvalidAuthenticationToken", message, _CHALLENGE)

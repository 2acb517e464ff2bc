"""What an account shows of what went wrong with it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta

from gateway.model.base import Resource

#: Members of the wire API that no account of this gateway has.
_NEVER = "Never told"
_GOOGLE = "Only of Google's apps"


class TokenRequestFlag(Resource, frozen=True, kw_only=True):
    """What a refused token request means, in the words that clients of the wire API know."""

    message: str
    code: str | None = None
    url: str | None = None


class TokenRequestInfo(Resource, frozen=True, kw_only=True):
    """The token request that was refused, without secrets; `flag` is about the app, `userFlag` about the user."""

    url: Annotated[str, Meta(description="Only where the service tells it")] | None = None
    method: Annotated[str, Meta(description="POST (RFC 6749 section 3.2)")] | None = None
    grant: str | None = None
    provider: str | None = None
    status: int | None = None
    client_id: str | None = None
    client_secret: Annotated[str, Meta(description=_NEVER)] | None = None
    service_client: Annotated[str, Meta(description=_GOOGLE)] | None = None
    service_client_email: Annotated[str, Meta(description=_GOOGLE)] | None = None
    signer: Annotated[str, Meta(description=_GOOGLE)] | None = None
    google_project_id: Annotated[str, Meta(description=_GOOGLE)] | None = None
    authority: str | None = None
    code: str | None = None
    flag: TokenRequestFlag | None = None
    user_flag: TokenRequestFlag | None = None
    scopes: tuple[str, ...] = ()
    response: dict[str, Any] | None = None


class RemedyInfo(Resource, frozen=True, kw_only=True):
    """Who has to act, and how."""

    code: str
    title: str
    who: str
    steps: tuple[str, ...] = ()
    retryable: bool = False
    raw: str | None = None
    url: str | None = None
    base_scopes: (
        Annotated[str, Meta(description="An OAuth2 app with these base scopes would not meet the problem")] | None
    ) = None


class LastError(Resource, frozen=True, kw_only=True):
    """Why the account is not connected."""

    response: str
    description: str | None = None
    server_response_code: str | None = None
    token_request: TokenRequestInfo | None = None
    remedy: RemedyInfo | None = None
    time: datetime | None = None


class SyncError(Resource, frozen=True, kw_only=True):
    """Why the last pass over the mailboxes left one out; it is tried again at the next pass."""

    path: str
    time: datetime
    error: str


class NetworkRouting(Resource, frozen=True, kw_only=True):
    """The way that a message took, where it was not left to the system."""

    local_address: Annotated[str, Meta(description="IP address that the connection came from")] | None = None
    requested_local_address: Annotated[str, Meta(description="IP address that was asked for")] | None = None
    name: Annotated[str, Meta(description="Name that the server was greeted with (EHLO)")] | None = None
    proxy: Annotated[str, Meta(description="URL of the proxy, without user and password")] | None = None


class SmtpStatus(Resource, frozen=True, kw_only=True):
    """How the last submission ended."""

    created: datetime | None = None
    status: Literal["ok", "error"]
    response: str | None = None
    description: str | None = None
    response_code: int | None = None
    code: str | None = None
    command: str | None = None
    remedy: RemedyInfo | None = None
    network_routing: NetworkRouting | None = None

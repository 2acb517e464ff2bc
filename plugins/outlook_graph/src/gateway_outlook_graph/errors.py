"""What Microsoft Graph answers when it refuses, as `gateway.errors`.

The code of the error decides, the most specific row first; a code that is not in the table is judged by the status.
Messages of Graph quote addresses and subjects: they are never passed on.

Sources: https://learn.microsoft.com/graph/errors,
https://learn.microsoft.com/exchange/client-developer/web-service-reference/responsecode
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

import aiohttp
import msgspec

from gateway.errors import (
    Actor,
    ConflictError,
    ConnectError,
    CursorExpiredError,
    GatewayError,
    InvalidIdentifierError,
    MailboxUnavailableError,
    MessageRefusedError,
    MessageTooLargeError,
    NotFoundError,
    PermanentError,
    ProviderError,
    RateLimitError,
    ReauthorizationError,
    Remedy,
    ServiceUnavailableError,
    UnsupportedOperationError,
)

#: Everything that the HTTP client raises for reasons of the network.
NATIVE_ERRORS = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
#: Native code of a fault before anything was sent.
NOT_CONNECTED = "not_connected"
#: What a pause is when the service does not say it, seconds.
DEFAULT_PAUSE = 10.0
LONGEST_PAUSE = 3600.0


class _Row(msgspec.Struct, frozen=True):
    """What a code means: class, sentence, the code of the class if it has several, and for accounts who acts how."""

    kind: type[GatewayError]
    text: str
    who: Actor | None = None
    step: str = ""
    code: str | None = None


_NO_MAILBOX = _Row(
    MailboxUnavailableError,
    "the mailbox cannot be opened over Microsoft Graph",
    "tenant_admin",
    "Check that the mailbox is in Exchange Online, is licensed and active, and is not a guest's.",
)
_DENIED = _Row(
    MailboxUnavailableError,
    "Microsoft Graph does not allow access to this mailbox",
    "tenant_admin",
    "Give the app the permissions for mail (Mail.ReadWrite and Mail.Send; for another person's mailbox"
    " Mail.ReadWrite.Shared and Mail.Send.Shared), and the person who signs in access to the mailbox.",
)
_SEND_AS = _Row(
    MessageRefusedError,
    "sending in the name of this address is not allowed",
    "tenant_admin",
    "Give the account the right to send as this address.",
)
_SYNC_STATE = _Row(CursorExpiredError, "the service no longer knows this state")
_CHANGED = _Row(ConflictError, "the message was changed at the same time")
_THROTTLED = _Row(RateLimitError, "Microsoft Graph asks for a pause")
_RECIPIENTS = _Row(MessageRefusedError, "a recipient was refused")
_NOT_FOUND = _Row(NotFoundError, "there is no such message, mailbox or attachment")
# Folders are looked up before they are named to the service, so that it is a message that is missing.
_NO_MESSAGE = _Row(NotFoundError, "there is no such message", code="MessageNotFound")
_BUSY = _Row(ServiceUnavailableError, "Microsoft Graph cannot do this now")
_TOO_LARGE = _Row(MessageTooLargeError, "over the size that the service takes")
_FULL = _Row(MailboxUnavailableError, "the mailbox is full", "user", "Delete mail, or have the mailbox's quota raised.")

#: By code, in lower case.
TABLE: Mapping[str, _Row] = MappingProxyType(
    {
        "applicationthrottled": _THROTTLED,
        "activitylimitreached": _THROTTLED,
        "errortoomanyobjectsopened": _THROTTLED,
        "errorserverbusy": _THROTTLED,
        "mailboxconcurrency": _THROTTLED,
        "toomanyrequests": _THROTTLED,
        "erroritemnotfound": _NO_MESSAGE,
        "erroraccessdenied": _DENIED,
        "authorization_requestdenied": _DENIED,
        "accessdenied": _DENIED,
        "errorinvalididmalformed": _Row(InvalidIdentifierError, "not an id of this mailbox"),
        "errorinvalidid": _Row(InvalidIdentifierError, "not an id of this mailbox"),
        "errorcorruptdata": _Row(InvalidIdentifierError, "not an id of this mailbox"),
        "errorinvaliduser": _NO_MAILBOX,
        "errornonexistentmailbox": _NO_MAILBOX,
        "mailboxnotenabledforrestapi": _NO_MAILBOX,
        "mailboxnotsupportedforrestapi": _NO_MAILBOX,
        "resourcenotfound": _NO_MAILBOX,
        "request_resourcenotfound": _NO_MAILBOX,
        "errorsendasdenied": _SEND_AS,
        "errorinvalidrecipients": _RECIPIENTS,
        "errorinvalidsmtpaddress": _RECIPIENTS,
        "errorexceededmessagelimit": _Row(
            MessageRefusedError, "the limit of this mailbox for sending is reached", "user", "Verify the account."
        ),
        "errormessagesubmissionblocked": _Row(
            MessageRefusedError, "the mailbox is blocked from sending", "user", "Sign in to Outlook and unblock it."
        ),
        "errormimecontentinvalid": _Row(MessageRefusedError, "the message is not well-formed"),
        "errormimecontentinvalidbase64string": _Row(MessageRefusedError, "the message is not well-formed"),
        "errormessagesizeexceeded": _TOO_LARGE,
        "errorattachmentsizelimitexceeded": _TOO_LARGE,
        "requestentitytoolarge": _TOO_LARGE,
        "errorquotaexceeded": _FULL,
        "errorfolderexists": _Row(ConflictError, "there is a mailbox of this name"),
        "errordeletedistinguishedfolder": _Row(PermanentError, "a default mailbox cannot be changed"),
        "errorcannotdeleteobject": _Row(PermanentError, "this cannot be deleted"),
        "errormovecopyfailed": _Row(ServiceUnavailableError, "moving or copying did not work"),
        "errorirresolvableconflict": _CHANGED,
        "errorexecutesearchstaledata": _Row(CursorExpiredError, "the search has to start again"),
        "syncstatenotfound": _SYNC_STATE,
        "syncstateinvalid": _SYNC_STATE,
        "resyncrequired": _SYNC_STATE,
        "errorsyncstatenotfound": _SYNC_STATE,
        "errorinvalidsyncstatedata": _SYNC_STATE,
        "inefficientfilter": _Row(UnsupportedOperationError, "too complex a search for the service"),
        "errorrestrictiontoocomplex": _Row(UnsupportedOperationError, "too complex a search for the service"),
        "searchwithorderby": _Row(UnsupportedOperationError, "too complex a search for the service"),
        "searchwithfilter": _Row(UnsupportedOperationError, "too complex a search for the service"),
        "errormailboxstoreunavailable": _BUSY,
        "errorinternalservererror": _BUSY,
        "errorinternalservertransienterror": _BUSY,
        "errortimeoutexpired": _BUSY,
        "errormailboxmoveinprogress": _BUSY,
        "servicenotavailable": _BUSY,
        "serviceunavailable": _BUSY,
        "generalexception": _BUSY,
        "unknownerror": _BUSY,
    }
)
_BY_STATUS: Mapping[int, _Row] = MappingProxyType(
    {
        401: _Row(
            ReauthorizationError,
            "Microsoft Graph does not accept the access token",
            "user",
            "Sign in again. If that does not help, the app asks for permissions of another service than Graph.",
        ),
        403: _DENIED,
        404: _NOT_FOUND,
        408: _BUSY,
        409: _Row(ConflictError, "there is such a thing already, or it was changed at the same time"),
        410: _SYNC_STATE,
        412: _CHANGED,
        413: _TOO_LARGE,
        416: _Row(ConflictError, "not the octets of an upload that are expected next"),
        423: _BUSY,
        429: _THROTTLED,
        509: _THROTTLED,
    }
)


class _Inner(msgspec.Struct):
    code: str = ""


class _Body(msgspec.Struct):
    error: _Inner = msgspec.field(default_factory=_Inner)


def code_of(body: bytes) -> str:
    """Return the code in the body of a refusal, empty when it is not Graph's (a proxy answers with HTML)."""
    try:
        return msgspec.json.decode(body, type=_Body).error.code
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def pause_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of ``Retry-After`` (RFC 9110 section 10.2.3); None when it is not there or not a number."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    try:
        seconds = float(text)
    except ValueError:
        return None
    return min(max(0.0, seconds), LONGEST_PAUSE) if seconds == seconds else None


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Return what an answer that is no success means."""
    code = code_of(body)
    row = TABLE.get(code.lower())
    if status in (401, 429) or row is None:
        row = _BY_STATUS.get(status) or (_BUSY if status >= 500 else None)
    native = code if code.isidentifier() else f"HTTP {status}"
    if row is None:
        return PermanentError("Microsoft Graph refused the request", native_code=native)
    if row.kind is RateLimitError:
        return RateLimitError(row.text, retry_after=pause_of(headers) or DEFAULT_PAUSE, native_code=native)
    if row.who is None:
        more = {"native_code": native} if issubclass(row.kind, ProviderError) else {}
        return row.kind(row.text, code=row.code, **more)
    explained = Remedy(code=native, title=row.text, who=row.who, steps=(row.step,))
    return row.kind(row.text, native_code=native, remedy=explained)


def unreachable(error: BaseException) -> ConnectError:
    """Return what a fault of the network means. The native text names the address that was called."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return ConnectError("Microsoft Graph cannot be reached", native_code=NOT_CONNECTED)
    if isinstance(error, TimeoutError):
        return ConnectError("Microsoft Graph did not answer in time", native_code="timeout")
    return ConnectError("Microsoft Graph cannot be reached", native_code=type(error).__name__)

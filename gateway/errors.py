"""Every error the gateway raises on purpose, and what happens next.

The branch an error sits on decides what the gateway does with it:

    GatewayError
      ConfigurationError            the process does not start; the operator acts
      RequestError                  the caller is told; nothing was changed
        InvalidRequestError         a value is wrong (``fields`` names it)
        ResourceNotFoundError       no such account, app, token, outbox entry
        ConflictError               the resource exists or is in another state
        DisabledError               the operation is switched off here
        MissingSettingError         a runtime setting is needed first
      AccountNotReadyError          the account cannot serve mail now; its state is told
      DeadlineError                 no answer in time; the job may still finish
      WorkerLostError               the worker died with the job; a read is safe to repeat
      ProviderError                 a mail service answered
        TransientError              the same call is tried again later
          ConnectError              the server cannot be reached, or hung up
          RateLimitError            after `retry_after` seconds
          ServiceUnavailableError   the service is there and says "not now"
        AccountError                the account waits until somebody acts (`remedy` says who)
          ReauthorizationError      the grant or password is refused
          ConsentRequiredError      an administrator has to consent first
          AppRefusedError           the OAuth2 app itself is refused: all its accounts wait
          MailboxUnavailableError   signed in, but this mailbox cannot be opened
        PermanentError              the caller gets a clear answer; never retried
          NotFoundError             no such message or attachment
            MailboxNotFoundError    no such mailbox
          UnsupportedOperationError the provider has not declared the capability
          CursorExpiredError        the listing has to start again
            MailboxResetError       and every id of that mailbox is void
          InvalidIdentifierError    an id that this provider cannot have issued
          MessageTooLargeError      over the service's limit
          MessageRefusedError       sender, recipient or content is refused for good
        OutcomeUnknownError         it may have happened; find out before doing it again

Errors cross process boundaries as `ErrorRecord`s: class name, stable code, message, details.
No message ever holds a secret, a mail address or a part of a mail.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

Actor = Literal["user", "tenant_admin", "app_owner", "gateway", "microsoft", "operator", "nobody"]


class Remedy(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What went wrong, who has to act and how: fit to be shown to that person.

    `base_scopes` tells that an account of an OAuth2 app with these base scopes would not meet the problem.
    """

    code: str
    title: str
    who: str
    steps: tuple[str, ...] = ()
    retryable: bool = False
    raw: str | None = None
    url: str | None = None
    base_scopes: str | None = None


class ErrorRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error on its way between processes."""

    type: str
    code: str
    message: str
    details: dict[str, Any] = msgspec.field(default_factory=dict)


class GatewayError(Exception):
    """Base class of all errors raised on purpose; `code` is stable and part of the API."""

    code: ClassVar[str] = "GatewayError"

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = code or type(self).code
        self.details = details

    def record(self) -> ErrorRecord:
        """Return the form that crosses a process boundary."""
        details = {
            key: msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
            for key, value in self.details.items()
            if value is not None
        }
        return ErrorRecord(type=type(self).__name__, code=self.error_code, message=self.message, details=details)


class ConfigurationError(GatewayError):
    """The installation cannot work as configured."""

    code = "ConfigurationError"


class RequestError(GatewayError):
    """The caller asked for something that cannot be done; nothing was changed."""

    code = "RequestError"


class InvalidRequestError(RequestError):
    """A value is wrong; details may hold ``fields`` = [{"message", "key"}]."""

    code = "InvalidRequest"


class ResourceNotFoundError(RequestError):
    """There is no such account, app, token or outbox entry."""

    code = "NotFound"


class ConflictError(RequestError):
    """The resource exists already, or is in a state that does not allow this."""

    code = "Conflict"


class DisabledError(RequestError):
    """The operation is switched off on this installation."""

    code = "ApiEndpointDisabled"


class MissingSettingError(RequestError):
    """A runtime setting has to be made before this can work."""

    code = "MissingSetting"


class AccountNotReadyError(GatewayError):
    """The account cannot serve mail in its present state (details: ``state``)."""

    code = "NoAvailable"


class DeadlineError(GatewayError):
    """No answer within the caller's time; details may hold ``job``."""

    code = "Timeout"


class WorkerLostError(GatewayError):
    """The worker that ran the job died before it finished."""

    code = "WorkerNotAvailable"


class FencedError(GatewayError):
    """This worker no longer owns the account: what it was going to write is refused."""

    code = "Fenced"


class ProviderError(GatewayError):
    """A mail service could not do what was asked.

    Args:
        message: for people; names no address and quotes no mail.
        native_code: the service's own code or response, e.g. "AUTHENTICATIONFAILED", "AADSTS50173", "5.7.139".
        remedy: who has to act and how, when that is known.
    """

    code = "ProviderError"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        native_code: str | None = None,
        remedy: Remedy | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, code=code, native_code=native_code, remedy=remedy, **details)
        self.native_code = native_code
        self.remedy = remedy


class TransientError(ProviderError):
    """Trying the same call again later may succeed."""

    code = "TransientError"


class ConnectError(TransientError):
    """The server cannot be reached, refused TLS, or hung up."""

    code = "ConnectionError"


class RateLimitError(TransientError):
    """The service asked for a pause of `retry_after` seconds."""

    code = "RateLimited"

    def __init__(self, message: str, *, retry_after: float, **details: Any) -> None:
        super().__init__(message, retry_after=retry_after, **details)
        self.retry_after = retry_after


class ServiceUnavailableError(TransientError):
    """The service answered that it cannot do this now (5xx, ``[UNAVAILABLE]``, 4xx of SMTP)."""

    code = "ServiceUnavailable"


class AccountError(ProviderError):
    """The account needs somebody to act; other accounts are not affected."""

    code = "AuthenticationFails"


class ReauthorizationError(AccountError):
    """The stored grant or password is no longer accepted (RFC 6749 section 5.2, ``invalid_grant``)."""

    code = "AuthenticationFails"


class ConsentRequiredError(AccountError):
    """An administrator of the organisation has to consent to the app; `remedy.url` is the link for that."""

    code = "ConsentRequired"


class AppRefusedError(AccountError):
    """The OAuth2 app itself is refused (RFC 6749 ``invalid_client``): its owner must act."""

    code = "AppRefused"


class MailboxUnavailableError(AccountError):
    """Signed in, but the mailbox cannot be opened (Exchange: "User is authenticated but not connected")."""

    code = "MailboxUnavailable"


class PermanentError(ProviderError):
    """The same call will fail again."""

    code = "PermanentError"


class NotFoundError(PermanentError):
    """No such message, mailbox or attachment."""

    code = "NotFound"


class MailboxNotFoundError(NotFoundError):
    """No such mailbox."""

    code = "MailboxNotFound"


class UnsupportedOperationError(PermanentError):
    """The provider has not declared the capability this call needs, or the server lacks it."""

    code = "UnsupportedOperation"


class CursorExpiredError(PermanentError):
    """The page cursor or state can no longer be continued from."""

    code = "CursorExpired"


class MailboxResetError(CursorExpiredError):
    """The mailbox was made anew: no state and no id of before means anything (RFC 9051 section 2.3.1.1).

    Details: ``uid_validity`` and ``previous_uid_validity``.
    """

    code = "MailboxReset"


class InvalidIdentifierError(PermanentError):
    """An id that this provider cannot have issued."""

    code = "InvalidMessageId"


class MessageTooLargeError(PermanentError):
    """The message is over the service's limit."""

    code = "MessageTooLarge"


class MessageRefusedError(PermanentError):
    """Sender, recipients or content are refused for good (SMTP 5xx)."""

    code = "MessageRefused"


class OutcomeUnknownError(ProviderError):
    """The connection broke where the service may already have acted; never repeat blindly."""

    code = "OutcomeUnknown"


def _tree(base: type[GatewayError]) -> dict[str, type[GatewayError]]:
    found = {base.__name__: base}
    for child in base.__subclasses__():
        found.update(_tree(child))
    return found


ERROR_TYPES = _tree(GatewayError)


def from_record(record: ErrorRecord) -> GatewayError:
    """Rebuild an error that another process recorded; an unknown type becomes a plain `GatewayError`."""
    cls = ERROR_TYPES.get(record.type, GatewayError)
    details = dict(record.details)
    if isinstance(details.get("remedy"), dict):
        details["remedy"] = msgspec.convert(details["remedy"], Remedy)
    if cls is RateLimitError:
        details.setdefault("retry_after", 1.0)
    return cls(record.message, code=record.code, **details)

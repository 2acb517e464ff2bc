"""Everything that goes wrong in an IMAP session, as the gateway's errors.

Two sources: exceptions of imaplib, imapclient and the network (`connection_error`), after which the connection is
useless; and answers NO, BAD and BYE (`answer_error`, RFC 9051 section 7.1, response codes of RFC 5530), after which it
usually goes on. Words of the server are quoted only with addresses masked; exception texts not at all, because imaplib
puts whatever it last read into them, which may be somebody's mail.
"""

from __future__ import annotations

import imaplib
import re
import ssl
from collections.abc import Callable

from imapclient import exceptions as imapclient_errors

from gateway.errors import (
    ConflictError,
    ConnectError,
    GatewayError,
    MailboxNotFoundError,
    MailboxUnavailableError,
    MessageTooLargeError,
    PermanentError,
    ProviderError,
    RateLimitError,
    ReauthorizationError,
    ServiceUnavailableError,
    UnsupportedOperationError,
)
from gateway.smtp.server_text import masked
from gateway.smtp.socket_codes import TIMED_OUT, socket_code

#: What imaplib, imapclient and the network raise; a literal of absurd size is a memory or overflow error.
FAILURES = (OSError, imaplib.IMAP4.error, ValueError, MemoryError, OverflowError)

#: Asked first about each NO, BAD and BYE; None leaves it to the general rules.
ExplainImap = Callable[[str], ProviderError | None]

#: Seconds to wait when a server asks for a pause without telling how long.
PAUSE = 60.0

_CODE = re.compile(rb"\[([A-Za-z0-9-]+)(?: ([^\]]*))?\]")
# Exchange Online, since at least 2013: the token is good, but not for this mailbox.
_NOT_CONNECTED = re.compile(r"authenticated but not connected", re.IGNORECASE)
_LIMITED = re.compile(r"too many|throttl|rate limit|maximum number of connections", re.IGNORECASE)
_NOT_NOW = re.compile(r"server unavailable|temporar|try again|internal error", re.IGNORECASE)
_LIMIT_CODES = frozenset({"LIMIT", "THROTTLED", "OVERLOADED"})
_NOT_NOW_CODES = frozenset({"UNAVAILABLE", "SERVERBUG", "INUSE", "CORRUPTION", "EXPUNGEISSUED", "CONTACTADMIN"})
_LOGIN_CODES = frozenset(
    {"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED", "WEBALERT", "CLIENTBUG"}
)


class OutOfStepError(imaplib.IMAP4.error):
    """The server sent something that does not belong to what was asked."""


def response_code(text: bytes) -> tuple[str | None, bytes]:
    """Return name (upper case) and arguments of the response code that a status text begins with."""
    found = _CODE.match(text)
    return (found[1].decode("ascii").upper(), found[2] or b"") if found else (None, b"")


def connection_error(
    error: Exception, *, goodbye: bytes | None = None, explain: ExplainImap | None = None
) -> ProviderError:
    """Return the error for an exception out of imaplib, imapclient or the network; the most specific rule first.

    Args:
        error: the native exception; the caller raises the result ``from`` it.
        goodbye: text of the BYE that the server said before, if it did.
        explain: consulted first about a BYE.
    """
    if goodbye is not None:
        return _goodbye_error(goodbye.decode("utf-8", "replace"), explain)
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectError("the IMAP server's certificate is not trusted", native_code="CERTIFICATE")
    if isinstance(error, TimeoutError):
        return ConnectError("the IMAP server did not answer in time", native_code=TIMED_OUT)
    if isinstance(error, OSError):
        native = socket_code(error) or type(error).__name__
        return ConnectError("the IMAP server cannot be reached, or hung up", native_code=native)
    if isinstance(error, imapclient_errors.CapabilityError):
        return UnsupportedOperationError("the IMAP server lacks an extension that this needs", native_code="CAPABILITY")
    if isinstance(error, imapclient_errors.LoginError):
        return ReauthorizationError("the IMAP server refused the login", native_code="LOGIN")
    if isinstance(error, imapclient_errors.InvalidCriteriaError):
        return PermanentError("the IMAP server does not understand the search", native_code="SEARCH")
    if isinstance(error, imaplib.IMAP4.abort):
        return ConnectError("the IMAP server hung up in the middle of an answer", native_code="ABORT")
    if isinstance(error, (imaplib.IMAP4.error, ValueError)):
        return ConnectError("the IMAP server's answer cannot be understood", native_code="PROTOCOL")
    return ConnectError("the IMAP connection failed", native_code=type(error).__name__)


def _goodbye_error(text: str, explain: ExplainImap | None) -> ProviderError:
    if explain is not None and (explained := explain(text)) is not None:
        return explained
    words = f"the IMAP server ended the session: {masked(text)}"
    if _NOT_CONNECTED.search(text):
        return MailboxUnavailableError(words, native_code="BYE")
    if _LIMITED.search(text):
        return RateLimitError(words, retry_after=PAUSE, native_code="BYE")
    return ConnectError(words, native_code="BYE")


def answer_error(
    status: str,
    text: bytes,
    *,
    explain: ExplainImap | None = None,
    login: bool = False,
    otherwise: type[ProviderError] = PermanentError,
) -> GatewayError:
    """Return the error for a tagged NO or BAD.

    Args:
        status: "NO" or "BAD".
        text: what follows it.
        explain: consulted first.
        login: it answers a login: without a better reason the credentials are refused.
        otherwise: the error for a NO that gives no reason a program could understand.
    """
    words = text.decode("utf-8", "replace")
    if explain is not None and (explained := explain(words)) is not None:
        return explained
    code, _ = response_code(text)
    # A refused login needs no response code (Exchange gives none); RFC 5530 has the name for it.
    said, native = masked(words), code or ("AUTHENTICATIONFAILED" if login and status == "NO" else status)
    if _NOT_CONNECTED.search(words):
        return MailboxUnavailableError(f"signed in, but the mailbox cannot be opened: {said}", native_code=native)
    if login and (code in _LOGIN_CODES or status == "BAD"):
        return ReauthorizationError(f"the IMAP server refused the login: {said}", native_code=native)
    if code in _LIMIT_CODES or (code in (None, "ALERT") and _LIMITED.search(words)):
        return RateLimitError(f"the IMAP server asks for a pause: {said}", retry_after=PAUSE, native_code=native)
    if code in _NOT_NOW_CODES or (code in (None, "ALERT") and _NOT_NOW.search(words)):
        return ServiceUnavailableError(f"the IMAP server cannot do this now: {said}", native_code=native)
    if login:
        return ReauthorizationError(f"the IMAP server refused the login: {said}", native_code=native)
    if code in ("NONEXISTENT", "TRYCREATE"):
        return MailboxNotFoundError(f"there is no such mailbox: {said}", native_code=native)
    if code == "ALREADYEXISTS":
        return ConflictError(f"there is such a mailbox: {said}", native_code=native)
    if code == "TOOBIG":
        return MessageTooLargeError(f"the message is too large: {said}", native_code=native)
    if status == "BAD":
        return PermanentError(f"the IMAP server does not understand the request: {said}", native_code=native)
    return otherwise(f"the IMAP server refused: {said}", native_code=native)

"""aiosmtplib's failures as the gateway's errors.

What an answer means depends on the phase it arrives in: a 5xx is a refused login, a refused sender or a refused
message; a broken connection is harmless until the final dot of DATA has left (RFC 5321 section 4.1.1.4), and from
there on nobody knows.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from enum import IntEnum

import aiosmtplib

from gateway.errors import (
    ConnectError,
    MessageRefusedError,
    MessageTooLargeError,
    OutcomeUnknownError,
    ProviderError,
    RateLimitError,
    ReauthorizationError,
    ServiceUnavailableError,
)
from gateway.smtp.server_text import enhanced_status, masked
from gateway.smtp.socket_codes import TIMED_OUT, socket_code

#: Asked first about each refusal (code, text); None leaves it to the general rules.
Explain = Callable[[int, str], ProviderError | None]

#: Seconds to wait when a server asks for a pause without telling how long.
PAUSE = 60.0

_RATE = re.compile(r"too many|rate.?limit|throttl|concurrent connections|thread limit|slow down", re.IGNORECASE)
# RFC 5321 552 and RFC 3463 x.3.4 (system) and x.2.3 (mailbox); 5.2.2 is a full mailbox and says 552 as well.
_TOO_LARGE = frozenset({"5.3.4", "5.2.3"})
# RFC 4954 section 6: 530 authentication required, 534 mechanism too weak, 535 credentials invalid.
_LOGIN_CODES = frozenset({530, 534, 535})


class Phase(IntEnum):
    """How far a submission has come."""

    CONNECT = 1
    LOGIN = 2
    ENVELOPE = 3
    CONTENT = 4
    HANDED_OVER = 5


#: What the server answered to, by how far the submission had come.
_COMMANDS = {
    Phase.CONNECT: "CONN",
    Phase.LOGIN: "AUTH",
    Phase.ENVELOPE: "MAIL FROM",
    Phase.CONTENT: "DATA",
    Phase.HANDED_OVER: "DATA",
}


def smtp_error(error: Exception, *, phase: Phase, explain: Explain | None = None) -> ProviderError:
    """Return the gateway's error for anything that aiosmtplib or the network under it raises.

    Args:
        error: the native exception; the caller raises the result ``from`` it.
        phase: where it happened.
        explain: consulted first about answers of the server.
    """
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return _recipients_error(error.recipients, explain)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return answer_error(error.code, error.message, phase=phase, explain=explain)
    if phase is Phase.HANDED_OVER:
        return OutcomeUnknownError("the connection broke before the server confirmed the message")
    if isinstance(error, ssl.SSLCertVerificationError) or isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return ConnectError("the submission server's certificate is not trusted", native_code="CERTIFICATE")
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return MessageRefusedError("an address needs SMTPUTF8, which the server lacks", native_code="SMTPUTF8")
    if isinstance(error, TimeoutError):
        return ConnectError("the submission server did not answer in time", native_code=TIMED_OUT)
    if isinstance(error, OSError):
        return ConnectError("the submission server cannot be reached, or hung up", native_code=socket_code(error))
    if isinstance(error, aiosmtplib.SMTPException):
        return ConnectError("the submission server lacks STARTTLS or a way to log in", native_code="UNSUPPORTED")
    if isinstance(error, ValueError):
        return MessageRefusedError("an address of the envelope is not valid", code="InvalidAddress")
    return ConnectError("the submission server could not be used", native_code=type(error).__name__)


def answer_error(
    code: int, text: str, *, phase: Phase, explain: Explain | None = None, command: str | None = None
) -> ProviderError:
    """Return the error for a negative answer (RFC 5321 section 4.2).

    Its details hold `smtp_response`, `smtp_response_code` and `smtp_command`, the latter by default what the phase
    tells.
    """
    explained = explain(code, text) if explain is not None else None
    error = explained or _judged(code, text, phase)
    error.details |= {
        "smtp_response": f"{code} {masked(text)}",
        "smtp_response_code": code,
        "smtp_command": command or _COMMANDS[phase],
    }
    return error


def _judged(code: int, text: str, phase: Phase) -> ProviderError:
    native = enhanced_status(text) or str(code)
    words = f"{code} {masked(text)}"
    if 400 <= code < 500:
        if code == 432 or _RATE.search(text):
            return RateLimitError(f"submission is being limited: {words}", retry_after=PAUSE, native_code=native)
        return ServiceUnavailableError(f"the submission server cannot do this now: {words}", native_code=native)
    if not 500 <= code < 600:
        return _garbage(phase, native)
    if phase is Phase.LOGIN or code in _LOGIN_CODES:
        return ReauthorizationError(f"the submission server refused the login: {words}", native_code=native)
    if phase is Phase.CONNECT:
        return ConnectError(f"the submission server refused the connection: {words}", native_code=native)
    if native in _TOO_LARGE or (code == 552 and native == "552"):
        return MessageTooLargeError(f"the message is too large: {words}", native_code=native)
    return MessageRefusedError(f"the message was refused: {words}", native_code=native)


def _garbage(phase: Phase, native: str) -> ProviderError:
    if phase is Phase.HANDED_OVER:
        return OutcomeUnknownError("the server's answer to the message cannot be understood", native_code=native)
    return ConnectError("the submission server does not speak SMTP properly", native_code=native)


def _recipients_error(refused: list[aiosmtplib.SMTPRecipientRefused], explain: Explain | None) -> ProviderError:
    """Every recipient was refused: one that may be accepted later makes it worth trying again."""
    later = [each for each in refused if 400 <= each.code < 500]
    decisive = (later or refused)[0]
    return answer_error(decisive.code, decisive.message, phase=Phase.ENVELOPE, explain=explain, command="RCPT TO")

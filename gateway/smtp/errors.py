"""aiosmtplib's failures as the gateway's errors.

What an answer means depends on the phase it arrives in: a 5xx is a refused login, a refused sender or a refused
message (`gateway.smtp.answers`); a broken connection is harmless until the final dot of DATA has left (RFC 5321
section 4.1.1.4), and from there on nobody knows.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

import aiosmtplib

from gateway.errors import (
    ConnectError,
    MessageRefusedError,
    OutcomeUnknownError,
    ProviderError,
)
from gateway.smtp.answers import Phase, find, general_answers
from gateway.smtp.server_text import enhanced_status, masked
from gateway.smtp.socket_codes import TIMED_OUT, socket_code

#: Asked first about each refusal (code, text); None leaves it to the general table.
Explain = Callable[[int, str], ProviderError | None]

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
    row = find(general_answers(), text, code=code, phase=phase) or general_answers()[-1]
    native = enhanced_status(text) or str(code)
    return row.error(f"{row.title}: {code} {masked(text)}", native_code=native, raw=f"{code} {text}")


def _recipients_error(refused: list[aiosmtplib.SMTPRecipientRefused], explain: Explain | None) -> ProviderError:
    """Every recipient was refused: one that may be accepted later makes it worth trying again."""
    later = [each for each in refused if 400 <= each.code < 500]
    decisive = (later or refused)[0]
    return answer_error(decisive.code, decisive.message, phase=Phase.ENVELOPE, explain=explain, command="RCPT TO")

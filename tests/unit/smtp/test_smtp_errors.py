"""Every failure of submission has its place in the gateway's tree, by phase and answer."""

from __future__ import annotations

import inspect
import ssl

import aiosmtplib
import aiosmtplib.errors
import pytest

from gateway.errors import (
    ConnectError,
    GatewayError,
    MessageRefusedError,
    MessageTooLargeError,
    OutcomeUnknownError,
    ProviderError,
    RateLimitError,
    ReauthorizationError,
    ServiceUnavailableError,
)
from gateway.smtp.answers import Phase
from gateway.smtp.errors import answer_error, smtp_error

ADDRESS = "bob@example.org"
_ANSWERS = (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused)


def _exceptions() -> list[type[Exception]]:
    own = {
        each
        for _, each in inspect.getmembers(aiosmtplib.errors, inspect.isclass)
        if issubclass(each, aiosmtplib.SMTPException)
    }
    others = {OSError, ConnectionResetError, TimeoutError, ssl.SSLError, ssl.SSLCertVerificationError, ValueError}
    return sorted(own | others | {UnicodeEncodeError, RuntimeError}, key=lambda kind: kind.__name__)


def _instance(kind: type[Exception], code: int) -> Exception:
    if kind is UnicodeEncodeError:
        return UnicodeEncodeError("ascii", ADDRESS, 0, 1, "no")
    if kind is aiosmtplib.SMTPRecipientsRefused:
        return aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(code, f"no {ADDRESS}", ADDRESS)])
    if kind in (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPRecipientRefused):
        return kind(code, f"no {ADDRESS}", ADDRESS)
    if issubclass(kind, aiosmtplib.SMTPResponseException):
        return kind(code, f"no {ADDRESS}")
    return kind(f"no {ADDRESS}")


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("kind", _exceptions(), ids=lambda kind: kind.__name__)
def test_every_exception_has_a_place_in_every_phase(kind: type[Exception], phase: Phase) -> None:
    """An exception without one would be a crash of the worker instead of a decision about the message."""
    for code in (450, 550, -1):
        error = smtp_error(_instance(kind, code), phase=phase)
        assert type(error) is not ProviderError
        assert ADDRESS not in f"{error} {error.record()}"
        if phase is Phase.HANDED_OVER and not issubclass(kind, _ANSWERS):
            assert isinstance(error, OutcomeUnknownError)


@pytest.mark.parametrize(
    ("code", "text", "phase", "expected"),
    [
        (421, "4.3.2 Service not available", Phase.CONNECT, ServiceUnavailableError),
        (554, "5.7.1 no SMTP service for you", Phase.CONNECT, ConnectError),
        (535, "5.7.3 Authentication unsuccessful", Phase.LOGIN, ReauthorizationError),
        (550, "5.7.30 Basic authentication is not supported", Phase.LOGIN, ReauthorizationError),
        (454, "4.7.0 Temporary authentication failure", Phase.LOGIN, ServiceUnavailableError),
        (530, "5.7.57 Client not authenticated to send mail", Phase.ENVELOPE, ReauthorizationError),
        (450, "4.2.0 greylisted", Phase.ENVELOPE, ServiceUnavailableError),
        (432, "4.3.2 Concurrent connections limit exceeded", Phase.ENVELOPE, RateLimitError),
        (451, "4.7.500 Server busy, too many messages", Phase.ENVELOPE, RateLimitError),
        (550, "5.1.1 no such user", Phase.ENVELOPE, MessageRefusedError),
        (552, "5.3.4 Message size exceeds fixed limit", Phase.ENVELOPE, MessageTooLargeError),
        (552, "message too big", Phase.HANDED_OVER, MessageTooLargeError),
        (552, "5.2.2 mailbox full", Phase.HANDED_OVER, MessageRefusedError),
        (554, "5.2.252 SendAsDenied", Phase.HANDED_OVER, MessageRefusedError),
        (451, "4.3.0 queue file write error", Phase.HANDED_OVER, ServiceUnavailableError),
    ],
)
def test_answers_lead_to_the_right_act(code: int, text: str, phase: Phase, expected: type[GatewayError]) -> None:
    """Trying again, giving up and asking a person are three different things."""
    error = answer_error(code, text, phase=phase)
    assert type(error) is expected
    assert error.native_code in (text.partition(" ")[0], str(code))


def test_answer_that_cannot_be_understood_after_the_final_dot_is_an_unknown_outcome() -> None:
    """It may have been a yes."""
    error = aiosmtplib.SMTPResponseException(-1, "Malformed SMTP response line")
    assert isinstance(smtp_error(error, phase=Phase.HANDED_OVER), OutcomeUnknownError)
    assert isinstance(smtp_error(error, phase=Phase.CONTENT), ConnectError)


@pytest.mark.parametrize(
    ("error", "phase", "expected"),
    [
        (aiosmtplib.SMTPAuthenticationError(535, "5.7.8 bad"), Phase.LOGIN, ("535 5.7.8 bad", 535, "AUTH")),
        (aiosmtplib.SMTPSenderRefused(550, "5.1.8 no", ADDRESS), Phase.ENVELOPE, ("550 5.1.8 no", 550, "MAIL FROM")),
        (
            aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(550, f"5.1.1 {ADDRESS}?", ADDRESS)]),
            Phase.ENVELOPE,
            ("550 5.1.1 <…>", 550, "RCPT TO"),
        ),
        (aiosmtplib.SMTPDataError(452, "4.3.1 full"), Phase.HANDED_OVER, ("452 4.3.1 full", 452, "DATA")),
    ],
)
def test_an_answer_is_told_with_its_code_and_what_it_answered(
    error: Exception, phase: Phase, expected: tuple[str, int, str]
) -> None:
    """Clients are told of it in `messageDeliveryError`; it names nobody."""
    details = smtp_error(error, phase=phase).details
    assert (details["smtp_response"], details["smtp_response_code"], details["smtp_command"]) == expected


def test_recipients_who_may_be_accepted_later_are_tried_again() -> None:
    """One greylisting among the refusals is a reason to come back."""
    refused = [aiosmtplib.SMTPRecipientRefused(code, "no", ADDRESS) for code in (550, 450)]
    assert isinstance(
        smtp_error(aiosmtplib.SMTPRecipientsRefused(refused), phase=Phase.ENVELOPE), ServiceUnavailableError
    )


def test_service_explains_first() -> None:
    """A plugin knows the words of its service better than these rules."""
    explained = ServiceUnavailableError("known")
    error = aiosmtplib.SMTPAuthenticationError(535, "5.7.139 SmtpClientAuthentication is disabled")
    assert smtp_error(error, phase=Phase.LOGIN, explain=lambda code, text: explained) is explained
    assert isinstance(smtp_error(error, phase=Phase.LOGIN, explain=lambda code, text: None), ReauthorizationError)

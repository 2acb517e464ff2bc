"""Every native error has its place in the gateway's tree, and none of them tells an address."""

from __future__ import annotations

import errno
import imaplib
import inspect
import socket
import ssl

import pytest
from imapclient import exceptions as imapclient_errors

from gateway.errors import (
    ConflictError,
    ConnectError,
    GatewayError,
    MailboxNotFoundError,
    MailboxUnavailableError,
    MessageTooLargeError,
    NotFoundError,
    PermanentError,
    ProviderError,
    RateLimitError,
    ReauthorizationError,
    ServiceUnavailableError,
    TransientError,
    UnsupportedOperationError,
)
from gateway_imap.errors import FAILURES, OutOfStepError, answer_error, connection_error

SPECIFIC: dict[type[Exception], type[ProviderError]] = {
    imapclient_errors.CapabilityError: UnsupportedOperationError,
    imapclient_errors.LoginError: ReauthorizationError,
    imapclient_errors.InvalidCriteriaError: PermanentError,
}


def _libraries_exceptions() -> set[type[Exception]]:
    """Everything that imaplib, imapclient, ssl and the network can raise."""
    found: set[type[Exception]] = {
        OSError,
        TimeoutError,
        ConnectionResetError,
        BrokenPipeError,
        ValueError,
        OverflowError,
    }
    found |= {
        UnicodeDecodeError,
        MemoryError,
        OutOfStepError,
        imaplib.IMAP4.error,
        imaplib.IMAP4.abort,
        imaplib.IMAP4.readonly,
    }
    for module in (imapclient_errors, ssl, socket):
        found |= {
            each
            for name, each in inspect.getmembers(module, inspect.isclass)
            if issubclass(each, Exception) and not name.startswith("_")
        }
    return found


def _instance(kind: type[Exception]) -> Exception:
    if kind is UnicodeDecodeError:
        return UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bob@example.org")
    return kind("secret words of bob@example.org")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "ECONNREFUSED"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "ENOTFOUND"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "EAI_AGAIN"),
        (TimeoutError("x"), "ETIMEDOUT"),
        (ssl.SSLError(1, "wrong version number"), "ETLS"),
        (ssl.SSLEOFError(8, "eof"), "ECONNRESET"),
    ],
)
def test_network_errors_have_the_names_that_clients_know(error: Exception, code: str) -> None:
    """An "errno 111" is told to nobody: clients and the hosted form look for the name."""
    assert connection_error(error).native_code == code


def test_a_bare_refusal_of_a_login_has_a_name_too() -> None:
    """Exchange says NO without a response code."""
    assert answer_error("NO", b"AUTHENTICATE failed.", login=True).native_code == "AUTHENTICATIONFAILED"  # type: ignore[attr-defined]
    assert answer_error("NO", b"[EXPIRED] x", login=True).native_code == "EXPIRED"  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", sorted(_libraries_exceptions(), key=lambda kind: f"{kind.__module__}.{kind.__name__}"))
def test_every_exception_has_a_place(kind: type[Exception]) -> None:
    """An exception without one would be a crash of the worker instead of an answer."""
    assert issubclass(kind, FAILURES)
    error = connection_error(_instance(kind))
    assert isinstance(error, SPECIFIC.get(kind, ConnectError))
    assert error.native_code
    assert "bob" not in f"{error} {error.record()}"
    assert "secret" not in f"{error} {error.record()}"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"NO [UNAVAILABLE] User's backend is away", ServiceUnavailableError),
        (b"NO [SERVERBUG] oops", ServiceUnavailableError),
        (b"NO [INUSE] Mailbox in use", ServiceUnavailableError),
        (b"NO Server Unavailable. 15", ServiceUnavailableError),
        (b"NO [LIMIT] Too much", RateLimitError),
        (b"NO [THROTTLED] slow down", RateLimitError),
        (b"NO [ALERT] Too many simultaneous connections. (Failure)", RateLimitError),
        (b"NO [NONEXISTENT] Unknown Mailbox: bob@example.org", MailboxNotFoundError),
        (b"NO [TRYCREATE] Mailbox doesn't exist", MailboxNotFoundError),
        (b"NO [ALREADYEXISTS] there is one", ConflictError),
        (b"NO [TOOBIG] too big", MessageTooLargeError),
        (b"NO [OVERQUOTA] full", PermanentError),
        (b"NO [NOPERM] no", PermanentError),
        (b"NO no", PermanentError),
        (b"BAD Command Argument Error. 11", PermanentError),
        (b"BAD User is authenticated but not connected.", MailboxUnavailableError),
    ],
)
def test_answers_lead_to_the_right_act(answer: bytes, expected: type[GatewayError]) -> None:
    """Waiting, giving up and asking a person are three different things."""
    status, _, text = answer.partition(b" ")
    error = answer_error(status.decode(), text)
    assert type(error) is expected
    assert "bob@" not in str(error)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"NO [AUTHENTICATIONFAILED] Authentication failed.", ReauthorizationError),
        (b"NO AUTHENTICATE failed.", ReauthorizationError),
        (b"NO [ALERT] Please log in via your web browser", ReauthorizationError),
        (b"BAD Command Argument Error. 12", ReauthorizationError),
        (b"NO [UNAVAILABLE] Temporary authentication failure.", ServiceUnavailableError),
        (b"NO [ALERT] Too many simultaneous connections. (Failure)", RateLimitError),
        (b"NO Server Unavailable. 15", ServiceUnavailableError),
    ],
)
def test_refused_login_is_told_from_a_busy_server(answer: bytes, expected: type[GatewayError]) -> None:
    """A passing fault must never ask a person for a new password."""
    status, _, text = answer.partition(b" ")
    assert type(answer_error(status.decode(), text, login=True)) is expected


@pytest.mark.parametrize(
    ("goodbye", "expected"),
    [
        (b"Session invalidated - AccessTokenExpired", ConnectError),
        (b"Connection closed. 14", ConnectError),
        (b"Too many connections for bob@example.org", RateLimitError),
        (b"User is authenticated but not connected.", MailboxUnavailableError),
    ],
)
def test_goodbye_says_why(goodbye: bytes, expected: type[GatewayError]) -> None:
    """After a BYE the socket only reports its end; the reason came before."""
    error = connection_error(imaplib.IMAP4.abort("socket error: EOF"), goodbye=goodbye)
    assert type(error) is expected
    assert "bob@" not in str(error)


def test_service_explains_first() -> None:
    """A plugin knows the words of its service better than these rules."""
    explained = ServiceUnavailableError("known")

    def explain(text: str) -> ProviderError | None:
        return explained if "xyz" in text else None

    assert answer_error("NO", b"[NONEXISTENT] xyz", explain=explain) is explained
    assert connection_error(OSError(), goodbye=b"xyz", explain=explain) is explained
    assert isinstance(answer_error("NO", b"[NONEXISTENT] abc", explain=explain), NotFoundError)


def test_transient_errors_are_the_rule_for_broken_connections() -> None:
    """Nothing that happens to a connection may park an account."""
    assert isinstance(connection_error(ConnectionResetError()), TransientError)

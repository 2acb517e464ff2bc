"""The general table of refusals: what each means, who must act, whether and when to try again."""

from __future__ import annotations

from typing import get_args

import pytest

from gateway.errors import Actor, TransientError
from gateway.smtp.answers import RETRIED, Kind, Phase, find, general_answers
from gateway.smtp.errors import answer_error

CONNECT, LOGIN, ENVELOPE, CONTENT, HANDED_OVER = Phase

#: Transport is any submission server. Phase, code, text; row, kind, who, seconds until the next try.
ANSWERS: tuple[tuple[Phase, int, str, str, Kind, Actor, float | None], ...] = (
    (LOGIN, 432, "4.7.12 A password transition is needed", "password_transition", "reauth", "user", None),
    (ENVELOPE, 452, "4.5.3 Too many recipients", "too_many_recipients_now", "retry", "user", 60),
    (ENVELOPE, 451, "4.7.500 Server busy. Please try again later", "ip_throttled", "throttled", "operator", 300),
    (
        CONNECT,
        421,
        "4.7.650 The mail server has been temporarily rate limited",
        "ip_throttled",
        "throttled",
        "operator",
        300,
    ),
    (ENVELOPE, 450, "4.2.0 Recipient address rejected: Greylisted", "greylisted", "retry", "nobody", 300),
    (ENVELOPE, 451, "4.7.1 Greylisting in action, please come back later", "greylisted", "retry", "nobody", 300),
    (
        HANDED_OVER,
        432,
        "4.3.2 Concurrent connections limit exceeded",
        "too_many_connections",
        "throttled",
        "nobody",
        60,
    ),
    (CONNECT, 421, "4.7.0 Too many connections from your host", "rate_limited", "throttled", "nobody", 60),
    (LOGIN, 454, "4.7.0 Too many login attempts, please try again later", "rate_limited", "throttled", "nobody", 60),
    (ENVELOPE, 450, "4.7.1 throttled", "rate_limited", "throttled", "nobody", 60),
    (LOGIN, 454, "4.7.0 Temporary authentication failure", "login_not_now", "retry", "nobody", None),
    (CONNECT, 454, "4.7.0 TLS not available due to local problem", "tls_not_now", "retry", "nobody", None),
    (CONNECT, 421, "4.3.2 Service not available, closing transmission channel", "closing", "retry", "nobody", None),
    (CONTENT, 421, "4.4.2 Timeout", "closing", "retry", "nobody", None),
    (ENVELOPE, 452, "4.2.2 The email account is over quota", "recipient_full_now", "retry", "nobody", 1800),
    (HANDED_OVER, 452, "4.3.1 Insufficient system storage", "server_full", "retry", "nobody", 300),
    (ENVELOPE, 451, "4.4.3 Temporary server error", "onward_unreachable", "retry", "nobody", 300),
    (ENVELOPE, 450, "mailbox busy", "recipient_busy", "retry", "nobody", None),
    (HANDED_OVER, 451, "4.3.0 queue file write error", "passing_fault", "retry", "nobody", None),
    (ENVELOPE, 455, "Server unable to accommodate parameters", "passing_fault", "retry", "nobody", None),
    (ENVELOPE, 530, "5.7.0 Must issue a STARTTLS command first", "tls_required", "reauth", "operator", None),
    (LOGIN, 538, "5.7.11 Encryption required", "tls_required", "reauth", "operator", None),
    (CONNECT, 538, "5.7.11 Not without TLS", "tls_required", "reauth", "operator", None),
    (LOGIN, 534, "5.7.9 Application-specific password required", "mechanism_too_weak", "reauth", "user", None),
    (LOGIN, 500, "5.5.6 Authentication exchange line is too long", "login_too_long", "reauth", "operator", None),
    (LOGIN, 504, "5.5.4 Unrecognized authentication type", "login_not_understood", "reauth", "operator", None),
    (LOGIN, 535, "5.7.8 Authentication credentials invalid", "login_refused", "reauth", "user", None),
    (LOGIN, 550, "5.7.1 account disabled", "login_refused", "reauth", "user", None),
    (ENVELOPE, 530, "5.7.0 Authentication required", "login_required", "reauth", "user", None),
    (CONNECT, 554, "5.7.1 No SMTP service here", "connection_refused", "connect", "operator", None),
    (CONNECT, 521, "host does not accept mail", "connection_refused", "connect", "operator", None),
    (ENVELOPE, 552, "5.3.4 Message size exceeds fixed limit", "too_large", "too_large", "user", None),
    (HANDED_OVER, 552, "message too big", "too_large", "too_large", "user", None),
    (HANDED_OVER, 554, "5.2.3 message too long for this mailbox", "too_large", "too_large", "user", None),
    (ENVELOPE, 550, "5.1.8 Sender domain does not exist", "sender_refused", "message", "user", None),
    (ENVELOPE, 553, "5.1.7 Invalid sender", "sender_refused", "message", "user", None),
    (ENVELOPE, 554, "5.7.1 <…>: Relay access denied", "relay_denied", "message", "operator", None),
    (HANDED_OVER, 552, "5.2.2 mailbox full", "recipient_full", "message", "nobody", None),
    (ENVELOPE, 550, "5.1.1 no such user", "recipient_unknown", "message", "user", None),
    (ENVELOPE, 550, "No such user here", "recipient_unknown", "message", "user", None),
    (ENVELOPE, 556, "5.1.10 Recipient address has null MX", "recipient_unknown", "message", "user", None),
    (ENVELOPE, 556, "Domain does not accept mail", "no_mail_there", "message", "user", None),
    (ENVELOPE, 550, "5.4.1 Recipient address rejected: Access denied", "onward_refused", "message", "user", None),
    (ENVELOPE, 550, "5.5.3 Too many recipients", "too_many_recipients", "message", "user", None),
    (ENVELOPE, 553, "5.6.7 SMTPUTF8 is required", "needs_smtputf8", "message", "user", None),
    (HANDED_OVER, 554, "5.6.0 Corrupt message content", "content_refused", "message", "user", None),
    (HANDED_OVER, 550, "5.7.26 Unauthenticated mail is prohibited", "policy", "message", "user", None),
    (ENVELOPE, 501, "5.5.4 Invalid arguments", "not_understood", "message", "operator", None),
    (HANDED_OVER, 554, "Transaction failed", "refused", "message", "user", None),
    (HANDED_OVER, 550, "blocked, see http://example.org/5.1.2.3", "refused", "message", "user", None),
    (HANDED_OVER, -1, "Malformed SMTP response line", "not_understood_answer", "unknown", "user", None),
    (CONNECT, -1, "HTTP/1.1 400 Bad Request", "not_smtp", "connect", "operator", None),
    (CONTENT, 250, "OK already", "not_smtp", "connect", "operator", None),
)


@pytest.mark.parametrize(("phase", "code", "text", "row", "kind", "who", "pause"), ANSWERS)
def test_each_answer_tells_who_must_act_and_when_it_is_tried_again(
    phase: Phase, code: int, text: str, row: str, kind: Kind, who: Actor, pause: float | None
) -> None:
    """A refused login, a refused recipient and a busy server are three different things with the same digits."""
    found = find(general_answers(), text, code=code, phase=phase)
    assert found is not None
    assert (found.code, found.kind, found.who, found.retry_after) == (row, kind, who, pause)
    error = answer_error(code, text, phase=phase)
    assert isinstance(error, TransientError) is (kind in RETRIED)
    assert error.remedy is not None
    assert (error.remedy.code, error.remedy.who, error.remedy.retryable) == (row, who, kind in RETRIED)
    assert error.details.get("retry_after") == pause


def test_no_row_is_hidden_behind_an_earlier_one() -> None:
    """A row that nothing reaches would promise what never happens."""
    reached = {id(find(general_answers(), text, code=code, phase=phase)) for phase, code, text, *_ in ANSWERS}
    assert [row.code for row in general_answers() if id(row) not in reached] == []


@pytest.mark.parametrize("phase", Phase)
def test_the_table_has_an_answer_to_everything(phase: Phase) -> None:
    """The last rows fit whatever a server may say."""
    for code in (*range(-1, 1000), 99999):
        assert find(general_answers(), "", code=code, phase=phase) is not None


def test_every_row_can_be_shown_and_found() -> None:
    """Phrases are compared in lower case; phases by their names."""
    phases = {phase.name.lower() for phase in Phase}
    for row in general_answers():
        assert row.who in get_args(Actor)
        assert row.kind in get_args(Kind)
        assert row.title
        assert row.steps
        assert phases.issuperset(row.phases)
        for phrase in (*row.phrases, *row.any_phrase):
            assert phrase == phrase.casefold()
        assert (row.kind != "throttled") or row.retry_after

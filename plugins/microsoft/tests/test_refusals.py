"""What Exchange's servers say when they refuse, in their own words."""

from __future__ import annotations

from typing import get_args

import pytest

from gateway.errors import (
    AccountError,
    Actor,
    ConnectError,
    MailboxUnavailableError,
    MessageRefusedError,
    ProviderError,
    RateLimitError,
    ReauthorizationError,
    ServiceUnavailableError,
)
from gateway.smtp.answers import Phase, find
from gateway.smtp.errors import answer_error
from gateway_microsoft import imap_refusal, smtp_refusal
from gateway_microsoft.refusals import refusals

AUTH = "5.7.139 Authentication unsuccessful, "
TENANT_OFF = AUTH + "SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled"

SMTP: tuple[tuple[int, str, type[ProviderError], str, str], ...] = (
    (535, TENANT_OFF, MailboxUnavailableError, "smtp_auth_disabled_tenant", "tenant_admin"),
    (
        535,
        AUTH + "SmtpClientAuthentication is disabled for the Mailbox.",
        MailboxUnavailableError,
        "smtp_auth_disabled_mailbox",
        "tenant_admin",
    ),
    (535, AUTH + "basic authentication is disabled.", ReauthorizationError, "basic_auth_disabled", "user"),
    (
        535,
        AUTH + "user is locked by your organization's security defaults policy.",
        ReauthorizationError,
        "security_defaults",
        "tenant_admin",
    ),
    (
        535,
        AUTH + "the request did not meet the criteria to be authenticated successfully. Contact your administrator.",
        ReauthorizationError,
        "policy_criteria",
        "tenant_admin",
    ),
    (535, AUTH + "account locked.", ReauthorizationError, "account_locked", "user"),
    (
        535,
        "5.7.3 Authentication unsuccessful [AM0PR01CA0001.eurprd01.prod.exchangelabs.com]",
        MailboxUnavailableError,
        "identity_refused",
        "tenant_admin",
    ),
    (
        550,
        "5.7.30 Basic authentication is not supported for Client Submission.",
        ReauthorizationError,
        "basic_auth_ended",
        "user",
    ),
    (
        530,
        "5.7.57 Client not authenticated to send mail. [AM0PR01CA0001]",
        ReauthorizationError,
        "not_authenticated",
        "gateway",
    ),
    (
        530,
        "5.7.57 Client not authenticated to send mail. Error: 535 " + TENANT_OFF,
        MailboxUnavailableError,
        "smtp_auth_disabled_tenant",
        "tenant_admin",
    ),
    (
        554,
        "5.2.252 SendAsDenied; bob@contoso.test not allowed to send as boss@contoso.test",
        MessageRefusedError,
        "send_as_denied",
        "tenant_admin",
    ),
    (
        550,
        "5.7.60 SMTP; Client does not have permissions to send as this sender",
        MessageRefusedError,
        "send_as_denied",
        "tenant_admin",
    ),
    (432, "4.3.2 Concurrent connections limit exceeded.", RateLimitError, "too_many_connections", "nobody"),
    (
        432,
        "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
        RateLimitError,
        "too_many_connections",
        "nobody",
    ),
    (
        554,
        "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message",
        RateLimitError,
        "quota_exceeded",
        "user",
    ),
    (554, "5.2.2 mailbox full; STOREDRV.Deliver", MessageRefusedError, "mailbox_full", "user"),
    (
        554,
        "5.2.0 STOREDRV.Submission; the submission quota for this mailbox is exceeded",
        RateLimitError,
        "quota_exceeded",
        "user",
    ),
    (
        550,
        "5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
        RateLimitError,
        "quota_exceeded",
        "user",
    ),
    (
        550,
        "5.1.8 Access denied, bad outbound sender. For more information please go to Error Codes",
        MailboxUnavailableError,
        "sender_blocked",
        "tenant_admin",
    ),
    (
        550,
        "5.7.501 Access denied, spam abuse detected",
        MailboxUnavailableError,
        "sender_blocked",
        "tenant_admin",
    ),
    (550, "5.7.705 Access denied, tenant has exceeded threshold", RateLimitError, "tenant_quota", "tenant_admin"),
    (
        421,
        "4.3.2 The maximum number of concurrent server connections has exceeded a limit, closing transmission channel",
        RateLimitError,
        "too_many_connections",
        "nobody",
    ),
)


@pytest.mark.parametrize(("code", "text", "expected", "remedy", "who"), SMTP)
def test_each_answer_of_the_submission_server_is_explained(
    code: int, text: str, expected: type[ProviderError], remedy: str, who: str
) -> None:
    """535 has a dozen meanings, and most of them are not about the password."""
    failure = smtp_refusal(code, text)
    assert type(failure) is expected
    assert failure.remedy is not None
    assert (failure.remedy.code, failure.remedy.who) == (remedy, who)
    assert failure.native_code in text
    assert "contoso.test" not in f"{failure}{failure.record()}"


def test_the_login_phase_of_the_gateways_own_smtp_uses_it() -> None:
    """The hook is asked first, and what it does not know is left to the general rules."""
    hooked = answer_error(535, TENANT_OFF, phase=Phase.LOGIN, explain=smtp_refusal)
    assert type(hooked) is MailboxUnavailableError
    later = answer_error(451, "4.7.0 Temporary server error. Please try again later. PRX5", phase=Phase.CONTENT)
    assert type(later) is ServiceUnavailableError
    assert smtp_refusal(451, "4.7.0 Temporary server error. Please try again later. PRX5") is None


def test_the_daily_quota_rests_a_day_and_a_full_pipe_half_a_minute() -> None:
    """Asking again at once makes both worse."""
    day = smtp_refusal(554, "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException")
    pipe = smtp_refusal(432, "4.3.2 Concurrent connections limit exceeded")
    assert isinstance(day, RateLimitError)
    assert isinstance(pipe, RateLimitError)
    assert (day.retry_after, pipe.retry_after) == (86400, 30)


@pytest.mark.parametrize(
    ("code", "text", "kind", "pause"),
    [
        (550, "5.1.10 Recipient not found", "recipient_unknown", None),
        (552, "5.3.4 Message size exceeds fixed maximum message size", "too_large", None),
        (451, "4.7.500 Server busy. Please try again later", "ip_throttled", 300),
        (451, "4.7.0 Temporary server error. Please try again later. PRX5", "passing_fault", None),
        (454, "4.7.0 Temporary authentication failure", "passing_fault", None),
        (550, "5.7.606 Access denied, banned sending IP", "policy", None),
    ],
)
def test_the_general_table_explains_the_rest(code: int, text: str, kind: str, pause: float | None) -> None:
    """Exchange's rows are asked first, and hold only what Exchange means differently."""
    failure = answer_error(code, text, phase=Phase.CONTENT, explain=smtp_refusal)
    assert failure.remedy is not None
    assert failure.remedy.code == kind
    assert failure.details.get("retry_after") == pause


def test_no_row_is_hidden_behind_an_earlier_one() -> None:
    """A row that nothing reaches would promise what never happens."""
    reached = {id(find(refusals().smtp, text, code=code)) for code, text, *_ in SMTP}
    assert [row.code for row in refusals().smtp if id(row) not in reached] == []


@pytest.mark.parametrize("text", [AUTH + "SmtpClientAuthentication is disabled for the Mailbox.", TENANT_OFF])
def test_switched_off_smtp_offers_the_way_over_graph(text: str) -> None:
    """SMTP AUTH stays off in most organisations; a person who may not change that can still send."""
    failure = smtp_refusal(535, text)
    assert isinstance(failure, AccountError)
    assert failure.remedy is not None
    assert failure.remedy.base_scopes == "api"
    assert any("Graph" in step for step in failure.remedy.steps)
    assert not failure.remedy.retryable


@pytest.mark.parametrize("text", ["5.1.10 Recipient not found", "5.3.4 Message size exceeds fixed limit", ""])
def test_answers_that_are_not_special_are_left_alone(text: str) -> None:
    """A refused recipient is no problem of the account."""
    assert smtp_refusal(550, text) is None


@pytest.mark.parametrize(
    ("text", "expected", "remedy"),
    [
        ("User is authenticated but not connected.", MailboxUnavailableError, "not_connected"),
        ("AUTHENTICATE failed.", ReauthorizationError, "authenticate_failed"),
        ("[AUTHENTICATIONFAILED] AUTHENTICATE failed.", ReauthorizationError, "authenticate_failed"),
        ("LOGIN failed.", ReauthorizationError, "login_failed"),
        ("Session invalidated - AccessTokenExpired", ConnectError, "token_expired"),
        ("Session invalidated - ClientDisconnect", ConnectError, "session_invalidated"),
        ("Request is throttled. Suggested Backoff Time: 92415 milliseconds", RateLimitError, "throttled"),
        ("Server Unavailable. 15", ServiceUnavailableError, "unavailable"),
    ],
)
def test_each_answer_of_the_imap_server_is_explained(text: str, expected: type[ProviderError], remedy: str) -> None:
    """An account waits for somebody only if somebody can help."""
    failure = imap_refusal(text)
    assert type(failure) is expected
    assert failure.remedy is not None
    assert failure.remedy.code == remedy


def test_authenticated_but_not_connected_asks_the_questions_in_order() -> None:
    """It is the most reported puzzle of Exchange's IMAP; signing in again never helps."""
    failure = imap_refusal("User is authenticated but not connected.")
    assert failure is not None
    assert failure.remedy is not None
    questions = [step.split("?")[0] for step in failure.remedy.steps if "?" in step]
    assert [question.split()[1] for question in questions] == ["IMAP", "it", "that", "the"]
    assert "licence" in questions[-1]


def test_throttling_waits_as_long_as_exchange_suggests() -> None:
    """Between a second and a day."""
    for told, seconds in (("92415", 92.415), ("1", 1.0), ("999999999", 86400.0)):
        failure = imap_refusal(f"Request is throttled. Suggested Backoff Time: {told} milliseconds")
        assert isinstance(failure, RateLimitError)
        assert failure.retry_after == seconds


@pytest.mark.parametrize("text", ["Connection closed. 14", "[NONEXISTENT] no such folder", "FETCH completed.", ""])
def test_other_answers_of_the_imap_server_are_left_alone(text: str) -> None:
    """The general rules know them."""
    assert imap_refusal(text) is None


def test_every_refusal_can_be_shown_and_found() -> None:
    """Phrases are compared in lower case; one in upper case would never match."""
    for row in (*refusals().smtp, *refusals().imap):
        assert row.who in get_args(Actor)
        assert row.title
        assert row.steps
        assert row.phrases == tuple(phrase.casefold() for phrase in row.phrases)
        assert row.any_phrase == tuple(phrase.casefold() for phrase in row.any_phrase)
        assert row.base_scopes in (None, "api")

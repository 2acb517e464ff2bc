"""What is quoted of a server's words names nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smtp.server_text import enhanced_status, masked


@pytest.mark.parametrize(
    "text",
    [
        "5.1.1 <bob@example.org>: Recipient address rejected",
        "Sender address rejected: not owned by user bob@example.org",
        "unknown user bob@example.org; ask postmaster@example.org",
        '"bob smith"@example.org is full',
        "user=bob%40example.org denied",
        "OK <4711.bob@mail.example.org> [Hostname=X]",
        "(bob@example.org)",
    ],
)
def test_addresses_and_message_ids_are_masked(text: str) -> None:
    """Errors reach logs, webhooks and callers of other accounts."""
    assert "bob" not in masked(text)
    assert "example" not in masked(text)


@given(st.emails(), st.sampled_from(["{} is unknown", "no mailbox {}", "<{}>", "to={}, relay=x"]))
def test_no_address_survives(address: str, sentence: str) -> None:
    """Whatever an address looks like, its domain is not shown."""
    assert address not in masked(sentence.format(address))


def test_reason_stays_readable_on_one_short_line() -> None:
    """A person decides by it what to do."""
    text = "5.7.139 Authentication unsuccessful,\n SmtpClientAuthentication is disabled for the Tenant." + " x" * 400
    assert masked(text).startswith("5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled")
    assert len(masked(text)) <= 300


def test_enhanced_status_is_found() -> None:
    """RFC 3463; Microsoft's detail has up to four digits."""
    assert enhanced_status("5.7.139 Authentication unsuccessful") == "5.7.139"
    assert enhanced_status("STOREDRV 5.2.252; SendAsDenied") == "5.2.252"
    assert enhanced_status("go away 10.1.2.3") is None

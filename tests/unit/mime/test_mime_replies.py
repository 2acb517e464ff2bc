"""The server's own words in bounces that are only text."""

from __future__ import annotations

import time

import pytest

from gateway.mime.reports import judge
from tests.samples.refusals import texts

HEAD = "From: MAILER-DAEMON@mx.test\r\nTo: me@x.test\r\nSubject: Undelivered Mail Returned to Sender\r\n\r\n"


@pytest.mark.parametrize("text", texts(), ids=lambda text: text[0])
def test_the_answer_is_whole_and_nothing_follows_it(text: tuple[str, str | None, str | None, str]) -> None:
    """What surrounds it is by whoever reports."""
    _, status, message, said = text
    (bounce,) = judge((HEAD + said.replace("\n", "\r\n")).encode(), "m").bounces
    assert bounce.recipient == "v@x.test"
    assert bounce.response is not None
    assert (bounce.response.message, bounce.response.status) == (message, status)
    assert bounce.response.source == ("smtp" if message and message[:3].isdigit() else None)


def test_each_recipient_has_the_answer_about_it() -> None:
    """A reason of one is none of another; those who stand together share theirs."""
    said = (
        "could not be delivered:\n\n<a@x.test>: 550 5.1.1 unknown\n\n<b@x.test>: host mx said: 552 5.2.2 full\n\n"
        "<c@x.test>\n<d@x.test>\n550 5.7.1 refused\n"
    )
    bounces = judge((HEAD + said).encode(), "m").bounces
    assert [(bounce.recipient[0], bounce.response and bounce.response.message) for bounce in bounces] == [
        ("a", "550 5.1.1 unknown"),
        ("b", "552 5.2.2 full"),
        ("c", "550 5.7.1 refused"),
        ("d", "550 5.7.1 refused"),
    ]


def test_a_transcript_tells_recipients_apart() -> None:
    """An answer that names a recipient is about it, wherever it stands."""
    said = (
        "----- The following addresses had permanent fatal errors -----\n<a@x.test>\n<b@x.test>\n\n----- Transcript of"
        " session follows -----\n<<< 550 5.1.1 b@x.test... User unknown\n<<< 552 5.2.2 <a@x.test> is full\n"
    )
    bounces = judge((HEAD + said).encode(), "m").bounces
    assert [(bounce.recipient[0], bounce.response and bounce.response.status) for bounce in bounces] == [
        ("a", "5.2.2"),
        ("b", "5.1.1"),
    ]


@pytest.mark.parametrize("between", ["", "  "])
def test_an_answer_ends_where_the_next_recipient_begins(between: str) -> None:
    """A list without blank lines."""
    said = f"could not be delivered:\n\n{between}a@x.test: 550 unknown\n{between}b@x.test: 551 gone\n"
    bounces = judge((HEAD + said).encode(), "m").bounces
    assert [bounce.response and bounce.response.message for bounce in bounces] == ["550 unknown", "551 gone"]


def test_a_notice_with_thousands_of_recipients_takes_little_time() -> None:
    """Whoever can send a mail can send this one."""
    said = "could not be delivered:\n" + "".join(f"user{number}@x.test\n" for number in range(3000))
    begin = time.process_time()
    assert len(judge((HEAD + said).encode(), "m").bounces) == 100
    assert time.process_time() - begin < 3.0

"""Bounces and complaints."""

from __future__ import annotations

import random
import time

import pytest

from gateway.mime.parse import parse_message
from gateway.mime.reports import SOURCE_LIMIT, judge, may_be_report
from tests.samples.reports import Sample, samples

ALL = samples()
BOUNCES = [sample for sample in ALL if sample.kind == "bounce"]
COMPLAINTS = [sample for sample in ALL if sample.kind == "complaint"]


def found(sample: Sample) -> str:
    """What a sample is taken for, as a listing and then its source show it."""
    if not may_be_report(parse_message(sample.source).entry("m")):
        return "none"
    judgement = judge(sample.source, "m")
    if judgement.complaint is not None:
        return "complaint"
    return "bounce" if judgement.bounces else "none"


def test_samples_are_many_and_of_every_class() -> None:
    """A figure about few samples says little."""
    assert len(BOUNCES) + len(COMPLAINTS) >= 80
    assert len(ALL) - len(BOUNCES) - len(COMPLAINTS) >= 40
    assert len({sample.name for sample in ALL}) == len(ALL)


@pytest.mark.parametrize("kind", ["bounce", "complaint"])
def test_precision_and_recall(kind: str) -> None:
    """Who is taken for unreachable is written to no more; who is not is written to in vain."""
    taken = [sample for sample in ALL if found(sample) == kind]
    right = [sample for sample in taken if sample.kind == kind]
    assert len(right) / len(taken) >= 0.98, [sample.name for sample in taken if sample.kind != kind]
    missed = [sample.name for sample in ALL if sample.kind == kind and sample not in right]
    assert len(right) / sum(sample.kind == kind for sample in ALL) >= 0.95, missed


@pytest.mark.parametrize("sample", BOUNCES, ids=lambda sample: sample.name)
def test_bounce_tells_whom_and_why(sample: Sample) -> None:
    """Recipients, status, whether that is final, and the message that was sent."""
    bounces = judge(sample.source, "m").bounces
    recipients, status, *action = sample.detail
    assert ",".join(bounce.recipient for bounce in bounces) == recipients
    assert {bounce.action for bounce in bounces} == set(action or ["failed"])
    assert {bounce.message_id for bounce in bounces} == {"<original@sender.example>"}
    assert bounces[0].response is not None
    assert (bounces[0].response.status or "-") == status


@pytest.mark.parametrize("sample", COMPLAINTS, ids=lambda sample: sample.name)
def test_complaint_tells_of_what(sample: Sample) -> None:
    """Type of the feedback, and the message that was sent where the report has it."""
    complaint = judge(sample.source, "m").complaint
    assert complaint is not None
    assert (complaint.arf.feedback_type,) == sample.detail
    expected = None if "without-the-original" in sample.name else "<original@sender.example>"
    assert complaint.headers.message_id == expected


def named(name: str) -> bytes:
    """The source of one sample."""
    return next(sample.source for sample in ALL if sample.name == name)


def test_bounce_carries_everything_that_the_report_says() -> None:
    """The fields of EmailEngine."""
    (bounce,) = judge(named("delivery_status:postfix-user-unknown"), "id").bounces
    assert bounce.bounce_message == "id"
    assert bounce.mta == "mail.sender.example"
    assert bounce.queue_id == "4B2F91C0A3"
    assert bounce.response is not None
    assert bounce.response.source == "smtp"
    assert bounce.response.message == "550 5.1.1 <nobody@example.org>: Recipient address    rejected: User unknown"
    assert bounce.message_headers is not None
    assert bounce.message_headers["subject"] == ("Quarterly report",)


def test_nobody_is_to_be_removed_while_the_server_still_tries() -> None:
    """Greylisting often says that there is no such user, with a code that is not final."""
    said = b"Status: 4.1.1\r\nDiagnostic-Code: smtp; 450 4.1.1 <slow@example.org>: user unknown"
    (bounce,) = judge(named("delivery_status:delayed").replace(b"Status: 4.4.1", said), "id").bounces
    assert bounce.action == "delayed"
    assert bounce.response is not None
    assert (bounce.response.category, bounce.response.recommended_action) == ("user_unknown", "retry")


def test_complaint_carries_everything_that_the_report_says() -> None:
    """The fields of EmailEngine."""
    complaint = judge(named("complaints:rfc5965-full"), "id").complaint
    assert complaint is not None
    arf = complaint.arf
    assert (arf.original_mail_from, arf.original_rcpt_to) == ("me@sender.example", ("someone@example.com",))
    assert (arf.source_ip, arf.user_agent) == ("192.0.2.1", "SomeGenerator/1.0")
    assert arf.arrival_date is not None
    assert (complaint.headers.from_, complaint.headers.to) == ("me@sender.example", ("someone@example.com",))


@pytest.mark.parametrize("name", ["dsn-delivered", "dsn-relayed", "dsn-expanded"])
def test_report_about_no_failure_is_a_delivery_report(name: str) -> None:
    """It is told with the message, and is no bounce."""
    judgement = judge(named(f"negatives:{name}"), "m")
    assert not judgement.bounces
    assert judgement.delivery_report is not None
    assert judgement.delivery_report["recipients"][0]["action"] == name.removeprefix("dsn-")


def _nested(depth: int) -> bytes:
    heads = (f'Content-Type: multipart/report; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(depth))
    return "".join(heads).encode()


HEAD = b"From: MAILER-DAEMON@example.org\r\nSubject: Undelivered Mail Returned to Sender\r\n"
REPORT = HEAD + b'Content-Type: multipart/report; boundary="b"\r\n\r\n'
STATUS = REPORT + b"--b\r\nContent-Type: message/delivery-status\r\n\r\n"
HOSTILE = {
    "16,000 parts": REPORT + b"--b\r\n\r\n" * 40_000,
    "16,000 recipients": STATUS + b"Final-Recipient: rfc822; a@example.org\r\nAction: failed\r\n\r\n" * 16_000,
    "one field without end": STATUS + b"Final-Recipient: rfc822; " + b"a@" * 200_000,
    "folded for ever": STATUS + b"Diagnostic-Code: smtp;\r\n " + b"x\r\n " * 60_000,
    "nested": HEAD + _nested(3000),
    "noise": random.Random(1).randbytes(400_000),
    "noise as a text": HEAD + b"\r\n550 could not be delivered " + random.Random(2).randbytes(300_000),
    "noise as a status": STATUS + random.Random(3).randbytes(300_000),
    "addresses": HEAD + b"\r\n550 could not be delivered\r\n" + b"a@example.org, b@example.org:\r\n" * 10_000,
    "one long address": HEAD + b"\r\n550 could not be delivered\r\n" + b"a.a@a.a-a." * 30_000,
    "blank lines": HEAD + b"\r\n550 could not be delivered\r\n" + b" \t\r\n" * 80_000,
    "header lines": HEAD + b"\r\n550 could not be delivered\r\n" + b"Message-ID: <a>\r\n" * 20_000,
    "message ids": HEAD + b"\r\n550 could not be delivered\r\n" + b"> message-id:\n" * 20_000,
    "brackets": HEAD + b"References: " + b"<" * 200_000 + b"\r\n\r\ncould not be delivered 550",
    "hyphens": HEAD + b"\r\ngenerated by " + b"a-" * 100_000 + b" 550 could not be delivered",
    "spaces": HEAD + b"\r\nnicht zustellung " + b"konnte " * 40_000 + b" 550",
    "html": HEAD + b"Content-Type: text/html\r\n\r\n" + b"<p><a href=<" * 20_000,
    "encoded words": STATUS + b"Diagnostic-Code: " + b"=?utf-8?q?a?= " * 20_000,
    "many senders": b"From: " + b"a@example.org, " * 20_000 + b"\r\nSubject: Undeliverable\r\n\r\n550",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_hostile_message_takes_little_time(source: bytes) -> None:
    """Whoever can send a mail can send this one."""
    begin = time.process_time()
    judgement = judge(source, "m")
    assert time.process_time() - begin < 3.0
    assert len(judgement.bounces) <= 100


def test_no_cut_makes_it_fail() -> None:
    """A message is read up to a limit, wherever that falls."""
    for sample in ALL:
        for end in range(0, len(sample.source), 97):
            judge(sample.source[:end], "m")


def test_nothing_is_read_beyond_the_limit() -> None:
    """A long original costs nothing."""
    source = named("delivery_status:postfix-user-unknown").replace(b"Hello, this", b"x" * 2 * SOURCE_LIMIT)
    assert judge(source, "m") == judge(source[:SOURCE_LIMIT], "m")

"""What is shown of a stored message."""

from __future__ import annotations

from gateway_sandbox.graph_mime import Parser, parse


def test_words_of_a_name_that_are_encoded_apart_are_one() -> None:
    """White space between encoded words separates nothing (RFC 2047 section 6.2)."""
    encoded = b"From: =?utf-8?q?Z=C3=BC?=\r\n =?utf-8?q?rich?= <z@example.org>\r\n"
    found = parse(encoded + b"To: a@example.org, B <b@example.org>\r\n\r\n")
    assert [(one.name, one.address) for one in found.addresses("from")] == [("Zürich", "z@example.org")]
    assert [one.name for one in found.addresses("to")] == ["", "B"]


def test_a_message_over_the_capacity_is_taken_apart_once() -> None:
    """Each property that is shown of it asks for it."""
    parser, read = Parser(capacity=10), []

    def octets() -> bytes:
        read.append(1)
        return b"Subject: large\r\n\r\n" + b"x" * 100

    assert parser.parsed((1, 1), octets) is parser.parsed((1, 1), octets)
    assert len(read) == 1


def test_a_large_body_is_taken_apart_once_whatever_header_it_has() -> None:
    """All clients wait meanwhile, and it is in Sent Items and in each Inbox."""
    parser, body = Parser(), b"\r\n\r\n" + b"x" * 2_000_000
    sent = parser.parsed((1, 1), lambda: b"Subject: sent" + body)
    received = parser.parsed((2, 1), lambda: b"Received: now\r\nSubject: received" + body)
    as_page = parser.parsed((3, 1), lambda: b"Subject: page\r\nContent-Type: text/html" + body)
    assert [one.field("subject") for one in (sent, received, as_page)] == ["sent", "received", "page"]
    assert received.text is sent.text
    assert (as_page.text, as_page.html) == (None, sent.text)

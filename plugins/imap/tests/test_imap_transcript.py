"""The protocol log of an IMAP connection: what it shows, and what it must never show."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.provider import Speaker
from gateway_imap.transcript import Transcript


class Lines:
    """Keeps the lines, without the name of the connection."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, connection: str, speaker: Speaker, text: str) -> None:
        """Keep a line."""
        self.lines.append(f"{speaker}: {text}")


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def transcript(lines: Lines) -> Transcript:
    return Transcript(lines)


def test_commands_and_answers_are_shown(transcript: Transcript, lines: Lines) -> None:
    transcript.sent(b"A1 FETCH 1:* (UID)\r\nA2 NOOP\r\n")
    transcript.heard(b"* 2 EXISTS")
    transcript.heard(b"A2 OK done")
    assert lines.lines == ["C: A1 FETCH 1:* (UID)", "C: A2 NOOP", "S: * 2 EXISTS", "S: A2 OK done"]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b'A1 LOGIN "ann" "geheim"\r\n'], id="quoted"),
        pytest.param([b"a1 login ann {6+}\r\ngeheim\r\n"], id="literal that does not wait"),
        pytest.param([b"A1 LOGIN {3}\r\n", b"ann {6}\r\n", b"geheim\r\n"], id="literals that wait"),
    ],
)
def test_a_password_is_not_shown(transcript: Transcript, lines: Lines, pieces: list[bytes]) -> None:
    for piece in pieces:
        transcript.sent(piece)
    transcript.sent(b"A2 NOOP\r\n")
    first, second = lines.lines
    assert first.upper() == "C: A1 LOGIN <HIDDEN>"
    assert second == "C: A2 NOOP"


@pytest.mark.parametrize("initial", [True, False])
def test_nothing_of_a_sasl_exchange_is_shown(transcript: Transcript, lines: Lines, initial: bool) -> None:
    secret = base64.b64encode(b"user=ann\1auth=Bearer token\1\1")
    transcript.sent(b"A1 AUTHENTICATE XOAUTH2" + (b" " + secret if initial else b"") + b"\r\n")
    transcript.heard(b"+ " + secret)
    transcript.sent(secret + b"\r\n")
    transcript.heard(b"A1 NO [AUTHENTICATIONFAILED] no")
    transcript.sent(b"A2 LOGOUT\r\n")
    assert lines.lines == [
        "C: A1 AUTHENTICATE XOAUTH2 <hidden>",
        "S: + <hidden>",
        "C: <hidden>",
        "S: A1 NO [AUTHENTICATIONFAILED] no",
        "C: A2 LOGOUT",
    ]


def test_a_message_that_is_stored_is_not_shown(transcript: Transcript, lines: Lines) -> None:
    """Its octets may come in any number of pieces, and look like commands."""
    message = b"Subject: x\r\n\r\nA9 secret {3}\r\nlast"
    whole = b"A1 APPEND Drafts {%d}\r\n" % len(message) + message + b"\r\nA2 NOOP\r\n"
    for start in range(0, len(whole), 7):
        transcript.sent(whole[start : start + 7])
    assert lines.lines[-1] == "C: A2 NOOP"
    assert "secret" not in "".join(lines.lines)
    assert lines.lines[0] == f"C: A1 APPEND Drafts {{{len(message)}}}"


@pytest.mark.parametrize(
    ("heard", "shown"),
    [
        (rb'* 1 FETCH (UID 5 BODY[TEXT] "a \"secret\" text")', '* 1 FETCH (UID 5 BODY[TEXT] "...")'),
        (b'* 1 FETCH (ENVELOPE (NIL "secret" NIL))', '* 1 FETCH (ENVELOPE (NIL "..." NIL))'),
        (b' BODY[2] "secret")', ' BODY[2] "...")'),
        (b'* 1 FETCH (BODY[TEXT] "secret', '* 1 FETCH (BODY[TEXT] "..."'),
        (b'* LIST (\\Sent) "/" "Sent Items"', '* LIST (\\Sent) "/" "Sent Items"'),
    ],
)
def test_strings_that_may_be_of_a_message_are_not_shown(
    transcript: Transcript, lines: Lines, heard: bytes, shown: str
) -> None:
    transcript.heard(heard)
    assert lines.lines == [f"S: {shown}"]


def test_a_connection_without_a_log_is_not_listened_to() -> None:
    """What imaplib calls is its own function: it costs nothing."""

    class Imap:
        def send(self, octets: bytes) -> None:
            """Send nothing."""

    imap: Any = Imap()
    assert "send" not in vars(imap)
    Transcript(Lines()).attach(imap, lambda _: b"")
    assert "send" in vars(imap)

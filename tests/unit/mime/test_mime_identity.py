"""Ids of messages and threads that follow from the message alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.identity import MOST_REFERENCES, email_id_of, is_thread_id, thread_id_of, thread_root
from gateway.mime.parse import parse_message
from gateway.mime.referring import thread_headers

_LETTERS = "abc0123456789.-_+=$"
_NAMES = st.builds(
    "{}@{}".format, st.text(_LETTERS, min_size=1, max_size=40), st.text("abc.-", min_size=1, max_size=20)
)


def _message(name: str, headers: dict[str, str]) -> bytes:
    lines = [f"Message-ID: <{name}>", *(f"{field}: {value}" for field, value in headers.items())]
    return "\r\n".join([*lines, "", "Hello.", ""]).encode()


@given(
    st.lists(_NAMES, min_size=1, max_size=12, unique=True),
    st.lists(st.integers(0, 11), min_size=12, max_size=12),
    st.randoms(use_true_random=False),
    st.integers(0, 3),
)
def test_a_conversation_is_one_thread_in_whatever_order_it_arrives_and_whatever_is_missing(
    names: list[str], parents: list[int], random: object, missing: int
) -> None:
    """Everybody answers somebody; some of the messages, the first among them, never come."""
    raw = [_message(names[0], {})]
    for number, name in enumerate(names[1:], 1):
        original = parse_message(raw[parents[number] % number]).detail("x")
        raw.append(_message(name, thread_headers(original, "reply")))
    arriving = raw[missing:]
    random.shuffle(arriving)  # type: ignore[attr-defined]
    threads = {parse_message(message).entry("x").thread_id for message in arriving}
    assert threads <= {thread_id_of(f"<{names[0]}>", None, None)}


@given(st.lists(_NAMES, min_size=2, max_size=2, unique=True), st.integers(1, 4))
def test_references_that_lead_in_a_circle_end(names: list[str], times: int) -> None:
    """Anybody can forge them; to oneself, too."""
    first, second = (f"<{name}>" for name in names)
    circle = f"{second} {first} " * times
    assert thread_id_of(first, circle, second) == thread_id_of(second, None, None)
    assert thread_id_of(first, first * times, first) == thread_id_of(first, None, None)


def test_ten_thousand_references_cost_no_more_than_a_few() -> None:
    references = "<root@x> " + " ".join(f"<{number}@x>" for number in range(10_000))
    began = time.perf_counter()
    for _ in range(1000):
        assert thread_id_of("<own@x>", references, None) == thread_id_of("<own@x>", "<root@x>", None)
        assert thread_id_of("<own@x>", "<" * 100_000, "<a" * 50_000) == thread_id_of("<own@x>", None, None)
    assert time.perf_counter() - began < 2
    late = " " * MOST_REFERENCES + "<late@x>"
    assert thread_id_of("<own@x>", late, None) == thread_id_of("<own@x>", None, None)


@pytest.mark.parametrize(
    ("message_id", "references", "in_reply_to"),
    [
        ("<own@x>", "<root@x> <parent@x>", "<parent@x>"),
        ("<own@x>", None, "<root@x>"),
        ("<own@x>", "no ids", "Your letter of May <root@x> and <other@x>"),
        ("<own@x>", "<root@x>\r\n\t<parent@x>", None),
        ("root@x", None, None),
        ("< root@x >", "", ""),
        (None, "<root@x>", None),
    ],
)
def test_root_is_the_first_of_references_then_of_in_reply_to_then_the_message(
    message_id: str | None, references: str | None, in_reply_to: str | None
) -> None:
    """RFC 5322 section 3.6.4, also where a mail program broke it."""
    thread = thread_id_of(message_id, references, in_reply_to)
    assert thread == thread_id_of("<root@x>", None, None)
    assert thread is not None
    assert thread_root(thread) == "root@x"


@given(st.text(max_size=1200), st.text(max_size=1200), st.text(max_size=1200))
def test_any_header_gives_an_id_of_bounded_length_or_none(message_id: str, references: str, in_reply_to: str) -> None:
    thread = thread_id_of(message_id, references, in_reply_to)
    assert thread is None or (is_thread_id(thread) and len(thread) <= 256 and thread.isascii())
    assert thread is None or thread_root(thread) is not None or thread.startswith("h.")


@given(st.text(max_size=60))
def test_no_root_is_read_out_of_what_is_no_id(text: str) -> None:
    """Ids come from callers: one has one spelling only."""
    for id in (text, f"r.{text}", f"h.{text}"):
        root = thread_root(id)
        assert root is None or thread_id_of(f"<{root}>", None, None) == id


def test_root_with_a_long_name_has_an_id_that_does_not_tell_it() -> None:
    thread = thread_id_of(f"<{'a' * 300}@x>", None, None)
    assert thread is not None
    assert (thread[:2], len(thread), thread_root(thread)) == ("h.", 22, None)


def test_message_without_name_and_references_is_in_no_thread() -> None:
    """Drafts are often like that, and must not be one conversation."""
    assert thread_id_of(None, None, None) is None
    assert thread_id_of("  ", "", "") is None
    assert email_id_of(None, 5, "today") is None
    assert email_id_of("<a@x>", None, "today") is None

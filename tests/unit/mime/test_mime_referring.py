"""Replies and forwards: whom they reach, what they are called, what they quote."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.quotation_words import Locale
from gateway.mime.referring import answered_to, quoting_html, quoting_text, referring_subject, thread_headers
from gateway.model.message import Address, MessageDetail, MessageText

ME = "me@example.org"
ADA, BOB, CAROL = (Address(name=name, address=f"{name.lower()}@example.org") for name in ("Ada", "Bob", "Carol"))
MYSELF = Address(address=ME)


def original(**members: Any) -> MessageDetail:
    given_: dict[str, Any] = {"id": "m", "from_": ADA, "to": (MYSELF, BOB), "cc": (CAROL,), "message_id": "<p@x>"}
    return MessageDetail(**{**given_, **members})


@pytest.mark.parametrize(
    ("action", "members", "to", "cc"),
    [
        ("reply", {}, (ADA,), ()),
        ("reply", {"reply_to": (BOB, CAROL)}, (BOB, CAROL), ()),
        ("reply-all", {}, (ADA, BOB), (CAROL,)),
        ("reply-all", {"reply_to": (BOB,)}, (BOB,), (CAROL,)),
        ("reply-all", {"cc": (Address(address="ADA@example.org"), CAROL, CAROL)}, (ADA, BOB), (CAROL,)),
        ("reply-all", {"from_": MYSELF}, (BOB,), (CAROL,)),
        ("reply-all", {"from_": MYSELF, "to": (MYSELF,), "cc": ()}, (MYSELF,), ()),
        ("reply-all", {"from_": None}, (BOB,), (CAROL,)),
        ("forward", {}, (), ()),
    ],
)
def test_answer_reaches_whom_the_original_names(action: Any, members: Any, to: Any, cc: Any) -> None:
    assert answered_to(original(**members), action, [ME]) == (to, cc)


_addresses = st.lists(
    st.builds(Address, address=st.sampled_from(["", ME, "ME@example.org", *(f"{c}@example.org" for c in "abcde")])),
    max_size=5,
).map(tuple)


@given(_addresses, _addresses, _addresses, _addresses, st.sampled_from(["reply", "reply-all", "forward"]))
def test_answer_never_reaches_anyone_twice_or_whom_the_original_did_not_show(
    to: Any, cc: Any, reply_to: Any, bcc: Any, action: Any
) -> None:
    """The Bcc of an original, which a sender's own copy has, stays secret."""
    message = original(to=to, cc=cc, reply_to=reply_to, bcc=bcc)
    answer = [address.address.lower() for part in answered_to(message, action, [ME]) for address in part]
    shown = {address.address.lower() for address in (*to, *cc, *reply_to, ADA)}
    assert len(answer) == len(set(answer))
    assert set(answer) <= shown - {""}


@pytest.mark.parametrize(
    ("subject", "action", "expected"),
    [
        ("Minutes", "reply", "Re: Minutes"),
        ("RE: Minutes", "reply", "RE: Minutes"),
        ("Re : Minutes", "reply-all", "Re : Minutes"),
        ("Result", "reply", "Re: Result"),
        ("Minutes", "forward", "Fwd: Minutes"),
        ("Fw: Minutes", "forward", "Fw: Minutes"),
        ("Re: Minutes", "forward", "Fwd: Re: Minutes"),
        (None, "reply", "Re:"),
    ],
)
def test_subject_has_its_prefix_once(subject: Any, action: Any, expected: str) -> None:
    assert referring_subject(original(subject=subject), action) == expected


def test_references_end_with_the_parent_and_keep_the_beginning_of_a_long_thread() -> None:
    """RFC 5322 section 3.6.4: the parent's references, then the parent."""
    first = original(headers={"references": ("<a@x>\r\n <b@x>",)})
    assert thread_headers(first, "reply") == {"In-Reply-To": "<p@x>", "References": "<a@x> <b@x> <p@x>"}
    assert thread_headers(first, "forward") == {"References": "<a@x> <b@x> <p@x>"}
    assert thread_headers(original(in_reply_to="<a@x>"), "reply")["References"] == "<a@x> <p@x>"
    assert thread_headers(original(message_id=None), "reply") == {}
    assert thread_headers(original(message_id="not an id"), "reply") == {}
    ids = [f"<{number}@x>" for number in range(1000)]
    long = thread_headers(original(headers={"references": (" ".join(ids),)}), "reply")["References"].split()
    assert (len(long), long[0], long[-2:]) == (30, "<0@x>", ["<999@x>", "<p@x>"])


def test_quotation_names_author_and_time_and_quotes_each_line() -> None:
    message = original(
        date=datetime(2026, 7, 1, 12, 0, tzinfo=UTC), text=MessageText(plain="One\n\n> earlier\nTwo"), subject="S"
    )
    berlin = ZoneInfo("Europe/Berlin")
    assert quoting_text(message, "reply", "Yes.", berlin) == (
        "Yes.\n\nOn 2026-07-01 14:00 +0200, Ada wrote:\n\n> One\n>\n>> earlier\n> Two\n"
    )
    forwarded = quoting_text(message, "forward", "See below.", UTC)
    assert forwarded.startswith("See below.\n\n---------- Forwarded message ----------\nFrom: Ada <ada@example.org>\n")
    assert "\nTo: me@example.org, Bob <bob@example.org>\nCc: Carol" in forwarded
    assert forwarded.endswith("\n\nOne\n\n> earlier\nTwo")


@pytest.mark.parametrize("locale", get_args(Locale))
def test_words_around_a_quotation_are_those_of_its_language(locale: str) -> None:
    """Each says who wrote and when, also with a name that looks like a place to fill in."""
    message = original(
        from_=Address(name="{when} Ada", address="ada@example.org"), date=datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    )
    answer, forward = (quoting_text(message, action, "", UTC, locale) for action in ("reply", "forward"))
    assert answer.count("2026-07-01 12:00 +0000") == answer.count("{when} Ada") == 1
    assert forward.count("{when} Ada <ada@example.org>") == 1
    unknown = quoting_text(original(from_=None), "reply", "", UTC, locale)
    english = ("wrote:", "Forwarded message", "somebody")
    assert all(
        (word in text) == (locale == "en") for word, text in zip(english, (answer, forward, unknown), strict=True)
    )
    assert escape(answer.strip()) in quoting_html(message, "reply", "", "", UTC, locale)


@pytest.mark.parametrize(
    ("locale", "begins"), [("de-AT", "Am "), ("DE_de", "Am "), ("nl", "Op "), ("xx", "On "), ("", "On ")]
)
def test_language_of_a_quotation_may_have_a_region_and_is_english_if_it_is_not_known(locale: str, begins: str) -> None:
    message = original(date=datetime(2026, 7, 1, 12, 0, tzinfo=UTC))
    assert quoting_text(message, "reply", "", UTC, locale).strip().startswith(begins)


@pytest.mark.parametrize("plain", [None, "", "\n \n"])
def test_what_an_original_says_in_html_only_is_quoted_in_a_text(plain: Any) -> None:
    message = original(text=MessageText(plain=plain, html="<p>Only <b>html</b> here</p><p>Ada</p>"))
    assert quoting_text(message, "reply", "Yes.", UTC).endswith("wrote:\n\n> Only html here\n>\n> Ada\n")
    assert quoting_text(message, "forward", "See below.", UTC).endswith("\n\nOnly html here\n\nAda")


def test_quoted_html_stands_inside_the_body_and_names_cannot_break_out() -> None:
    message = original(from_=Address(name="<script>alert(1)</script>", address="x@example.org"))
    found = quoting_html(message, "reply", "<html><body><p>Yes</p></BODY></html>", "<b>old</b>", UTC)
    assert found.startswith("<html><body><p>Yes</p><br><div>&lt;script&gt;")
    assert found.endswith("<b>old</b></blockquote></BODY></html>")
    assert quoting_html(message, "forward", "<p>x</p>", "y", UTC).endswith("<div>y</div>")

"""A preview is one short line of what a message says, whatever its sender does."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.text_preview import LONGEST, text_preview


@pytest.mark.parametrize(
    ("plain", "html", "preview"),
    [
        ("Hello\n\n  Bob,\tsee  you\n", "<p>not this</p>", "Hello Bob, see you"),
        ("> old\n  > older\nnew\n>older still", None, "new"),
        (" \n\n", "<p>Hello <b>Bob</b></p>", "Hello Bob"),
        (None, "<style>" + "p { color: red }\n" * 5000 + "</style><script>x()</script><p>Hello</p>", "Hello"),
        (None, "<style>never closed <p>Hello</p>", None),
        ("Sale\u200b\u034f\xad\u2060 today\u202eevil\0", None, "Sale todayevil"),
        ("> only old", None, None),
        ("", "", None),
        (None, None, None),
    ],
)
def test_preview_is_what_is_said_first(plain: str | None, html: str | None, preview: str | None) -> None:
    assert text_preview(plain, html) == preview


@given(st.text(), st.text())
def test_preview_is_one_short_line_of_any_text(plain: str, html: str) -> None:
    preview = text_preview(plain, html)
    if preview is not None:
        assert 0 < len(preview) <= LONGEST
        assert len(preview.splitlines()) == 1


@pytest.mark.parametrize("piece", ["<style", "<!--", "<div>", "<a href='", "&", "<![", ">", "\n>", "<script></"])
def test_preview_of_hostile_text_takes_bounded_time(piece: str) -> None:
    text = piece * (8_000_000 // len(piece))
    start = time.process_time()
    text_preview(text, text)
    text_preview(None, text)
    assert time.process_time() - start < 3

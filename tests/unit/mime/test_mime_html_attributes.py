"""Attributes of HTML changed in place."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.html_tokens import with_attributes


def shout(url: str) -> str | None:
    """Change web addresses, and nothing else."""
    return url.upper() + '"&' if url.startswith("http") else None


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<A class=x HREF="http://a/?b&amp;c" id=y>', '<A class=x HREF="HTTP://A/?B&amp;C&quot;&amp;" id=y>'),
        ("<a href='http://a'>x</a><p href=http://b>", '<a href="HTTP://A&quot;&amp;">x</a><p href=http://b>'),
        ("<a href=http://a>x", '<a href="HTTP://A&quot;&amp;">x'),
        ("<a href=mailto:b>", "<a href=mailto:b>"),
        ('<a href="#x" href="http://a">', '<a href="#x" href="http://a">'),
        ('<!-- <a href="http://a"> --><script>"<a href=http://a>"</script>', None),
        ("<a>x</a href=http://a>", None),
        ("<abbr href=http://a>", None),
    ],
)
def test_the_first_attribute_of_its_name_is_changed_and_all_else_is_kept(html: str, expected: str | None) -> None:
    assert with_attributes(html, "a", "href", shout) == (html if expected is None else expected)


@given(st.text(alphabet="<>a/ ='\"!-hrefscript\n", max_size=60))
def test_html_in_which_nothing_is_changed_stays_as_it_is(html: str) -> None:
    assert with_attributes(html, "a", "href", lambda value: None) == html


@pytest.mark.parametrize("piece", ["<a href='", "<a href=x ", "<a ", "<script><a href=x>", "<a href=x>"])
def test_time_grows_with_the_length(piece: str) -> None:
    began = time.process_time()
    with_attributes(piece * 50_000, "a", "href", lambda value: None)
    assert time.process_time() - began < 3

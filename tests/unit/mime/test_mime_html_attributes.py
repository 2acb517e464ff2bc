"""Attributes of HTML changed in place."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.html_tokens import with_attributes


def shout(element: str, name: str, value: str) -> str | None:
    """Change web addresses of links, and nothing else."""
    return value.upper() + '"&' if (element, name) == ("a", "href") and value.startswith("http") else None


def keep(element: str, name: str, value: str) -> None:
    """Change nothing."""


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
    assert with_attributes(html, shout) == (html if expected is None else expected)


def test_names_are_told_in_lower_case_and_each_attribute_once() -> None:
    told = []
    with_attributes("<IMG SRC=a src=b Alt='c d'><p></p id=x><br class>", lambda *of: told.append(of))
    assert told == [("img", "src", "a"), ("img", "alt", "c d"), ("br", "class", "")]


@given(st.text(alphabet="<>a/ ='\"!-hrefscript\n", max_size=60))
def test_html_in_which_nothing_is_changed_stays_as_it_is(html: str) -> None:
    assert with_attributes(html, keep) == html


@pytest.mark.parametrize("piece", ["<a href='", "<a href=x ", "<a ", "<script><a href=x>", "<a href=x>"])
def test_time_grows_with_the_length(piece: str) -> None:
    began = time.process_time()
    with_attributes(piece * 50_000, keep)
    assert time.process_time() - began < 3

"""Plain text made out of HTML."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.mime.html_text import html_to_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<p>a  lot\n of   space</p>", "a lot of space"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
        ('<a href="https://example.org/">here</a>', "here (https://example.org/)"),
        ('<a href="https://example.org">https://example.org</a>', "https://example.org"),
        ('<a href="https://example.org"></a>', "https://example.org"),
        ('<a href="javascript:alert(1)">here</a>', "here"),
        ("Tom &amp; Jerry &lt;3 &euro; &#8364;", "Tom & Jerry <3 € €"),
        ("<style>p {}</style><script>alert(1)</script><title>no</title>text", "text"),
        ('<img src="x" alt="A cat"> <img src="y">', "A cat"),
        ("<pre>a\n   b</pre>", "a\n   b"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<div>one<div>two</div></div>", "one\ntwo"),
        ("<p>a<br></p>\n<p>b</p> <hr> c", "a\n\nb\n\n---\nc"),
        ("one&nbsp;&nbsp;two", "one two"),
        ("plain", "plain"),
        ("", ""),
        ("<p>not <b>closed", "not closed"),
        ("a<!-- <b> -->b<!-->c<!doctype x>d<?x?>e</>f</ x>g", "abcdefg"),
        ("1 < 2 <3 a<b", "1 < 2 <3 a"),
        ("<a href=https://example.org/?a=1&amp;b=2>x</a>", "x (https://example.org/?a=1&b=2)"),
        ("<A HREF = 'https://example.org/'>x</A >", "x (https://example.org/)"),
        ("<script>'</scripts>'</script >after", "after"),
        ("<textarea><b>x</b></textarea>", "<b>x</b>"),
    ],
)
def test_html_reads_as_text(html: str, text: str) -> None:
    """For readers without HTML, and for search."""
    assert html_to_text(html) == text


@given(st.text(alphabet="<>/abp \n&;\"'=!-[]", max_size=200))
@example("<![;")
def test_no_html_raises(html: str) -> None:
    """Editors and people write anything."""
    html_to_text(html)

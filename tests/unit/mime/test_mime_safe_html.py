"""HTML of strangers: nothing that runs, calls or draws outside of its place; what a letter looks like stays."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.html_text import html_to_text
from gateway.mime.safe_html import safe_html, text_as_html

HOSTILE = [
    "<script>alert(1)</script>",
    "<p onclick='alert(1)' onmouseover=alert(1)>x</p>",
    '<a href="javascript:alert(1)">x</a>',
    '<a href="JaVa&#9;ScRiPt:alert(1)">x</a>',
    '<a href="vbscript:x">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    '<img src="data:image/svg+xml,<svg onload=alert(1)>">',
    '<img src=x onerror="alert(1)">',
    "<svg><script>alert(1)</script></svg><svg/onload=alert(1)>",
    '<math><mi//xlink:href="data:x,<script>alert(4)</script>">',
    '<iframe src="https://evil.example"></iframe><object data=x></object><embed src=x>',
    '<form action="https://evil.example"><input name=password><button>x</button></form>',
    '<meta http-equiv=refresh content="0;url=https://evil.example"><base href="https://evil.example/">',
    '<link rel=stylesheet href="https://evil.example/x.css"><style>@import "https://evil.example/x.css"</style>',
    '<p style="background:url(https://evil.example/x);position:fixed;top:0">x</p>',
    '<p style="background-color:expression(alert(1));color:u\\72l(x)">x</p>',
    '<p style="width:/**/url(javascript:x)">x</p>',
    "<!--[if IE]><script>alert(1)</script><![endif]--><!-- > <script>alert(1)</script> -->",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template><title><script>alert(1)</script></title>",
    '<table background="javascript:alert(1)"><td background="data:text/html,x">x</table>',
    "<video src=x onerror=alert(1)><audio src=x onerror=alert(1)>",
]
_RUNS = re.compile(
    r"<\s*/?\s*(script|style|iframe|object|embed|form|input|button|svg|math|meta|base|link|video|audio|template|noscript)\b"
    r"|\son[a-z]+\s*=|javascript:|vbscript:|data:(?!image/(png|gif|jpe?g|webp|bmp))|expression|url\(|position|@import",
    re.IGNORECASE,
)


@pytest.mark.parametrize("html", HOSTILE)
def test_nothing_of_a_stranger_runs_or_calls(html: str) -> None:
    found = safe_html(f"<p>before</p>{html}<p>after</p>")
    assert not _RUNS.search(found), found
    assert "<p>before</p>" in found


class Reader(HTMLParser):
    """Another reader than the cleaner's: what it takes for elements and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, {name: value or "" for name, value in attrs}))


@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(alphabet="<>\"'/ =ab&;:-!", max_size=12))).map("".join))
def test_another_reader_finds_nothing_that_runs_either(html: str) -> None:
    for tag, attributes in Reader(safe_html(html)).seen:
        assert not _RUNS.search(f"<{tag} ")
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert not (name in ("href", "src", "style") and _RUNS.search(value)), value


REACHING = [
    '<p class="fixed-top position-fixed modal show">',
    '<details class="ee-collapsed-thread"><summary class="btn">',
    '<div id="app">',
    '<a name="app">',
    '<p style="margin:-50px 0 0 -400px">',
    '<p style="margin-left:-.5em">',
    '<p style="margin:0-5px">',
    '<p style="margin-top:calc(0px - 50px)">',
    '<p style="margin-top:calc(0px - (50px))">',
    '<p style="margin-top:max( -5px , -6px )">',
    '<p style="text-indent:-9999px">',
    '<p style="letter-spacing:-50px">',
    '<p style="vertical-align: - 50px">',
    '<p style="width:9999px;height:9999px">',
    '<p style="width:1e9px;min-width:.1e+5px">',
    '<p style="width:500em;height:100vh">',
    '<p style="font-size:1000pt">',
    '<table width="9999" height="9999" cellpadding="9999" border="9999">',
    '<img width="99999%">',
    '<p style="font-family:&quot;@;position:fixed;top:0;&quot;">',
    '<p style="width:env(x);height:attr(y);margin:VAR(--z)">',
    '<img src="/v1/account/x">',
    '<img src="v1/account/x">',
    '<img src="?x">',
    '<img src="">',
    '<img src="//evil.example/x">',
    '<img src="\\\\evil.example/x">',
    '<img src="https:/v1/account/x">',
    '<img src="https:v1/account/x">',
    '<img src="HTTPS:\\v1/account/x">',
    '<img src=" ht&#10;tps:&#9;/v1/account/x">',
    '<a href="/admin/accounts">',
    '<a href="#app">',
    '<a href="ftp://evil.example/">',
    '<blockquote cite="/v1/account/x">',
]


@pytest.mark.parametrize("html", REACHING)
def test_nothing_of_a_stranger_reaches_for_the_page_around(html: str) -> None:
    """Its styles, its place, its URLs."""
    for _, attributes in Reader(safe_html(html)).seen:
        for name in ("target", "rel"):
            attributes.pop(name, None)
        assert attributes.pop("style", "") == ""
        assert attributes == {}


@pytest.mark.parametrize(
    "html",
    [
        '<div class="gmail_quote">x</div>',
        '<img src="cid:a@x" width="600" height="80">',
        '<img src="http://x.example/a.png" border="0">',
        '<p style="margin:0 auto;width:100%;max-width:600px;line-height:1.5em">x</p>',
        '<p style="color:#1e5000;background-color:rgb(1, 2, 3)">x</p>',
        '<p style="color:hsl(120deg 50% 50%);font:400 16px / 1.5 Arial">x</p>',
        '<p style="font-family:Font-3;letter-spacing:0.12345em">x</p>',
    ],
)
def test_what_a_letter_needs_for_its_looks_stays_as_it_is(html: str) -> None:
    assert safe_html(html) == html


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (" https://x.example/a\nb ", "https://x.example/ab"),
        ("mailto:a@x.example?subject=x", None),
        ("tel:+49-30-1", None),
        ("HTTP://x.example", None),
        ("cid:a@x", None),
    ],
)
def test_links_that_lead_elsewhere_stay(url: str, expected: str | None) -> None:
    (found,) = Reader(safe_html(f'<a href="{url}">x</a>')).seen
    assert found == ("a", {"href": expected or url, "target": "_blank", "rel": "noopener noreferrer"})


@pytest.mark.parametrize(
    "value",
    ["(" * 200_000, "-" * 200_000, "- " * 100_000, "1" * 200_000, "1." * 100_000, "a(" * 99_999, "9em " * 50_000],
)
def test_time_for_styles_is_bounded_by_their_length(value: str) -> None:
    began = time.process_time()
    safe_html(f'<p style="width:{value}" class="{value}">x</p>')
    assert time.process_time() - began < 2


def test_looks_of_a_letter_stay() -> None:
    html = (
        '<table width="600" bgcolor="#eeeeee"><tr><td align="center" style="color:red;padding:4px">'
        '<font size="2">Hi</font> <img src="cid:logo@x" alt="Logo"> <img src="https://x.example/a.png">'
        '<img src="data:image/png;base64,AAAA"> <a href="https://x.example/?a=1&amp;b=2">link</a></td></tr></table>'
    )
    found = safe_html(f"<html><head><title>T</title></head><body>{html}</body></html>")
    for piece in (
        'bgcolor="#eeeeee"',
        "color:red",
        "padding:4px",
        '<img src="cid:logo@x" alt="Logo">',
        'src="https://x.example/a.png"',
        'src="data:image/png;base64,AAAA"',
        'href="https://x.example/?a=1&amp;b=2"',
        'rel="noopener noreferrer"',
    ):
        assert piece in found
    assert "T" not in safe_html("<title>T</title>")


FONTS = "".join(f"<font color={number}>" for number in range(900))
COSTLY = {
    "deep": "<div>" * 300_000 + "x",
    "deep formatting": "<b>" * 100_000,
    "deep tables": "<table>" * 100_000,
    "deep paragraphs": "<p><b>" * 100_000,
    "end tags of others": "<div></x>" * 50_000,
    "end tags in comments": "<div><!--</div>-->" * 30_000,
    "end tags in scripts": "<div><script></div></script>" * 30_000,
    "end tags in attributes": "<div a='</div>'>" * 30_000,
    "formatting opened again": f"<p>{FONTS}</p>" + "<p>x</p>" * 20_000,
    "formatting ended in another order": "<b><i>x</b></i>" * 30_000,
    "many attributes": "<a " + " ".join(f"a{number}" for number in range(100_000)) + ">",
    "drawings": "<svg>" + "<g><foreignObject><p>" * 30_000,
    "comments without an end": "<!--" * 100_000,
    "sections without an end": "<![CDATA[" * 100_000,
    "tags without an end": "<a " * 100_000,
    "values without an end": "<a b='" * 100_000,
    "scripts without an end": "<script>" * 50_000 + "</scrip>" * 50_000,
    "less than": "<" * 400_000,
    "blanks": "<a" + " " * 400_000,
    "equals": "<a " + "=" * 400_000,
}


@pytest.mark.parametrize("name", COSTLY)
def test_time_is_bounded_by_the_length(name: str) -> None:
    """Trees grow faster than what they are made from: a letter of a megabyte would take minutes or gigabytes."""
    began = time.process_time()
    safe_html(COSTLY[name])
    html_to_text(COSTLY[name])
    assert time.process_time() - began < 5


LONG = {
    "paragraphs that are not ended": ("<p>one<p>two", 20_000),
    "lines": ("<div><div><b>x</b></div><br></div>", 20_000),
    "tables": (
        "<table><tr><td>a</td><td><font size=2><a href='https://x.example'>b</a></font></td></tr></table>",
        10_000,
    ),
    "what other programs read": ("<!-- <b> --><noscript><p>off</noscript><p>x</p>", 5_000),
}


@pytest.mark.parametrize("name", LONG)
def test_long_letters_keep_their_html(name: str) -> None:
    piece, times = LONG[name]
    assert safe_html(piece * times) == safe_html(piece) * times


def test_plain_text_keeps_its_lines_and_cannot_become_markup() -> None:
    assert text_as_html("a < b\n <b>&") == '<div style="white-space:pre-wrap">a &lt; b\n &lt;b&gt;&amp;</div>'

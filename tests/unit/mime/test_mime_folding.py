"""History at the end of a message is folded, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.folding import folded
from gateway.mime.safe_html import safe_html

QUOTES = [
    '<blockquote type="cite"><p>old</p></blockquote>',
    '<div class="gmail_quote"><div>On Monday, Ada wrote:<br></div><blockquote>old</blockquote></div>',
    '<div class="x yahoo_quoted"><table><tr><td>old</td></tr></table></div>',
]


@pytest.mark.parametrize("quote", QUOTES)
@pytest.mark.parametrize("after", ["", "</div>", " <br>\n<p>&nbsp;</p></div>"])
def test_last_quotation_is_folded(quote: str, after: str) -> None:
    html = safe_html(f"<div><p>new</p>{quote}{after}")
    found = folded(html)
    assert found.count("<details") == found.count("</details>") == 1
    before, _, rest = found.partition("<details")
    assert "new" in before
    assert "old" not in before
    assert "old" in rest.partition("</details>")[0]


@pytest.mark.parametrize("quote", QUOTES)
@pytest.mark.parametrize("around", ["{}<p>answer below</p>", "{}", "<p>&nbsp;</p>{}"])
def test_quotation_that_is_answered_below_or_is_everything_stays_open(quote: str, around: str) -> None:
    html = safe_html(around.format(quote))
    assert folded(html) == html


def test_only_the_last_of_two_quotations_is_folded() -> None:
    html = safe_html(f"<p>one</p>{QUOTES[0]}<p>two</p>{QUOTES[0]}")
    assert folded(html).index("<details") > html.index("two")


@given(
    st.lists(st.sampled_from([*QUOTES, "<p>x</p>", "<div>", "</div>", "<br>", '<img title="a>b">', "&nbsp;"])).map(
        "".join
    )
)
def test_folding_adds_and_takes_nothing(html: str) -> None:
    clean = safe_html(html)
    opened = folded(clean)
    summary = '<summary class="ee-collapsed-thread-toggle"></summary>'
    for piece in (f'<details class="ee-collapsed-thread">{summary}', "</details>"):
        opened = opened.replace(piece, "")
    assert opened == clean

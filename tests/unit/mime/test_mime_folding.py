"""History at the end of a message is folded, and nothing else."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.folding import folded
from gateway.mime.html_text import html_to_text
from gateway.mime.safe_html import safe_html

HEADS = {
    "English": ("From:", "Ann Other &lt;ann@x.example&gt;", "Sent:", "Monday, July 6, 2026 9:12 AM", "To:", "Subject:"),
    "German": ("Von:", "Ann Other", "Gesendet:", "Montag, 6. Juli 2026 09:12", "An:", "Betreff:"),
    "French": ("De&nbsp;:", "Ann", "Envoyé&nbsp;:", "lundi 6 juillet 2026 09:12", "À&nbsp;:", "Objet&nbsp;:"),
    "Danish": ("Fra:", "Ann", "Sendt:", "6. juli 2026 kl. 09.12", "Til:", "Emne:"),
    "Chinese": ("发件人:", "Ann", "发送时间:", "2026年7月6日 9:12", "收件人:", "主题:"),
    "Japanese": ("差出人：", "Ann", "送信日時：", "2026年7月6日 9:12", "宛先：", "件名："),
}


def desktop_head(language: str, label: str = "<b>{}</b>", line: str = "border-top:solid #E1E1E1 1.0pt") -> str:
    """Return the head of a message that is answered as Outlook for Windows writes it."""
    words = HEADS[language]
    labels = [label.format(words[index]) for index in (0, 2, 4, 5)]
    return (
        f'<div>\n<div style="border:none;{line};padding:3.0pt 0cm 0cm 0cm">\n<p class="MsoNormal">'
        f"{labels[0]} {words[1]} <br>\n{labels[1]} {words[3]}<br>\n{labels[2]} Bob; Carl: Boss<br>\n{labels[3]} x"
        "<o:p></o:p></p>\n</div>\n</div>\n"
    )


OLD = '<p class="MsoNormal"><o:p>&nbsp;</o:p></p><p class="MsoNormal">old<o:p></o:p></p>'
WEB_HEAD = (
    '<div id="divRplyFwdMsg" dir="ltr"><font face="Calibri, sans-serif" style="font-size:11pt" color="#000000">'
    "<b>From:</b> Ann &lt;ann@x.example&gt;<br>\n<b>Sent:</b> Monday, July 6, 2026 9:12 AM<br>\n<b>To:</b> Bob<br>\n"
    "<b>Subject:</b> x</font><div>&nbsp;</div>\n</div>\n"
)
WEB_LINE = '<hr style="display:inline-block;width:98%" tabindex="-1">\n'
MOBILE_LINE = "border-width:1pt medium medium;border-style:solid none none;border-color:rgb(181, 196, 223) currentcolor"
#: What Outlook writes below an answer.
OUTLOOK = {
    **{f"desktop, {language}": desktop_head(language) + OLD for language in HEADS},
    "desktop, words in spans": desktop_head("English", "<b><span lang='EN-US' style='font-size:11.0pt'>{}</span></b>")
    + OLD,
    "desktop, strong": desktop_head("English", "<strong>{}</strong>") + OLD,
    "desktop, written again by a browser": desktop_head("English", line="border-top:1pt solid rgb(225, 225, 225)")
    + OLD,
    "desktop, indented": f'<div style="border:none;border-left:solid blue 1.5pt">{desktop_head("German")}{OLD}</div>',
    "mobile": desktop_head("English", line=MOBILE_LINE) + OLD,
    "web": f'<div id="appendonsend"></div>\n{WEB_LINE}{WEB_HEAD}<div class="BodyFragment">old</div>',
    "web, no element around the old": f"{WEB_LINE}{WEB_HEAD}old",
    "web, in an element": f'{WEB_LINE}<div id="mail-editor-reference-message-container">{WEB_HEAD}<p>old</p></div>',
    "web, in a table": f"<table><tr><td>{WEB_HEAD}<p>old</p></td></tr></table>",
}

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


@pytest.mark.parametrize("name", OUTLOOK)
@pytest.mark.parametrize(
    "around",
    ["<p>new</p>{}", '<div class="WordSection1"><p>new</p><p>&nbsp;</p>{}</div>', "<div>new<br><br>{}<br></div>"],
)
def test_what_outlook_quotes_is_folded_in_any_language(name: str, around: str) -> None:
    found = folded(safe_html(around.format(OUTLOOK[name])))
    before, _, rest = found.partition("<details")
    assert (before.count("new"), before.count("old"), before.count("<b>")) == (1, 0, 0)
    inside, end, after = rest.partition("</details>")
    assert end
    assert "old" in inside
    assert not html_to_text(after)
    # Elements end where they began.
    assert safe_html(inside.partition("</summary>")[2]) == inside.partition("</summary>")[2]


@pytest.mark.parametrize("name", OUTLOOK)
def test_what_outlook_forwards_and_nothing_else_stays_open(name: str) -> None:
    html = safe_html(f'<div class="WordSection1"><p>&nbsp;</p>{OUTLOOK[name]}</div>')
    assert folded(html) == html


@pytest.mark.parametrize("name", ["desktop, indented", "web, in an element", "web, in a table"])
def test_answer_below_what_outlook_quotes_stays_open(name: str) -> None:
    html = safe_html(f"<p>new</p>{OUTLOOK[name]}<p>answer below</p>")
    assert folded(html) == html


@pytest.mark.parametrize("name", OUTLOOK)
def test_what_a_list_adds_below_the_answer_keeps_it_open(name: str) -> None:
    html = safe_html(f"<div><p>new</p>{OUTLOOK[name]}</div><p>You get this because ...</p>")
    assert folded(html) == html


def test_all_of_a_conversation_is_folded_at_once() -> None:
    html = safe_html(f"<div><p>new</p>{OUTLOOK['desktop, English']}{OUTLOOK['web']}{OUTLOOK['desktop, German']}</div>")
    found = folded(html)
    assert found.count("<details") == 1
    assert found.index("<details") < found.index("From:")


@pytest.mark.parametrize(
    "end",
    [
        '<div style="border-top:solid red 1.0pt"><b>Tel:</b> 1234 5678<br><b>Fax:</b> 2345<br><b>Web:</b> x</div>old',
        '<div style="border-top:solid red 1.0pt"><b>When:</b> 1 May 2026 9:00<br><b>At:</b> x<br><b>Who:</b> y</div>x',
        desktop_head("English", line="border-top:1px solid #E1E1E1") + OLD,
        desktop_head("English", label="{}") + OLD,
        desktop_head("English"),
        f"<div>more{desktop_head('English')}</div><p>last words</p>",
        WEB_LINE + "<div><b>One:</b> x<br><b>Two:</b> y</div>old",
    ],
)
def test_what_only_looks_like_a_head_stays_open(end: str) -> None:
    html = safe_html(f"<p>new</p>{end}")
    assert folded(html) == html


@pytest.mark.parametrize(
    "piece",
    [
        '<div style="border-top:solid red 1pt">',
        '<div style="border-top:solid red 1pt"><b>a:</b></div>',
        '<div style="border-top:solid red 1pt"><b>a:</b><br>',
        '<div id="divRplyFwdMsg">x</div>y<br>',
        '<div><div id="divRplyFwdMsg">x</div></div>y',
        '<blockquote type="cite">x</blockquote><br>',
        '<div style="' + "border-top:solid red 1pt;" * 100 + '">',
    ],
)
def test_time_grows_with_the_length(piece: str) -> None:
    html = piece * (1_000_000 // len(piece))
    began = time.process_time()
    folded(html)
    assert time.process_time() - began < 4


@given(
    st.lists(
        st.sampled_from(
            [
                *QUOTES,
                *OUTLOOK.values(),
                WEB_HEAD,
                "<td>",
                "<p>x</p>",
                "<div>",
                "</div>",
                "<br>",
                '<img title="a>b">',
                "&nbsp;",
            ]
        )
    ).map("".join)
)
def test_folding_adds_and_takes_nothing(html: str) -> None:
    clean = safe_html(html)
    opened = folded(clean)
    summary = '<summary class="ee-collapsed-thread-toggle"></summary>'
    for piece in (f'<details class="ee-collapsed-thread">{summary}', "</details>"):
        opened = opened.replace(piece, "")
    assert opened == clean

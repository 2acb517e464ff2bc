"""HTML as a client shows it: attached images in their places and within bounds, nothing that a cut left over."""

from __future__ import annotations

import time
from email.message import EmailMessage
from email.policy import SMTP
from typing import cast

import pytest

from gateway.mime.parse import open_part, parse_message
from gateway.provider import AttachmentStream, Session
from gateway.services import showing

pytestmark = pytest.mark.anyio

DATA = "data:image/png;base64,"


class OneLetter:
    """A session as far as it is asked for here: the attachments of one message."""

    def __init__(self, source: bytes) -> None:
        self.source = source

    async def attachment(self, id: str) -> AttachmentStream:
        """A part of the source."""
        return open_part(self.source, id)


async def shown(html: str, *images: bytes, safe: bool = True, max_bytes: int | None = None) -> str:
    """Return HTML as it is shown beside PNG images whose Content-IDs are ``0@x``, ``1@x``, ..."""
    message = EmailMessage(policy=SMTP)
    message.set_content(html, subtype="html")
    for index, image in enumerate(images):
        message.add_related(image, "image", "png", cid=f"<{index}@x>")
    source = message.as_bytes()
    detail = parse_message(source).detail("1", attachment_id=str, text_type="html", max_bytes=max_bytes)
    found = await showing.shown_message(cast("Session", OneLetter(source)), detail, safe=safe, embed=True)
    assert found.text is not None
    assert found.text.html is not None
    return found.text.html


@pytest.mark.parametrize("safe", [True, False])
async def test_an_image_that_is_shown_again_and_again_is_bounded_by_what_is_given_out(safe: bool) -> None:
    """The growth would be size times references."""
    found = await shown('<img src="cid:0@x">' * 300, bytes(300 * 1024), safe=safe)
    assert found.count(DATA) == 25
    assert found.count('<img src="cid:0@x">') == 275
    assert len(found) < showing.MOST_EMBEDDED + 10_000


async def test_each_image_is_shown_once_before_one_is_shown_again() -> None:
    found = await shown('<img src="cid:0@x">' * 40 + '<img src="cid:1@x">', bytes(300 * 1024), b"last")
    assert found.count("cid:1@x") == 0
    assert DATA + "bGFzdA==" in found


async def test_images_that_are_too_many_stay_where_they_are() -> None:
    found = await shown("".join(f'<img src="cid:{i}@x">' for i in range(4)), *[bytes(3 * 1024 * 1024)] * 4)
    assert (found.count(DATA), found.count("cid:")) == (2, 2)


@pytest.mark.parametrize(
    "html",
    [
        "<p>text cid:0@x</p>",
        '<img alt="cid:0@x" title="cid:0@x" src="https://x.example/a.png">',
        '<a href="cid:0@x">x</a>',
        '<p title="src=cid:0@x">x</p>',
        "<p>&lt;img src=cid:0@x&gt;</p>",
    ],
)
@pytest.mark.parametrize("safe", [True, False])
async def test_only_images_are_replaced(html: str, safe: bool) -> None:
    found = await shown(html, b"image", safe=safe)
    assert "data:" not in found
    assert "cid:0@x" in found


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<IMG SRC = cid:0%40x>", '<IMG SRC="{}">'),
        ("<img src=' CID:0@x '>", '<img src="{}">'),
        ("<input type=image src='cid:0@x'>", '<input type=image src="{}">'),
        ("<td background=cid:0@x>", '<td background="{}">'),
        ("<p style='color:red;background:url(cid:0@x) top'>", '<p style="color:red;background:url({}) top">'),
        ("<p style=\"background: URL( 'cid:0@x' )\">", '<p style="background: URL({})">'),
        ("<p style='background:url(cid:9@x)'>", "<p style='background:url(cid:9@x)'>"),
    ],
)
async def test_images_are_found_however_they_are_written(html: str, expected: str) -> None:
    assert (await shown(html, b"image", safe=False)).strip() == expected.format(DATA + "aW1hZ2U=")


@pytest.mark.parametrize("html", ["<p>x</p>", "</div></div><p>x", "<div><div>x", "<!-- x"])
async def test_what_is_shown_is_cut_off_at_the_edges_of_its_place(html: str) -> None:
    """A letter can neither leave the element around it nor draw beside it."""
    found = (await shown(html)).strip()
    assert found.startswith('<div style="overflow:auto;contain:content">')
    assert found.endswith("</div>")
    assert found.count("<div") == found.count("</div>")


async def test_nothing_is_shown_of_markup_that_a_limit_cut() -> None:
    html = '<p>one &nbsp;&#x1F600; <a href="https://x.example">two</a></p><!-- x --><br/>three'
    for length in range(1, len(html)):
        found = await shown(html, max_bytes=length)
        assert "&lt;" not in found, length
        assert "&amp;" not in found, length


async def test_signs_at_the_end_of_a_whole_letter_stay() -> None:
    detail = parse_message(b"Content-Type: text/html\r\n\r\na <").detail("1", attachment_id=str, text_type="html")
    assert detail.text is not None
    assert "a &lt;" in str((await showing.shown_text(detail.text, safe=True)).html)


@pytest.mark.parametrize("piece", ["<img src=cid:", "<img src='cid:0@x ", "<p style='url( cid:0", "<p style='url(   "])
async def test_time_grows_with_the_length(piece: str) -> None:
    began = time.process_time()
    await shown(piece * 30_000, b"image", safe=False)
    await shown(f"<p style='{'url(cid:0@x' * 30_000}{'url(  ' * 30_000}{' ' * 100_000}'>", b"image", safe=False)
    assert time.process_time() - began < 3

"""Body text as a client can show it: HTML made safe, history folded, attached images in their place."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Sequence
from urllib.parse import unquote

import msgspec

from gateway.errors import NotFoundError
from gateway.mime.folding import folded
from gateway.mime.html_tokens import with_attributes
from gateway.mime.safe_html import safe_html, text_as_html
from gateway.mime.text_preview import text_preview
from gateway.model.message import Attachment, MessageDetail, MessageText
from gateway.provider import Session

#: Octets of ``data:`` URLs that are put into one message; images beyond stay where they are.
MOST_EMBEDDED = 10 * 1024 * 1024

# The beginning of a tag or of a character reference that a limit cut off; of a longer tag nothing is shown anyway.
_CUT = re.compile(r"(?:</?|&#?\w{0,31})\Z")
# Whatever the letter does to its sizes is cut off at the edges of its place or can be scrolled to.
_PLACE = '<div style="overflow:auto;contain:content">{}</div>'
# Images that cannot hold a script.
_IMAGES = {"image/png", "image/gif", "image/jpeg", "image/jpg", "image/webp", "image/bmp"}
_CID = re.compile(r"\s*cid:(\S+)\s*", re.IGNORECASE)
_STYLE_CID = re.compile(r"""(?<=url\()\s*["']?cid:([^\s"'()]+)["']?\s*(?=\))""", re.IGNORECASE)


async def shown_message(session: Session, message: MessageDetail, *, safe: bool, embed: bool) -> MessageDetail:
    """Return a message with a preview, and its HTML changed as `safe` and `embed` say, see `shown_text`.

    A message whose text was not read stays as it is.
    """
    if message.text is None:
        return message
    preview = message.preview or await _preview(message.text)
    text = await shown_text(message.text, safe=safe)
    if embed and text.html is not None:
        text = msgspec.structs.replace(text, html=await _embedded(session, text.html, message.attachments))
    return msgspec.structs.replace(message, text=text, preview=preview)


async def _preview(text: MessageText) -> str | None:
    if text.plain:
        return text_preview(text.plain, text.html)
    # Reading HTML takes its time.
    return await asyncio.to_thread(text_preview, None, text.html) if text.html else None


async def shown_text(text: MessageText, *, safe: bool) -> MessageText:
    """Return a text with HTML that is safe to be shown; plain text is turned into HTML where there is none."""
    if not safe or (text.html is None and text.plain is None):
        return text
    if text.html is None:
        html = text_as_html(text.plain or "")
    else:
        # A letter of a megabyte takes a third of a second.
        html = await asyncio.to_thread(_safe, _CUT.sub("", text.html) if text.has_more else text.html)
    return msgspec.structs.replace(text, html=_PLACE.format(html), web_safe=True)


def _safe(html: str) -> str:
    return folded(safe_html(html))


async def _embedded(session: Session, html: str, attachments: Sequence[Attachment]) -> str:
    """Replace ``cid:`` URLs of images (RFC 2392) by ``data:`` URLs (RFC 2397), each image once before any again."""
    if "cid:" not in html.lower():
        return html
    wanted: dict[str, None] = {}
    await asyncio.to_thread(_with_images, html, wanted.setdefault)
    left = MOST_EMBEDDED
    urls: dict[str, str] = {}
    for attachment in attachments:
        cid = (attachment.content_id or "").strip("<>")
        # Base64 takes four octets for three.
        if (
            cid not in wanted
            or cid in urls
            or attachment.encoded_size * 3 // 4 > left
            or attachment.content_type.lower() not in _IMAGES
        ):
            continue
        try:
            opened = await session.attachment(attachment.id)
            content = b"".join([chunk async for chunk in opened.chunks])
        except NotFoundError:
            continue
        url = f"data:{attachment.content_type.lower()};base64,{base64.b64encode(content).decode()}"
        if len(url) <= left:
            left -= len(url)
            urls[cid] = url
    return await asyncio.to_thread(_with_images, html, _Spending(urls, left).url) if urls else html


class _Spending:
    """Gives out URLs: each once, and again while octets are left."""

    def __init__(self, urls: dict[str, str], left: int) -> None:
        self._urls = urls
        self._left = left
        self._given: set[str] = set()

    def url(self, cid: str) -> str | None:
        url = self._urls.get(cid)
        if url is None or cid not in self._given:
            self._given.add(cid)
            return url
        if len(url) > self._left:
            return None
        self._left -= len(url)
        return url


def _with_images(html: str, url: Callable[[str], str | None]) -> str:
    """Return HTML in which images that were named by a Content-ID are at the URL that is known for it, if any."""

    def known(found: re.Match[str]) -> str | None:
        return url(unquote(found[1]).strip("<>"))

    def change(element: str, name: str, value: str) -> str | None:
        if name == "style":
            return _STYLE_CID.sub(lambda found: known(found) or found[0], value) if _STYLE_CID.search(value) else None
        is_image = name == "background" or (name == "src" and element in ("img", "input"))
        found = _CID.fullmatch(value) if is_image else None
        return known(found) if found else None

    return with_attributes(html, change)

"""The text of a body: octets of which a part of a message says what they are, as a person reads them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping

from gateway.mime.decode import decode_text, names_charset
from gateway.mime.flowed import joined_lines
from gateway.mime.html_tokens import Tag, tokens

__all__ = ["PRESCAN", "body_text"]

#: Octets at the beginning of HTML in which it may name its charset (HTML standard, section 13.2.3.2).
PRESCAN = 1024

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_IN_CONTENT = re.compile(r"""charset[\t\n\f\r ]*=[\t\n\f\r ]*["']?([^\t\n\f\r "';]+)""", re.IGNORECASE | re.ASCII)


def body_text(
    octets: bytes, content_type: str, parameters: Mapping[str, str], *, most: int | None = None, more: bool = False
) -> tuple[str, bool]:
    """Return the text of a part with LF as line end, and whether that is only the beginning of it.

    Where it is, it is the beginning of the whole text: no character, escape or line end is cut in two.

    Args:
        octets: of the part after transfer decoding; `PRESCAN` of them at least, if there are so many.
        content_type: its media type, lower case.
        parameters: of the Content-Type.
        most: at most this many of the octets.
        more: the part has more octets than these.
    """
    charset = parameters.get("charset")
    if content_type == "text/html" and not names_charset(charset):
        charset = _declared(octets[:PRESCAN])
    cut = more or (most is not None and len(octets) > most)
    text = decode_text(octets[:most], charset, cut=cut)
    return joined_lines(text.replace("\r\n", "\n").replace("\r", "\n"), parameters, cut=cut), cut


def _declared(beginning: bytes) -> str | None:
    """Return the charset that HTML names itself (HTML standard, section 13.2.3.2)."""
    for mark, marked in _MARKS:
        if beginning.startswith(mark):
            return marked
    for token in tokens(beginning.decode("latin-1")):
        if isinstance(token, Tag) and token.name == "meta" and (charset := _named(token)):
            # What could be read as ASCII so far is not UTF-16.
            return "utf-8" if charset.lower().startswith("utf-16") else charset
    return None


def _named(meta: Tag) -> str | None:
    charset = meta.attribute("charset")
    if charset is None and (meta.attribute("http-equiv") or "").lower() == "content-type":
        found = _IN_CONTENT.search(meta.attribute("content") or "")
        charset = None if found is None else found[1]
    return charset or None

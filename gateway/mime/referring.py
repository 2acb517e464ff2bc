"""What a reply or a forward takes from the message it refers to (RFC 5322 section 3.6.4).

A reply to all never reaches anyone whom the original did not show: its Bcc is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import tzinfo
from html import escape
from typing import Literal

from gateway.mime.html_text import html_to_text
from gateway.mime.quotation_words import quotation_words
from gateway.model.message import Address, MessageDetail

Action = Literal["reply", "reply-all", "forward"]

#: More ids than these do not go into References: the first one and the newest name the thread well enough, and a header
#: must not grow with every answer.
_MOST_REFERENCES = 30
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,990}>")
_PREFIXES = {
    "reply": ("Re: ", re.compile(r"re\s*:", re.IGNORECASE)),
    "forward": ("Fwd: ", re.compile(r"fwd?\s*:", re.IGNORECASE)),
}


def answered_to(
    original: MessageDetail, action: Action, own: Collection[str]
) -> tuple[tuple[Address, ...], tuple[Address, ...]]:
    """Return To and Cc of an answer; both are empty for a forward.

    Args:
        original: what is answered.
        action: how.
        own: addresses of the account, which a reply to all leaves out.
    """
    if action == "forward":
        return (), ()
    authors = original.reply_to or ((original.from_,) if original.from_ is not None else ())
    if action == "reply":
        return _without((), authors), ()
    to = _without(own, (*authors, *original.to))
    cc = _without((*own, *(address.address for address in to)), original.cc)
    # Mail to oneself is answered to oneself.
    return (to, cc) if to or cc else (_without((), authors), ())


def referring_subject(original: MessageDetail, action: Action) -> str:
    """Return the subject with its prefix, once."""
    prefix, known = _PREFIXES["forward" if action == "forward" else "reply"]
    subject = (original.subject or "").strip()
    return subject if known.match(subject) else (prefix + subject).rstrip()


def thread_headers(original: MessageDetail, action: Action) -> dict[str, str]:
    """Return In-Reply-To, which a forward has not, and References, the oldest first."""
    parent = next(iter(_ids((original.message_id,))), None)
    if parent is None:
        return {}
    earlier = _ids(original.headers.get("references", ())) or _ids((original.in_reply_to,))
    ids = [*dict.fromkeys(id for id in earlier if id != parent), parent]
    if len(ids) > _MOST_REFERENCES:
        ids = [ids[0], *ids[1 - _MOST_REFERENCES :]]
    found = {"References": " ".join(ids)}
    return found if action == "forward" else {"In-Reply-To": parent, **found}


def quoting_text(original: MessageDetail, action: Action, text: str, zone: tzinfo, locale: str = "en") -> str:
    """Return a text followed by the original's: quoted (RFC 3676 section 4.5), or as it is in a forward.

    Args:
        original: whose text.
        action: how it is referred to.
        text: the new text.
        zone: in which the original's date is written.
        locale: language of the words around the quotation; see `quotation_words`.
    """
    quoted = _text(original)
    if action == "forward":
        return f"{text}\n\n{_forward_head(original, zone, locale)}\n\n{quoted}"
    lines = (f">{line}" if line.startswith(">") else f"> {line}".rstrip() for line in quoted.splitlines())
    return f"{text}\n\n{_who_wrote(original, zone, locale)}\n\n" + "\n".join(lines) + "\n"


def quoting_html(
    original: MessageDetail, action: Action, html: str, quoted: str, zone: tzinfo, locale: str = "en"
) -> str:
    """Return HTML with the original's at its end.

    Args:
        original: whose texts.
        action: how it is referred to.
        html: the new text; the quotation goes before its ``</body>``, if it has one.
        quoted: the original's HTML, safe to be shown.
        zone: in which its date is written.
        locale: as of `quoting_text`.
    """
    if action == "forward":
        head = "<br>".join(escape(line) for line in _forward_head(original, zone, locale).splitlines())
        block = f"<div>{head}</div><br><div>{quoted}</div>"
    else:
        style = "margin:0 0 0 .8ex;border-left:1px solid #ccc;padding-left:1ex"
        intro = f"<div>{escape(_who_wrote(original, zone, locale))}</div>"
        block = f'{intro}<blockquote type="cite" style="{style}">{quoted}</blockquote>'
    at = html.lower().rfind("</body")
    return f"{html}<br>{block}" if at < 0 else f"{html[:at]}<br>{block}{html[at:]}"


def _text(original: MessageDetail) -> str:
    text = original.text
    if text is None:
        return ""
    # Some senders add a text part with nothing in it.
    return text.plain if text.plain and text.plain.strip() else html_to_text(text.html or "")


def _without(known: Iterable[str], addresses: Iterable[Address]) -> tuple[Address, ...]:
    seen = {address.lower() for address in known}
    found: list[Address] = []
    for address in addresses:
        if address.address and address.address.lower() not in seen:
            seen.add(address.address.lower())
            found.append(address)
    return tuple(found)


def _ids(values: Iterable[str | None]) -> list[str]:
    return [id for value in values for id in _MESSAGE_ID.findall(value or "")]


def _who_wrote(original: MessageDetail, zone: tzinfo, locale: str) -> str:
    words, author = quotation_words(locale), original.from_
    name = (author.name or author.address) if author is not None else words.somebody
    wrote = words.wrote_once if original.date is None else words.wrote
    return wrote.format(name=name, when=_date(original, zone))


def _forward_head(original: MessageDetail, zone: tzinfo, locale: str) -> str:
    words = quotation_words(locale)
    values = (
        _shown(() if original.from_ is None else (original.from_,)),
        _date(original, zone),
        original.subject or "",
        _shown(original.to),
        _shown(original.cc),
    )
    fields = zip(words.fields, values, strict=True)
    lines = (f"{name}: {' '.join(value.split())}" for name, value in fields if value)
    return "\n".join((f"---------- {words.forwarded} ----------", *lines))


def _date(original: MessageDetail, zone: tzinfo) -> str:
    return "" if original.date is None else f"{original.date.astimezone(zone):%Y-%m-%d %H:%M %z}"


def _shown(addresses: Iterable[Address]) -> str:
    return ", ".join(f"{who.name} <{who.address}>" if who.name else who.address for who in addresses)

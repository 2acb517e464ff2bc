"""The texts of a message, rendered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from markdown_it import MarkdownIt

from gateway.templating.handlebars import Handlebars, TemplateError

#: Characters of Markdown; it is read at half a second for each 100,000 at worst.
LONGEST_MARKDOWN = 256 * 1024
#: Characters of a rendered text.
LONGEST_RENDERED = 5 * 1024 * 1024

_LINE_BREAKS = re.compile(r"\s*[\r\n]+\s*")

# CommonMark with the two extensions that mail is written with.
_MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """The texts of a message; `html` may be Markdown until it is rendered."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    preview_text: str | None = None

    def __repr__(self) -> str:
        return "Texts()"


def check(texts: Texts) -> dict[str, str]:
    """Return what keeps texts from being templates, by the name of the text; blocks its thread."""
    sandbox = Handlebars()
    problems = {}
    for name, source in _given(texts):
        try:
            sandbox.check(source)
        except TemplateError as error:
            problems[name] = str(error)
    return problems


def render(
    texts: Texts, format: Literal["html", "markdown"], contexts: Sequence[Mapping[str, Any]]
) -> list[Texts | TemplateError]:
    """Return the texts for each context, or why there are none; blocks its thread for up to half a minute.

    Values in `html` are escaped for HTML. Markdown is CommonMark with tables; HTML within it stays.
    """
    sandbox = Handlebars()
    return [_rendered(sandbox, texts, format, context) for context in contexts]


def _rendered(sandbox: Handlebars, texts: Texts, format: str, context: Mapping[str, Any]) -> Texts | TemplateError:
    found: dict[str, str] = {}
    for name, source in _given(texts):
        try:
            made = sandbox.render(source, context, escape=name == "html")
            if name == "html" and format == "markdown":
                made = _from_markdown(made)
            if len(made) > LONGEST_RENDERED:
                raise TemplateError("becomes too long")
        except TemplateError as error:
            return TemplateError(f"{name} {error}")
        # A value may bring line breaks; a header has none.
        found[name] = _LINE_BREAKS.sub(" ", made).strip() if name == "subject" else made
    return Texts(**found)


def _from_markdown(source: str) -> str:
    if len(source) > LONGEST_MARKDOWN:
        raise TemplateError("is too long for Markdown")
    return str(_MARKDOWN.render(source))


def _given(texts: Texts) -> list[tuple[str, str]]:
    return [(name, value) for name in texts.__struct_fields__ if (value := getattr(texts, name)) is not None]

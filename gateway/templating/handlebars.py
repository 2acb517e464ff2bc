"""Handlebars itself (https://handlebarsjs.com), in a JavaScript engine that has nothing else.

The engine (QuickJS) reaches neither files, network, clock of the machine nor Python; what is left, time and memory, is
bounded. It lets other threads run meanwhile.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import quickjs

#: Seconds of processor time of one text.
LONGEST_TEXT = 1.0
#: Seconds of everything that one sandbox renders.
LONGEST_WORK = 20.0
#: Octets of the engine's memory.
MOST_MEMORY = 64 * 1024 * 1024
#: Octets of the engine's stack; less than any thread has.
MOST_STACK = 512 * 1024

_FUNCTIONS = """
const compiled = new Map();
function check(source) { Handlebars.precompile(source); return true; }
function render(source, escape, context) {
  const key = (escape ? "e" : "n") + source;
  if (!compiled.has(key)) compiled.set(key, Handlebars.compile(source, {noEscape: !escape}));
  // As JSON, for a long string may be a rope, which does not cross over to Python.
  return JSON.stringify(compiled.get(key)(JSON.parse(context)));
}
"""

_PARSE_ERROR = re.compile(r"Error: (?:Parse|Lexical) error on line (\d+)")
#: Begin of the engine's message, and what it means; what comes after it may quote the template.
_MEANINGS = (
    ("InternalError: interrupted", "takes too long"),
    ("InternalError: out of memory", "takes too much memory"),
    ("InternalError: string too long", "takes too much memory"),
    ("RangeError: Maximum call stack size exceeded", "is nested too deeply"),
    ("Error: Missing helper", "uses a helper that does not exist"),
    ("Error: The partial", "uses a partial that does not exist"),
)


class TemplateError(ValueError):
    """A template cannot be used; the text continues the sentence that the name of the template begins."""


class Handlebars:
    """A sandbox for templates that belong together. It must stay in the thread in which it was made."""

    def __init__(self) -> None:
        self._context = quickjs.Context()
        self._context.set_memory_limit(MOST_MEMORY)
        self._context.set_max_stack_size(MOST_STACK)
        self._context.eval(_library())
        self._context.eval(_FUNCTIONS)
        self._until = time.monotonic() + LONGEST_WORK

    def check(self, source: str) -> None:
        """Raise a `TemplateError` unless this is Handlebars."""
        self._call("check", source)

    def render(self, source: str, context: Mapping[str, Any], *, escape: bool) -> str:
        """Return what becomes of a template.

        Args:
            source: the template.
            context: what it can name.
            escape: whether ``{{name}}`` is made fit to stand in HTML.

        Raises:
            TemplateError: it cannot be rendered, or not within the bounds.
        """
        made = self._call("render", source, escape, msgspec.json.encode(context).decode())
        return msgspec.json.decode(made, type=str)

    def _call(self, function: str, *arguments: Any) -> Any:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TemplateError("takes too long")
        self._context.set_time_limit(min(left, LONGEST_TEXT))
        try:
            return self._context.get(function)(*arguments)
        except quickjs.JSException as error:
            raise TemplateError(_explained(str(error))) from None


def _explained(text: str) -> str:
    found = _PARSE_ERROR.match(text)
    if found is not None:
        return f"is not valid Handlebars, see line {found[1]}"
    return next((meaning for begin, meaning in _MEANINGS if text.startswith(begin)), "cannot be rendered")


@cache
def _library() -> str:
    return (files("gateway.templating") / "vendor" / "handlebars" / "handlebars.min.js").read_text()

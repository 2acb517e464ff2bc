"""Answers of servers and what they are about, from the documentation of vendors and from standards.

A line of ``answers.txt`` is the text, the status of the report, the category and the recommended action; of
``blocklists.txt`` the text, the name and the type; of ``waits.txt`` the text and the seconds. ``texts.txt`` has what
mail systems write around an answer, below a line with a name, the status and the answer. "-" is none.
"""

from __future__ import annotations

import re
from pathlib import Path


def rows(name: str) -> list[tuple[str | None, ...]]:
    """Return the rows of a file."""
    return [_cells(line) for line in _read(name).splitlines() if not line.startswith("#")]


def texts() -> list[tuple[str | None, ...]]:
    """Return names, statuses, answers, and the texts around them."""
    blocks = re.split(r"^##### ", _read("texts.txt"), flags=re.MULTILINE)[1:]
    return [(*_cells(title), text) for title, _, text in (block.partition("\n") for block in blocks)]


def _cells(line: str) -> tuple[str | None, ...]:
    return tuple(None if cell == "-" else cell for cell in line.split(" | "))


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text("utf-8")

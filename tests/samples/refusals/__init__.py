"""Answers of servers and what they are about, from the documentation of vendors and from standards.

A line of ``answers.txt`` is the text, the status of the report, the category and the recommended action; of
``blocklists.txt`` the text, the name and the type; of ``waits.txt`` the text and the seconds. "-" is none.
"""

from __future__ import annotations

from pathlib import Path


def rows(name: str) -> list[tuple[str | None, ...]]:
    """Return the rows of a file."""
    lines = (Path(__file__).parent / name).read_text("utf-8").splitlines()
    return [
        tuple(None if cell == "-" else cell for cell in line.split(" | ")) for line in lines if not line.startswith("#")
    ]

"""What strangers wrote, as it may stand in a report."""

from __future__ import annotations

#: Characters of a record, a reason, a name.
_LONGEST = 1024


def comment(text: str | bytes | None) -> str | None:
    """Return a text of bounded length and printable characters; None for an empty one."""
    if text is None:
        return None
    found = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    printable = "".join(char if char.isprintable() else " " for char in found[:_LONGEST])
    return " ".join(printable.split()) or None

"""Join the lines of flowed text (RFC 3676), which a sender broke for old readers."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["joined_lines"]

_SIGNATURE = "-- "


def joined_lines(text: str, parameters: Mapping[str, str], *, cut: bool = False) -> str:
    """Return text as its writer saw it.

    Args:
        text: with LF as line end.
        parameters: of its Content-Type; text that is not flowed is returned as it is.
        cut: it is the beginning of more; a last line that may become a quotation or a signature is left out.
    """
    if parameters.get("format", "").lower() != "flowed":
        return text
    if cut:
        before, _, last = text.rpartition("\n")
        text = text if last.strip("> -") else before
    delete_space = parameters.get("delsp", "").lower() == "yes"
    paragraphs: list[list[str]] = []
    depth, open_depth = 0, -1  # of quotation; -1 when the line before was not flowed
    for line in text.split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")  # space-stuffing, section 4.4
        flowed = content.endswith(" ") and content != _SIGNATURE
        if depth != open_depth or content == _SIGNATURE:
            paragraphs.append([">" * depth + " " if depth else ""])
        paragraphs[-1].append(content[:-1] if flowed and delete_space else content)
        open_depth = depth if flowed else -1
    return "\n".join("".join(pieces) for pieces in paragraphs)

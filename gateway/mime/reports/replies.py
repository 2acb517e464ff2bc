"""The server's own words in a text that a mail system or a person's provider wrote around them.

An answer begins with its code (RFC 5321 section 4.2) and goes on over further lines with the same code, over lines that
are indented below it, and over what a line leaves open. Where no server is quoted, the sentence that gives the reason
is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.mime.reports.refusals import CODE, bounce_response
from gateway.mime.reports.signs import FAILURE, REASON
from gateway.model.event import BounceResponse

#: An enhanced status code (RFC 3463) in a text.
STATUS = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.])")
#: How qmail ends its reasons.
_MARK = re.compile(r"\(#[45]\.\d{1,3}\.\d{1,3}\)")

_LINES = 20
_LONGEST = 1000
#: A line that has no room for the next word.
_FULL = 50
_QUOTES = {"'": "'", '"': '"', "\u2018": "\u2019", "“": "”", "„": "“", "«": "»", "`": "'"}
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_TRANSCRIPT = re.compile(r"[ \t]*(?:<<<|<--|>)?[ \t]*")
_LABEL = re.compile(r"[ \t>]*(?:[A-Z][a-z]+(?:-[A-Za-z]+)*[ \t]*:[ \t]|The MTS-ID|MSEXCH:|\(generated |[-=_*|]{3})")
_NAMED = re.compile(
    r"\s*(?:because\s+|(?:reason|error|diagnostic(?:[- ]code)?|details?|status|response|grund|fehler|raison|motif"
    r"|motivo|causa)[ \t]*:\s*)",
    re.IGNORECASE,
)
#: What reporters add: the command that was answered, and that they gave up.
_ADDED = re.compile(r"\s*(?:\(in reply to [^()]{1,60}\)|giving up on \S+).*$", re.IGNORECASE)
_WHEN = re.compile(r"[ \t]*on [^\n]{0,40}\d{1,4}[^\n]{0,30}$", re.IGNORECASE)
_PUNCTUATION = ">)]}'\"»:;,. \t\n*-•"


def response_about(said: str, address: str, at: int, stops: list[int]) -> BounceResponse:
    """Return what a text says about one recipient.

    Args:
        said: the text, without a copy of the original.
        address: of the recipient.
        at: where the text tells of it; -1 where it does not.
        stops: where it tells of each recipient, in order.
    """
    end = next((stop for stop in stops if stop > at), len(said))
    begin = at + len(address) if at >= 0 else 0
    for stop in [stop for stop in stops if stop > end] + [len(said)]:
        if said[begin:end].strip(_PUNCTUATION + "<"):
            break
        # Recipients who stand together share what follows.
        begin, end = said.find("\n", end) if "\n" in said[end:stop] else stop, stop
    alone = len(stops) < 2
    start = _coded(said, address, begin, end, alone=alone)
    if start is not None:
        message = _whole(said, start, next((stop for stop in stops if stop > start and stop != at), len(said)))
    else:
        message = _sentence(said, at, begin, end, alone=alone)
    status = STATUS.search(message) or STATUS.search(said, begin, end) or (STATUS.search(said) if alone else None)
    return bounce_response(
        "smtp" if start is not None else None, message[:_LONGEST] or None, status[1] if status else None
    )


def _coded(said: str, address: str, begin: int, end: int, *, alone: bool) -> int | None:
    """Return where the answer of a server begins: one that names the recipient, or that stands behind it."""
    line = 0
    for match in re.finditer(re.escape(address), said, re.IGNORECASE):
        line = said.rfind("\n", line, match.start()) + 1 or line
        code = CODE.search(said, max(line, match.start() - 200), match.start())
        if code is not None:
            return code.start()
    code = CODE.search(said, begin, end) or (CODE.search(said) if alone else None)
    return code.start() if code is not None else None


def _whole(said: str, start: int, end: int) -> str:
    """Return an answer that begins somewhere, and nothing after it."""
    line_start = said.rfind("\n", 0, start) + 1
    lines = said[start : min(end, start + 4 * _LONGEST)].split("\n", _LINES)[:_LINES]
    indent = _indent(said[line_start : start + 1])
    kept = [lines[0].strip()]
    width = start - line_start + len(lines[0].rstrip())
    for line in lines[1:]:
        bare = line[_TRANSCRIPT.match(line).end() :] if line.strip() else ""  # type: ignore[union-attr]
        if not bare or not _goes_on(kept, line, bare, indent, full=width >= _FULL):
            break
        kept.append(bare.strip())
        width = len(line.rstrip())
    text = _ADDED.sub("", " ".join(" ".join(kept).split()))
    return _unquoted(text, said[max(start - 3, 0) : start].rstrip()[-1:])


def _goes_on(kept: list[str], line: str, bare: str, indent: int, *, full: bool) -> bool:
    """Tell whether a line belongs to the answer before it; `full` where the next word had no room on the line above."""
    last = kept[-1]
    if CODE.match(bare):
        coded = next((text for text in reversed(kept) if CODE.match(text)), "")
        return coded[3:4] == "-" and bare.startswith(coded[:3])
    if last.endswith((":", ",", ";", "(")) or last.count("(") > last.count(")"):
        return True
    if _LABEL.match(line):
        return False
    deeper = _indent(line) - indent
    if deeper > 0:
        return True
    if deeper < 0 or (bare[0].isalpha() and last.endswith((".", "!", "?"))):
        return False
    return (indent > 0 and not bare[0].isupper()) or (full and (indent > 0 or bare[0].islower() or bare[0] == "("))


def _indent(line: str) -> int:
    return len(line.expandtabs()) - len(line.expandtabs().lstrip(" "))


def _unquoted(text: str, before: str) -> str:
    """Cut an answer where the quotation marks or brackets around it close."""
    if before in _QUOTES and _QUOTES[before] in text:
        return text[: text.rfind(_QUOTES[before])].rstrip()
    for opening, closing in _BRACKETS.items():
        depth = 0
        for number, character in enumerate(text):
            depth += (character == opening) - (character == closing)
            if depth < 0:
                return text[:number].rstrip()
    return text


def _sentence(said: str, at: int, begin: int, end: int, *, alone: bool) -> str:
    """Return the sentence that gives a reason, where no server is quoted; "" without one."""
    line_start = said.rfind("\n", 0, max(at, 0)) + 1
    if at >= 0 and REASON.search(said, line_start, at):
        return _whole(said, line_start, len(said))
    found = [*_sentences(said, begin, end)]
    for sentence, _ in found:
        mark = _MARK.search(sentence)
        if mark is not None:
            return sentence[: mark.end()]
    reasons = [sentence for sentence, _ in found if REASON.search(sentence) or STATUS.search(sentence)]
    if not reasons and alone and at > 0:
        reasons = [sentence for sentence, _ in _sentences(said, 0, line_start) if REASON.search(sentence)]
    others = [sentence for sentence, near in found if near and not FAILURE.search(sentence)]
    return next(iter(reasons + others), "")


def _sentences(said: str, begin: int, end: int) -> Iterator[tuple[str, bool]]:
    """Yield what a part of a text says, and whether it joins what is before it or the line that leads to it."""
    place, near, leading = begin, True, False
    for _ in range(2 * _LINES):
        if place >= end:
            return
        line_end = said.find("\n", place, end)
        line_end = end if line_end < 0 else line_end
        line = said[place:line_end].strip()
        bare = line.strip(_PUNCTUATION) if place == begin else line
        named = _NAMED.match(bare)
        if line:
            near, leading = near or leading, line.endswith(":")
        elif place > begin:
            near = False
        if bare and not leading and not _WHEN.fullmatch(bare) and (named or not _LABEL.match(said, place)):
            text = _whole(said, said.index(bare, place), end)
            yield text[named.end() :] if named else text, near
        place = line_end + 1

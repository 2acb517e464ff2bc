"""UIDs that match search criteria (RFC 9051 section 6.4.4, ESEARCH of RFC 4731); blocking."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from gateway.errors import UnsupportedOperationError
from gateway_imap.connection import Connection
from gateway_imap.errors import response_code
from gateway_imap.wire import Literal, Reply

# Messages that are searched at a time: ids have ten digits at most, and imaplib takes lines of a million octets.
_PIECE = 50_000
_CHARSET = re.compile(r"[A-Za-z0-9_.:+-]+")
_ESEARCH_ALL = re.compile(rb"\bALL ([0-9:,]+)")


def find_everywhere(connection: Connection, criteria: Sequence[bytes]) -> list[range]:
    """Return the UIDs of the selected mailbox that match, ascending, however many there are.

    A large mailbox is searched piece by piece, because an answer is one line. The highest sequence numbers come first:
    when messages are expunged meanwhile, those that move down are found twice and not missed.
    """
    total = connection.selected.exists or 0 if connection.selected is not None else 0
    if total <= _PIECE:
        return find(connection, criteria)
    found: list[range] = []
    for low in range((total - 1) // _PIECE * _PIECE + 1, 0, -_PIECE):
        end = b"*" if low + _PIECE > total else b"%d" % (low + _PIECE - 1)
        found += find(connection, [b"%d:%b" % (low, end), *criteria])
    return united(found)


def find(connection: Connection, criteria: Sequence[bytes]) -> list[range]:
    """Return the UIDs of the selected mailbox that match, ascending; there must not be too many for a line.

    Raises:
        UnsupportedOperationError: the server takes no charset in which the criteria can be written.
        GatewayError: refused otherwise.
    """
    extended = (b"RETURN (ALL)",) if connection.has("ESEARCH") else ()
    reply = None
    for charset in _charsets(connection, criteria):
        named = (b"CHARSET", charset.encode("ascii")) if charset else ()
        reply = connection.command(b"UID SEARCH", *extended, *named, *_encoded(criteria, charset), tolerate=True)
        if response_code(reply.text)[0] != "BADCHARSET":
            break
        connection.refused_charsets[charset] = response_code(reply.text)[1]
    if reply is None or response_code(reply.text)[0] == "BADCHARSET":
        raise UnsupportedOperationError(
            "the IMAP server takes no charset that has these characters", code="UnsupportedSearchTerm"
        )
    if reply.status != "OK":
        raise connection.refusal(reply)
    return _ranges(reply)


def _charsets(connection: Connection, criteria: Sequence[bytes]) -> Iterator[str]:
    """Return how to try to write the criteria: in UTF-8, then as the refusal says, at last without a name for UTF-8.

    What a connection has refused once is not tried again. RFC 9051 section 6.4.4 has all servers know UTF-8, and
    section 7.1 the list of those they know instead.
    """
    if all(criterion.isascii() for criterion in criteria):
        yield ""
        return
    refused = connection.refused_charsets
    if "UTF-8" not in refused:
        yield "UTF-8"
    for charset in _CHARSET.findall(refused.get("UTF-8", b"").decode("ascii", "replace")):
        if charset not in refused and _encodable(criteria, charset):
            yield charset
    if "" not in refused:
        yield ""


def _encodable(criteria: Iterable[bytes], charset: str) -> bool:
    try:
        return bool(_encoded(criteria, charset))
    except (LookupError, UnicodeError):
        return False


def _encoded(criteria: Iterable[bytes], charset: str) -> list[bytes]:
    """Return the criteria with their literals, which are UTF-8, in another charset."""
    if charset in ("", "UTF-8"):
        return list(criteria)
    return [Literal(one.decode("utf-8").encode(charset)) if isinstance(one, Literal) else one for one in criteria]


def united(spans: Iterable[range]) -> list[range]:
    """Return the same UIDs, ascending, each once."""
    united: list[range] = []
    for span in sorted(spans, key=lambda each: each.start):
        if united and span.start <= united[-1].stop:
            united[-1] = range(united[-1].start, max(span.stop, united[-1].stop))
        else:
            united.append(span)
    return united


def _ranges(reply: Reply) -> list[range]:
    """Return the UIDs found, ascending."""
    for line in reply.lines("ESEARCH"):
        found = _ESEARCH_ALL.search(line) if isinstance(line, bytes) else None
        if found is not None:
            ends = (part.partition(b":") for part in found[1].split(b","))
            spans = [sorted((int(low), int(high or low))) for low, _, high in ends]
            return sorted((range(low, high + 1) for low, high in spans), key=lambda span: span.start)
    words = (word for line in reply.lines("SEARCH") if isinstance(line, bytes) for word in line.split())
    return [range(uid, uid + 1) for uid in sorted({int(word) for word in words if word.isdigit()})]

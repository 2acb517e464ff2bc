"""The fast parser gives what imapclient's gives, or hands over to it; it never guesses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imapclient.exceptions import ProtocolError
from imapclient.response_parser import parse_response

from gateway_imap.fetch_parser import UnusualError, broken_uid, fast_values, parse_fetch, parse_values

ENTRY = (
    b'12 (UID 12 FLAGS (\\Seen $label) INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE 4286 ENVELOPE '
    b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 (minutes) [2]" (("Terry Gray" NIL "gray" "example.edu")) '
    b'NIL NIL ((NIL NIL "imap" "example.edu")) NIL NIL NIL "<B27397-0100000@example.edu>") BODYSTRUCTURE '
    b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3028 92 NIL NIL NIL NIL))'
)


def _thorough(line: bytes) -> Any:
    return _texts(parse_response([line]))


def _texts(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_texts(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


_ATOMS = st.from_regex(rb"\\?[A-Za-z$][A-Za-z0-9._+/-]{0,12}", fullmatch=True)
_NUMBERS = st.integers(0, 2**70).map(lambda number: str(number).encode())
_QUOTED = st.binary(max_size=20).map(lambda octets: b'"' + octets.replace(b'"', b"").replace(b"\n", b"") + b'"')
_VALUES = st.recursive(
    st.one_of(
        _ATOMS,
        _NUMBERS,
        _QUOTED,
        st.sampled_from([b"NIL", b"nil", b"007", b"7BIT", b"xNIL", b'""', b"NILS", b'"a\\"b"', b"BODY[1]"]),
    ),
    lambda inner: st.lists(inner, max_size=5).map(lambda items: b"(" + b" ".join(items) + b")"),
    max_leaves=25,
)
_LINES = st.lists(_VALUES, min_size=1, max_size=6).map(b" ".join)


@settings(max_examples=400, deadline=None)
@given(_LINES)
def test_valid_responses_read_as_imapclient_reads_them(line: bytes) -> None:
    """A wrong value in a listing is worse than a slow one."""
    try:
        fast = fast_values(line)
    except UnusualError:
        return
    assert fast == _thorough(line)


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet='"\\()[]{} aZ1\r\n\t\x01é%*NIL', max_size=40).map(str.encode))
def test_garbage_is_never_read_differently(line: bytes) -> None:
    """What imapclient refuses may be read loosely, but what both read has to be the same."""
    try:
        fast = fast_values(line)
    except UnusualError:
        return
    try:
        thorough = _thorough(line)
    except (ProtocolError, ValueError, AssertionError):
        return
    assert fast == thorough


def test_ordinary_entry_takes_the_fast_way() -> None:
    """Otherwise a page of twenty costs as much as fifteen pages."""
    assert fast_values(ENTRY) == _thorough(ENTRY)


@pytest.mark.parametrize(
    "line",
    [
        b'1 (SUBJECT "a \\"b\\"")',
        b'1 (BODY[HEADER.FIELDS (DATE)] "x")',
        b'1 (X "a\tb")',
        b'1 (X "\xff")',
        b'1 (X "a)',
        b'1 (X"a")',
        b"1 (X {3})",
        b"1 (X NILS 7BIT)",
        b'1 (X "a\nb")',
        b"1 (X",
        b"1 X)",
    ],
)
def test_unusual_lines_go_to_the_thorough_parser(line: bytes) -> None:
    """Each of these means something that splitting at quotes would miss."""
    with pytest.raises(UnusualError):
        fast_values(line)


def test_escapes_and_octets_above_127_are_read() -> None:
    """Servers of the wild send them, and RFC 9051 allows UTF-8 in quoted strings."""
    row = dict(parse_fetch([b'1 (UID 5 X "a \\"b\\" \\\\" Y "\xff" Z "\xc3\xbc")']))[1]
    assert row == {"UID": 5, "X": 'a "b" \\', "Y": "ÿ", "Z": "ü"}


def test_literals_belong_to_their_message() -> None:
    """imaplib hands a response with literals over in pieces; the next message starts after the rest of the line."""
    records = [
        (b"1 (UID 5 BODY[HEADER] {4}", b"A\xff\r\n"),
        (b" BODY[1]<0> {2}", b"()"),
        b" FLAGS (x))",
        b"2 (UID 6 FLAGS ())",
    ]
    assert list(parse_fetch(records)) == [
        (1, {"UID": 5, "BODY[HEADER]": b"A\xff\r\n", "BODY[1]<0>": b"()", "FLAGS": ["x"]}),
        (2, {"UID": 6, "FLAGS": []}),
    ]


_SECTION = st.sampled_from(
    [
        *(b"BODY[HEADER.FIELDS (REFERENCES)]<0>", b"BODY[HEADER.FIELDS (REFERENCES X-B)]<0>"),
        *(b"BODY[HEADER.FIELDS (X-A)]", b"BODY[1]", b"X"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(_VALUES, max_size=3), _SECTION, st.binary(max_size=8), st.lists(_VALUES, max_size=3))
def test_fields_of_the_header_are_read_as_imapclient_reads_them(
    before: list[bytes], section: bytes, value: bytes, after: list[bytes]
) -> None:
    """They are set aside, so that the rest of a listing can go the fast way."""
    names = iter(b"N%d" % number for number in range(9))
    head, tail = (b"".join(b"%b %b " % (next(names), value) for value in values) for values in (before, after))
    records = [(b"1 (%b%b {%d}" % (head, section, len(value)), value), (b" " + tail).rstrip() + b")"]
    try:
        thorough = parse_values(records)
    except ProtocolError:
        return
    ((number, row),) = parse_fetch(records)
    assert [number, list(row.items())] == [1, list(zip(thorough[1][::2], thorough[1][1::2], strict=True))]


def test_literal_elsewhere_is_text() -> None:
    """A subject is sent as a literal when it holds octets above 127."""
    assert dict(parse_fetch([(b"1 (UID 5 X {2}", b"\xc3\xbc"), b")"]))[1]["X"] == "ü"


@pytest.mark.parametrize("line", [b"1", b"x (UID 1)", b"1 (UID)", b"1 ((a) b)", b"1 (UID 1) 2", b"(", b'"'])
def test_other_things_are_no_fetch_response(line: bytes) -> None:
    """They end in the one exception that the callers expect."""
    with pytest.raises(ProtocolError):
        list(parse_fetch([line]))


def test_response_that_ends_in_a_literal_is_refused() -> None:
    """The rest of the line is missing."""
    with pytest.raises(ProtocolError):
        list(parse_fetch([(b"1 (X {1}", b"a")]))


def test_uid_of_an_unreadable_response_is_found() -> None:
    """The message can then be listed by its id at least."""
    assert broken_uid(b"1 (UID 77 ENVELOPE (") == 77
    assert broken_uid((b"1 (UID 78 X {3}", b"abc")) == 78
    assert broken_uid(b"1 (FLAGS ()") is None


def test_deep_nesting_is_an_error_not_a_crash() -> None:
    """A hostile message can have any number of parts inside each other."""
    line = b"1 (BODYSTRUCTURE " + b"(" * 100_000 + b")" * 100_000 + b")"
    with pytest.raises(ProtocolError):
        list(parse_fetch([line]))


def test_list_responses_are_read() -> None:
    """LIST, STATUS and QUOTA are parsed by the same means."""
    assert parse_values([b'(\\HasNoChildren) "/" "a \\"b\\""']) == [["\\HasNoChildren"], "/", 'a "b"']

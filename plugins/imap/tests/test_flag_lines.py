"""Lines that tell flags are read as imapclient reads them, or left to it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imapclient.exceptions import ProtocolError
from imapclient.response_parser import parse_response

from gateway_imap.entries import visible_flags
from gateway_imap.fetch_parser import parse_fetch
from gateway_imap.flag_lines import Told, is_only_flags, read_flag_line, read_told, told

_FLAG = st.sampled_from([b"\\Seen", b"\\Recent", b"$label", b"NIL", b"7", b"\\*", b"a]b", b"x{2}", b"nil", b"\xff"])
_FLAGS = st.lists(_FLAG, max_size=4).map(b" ".join)
_NUMBER = st.one_of(
    st.one_of(st.integers(0, 99), st.integers(2**31, 2**33)).map(lambda number: b"%d" % number), st.just(b"007")
)
_ITEMS = st.one_of(
    st.builds(lambda uid: b"UID " + uid, _NUMBER),
    st.builds(lambda flags: b"FLAGS (" + flags + b")", _FLAGS),
    st.builds(lambda modseq: b"MODSEQ (" + modseq + b")", _NUMBER),
    st.sampled_from([b'SUBJECT "FLAGS (x)"', b"FLAGS ((a))", b"FLAGS NIL"]),
)
_RECORDS = st.builds(
    lambda number, items: number + b" (" + b" ".join(items) + b")",
    _NUMBER,
    st.lists(_ITEMS, max_size=4, unique_by=lambda item: item.split()[0]),
)


def _thoroughly(record: bytes) -> Told:
    """What imapclient's parser says."""
    number, items = parse_response([record])
    values = {items[at].upper(): items[at + 1] for at in range(0, len(items), 2)}
    uid, flags = values.get(b"UID"), values.get(b"FLAGS")
    texts = [flag.decode("latin-1") if isinstance(flag, bytes) else flag for flag in flags or ()]
    known = uid if isinstance(uid, int) and 0 < uid < 2**32 else None
    return Told(number, known, visible_flags(texts) if isinstance(flags, tuple) else None)


@settings(max_examples=500, deadline=None)
@given(_RECORDS)
def test_line_is_read_as_imapclient_reads_it(record: bytes) -> None:
    """A wrong flag here is an event about something that did not happen."""
    number, _, rest = record.partition(b" ")
    found = read_flag_line(b"* " + number + b" FETCH " + rest)
    if found is not None:
        assert found == _thoroughly(record)


@settings(max_examples=500, deadline=None)
@given(_RECORDS)
def test_response_is_read_as_imapclient_reads_it(record: bytes) -> None:
    """Whatever else it tells; the first attributes are enough, even if the UID comes later."""
    try:
        found = read_told([record])
    except (ProtocolError, ValueError):
        return
    thorough = _thoroughly(record)
    assert found in (thorough, thorough._replace(uid=None))
    assert [told(*each) for each in parse_fetch([record])] == [thorough]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60).map(lambda octets: b"* 1 FETCH (" + octets))
def test_garbage_is_left_alone(line: bytes) -> None:
    """Reading it is somebody else's business, and so is refusing it."""
    assert read_flag_line(line) is None or line.endswith(b")")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"* 3 FETCH (FLAGS (\\Seen \\Recent))", Told(3, None, ("\\Seen",))),
        (b"* 3 FETCH (UID 7 FLAGS ())", Told(3, 7, ())),
        (b"* 3 FETCH (UID 7 FLAGS ($a) MODSEQ (9))", Told(3, 7, ("$a",))),
        (b"* 3 FETCH (UID 7 MODSEQ (9) FLAGS ($a))", Told(3, 7, ("$a",))),
        (b"* 3 FETCH (FLAGS ($a) UID 7)", Told(3, 7, ("$a",))),
    ],
)
def test_what_servers_send_takes_the_fast_way(line: bytes, expected: Told) -> None:
    """Ten thousand lines in a twentieth of a second, whichever server it is."""
    assert read_flag_line(line) == expected


@pytest.mark.parametrize(
    ("record", "only"),
    [
        (b"1 (FLAGS (x))", True),
        (b"1 (UID 5 MODSEQ (7) FLAGS ())", True),
        (b"1 (FLAGS () RFC822.SIZE 5)", False),
        (b'1 (UID 5 ENVELOPE (NIL "FLAGS ()"))', False),
    ],
)
def test_news_is_told_from_an_answer(record: bytes, only: bool) -> None:
    """Who asked for the size did not get news."""
    assert is_only_flags(record) is only

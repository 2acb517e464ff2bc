"""Taking messages apart."""

from __future__ import annotations

import asyncio
import email
import email.policy
import sysconfig
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidIdentifierError, NotFoundError
from gateway.mime.addresses import parse_addresses, parse_date
from gateway.mime.parse import flag_fields, open_part, parse_message
from gateway.mime.structure import MAX_DEPTH, leaves, structure
from gateway.model.message import Address

NESTED = b"""From: a@example.org
Subject: nested
Content-Type: multipart/mixed; boundary=outer

preamble
--outer
Content-Type: multipart/alternative; boundary="in ner"

--in ner
Content-Type: text/plain

plain
--in ner
Content-Type: text/html

<b>html</b>
--in ner--
--outer
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/mixed; boundary=third

--third

text of the inner one
--third--

--outer
Content-Type: application/octet-stream
Content-Disposition: attachment; filename=x.bin
Content-Transfer-Encoding: base64

AAEC
--outer--
epilogue
"""


def read(raw: bytes, part_id: str) -> bytes:
    async def collect() -> bytes:
        return b"".join([chunk async for chunk in open_part(raw, part_id).chunks])

    return asyncio.run(collect())


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_parts_are_numbered_as_in_imap(line_end: bytes) -> None:
    """RFC 9051 section 6.4.5.1; the numbers are part of attachment ids."""
    raw = NESTED.replace(b"\n", line_end)
    found = {part.id: part.content_type for part in leaves(structure(raw))}
    assert found == {
        "1.1": "text/plain",
        "1.2": "text/html",
        "2": "message/rfc822",
        "3": "application/octet-stream",
    }
    assert read(raw, "1.1") == b"plain"
    assert read(raw, "3") == b"\x00\x01\x02"


def test_embedded_message_is_given_out_octet_by_octet() -> None:
    """Its signature is as good as that of the outer one."""
    raw = NESTED.replace(b"\n", b"\r\n")
    inner = read(raw, "2")
    assert inner.startswith(b"Subject: inner\r\nContent-Type: multipart/mixed")
    assert inner.endswith(b"--third--\r\n")
    assert inner in raw


def test_single_part_is_number_one() -> None:
    """A message that is one attachment has no multipart around it."""
    raw = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg=="
    (attachment,) = parse_message(raw).attachments()
    assert (attachment.id, attachment.content_type) == ("1", "application/pdf")
    assert read(raw, "1") == b"%PDF"


def test_unknown_part_is_told_from_nonsense() -> None:
    """One may have existed, the other was never an id."""
    with pytest.raises(NotFoundError):
        open_part(NESTED, "9")
    with pytest.raises(NotFoundError):
        open_part(NESTED, "1")
    for id in ("", "0", "1.", "../1", "a", "1" * 100):
        with pytest.raises(InvalidIdentifierError):
            open_part(NESTED, id)


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (b"", ""),
        (b"no header at all", None),
        (b"\r\n\r\nbody", "\nbody"),
        (b"Subject: x", ""),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary", "no boundary"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nnever used", "never used"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nnot closed", "not closed"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--", "one\ntwo"),
        (b"Content-Type: nonsense\r\n\r\ntext", "text"),
        (b"Content-Type: text/plain; charset=nonsense\r\n\r\ntext", "text"),
        (b"Content-Transfer-Encoding: base64\r\n\r\n!!dGV4dA", "text"),
    ],
)
def test_broken_message_is_read_as_far_as_possible(raw: bytes, plain: str | None) -> None:
    """Its owner wants to see it all the same."""
    text = parse_message(raw).text("plain")
    if plain is not None:
        assert text.plain == plain


def test_deep_nesting_ends() -> None:
    """Twenty thousand levels are one attachment, not a recursion error."""
    raw = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(20_000))
    start = time.process_time()
    parts = list(leaves(structure(raw)))
    assert len(parts) == 1
    assert parts[0].id.count(".") < MAX_DEPTH
    assert time.process_time() - start < 10


def test_many_parts_take_linear_time() -> None:
    """A message of nothing but delimiters."""
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n" * 20_000
    start = time.process_time()
    assert len(structure(raw).parts) == 20_000
    assert time.process_time() - start < 10


@given(st.lists(st.sampled_from([*NESTED.splitlines(keepends=True), b"\n", b"\r\n", b"--outer\n", b"\xff\0\n"])))
def test_no_message_raises(lines: list[bytes]) -> None:
    """Shuffled, cut and doubled lines are read without an error, and every part can be opened."""
    raw = b"".join(lines)
    message = parse_message(raw)
    message.entry("id")
    message.detail("id", text_type="*", max_bytes=10)
    for attachment in message.attachments():
        read(raw, attachment.id)


def test_hostile_names_are_plain_data() -> None:
    """Header names are keys of a dictionary and nothing more."""
    raw = b"__proto__: a\n__class__: b\nconstructor: c\n{0.__class__}: d\nX-Nul: e\0f\n\n"
    assert parse_message(raw).headers == {
        "__proto__": ("a",),
        "__class__": ("b",),
        "constructor": ("c",),
        "{0.__class__}": ("d",),
        "x-nul": ("e f",),
    }


def test_text_limit_is_shared_by_the_parts_of_a_kind() -> None:
    """Two texts of ten octets with a limit of fifteen are fifteen, and there is more."""
    part = b"--b\r\nContent-Type: text/plain\r\n\r\n0123456789\r\n"
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part + part + b"--b--"
    text = parse_message(raw).text("plain", 15)
    assert (text.plain, text.has_more) == ("0123456789\n01234", True)
    text = parse_message(raw).text("plain", 20)
    assert (text.plain, text.has_more) == ("0123456789\n0123456789", False)


def test_named_or_attached_text_is_an_attachment() -> None:
    """A log file is not the letter."""
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\n\n"
        b"--b\n\nletter\n"
        b"--b\nContent-Type: text/plain; name=a.log\n\nlog\n"
        b"--b\nContent-Disposition: attachment\n\nnote\n"
        b"--b\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN\n--b--\n"
    )
    message = parse_message(raw)
    assert message.text("plain").plain == "letter"
    assert [(one.id, one.filename, one.method) for one in message.attachments()] == [
        ("2", "a.log", None),
        ("3", None, None),
        ("4", None, "REQUEST"),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a@example.org", [("", "a@example.org")]),
        ('"Doe, John" <j@example.org>, b@example.org', [("Doe, John", "j@example.org"), ("", "b@example.org")]),
        ("=?utf-8?q?Doe,_John?= <j@example.org>", [("Doe, John", "j@example.org")]),
        ("=?utf-8?q?Doe John?= <j@example.org>", [("Doe John", "j@example.org")]),
        ('"=?utf-8?b?RG9lLCBKb2hu?=" <j@example.org>', [("Doe, John", "j@example.org")]),
        ("j@example.org (John)", [("John", "j@example.org")]),
        ("undisclosed-recipients:;", []),
        ("Team: a@example.org, b@example.org;", [("", "a@example.org"), ("", "b@example.org")]),
        ("jürgen@exämple.org", [("", "jürgen@exämple.org")]),
        ("a@example.org,\r\n b@example.org", [("", "a@example.org"), ("", "b@example.org")]),
        ("", []),
    ],
)
def test_addresses_are_taken_apart(value: str, expected: list[tuple[str, str]]) -> None:
    """RFC 5322 section 3.4, and what is written instead."""
    assert [(one.name, one.address) for one in parse_addresses([value])] == expected


def test_addresses_of_all_fields_count() -> None:
    """Several To fields are wrong, and happen."""
    raw = b"To: a@example.org\nTo: b@example.org\n\n"
    assert parse_message(raw).addresses("to") == (Address(address="a@example.org"), Address(address="b@example.org"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Thu, 02 Jan 2025 03:04:05 +0100", datetime(2025, 1, 2, 2, 4, 5, tzinfo=UTC)),
        ("2 Jan 2025 03:04:05", datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("Thu, 02 Jan 2025 03:04:05 -0000", datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("Thu, 99 Jan 2025 03:04:05 +0000", None),
        ("yesterday", None),
        ("", None),
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
        (None, None),
    ],
)
def test_date_is_aware_or_nothing(value: str | None, expected: datetime | None) -> None:
    """A date that makes no sense must not stop a listing."""
    assert parse_date(value) == expected


def test_flags_and_booleans_agree() -> None:
    """Flags are compared without regard to case (RFC 9051 section 2.3.2)."""
    assert flag_fields(["\\SEEN", "\\flagged", "work"]) == {
        "flags": ("\\SEEN", "\\flagged", "work"),
        "unseen": False,
        "flagged": True,
        "answered": False,
        "draft": False,
    }


def _cpython_messages() -> list[Path]:
    """Return the messages that CPython tests its own parser with; some distributions leave them out."""
    return sorted(Path(sysconfig.get_path("stdlib"), "test", "test_email", "data").glob("msg_*.txt"))


@pytest.mark.skipif(not _cpython_messages(), reason="this Python comes without its test data")
def test_parts_agree_with_the_standard_library() -> None:
    """Another reader of the same messages finds the same parts with the same content."""
    compared = 0
    for path in _cpython_messages():
        raw = path.read_bytes()
        reference = email.message_from_bytes(raw, policy=email.policy.compat32)
        if reference.defects or any(part.defects for part in reference.walk()):
            continue
        theirs = [part for part in reference.walk() if not part.is_multipart()]
        # A message inside a message is one part here; there it is taken apart.
        if any(part.get_content_maintype() == "message" for part in reference.walk()):
            parse_message(raw).detail("id", text_type="*")
            continue
        ours = list(leaves(structure(raw)))
        assert [part.content_type for part in ours] == [part.get_content_type() for part in theirs], path.name
        for part, other in zip(ours, theirs, strict=True):
            expected = other.get_payload(decode=True)
            assert isinstance(expected, bytes)
            if part.encoding in ("x-uuencode", "uuencode"):
                continue
            assert read(raw, part.id).strip() == expected.strip(), path.name
        compared += 1
    assert compared > 10

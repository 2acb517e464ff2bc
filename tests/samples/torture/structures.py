"""Multiparts: broken boundaries, depth, numbers, and parts that are not what they say."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

from tests.samples.torture.building import ANY, Sample, letter, multipart, part

HTML = b"Content-Type: text/html; charset=utf-8"
FILE = b"Content-Type: application/x; name=a"
_MIXED = b"Content-Type: multipart/mixed; boundary=b"
_ONE = b"--b\r\n\r\nText\r\n"

# Name, body, Content-Type, text, names of attachments.
BOUNDARIES: tuple[tuple[str, bytes, bytes, str, tuple[str | None, ...]], ...] = (
    ("one part", _ONE + b"--b--", _MIXED, "Text", ()),
    ("two texts", _ONE + _ONE + b"--b--", _MIXED, "Text\nText", ()),
    ("not closed", _ONE, _MIXED, "Text", ()),
    ("closed twice", _ONE + b"--b--\r\n" + _ONE + b"--b--", _MIXED, "Text", ()),
    ("preamble and epilogue", b"before\r\n" + _ONE + b"--b--\r\nafter", _MIXED, "Text", ()),
    ("space after the boundary", b"--b  \r\n\r\nText\r\n--b--\t ", _MIXED, "Text", ()),
    ("a longer line that begins like it", _ONE + b"--bc\r\n--b--", _MIXED, "Text\n--bc", ()),
    ("the boundary in the middle of a line", b"--b\r\n\r\nx --b\r\n--b--", _MIXED, "x --b", ()),
    ("quoted", b"--a b\r\n\r\nText\r\n--a b--", b'Content-Type: multipart/mixed; boundary="a b"', "Text", ()),
    ("special characters", b"--=_(x)'+,-./:?\r\n\r\nText\r\n--=_(x)'+,-./:?--", b"", "Text", ()),
    ("in upper case", _ONE + b"--b--", b"CONTENT-TYPE: MULTIPART/MIXED; BOUNDARY=b", "Text", ()),
    ("200 characters", b"--" + b"b" * 200 + b"\r\n\r\nText\r\n--" + b"b" * 200 + b"--", b"", "Text", ()),
    ("an unknown subtype", _ONE + b"--b--", b"Content-Type: multipart/x-strange; boundary=b", "Text", ()),
    ("folded", _ONE + b"--b--", b"Content-Type: multipart/mixed;\r\n\tboundary=b;\r\n charset=x", "Text", ()),
    ("a comment", _ONE + b"--b--", b"Content-Type: multipart/mixed (c); boundary=b (c)", "Text", ()),
    ("empty parts", b"--b\r\n\r\n\r\n--b\r\n\r\n\r\n--b--", _MIXED, "", ()),
    ("header sections alone", b"--b\r\nX: y\r\n\r\n--b\r\nX: y\r\n\r\n--b--", _MIXED, "", ()),
)
# Content-Types that are none, of a letter whose body is "Text": text, and names of attachments.
TYPES: tuple[tuple[bytes, str, tuple[str | None, ...]], ...] = (
    (b"Content-Type:", "Text", ()),
    (b"Content-Type: text", "Text", ()),
    (b"Content-Type: text/plain;;;", "Text", ()),
    (b"Content-Type: text/plain; charset", "Text", ()),
    (b"Content-Type: TEXT/PLAIN; CHARSET=UTF-8", "Text", ()),
    (b"Content-Type: text/plain; x=" + b"y" * 50_000, "Text", ()),
    (b"Content-Type: text/plain; charset=utf-8; charset=utf-16", "Text", ()),
    (b"Content-Type: text/markdown", "", (None,)),
    (b"Content-Type: application/octet-stream", "", (None,)),
    (b"Content-Type: x-strange/x-strange", "", (None,)),
)


def samples() -> Iterator[Sample]:
    """Boundaries, types, then shapes."""
    for name, body, kind, text, files in BOUNDARIES:
        boundary = body[2:].partition(b"\r\n")[0]
        declared = kind or b'Content-Type: multipart/mixed; boundary="' + boundary + b'"'
        # To Dovecot every line that begins with a delimiter is one.
        elsewhere = text.partition("\n--")[0]
        raw = letter(body, declared)
        yield Sample(f"boundary, {name}", raw, plain=text, files=files, on_dovecot=(("plain", elsewhere),))
    for number, (declared, text, files) in enumerate(TYPES):
        # A type without a slash is text (RFC 2045 section 5.2); to Dovecot it is not.
        elsewhere = (("plain", ""), ("files", (None,))) if b"/" not in declared else ()
        yield Sample(f"type {number}", letter(b"Text", declared), plain=text, files=files, on_dovecot=elsewhere)
    yield from _without_parts()
    yield from _shapes()
    yield from _sizes()
    yield from _flowed()


def _without_parts() -> Iterator[Sample]:
    """What says that it is a multipart and is none is shown as text; Dovecot shows what it says."""
    for name, declared in (
        ("no boundary", b"Content-Type: multipart/mixed"),
        ("an empty boundary", b'Content-Type: multipart/mixed; boundary=""'),
        ("a boundary that is not there", _MIXED),
    ):
        yield Sample(name, letter(b"Text", declared), on_dovecot=(("plain", ANY), ("files", ANY)))


def _shapes() -> Iterator[Sample]:
    both = multipart(part(b"Text"), part(b"<b>Text</b>", HTML), subtype=b"alternative", boundary=b"alt")
    yield Sample("alternative", letter(*both), html="<b>Text</b>")
    inner = part(*both)
    yield Sample(
        "alternative in mixed, and a file",
        letter(*multipart(inner, part(b"x", FILE))),
        html="<b>Text</b>",
        files=("a",),
    )
    image = part(b"x", b"Content-Type: image/png; name=a.png", b"Content-ID: <a>", b"Content-Disposition: inline")
    related = part(*multipart(part(b"<b>Text</b>", HTML), image, subtype=b"related", boundary=b"rel"))
    yield Sample(
        "related in alternative",
        letter(*multipart(part(b"Text"), related, subtype=b"alternative")),
        html="<b>Text</b>",
        files=("a.png",),
    )
    yield Sample("html alone", letter(b"<b>Text</b>", HTML), plain="", html="<b>Text</b>")
    same = multipart(part(b"Text"), boundary=b"b")
    yield Sample(
        "the boundary of the outer one in the inner one",
        letter(*multipart(part(*same), part(b"x", FILE), boundary=b"b")),
        plain=ANY,
        files=ANY,  # type: ignore[arg-type]
    )
    yield Sample(
        "a digest",
        letter(*multipart(part(letter()), part(letter()), subtype=b"digest")),
        plain="",
        files=(None, None),
    )


def _sizes() -> Iterator[Sample]:
    def within(inner: bytes, number: int) -> bytes:
        return part(*multipart(inner, boundary=b"level%d." % number))

    for depth in (2, 10, 25):
        deep = reduce(within, range(depth), part(b"Text"))
        fields, _, body = deep.partition(b"\r\n\r\n")
        yield Sample(f"{depth} levels", letter(body, fields))
    deep = reduce(within, range(1000), part(b"Text"))
    fields, _, body = deep.partition(b"\r\n\r\n")
    yield Sample("1,000 levels", letter(body, fields), plain="", files=(None,))
    forwarded = reduce(lambda inner, _: letter(inner, b"Content-Type: message/rfc822"), range(1000), letter())
    yield Sample("1,000 messages in each other", forwarded, plain="", files=(None,))
    many = multipart(*[part(b"Text", FILE)] * 16_000)
    # Dovecot counts to 10,000 parts.
    yield Sample("16,000 parts", letter(*many), plain="", files=("a",) * 16_000, on_dovecot=(("files", ANY),))
    yield Sample(
        "16,000 texts",
        letter(*multipart(*[part(b"Text")] * 16_000)),
        plain="\n".join(["Text"] * 100),
        files=(None,) * 15_900,
        on_dovecot=(("files", ANY),),
    )
    yield Sample("16,000 delimiters", letter(b"--b\r\n" * 16_000, _MIXED), plain=ANY, files=ANY)  # type: ignore[arg-type]


def _flowed() -> Iterator[Sample]:
    flowed = b"Content-Type: text/plain; charset=utf-8; format=flowed"
    yield Sample("flowed", letter(b"one \r\ntwo\r\nthree", flowed), plain="one two\nthree")
    yield Sample("flowed and quoted", letter(b"> one \r\n> two\r\n>> three", flowed), plain="> one two\n>> three")
    yield Sample("flowed with delsp", letter(b"on \r\ne", flowed + b"; delsp=yes"), plain="one")
    yield Sample("flowed and stuffed", letter(b" >one\r\n From two", flowed), plain=">one\nFrom two")
    yield Sample(
        "flowed in quoted-printable",
        letter(b"one=20\r\ntwo", flowed, b"Content-Transfer-Encoding: quoted-printable"),
        plain="one two",
    )
    yield Sample("not flowed", letter(b"one \r\ntwo"), plain="one \ntwo")

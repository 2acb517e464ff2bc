"""Decoding what senders write, right or wrong."""

from __future__ import annotations

import base64
import quopri
import time
from email.header import Header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.decode import (
    decode_header,
    decode_parameters,
    decode_text,
    decode_transfer,
    parse_parameters,
    transfer_decoder,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?caf=C3=A9?=", "café"),
        (b"=?UTF-8?B?Y2Fmw6k=?=", "café"),
        (b"=?utf-8?B?Y2Fmw6k?=", "café"),
        (b"=?iso-8859-1*fr?Q?caf=e9?=", "café"),
        (b"a =?utf-8?q?b?= c", "a b c"),
        (b"=?utf-8?q?one?= =?utf-8?q?two?=", "onetwo"),
        (b"=?utf-8?q?one?=\r\n =?utf-8?q?two?=", "onetwo"),
        (b"=?utf-8?q?one?==?utf-8?q?two?=", "onetwo"),
        (b"=?utf-8?q?one?= =?iso-8859-1?q?two?= three", "onetwo three"),
        (b"(=?iso-8859-1?Q?a?= =?iso-8859-1?Q?b?=)", "(ab)"),
        (b"=?utf-8?q?with spaces in it?=", "with spaces in it"),
        (b"=?utf-8?Q?Really??=", "Really?"),
        (b"=?utf-8?q?=ZZ_=3?=", "=ZZ =3"),
        (b"=?no-such-charset?q?caf=C3=A9?=", "café"),
        (b"=?gb2312?B?xOO6w4LQ?=", "你好傂"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"=?utf-8?B?cut off", "=?utf-8?B?cut off"),
        (b"=??q?abc?=", "=??q?abc?="),
        (b"=?utf-7?q?+2AA-?=", "\ufffd"),
        (b"=?unicode_escape?q?=5Cud800?=", "\\ud800"),
        (b"=?raw-unicode-escape?q?=5Cud800?=", "\\ud800"),
        (b"=?punycode?q?caf-dma?=", "caf-dma"),
        (b"one\r\n\ttwo", "one\ttwo"),
        ("raw utf-8 é".encode(), "raw utf-8 é"),
        (b"raw latin caf\xe9", "raw latin café"),
        (b"", ""),
    ],
)
def test_header_is_decoded(value: bytes, expected: str) -> None:
    """Each line stands for a way of writing that is found in mailboxes."""
    assert decode_header(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"=?utf-8?Q?a=0D=0AX-Inj:_1?=", "a X-Inj: 1"),
        (b"=?utf-8?Q?=0Aa=00=00b=0A?=", "a b"),
        (b"=?utf-8?Q?a=0D?= =?iso-8859-1?Q?=0Ab?=", "a b"),
        (b"=?utf-8?B?YQpi?= c", "a b c"),
        (b"=?utf-16?B?/v8AYQAKAGI=?=", "a b"),
        (b"raw\0NUL", "raw NUL"),
        (b"=?utf-8?Q?=1B[2J=09=E2=80=A8?=", "\x1b[2J\t\u2028"),
    ],
)
def test_header_is_one_line_whatever_its_encoded_words_hold(value: bytes | str, expected: str) -> None:
    """A line end would be one in an answer, too: it cannot be written into a header."""
    assert decode_header(value) == expected


@pytest.mark.parametrize(
    "parameter",
    [
        'filename="=?utf-8?Q?a=0Ab.pdf?="',
        "filename*=utf-8''a%0Ab.pdf",
        "filename*0*=utf-8''a%0D; filename*1*=%0Ab.pdf",
        'filename*0="=?utf-8?Q?a=0Ab"; filename*1=".pdf?="',
        'filename="a\0b.pdf"',
    ],
)
def test_parameter_is_one_line_however_it_is_encoded(parameter: str) -> None:
    assert parse_parameters(f"attachment; {parameter}")[1] == {"filename": "a b.pdf"}


@given(st.binary(max_size=100))
def test_no_header_has_more_than_one_line(octets: bytes) -> None:
    word = b"=?utf-8?B?" + base64.b64encode(octets) + b"?="
    for value in (word, octets, *parse_parameters(b'a; b="' + word + b'"; c=' + octets)[1].values()):
        assert not set("\r\n\0") & set(decode_header(value))


def test_character_split_between_two_words_is_whole() -> None:
    """RFC 2047 forbids it, large senders do it."""
    assert decode_header("=?utf-8?q?=E2=82?= =?utf-8?q?=AC?=") == "€"
    assert decode_header("=?utf-8?B?4oI=?= =?utf-8?B?rA==?=") == "€"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff"), max_size=200))
def test_header_of_the_standard_library_is_read_back(text: str) -> None:
    """An encoder of somebody else's agrees with this decoder."""
    assert decode_header(Header(text, "utf-8").encode()) == text


@given(st.binary(max_size=300))
def test_no_header_raises(value: bytes) -> None:
    """A listing of a thousand messages must not fail for one."""
    decode_header(value)
    parse_parameters(value)


@pytest.mark.parametrize(
    "value",
    [
        "=?a?q?" * 150_000,
        "=?a?q?" + "x" * 900_000,
        "=?" * 450_000,
        'a; b="' + "\\a" * 400_000,
        "; " * 400_000,
        " " * 900_000,
    ],
    ids=["words", "unfinished-word", "starts", "quoted", "parameters", "blank"],
)
def test_hostile_header_takes_linear_time(value: str) -> None:
    """One message must not hold a worker; quadratic time would be minutes here."""
    start = time.process_time()
    decode_header(value)
    parse_parameters(value)
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    ("data", "charset", "expected"),
    [
        ("grün".encode(), "utf-8", "grün"),
        ("grün".encode("latin-1"), "iso-8859-1", "grün"),
        (b"\x80 100", "iso-8859-1", "€ 100"),
        (b"\x80 100", "us-ascii", "€ 100"),
        ("grün".encode(), None, "grün"),
        ("grün".encode(), "us-ascii", "grün"),
        ("grün".encode(), "x-never-heard-of", "grün"),
        ("朝".encode("cp932"), "Shift_JIS", "朝"),
        ("한글 똠".encode("cp949"), "ks_c_5601-1987", "한글 똠"),
        ("镕".encode("gb18030"), "gb2312", "镕"),
        ("日本".encode("iso-2022-jp"), "ISO-2022-JP", "日本"),
        (b"gr\xffn", "utf-8", "gr\ufffdn"),
        ("\ufeffgrün".encode(), "utf-8", "grün"),
        (b"abc", "base64", "abc"),
        (b"abc", "zlib", "abc"),
        (b"abc", "a\0b", "abc"),
        (b"abc", "../../etc/passwd", "abc"),
        (b"\x81\x8d", None, "\ufffd\ufffd"),
        (b"", "undefined", ""),
    ],
)
def test_text_is_decoded_by_label_or_by_guess(data: bytes, charset: str | None, expected: str) -> None:
    """Labels are wrong, missing, or names of things that are no charsets."""
    assert decode_text(data, charset) == expected


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), st.integers(0, 40))
def test_cut_text_is_a_prefix(text: str, limit: int) -> None:
    """A cut in the middle of a character leaves it out."""
    text = text.removeprefix("\ufeff")
    assert text.startswith(decode_text(text.encode()[:limit], "utf-8", cut=True))


@given(st.binary(max_size=100), st.text(max_size=20), st.booleans())
def test_no_text_raises(data: bytes, charset: str, cut: bool) -> None:
    """Whatever stands in `charset`."""
    decode_text(data, charset, cut=cut)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text/plain; charset=utf-8", ("text/plain", {"charset": "utf-8"})),
        ('TEXT/Plain;CHARSET="UTF-8";format=flowed', ("text/plain", {"charset": "UTF-8", "format": "flowed"})),
        ("text/plain; charset=us-ascii (plain text)", ("text/plain", {"charset": "us-ascii"})),
        ('a/b; name="a \\"quoted\\"; name.pdf"; x=1', ("a/b", {"name": 'a "quoted"; name.pdf', "x": "1"})),
        ("a/b; name=two words.pdf", ("a/b", {"name": "two words.pdf"})),
        ('a/b; name="not closed', ("a/b", {"name": "not closed"})),
        ("a/b; name*=utf-8'en'%e2%82%ac%20rates.pdf", ("a/b", {"name": "€ rates.pdf"})),
        ("a/b; name*0*=utf-8''%e2%82; name*1*=%ac; name*2=.pdf", ("a/b", {"name": "€.pdf"})),
        ("a/b; name*1=b.pdf; name*0=a", ("a/b", {"name": "ab.pdf"})),
        ("a/b; name=old.pdf; name*=utf-8''n%C3%A9w.pdf", ("a/b", {"name": "néw.pdf"})),
        ("a/b; name*=utf-8''n%C3%A9w.pdf; name=old.pdf", ("a/b", {"name": "néw.pdf"})),
        ('a/b; name="=?utf-8?q?caf=C3=A9.pdf?="', ("a/b", {"name": "café.pdf"})),
        ("a/b; name*=bare%20name.pdf", ("a/b", {"name": "bare name.pdf"})),
        ("a/b; name=first; name=second", ("a/b", {"name": "first"})),
        ("a/b; __proto__=x", ("a/b", {"__proto__": "x"})),
        ("", ("", {})),
    ],
)
def test_parameters_are_decoded(value: str, expected: tuple[str, dict[str, str]]) -> None:
    """File names come in four notations (RFC 2045, RFC 2047, RFC 2231, none of them)."""
    assert parse_parameters(value) == expected


def test_parameters_of_a_bodystructure_are_decoded() -> None:
    """IMAP gives names and values apart (RFC 9051 section 7.5.2)."""
    assert decode_parameters([("NAME*0*", "utf-8''%C3%9Cber"), ("NAME*1", "sicht.pdf")]) == {"name": "Übersicht.pdf"}


@pytest.mark.parametrize(
    ("encoding", "data", "expected"),
    [
        ("base64", b"YWJj\r\nZGVm", b"abcdef"),
        ("BASE64 ", b"YWI=", b"ab"),
        ("base64", b"YWI", b"ab"),
        ("base64", b"YWI=YWI=", b"abab"),
        ("base64", b"Y*W J\0j!", b"abc"),
        ("base64", b"YWJjZ", b"abc"),
        ("quoted-printable", b"a=3Db =\r\nc", b"a=b c"),
        ("quoted-printable", b"a  \r\nb\t", b"a\r\nb"),
        ("quoted-printable", b"100 =% =zz =", b"100 =% =zz "),
        ("7bit", b"a=3D", b"a=3D"),
        (None, b"a", b"a"),
        ("x-unknown", b"a", b"a"),
    ],
)
def test_transfer_encoding_is_decoded(encoding: str | None, data: bytes, expected: bytes) -> None:
    """Also without padding, with foreign octets, cut off."""
    assert decode_transfer(data, encoding) == expected


@given(st.binary(max_size=300), st.sampled_from(["base64", "quoted-printable", "7bit"]), st.lists(st.integers(1, 9)))
def test_chunks_may_be_cut_anywhere(data: bytes, encoding: str, sizes: list[int]) -> None:
    """Attachments arrive in pieces whose edges mean nothing."""
    decoder, decoded, rest = transfer_decoder(encoding), b"", data
    for size in sizes:
        decoded += decoder.feed(rest[:size])
        rest = rest[size:]
    assert decoded + decoder.feed(rest) + decoder.finish() == decode_transfer(data, encoding)


@given(st.binary(max_size=500))
def test_encoders_of_the_standard_library_are_undone(data: bytes) -> None:
    """Octet by octet; quoted-printable is for text, whose line ends are all alike."""
    assert decode_transfer(base64.encodebytes(data), "base64") == data
    text = data.replace(b"\r", b"")
    assert decode_transfer(quopri.encodestring(text, quotetabs=True), "quoted-printable") == text

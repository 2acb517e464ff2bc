"""Body text: a part of it is the true beginning, and HTML is read by the charset that it names."""

from __future__ import annotations

import base64
import codecs
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.body_text import PRESCAN, body_text
from gateway.mime.decode import decode_transfer
from gateway.mime.parse import parse_message

LETTERS = {
    "utf-8": "aé丝\U0001f600 =9\r\n",
    "iso-2022-jp": "aい日本 =\r\n",
    "gb2312": "a中文丝 =\r\n",
    "utf-16": "aé丝\U0001f600 =\r\n",
    "shift_jis": "aい日本 =\r\n",
}
ENCODINGS = ("quoted-printable", "base64", "8bit")
TEXTS = st.sampled_from(list(LETTERS)).flatmap(
    lambda charset: st.tuples(st.just(charset), st.text(LETTERS[charset], max_size=60))
)


def _encoded(octets: bytes, encoding: str, line: int) -> bytes:
    """Return octets in lines of so many."""
    pieces = [octets[start : start + line] for start in range(0, len(octets), line)]
    if encoding == "quoted-printable":
        return b"=\r\n".join(b"".join(b"=%02X" % octet for octet in piece) for piece in pieces)
    return b"\r\n".join(map(base64.b64encode, pieces)) if encoding == "base64" and line % 3 == 0 else octets


def _beginning(text: str, charset: str, most: int) -> str:
    """Return the characters that are whole within so many octets, with LF as line end."""
    encoder = codecs.getincrementalencoder(charset)()
    size, kept = 0, ""
    for character in text:
        size += len(encoder.encode(character))
        if size > most:
            break
        kept += character
    return kept.replace("\r\n", "\n").replace("\r", "\n")


@given(TEXTS, st.sampled_from(ENCODINGS), st.integers(1, 30), st.integers(0, 250))
def test_cut_text_is_the_beginning_of_the_text_and_as_long_as_can_be(
    written: tuple[str, str], encoding: str, line: int, most: int
) -> None:
    charset, text = written
    encoding = "8bit" if encoding == "base64" and line % 3 else encoding
    octets = text.encode(charset)
    head = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    read = parse_message(head.encode() + _encoded(octets, encoding, line)).text("plain", most)
    assert read.plain == _beginning(text, charset, most)
    assert read.has_more == (len(octets) > most)


@given(st.binary(max_size=100), st.sampled_from(ENCODINGS), st.integers(0, 200))
def test_body_that_breaks_off_decodes_to_the_beginning_of_the_whole(data: bytes, encoding: str, size: int) -> None:
    """Of an escape that is cut in two nothing is left; what a sender wrote wrongly stays where it is not cut."""
    for body in (data, quopri.encodestring(data, quotetabs=True), base64.encodebytes(data)):
        assert decode_transfer(body, encoding).startswith(decode_transfer(body[:size], encoding, cut=True))


@given(st.text("a> -\n", max_size=60), st.integers(0, 60), st.sampled_from(["yes", "no"]))
def test_cut_flowed_text_is_the_beginning_of_the_text(text: str, most: int, delsp: str) -> None:
    """What looks like the beginning of a quotation or of a signature may turn out to be another one."""
    octets, parameters = text.encode(), {"format": "flowed", "delsp": delsp}
    whole, _ = body_text(octets, "text/plain", parameters)
    assert whole.startswith(body_text(octets, "text/plain", parameters, most=most)[0])


POLISH = "čš"


@pytest.mark.parametrize(
    "head",
    [
        "<meta charset=iso-8859-2>",
        "<!-- <meta charset=utf-8> --><META Charset = 'ISO-8859-2' />",
        '<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-2">',
        "<meta content='text/html;charset=\"iso-8859-2\"' http-equiv=content-type>",
        '<meta name=a content="charset=utf-8"><title>a <meta charset=utf-8></title><meta charset="iso-8859-2">',
    ],
)
@pytest.mark.parametrize("parameters", [{}, {"charset": "us-ascii"}, {"charset": "unknown-8bit"}])
def test_html_is_read_by_the_charset_that_it_names(head: str, parameters: dict[str, str]) -> None:
    """Also where only the beginning is wanted, which need not reach to the declaration."""
    octets = f"{POLISH}{head}".encode("iso-8859-2")
    assert body_text(octets, "text/html", parameters) == (POLISH + head, False)
    assert body_text(octets, "text/html", parameters, most=2) == (POLISH, True)


@pytest.mark.parametrize(
    ("octets", "content_type", "parameters", "shown"),
    [
        (b"<meta charset=iso-8859-2>\xe8", "text/html", {"charset": "iso-8859-1"}, "è"),
        (b"<meta charset=iso-8859-2>\xe8", "text/plain", {}, "è"),
        (b"<meta charset=utf-16>" + "č".encode(), "text/html", {}, "č"),
        (b"<meta charset=no-such>" + "č".encode(), "text/html", {}, "č"),
        (b"\xef\xbb\xbf<meta charset=iso-8859-2>" + "č".encode(), "text/html", {}, "č"),
        ("\ufeff<meta charset=iso-8859-2>č".encode("utf-16"), "text/html", {}, "č"),
        (b" " * PRESCAN + b"<meta charset=iso-8859-2>\xe8", "text/html", {}, "è"),
        (b"<meta\xe8", "text/html", {}, "è"),
    ],
    ids=["named", "plain text", "utf-16", "unknown", "mark", "mark of utf-16", "late", "nothing"],
)
def test_declaration_in_html_counts_where_nothing_better_is_known(
    octets: bytes, content_type: str, parameters: dict[str, str], shown: str
) -> None:
    assert body_text(octets, content_type, parameters)[0].endswith(shown)

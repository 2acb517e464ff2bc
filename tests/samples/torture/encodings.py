"""Transfer encodings as they are broken on the way."""

from __future__ import annotations

from collections.abc import Iterator

from tests.samples.torture.building import Sample, base64_lines, letter, multipart, part

TEXT = "Grüße aus Köln, und noch etwas mehr Text, damit es mehrere Zeilen werden. " * 3 + "Ende"
CODED = base64_lines(TEXT.encode())
_ONE_LINE = CODED.replace(b"\r\n", b"")
_UTF8 = b"Content-Type: text/plain; charset=utf-8"

# Name, encoding, body, text.
CASES = (
    ("base64 in one line", b"base64", _ONE_LINE, TEXT),
    ("base64 in upper case", b"BASE64", CODED, TEXT),
    ("base64 with a comment", b"base64 (really)", CODED, TEXT),
    ("base64 without padding", b"base64", b"R3LDvMOfZQ", "Grüße"),
    ("base64 with too much padding", b"base64", b"R3LDvMOfZQ======", "Grüße"),
    ("base64 cut in a quantum", b"base64", b"R3LDvMOfZQ==R", "Grüße"),
    ("base64 with foreign characters", b"base64", b"R3L!Dv M-Of*ZQ==", "Grüße"),
    ("base64 indented", b"base64", b"  R3LD\r\n\tvMOf\r\n   ZQ==", "Grüße"),
    ("base64 in two pieces", b"base64", b"R3LDvMOfZQ==\r\nR3LDvMOfZQ==", "GrüßeGrüße"),
    ("base64 with empty lines", b"base64", b"\r\n\r\nR3LDvM\r\n\r\nOfZQ==\r\n\r\n", "Grüße"),
    ("base64 that is nothing", b"base64", b"====", ""),
    ("base64 that is empty", b"base64", b"", ""),
    ("base64 in 4 character lines", b"base64", b"\r\n".join(_ONE_LINE[i : i + 4] for i in range(0, 200, 4)), ...),
    ("quoted-printable", b"quoted-printable", b"Gr=C3=BC=C3=9Fe", "Grüße"),
    ("quoted-printable in upper case", b"Quoted-Printable", b"Gr=C3=BC=C3=9Fe", "Grüße"),
    ("quoted-printable in lower case", b"quoted-printable", b"Gr=c3=bc=c3=9fe", "Grüße"),
    ("quoted-printable with soft breaks", b"quoted-printable", b"Gr=C3=\r\n=BC=C3=9Fe", "Grüße"),
    ("quoted-printable with space after soft breaks", b"quoted-printable", b"Gr=C3= \t\r\n=BC=C3=9Fe", "Grüße"),
    ("quoted-printable with a bare =", b"quoted-printable", b"1 = 1, a=b", "1 = 1, a=b"),
    ("quoted-printable with no hexadecimal", b"quoted-printable", b"=ZZ=G1", "=ZZ=G1"),
    ("quoted-printable that ends in =", b"quoted-printable", b"Text=", "Text"),
    ("quoted-printable with trailing space", b"quoted-printable", b"one  \r\ntwo\t\r\nthree", "one\ntwo\nthree"),
    ("quoted-printable with 8-bit octets", b"quoted-printable", "Grüße=21".encode(), "Grüße!"),
    ("quoted-printable in one line of 50 kB", b"quoted-printable", b"=C3=BC" * 9000, "ü" * 9000),
    ("7bit that is not", b"7bit", "Grüße".encode(), "Grüße"),
    ("8bit", b"8bit", "Grüße".encode(), "Grüße"),
    ("binary", b"binary", "Grüße".encode(), "Grüße"),
    ("an unknown encoding", b"x-rot13", b"Grkg", "Grkg"),
    ("uuencoded", b"x-uuencode", b"begin 644 a\r\n#5&5X\r\n`\r\nend", "begin 644 a\n#5&5X\n`\nend"),
    ("an empty encoding", b"", "Grüße".encode(), "Grüße"),
    ("an encoding of 4 kB", b"x" * 4096, b"Text", "Text"),
    ("a long line", b"8bit", b"x" * 100_000, "x" * 100_000),
)


def samples() -> Iterator[Sample]:
    """Bodies, and multiparts that are encoded although they may not be."""
    for name, encoding, body, text in CASES:
        raw = letter(body, _UTF8, b"Content-Transfer-Encoding: " + encoding)
        shown = TEXT.encode()[:150].decode() if text is ... else str(text)
        yield Sample(name, raw, plain=shown.rstrip())
    yield Sample(
        "two encodings, the first counts",
        letter(b"R3LDvMOfZQ==", _UTF8, b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: 7bit"),
        plain="Grüße",
    )
    body, kind = multipart(part(b"Text"), part(b"x", b"Content-Type: application/x; name=a"))
    yield Sample("a multipart that says base64", letter(body, kind, b"Content-Transfer-Encoding: base64"), files=("a",))
    yield Sample(
        "a multipart that says quoted-printable",
        letter(body, kind, b"Content-Transfer-Encoding: quoted-printable"),
        files=("a",),
    )
    yield Sample(
        "an encoding on the multipart does not count for its parts",
        letter(*multipart(part(b"R3LDvMOfZQ==", _UTF8)), b"Content-Transfer-Encoding: base64"),
        plain="R3LDvMOfZQ==",
    )

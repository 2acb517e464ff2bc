"""Charsets: right labels, wrong labels, none; in bodies, headers and file names."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from urllib.parse import quote_from_bytes

from tests.samples.torture.building import Sample, base64_lines, letter

# Label, the codec that writes what senders mean by it, and a text.
LABELS = (
    ("gb2312", "gb18030", "中文邮件，镕"),
    ("GBK", "gbk", "中文邮件"),
    ("gb18030", "gb18030", "中文邮件€"),
    ("hz-gb-2312", "hz", "中文邮件"),
    ("Big5", "big5", "繁體中文"),
    ("big5-hkscs", "big5hkscs", "香港嘅"),
    ("iso-2022-jp", "iso2022_jp", "日本語のメール"),
    ("Shift_JIS", "cp932", "日本語①"),
    ("x-sjis", "cp932", "日本語"),
    ("EUC-JP", "euc_jp", "日本語"),
    ("euc-kr", "cp949", "한국어 똠"),
    ("ks_c_5601-1987", "cp949", "한국어"),
    ("iso-2022-kr", "iso2022_kr", "한국어"),
    ("koi8-r", "koi8-r", "Привет"),
    ("koi8-u", "koi8-u", "Привіт"),
    ("windows-1251", "cp1251", "Привет"),
    ("iso-8859-5", "iso8859-5", "Привет"),
    ("cp866", "cp866", "Привет"),
    ("iso-8859-1", "cp1252", "“Grüße” – 5 €"),
    ("windows-1252", "cp1252", "Grüße – 5 €"),
    ("iso-8859-15", "iso8859-15", "Grüße 5 €"),
    ("iso-8859-2", "iso8859-2", "Žluťoučký kůň"),
    ("windows-1250", "cp1250", "Žluťoučký"),
    ("iso-8859-7", "iso8859-7", "Γειά σου"),
    ("windows-1253", "cp1253", "Γειά"),
    ("iso-8859-8-i", "iso8859-8", "שלום"),
    ("windows-1255", "cp1255", "שלום"),
    ("windows-1256", "cp1256", "مرحبا"),
    ("iso-8859-9", "cp1254", "İstanbul ğ"),
    ("tis-620", "cp874", "สวัสดี"),
    ("windows-1258", "cp1258", "Đông"),
    ("utf-7", "utf-7", "Grüße & 日本"),
    ("UTF-8", "utf-8", "Grüße 日本 \U0001f4a9"),
    ("utf8", "utf-8", "Grüße"),
    ("macintosh", "mac-roman", "Grüße"),
)


def samples() -> Iterator[Sample]:
    """Each charset in every place, then what is labelled wrongly."""
    for label, codec, text in LABELS:
        octets, charset = text.encode(codec), label.encode()
        declared = b"Content-Type: text/plain; charset=" + charset
        yield Sample(f"{label} as it is", letter(octets, declared, b"Content-Transfer-Encoding: 8bit"), plain=text)
        yield Sample(
            f"{label} in base64",
            letter(base64_lines(octets), declared, b"Content-Transfer-Encoding: base64"),
            plain=text,
        )
        word = b"=?" + charset + b"?B?" + binascii.b2a_base64(octets, newline=False) + b"?="
        yield Sample(f"{label} in a subject", letter(b"Text", b"Subject: " + word), subject=text)
        named = quote_from_bytes(octets, safe="").encode()
        disposition = b"Content-Disposition: attachment; filename*=" + charset + b"''" + named + b".bin"
        yield Sample(
            f"{label} in a file name",
            letter(b"x", b"Content-Type: application/octet-stream", disposition),
            plain="",
            files=(f"{text}.bin",),
        )
    for name, label, octets, text in WRONG:
        declared = b"Content-Type: text/plain" + (b"; charset=" + label if label is not None else b"")
        yield Sample(name, letter(octets, declared, b"Content-Transfer-Encoding: 8bit"), plain=text)
    yield Sample(
        "UTF-16 in base64",
        letter(
            base64_lines("Grüße".encode("utf-16")),
            b"Content-Type: text/plain; charset=utf-16",
            b"Content-Transfer-Encoding: base64",
        ),
        plain="Grüße",
    )
    yield Sample(
        "two charsets in one subject",
        letter(b"Text", b"Subject: =?gb2312?B?1tA=?= =?koi8-r?B?8NLJ18XU?= tail"),
        subject="中Привет tail",
    )


# What it is, the label, the octets, and what a reader shows.
WRONG = (
    ("UTF-8 without a label", None, "Grüße".encode(), "Grüße"),
    ("UTF-8 labelled us-ascii", b"us-ascii", "Grüße".encode(), "Grüße"),
    ("Latin-1 without a label", None, "Grüße".encode("latin-1"), "Grüße"),
    ("Latin-1 labelled us-ascii", b"us-ascii", "Grüße".encode("latin-1"), "Grüße"),
    ("UTF-8 under an unknown label", b"x-no-such-charset", "Grüße".encode(), "Grüße"),
    ("UTF-8 under an empty label", b'""', "Grüße".encode(), "Grüße"),
    ("UTF-8 under a quoted label", b'"utf-8"', "Grüße".encode(), "Grüße"),
    ("UTF-8 under a label in single quotes", b"'utf-8'", "Grüße".encode(), "Grüße"),
    ("UTF-8 labelled gb2312", b"gb2312", "Grüße €".encode(), "Grüße €"),
    ("UTF-8 labelled iso-2022-jp", b"iso-2022-jp", "Grüße".encode(), "Grüße"),
    ("UTF-8 labelled Big5", b"big5", "x Größe y".encode(), "x Größe y"),
    ("a byte order mark", b"utf-8", b"\xef\xbb\xbfText", "Text"),
    ("UTF-8 cut in a character", b"utf-8", b"Gr\xc3", "Gr\ufffd"),
    ("half a surrogate pair in UTF-7", b"utf-7", b"a+2AA-b", "a\ufffdb"),
    ("a codec that is no charset", b"unicode_escape", b"\\ud800\\n", "\\ud800\\n"),
    ("a codec that is not for text", b"base64", b"VGV4dA==", "VGV4dA=="),
    ("a codec that is slow", b"punycode", b"Text-" + b"a" * 20_000, "Text-" + "a" * 20_000),
    ("an escape to nowhere", b"iso-2022-jp", b"a\x1b$", "a\x1b$"),
    ("a label of 4 kB", b"x" * 4096, "Grüße".encode(), "Grüße"),
    ("a label with a path", b"../../etc/passwd", b"Text", "Text"),
)

"""Header sections: broken lines, encoded-words, sizes, what is missing and what is there twice."""

from __future__ import annotations

from collections.abc import Iterator

from tests.samples.torture.building import Sample, letter

# What stands after "Subject:", and what is shown.
SUBJECTS = (
    (b" =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
    (b" =?UTF-8?Q?Gr=c3=bc=c3=9fe?=", "Grüße"),
    (b" =?utf-8?B?R3LDvMOfZQ==?=", "Grüße"),
    (b" =?utf-8?B?R3LDvMOfZQ?=", "Grüße"),
    (b" =?utf-8*de?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
    (b" =?utf-8?Q?Gr=C3?= =?utf-8?Q?=BC=C3=9Fe?=", "Grüße"),
    (b" =?utf-8?Q?Gr=C3?=\r\n\t=?utf-8?Q?=BC=C3=9Fe?=", "Grüße"),
    (b" =?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
    (b" =?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
    (b" a=?utf-8?q?b?=c", "abc"),
    (b" =?utf-8?q?with space?=", "with space"),
    (b" =?utf-8?q?under_score=5F?=", "under score_"),
    (b" =?utf-8?q??=", ""),
    (b" =?utf-8?q?unfinished", "=?utf-8?q?unfinished"),
    (b" =?utf-8?z?x?=", "=?utf-8?z?x?="),
    (b" =?x-nothing?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
    (b" =?utf-8?q?=0D=0ABcc:_x?=", "Bcc: x"),
    (b" =?utf-8?q?=00?=", ""),
    (b" =?utf-8?q?" + b"x" * 2000 + b"?=", "x" * 2000),
    (b" " + b"=?utf-8?q?x?= " * 500, "x" * 500),
    (b" " + b"=?utf-8?q?" * 500, ("=?utf-8?q?" * 500)),
    (b"no space", "no space"),
    (b"\tafter a tab", "after a tab"),
    (b" folded\r\n line", "folded line"),
    (b"\r\n folded at once", "folded at once"),
    (b" folded\r\n\r\n", "folded"),
    ("  Grüße in UTF-8".encode(), "Grüße in UTF-8"),
    (" Grüße in Latin-1".encode("latin-1"), "Grüße in Latin-1"),
    (" “Grüße” – 5 € in Windows-1252".encode("cp1252"), "“Grüße” – 5 € in Windows-1252"),
    (b" \x01\x1b[31m", "\x01\x1b[31m"),
    (" \u202egnp.exe".encode(), "\u202egnp.exe"),
    (b" {0.__class__} %s ${x} <script>", "{0.__class__} %s ${x} <script>"),
    (b' "quoted" \\ (comment)', '"quoted" \\ (comment)'),
    (b" " + b"x" * 100_000, "x" * 100_000),
)


def samples() -> Iterator[Sample]:
    """Subjects, then header sections."""
    for number, (value, shown) in enumerate(SUBJECTS):
        rest = () if value.endswith(b"\r\n\r\n") else (b"X-After: x",)
        raw = letter(b"Text", b"Subject:" + value.removesuffix(b"\r\n\r\n"), *rest)
        yield Sample(f"subject {number}", raw, subject=shown)
    yield Sample("no subject", letter(without=(b"Subject",)), subject=None)
    yield Sample("an empty subject", letter(b"Text", b"Subject:"), subject="")
    yield Sample(
        "two subjects",
        letter(b"Text", b"Subject: first", b"Subject: second"),
        subject="first",
        on_dovecot=(("subject", "second"),),
    )
    yield Sample("names in lower case", letter(b"Text", b"subject: x", b"content-type: TEXT/PLAIN"), subject="x")
    yield Sample("space before a colon", letter(b"Text", b"Subject : x"), subject="x")
    yield Sample("10,000 fields", letter(b"Text", *(b"X-%d: x" % number for number in range(10_000))))
    yield Sample("one field 2,000 times", letter(b"Text", *[b"Received: x"] * 2000))
    yield Sample("a field of 5,000 lines", letter(b"Text", b"X-Long: x" + b"\r\n x" * 5000))
    yield Sample("a name of 5,000 characters", letter(b"Text", b"X-" + b"x" * 5000 + b": x"))
    yield Sample("names of a programming language", letter(b"Text", b"__proto__: x", b"__class__: y", b"get: z"))
    yield Sample("a header section alone", letter()[: -len(b"\r\nText\r\n")], plain="")
    yield Sample("no end of the header section", letter()[: -len(b"\r\n\r\nText\r\n")], plain="")
    yield Sample("an empty line in front", b"\r\nSubject: x\r\n\r\nText\r\n", None, "Subject: x\n\nText", sender=None)
    yield Sample("a body alone", b"\r\nText\r\n", None, sender=None)
    yield Sample("almost nothing", b"X: y\r\n\r\n", None, "", sender=None)
    yield Sample("only a subject", b"Subject: x\r\n\r\nText\r\n", "x", sender=None)
    yield Sample("line feeds alone", letter().replace(b"\r\n", b"\n"))
    yield Sample("mixed line ends", letter(b"one\ntwo\r\nthree"), plain="one\ntwo\nthree")
    yield Sample("no MIME-Version", letter(without=(b"MIME-Version",)))
    yield Sample("a strange MIME-Version", letter(b"Text", b"MIME-Version: 1.0 (produced by x)"))
    for number, date in enumerate(DATES):
        yield Sample(f"date {number}", letter(b"Text", b"Date: " + date))
    yield Sample("no date", letter(without=(b"Date",)))


DATES = (
    b"",
    b"yesterday",
    b"Mon, 99 Nov 2026 99:99:99 +9999",
    b"Mon, 2 Nov 0000 10:00:00 +0000",
    b"Mon, 2 Nov 99999 10:00:00 +0000",
    b"2026-11-02T10:00:00Z",
    b"Mon, 2 Nov 26 10:00 EST",
    b"=?utf-8?q?Mon=2C_2_Nov_2026?=",
    b"Mon, 31 Dec 9999 23:59:59 -2359",
    b"Thu, 1 Jan 1970 00:00:00 -0000 (" + b"(" * 500,
    b"1" * 5000,
)

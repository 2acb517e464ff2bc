"""Addresses that parse badly."""

from __future__ import annotations

from collections.abc import Iterator

from tests.samples.torture.building import Sample, letter

# What stands in From, and name and address that are shown; a third member when Dovecot takes it apart otherwise.
FROM: tuple[tuple[bytes, tuple[str, str] | None, tuple[str, str] | None], ...] = (
    (b"a@example.org", ("", "a@example.org"), ("", "a@example.org")),
    (b"<a@example.org>", ("", "a@example.org"), ("", "a@example.org")),
    (b'"A, B" <a@example.org>', ("A, B", "a@example.org"), ("A, B", "a@example.org")),
    (b"=?utf-8?q?A=2C_B?= <a@example.org>", ("A, B", "a@example.org"), ("A, B", "a@example.org")),
    (b"=?utf-8?q?A,_B?= <a@example.org>", ("A, B", "a@example.org"), ("", "=?utf-8?q?A")),
    (b'"=?utf-8?q?Gr=C3=BC=C3=9Fe?=" <a@example.org>', ("Grüße", "a@example.org"), ("Grüße", "a@example.org")),
    ("Grüße <a@example.org>".encode(), ("Grüße", "a@example.org"), ("Grüße", "a@example.org")),
    ("Grüße <a@example.org>".encode("latin-1"), ("Grüße", "a@example.org"), ("Grüße", "a@example.org")),
    (b"a@example.org (A B)", ("A B", "a@example.org"), ("A B", "a@example.org")),
    (b"A <a@example.org", ("A", "a@example.org"), ("A", "a")),
    (b"A B C", ("A B C", ""), ("A B C", "")),
    (b"", None, None),
    (b"<>", None, None),
    (b"undisclosed-recipients:;", None, None),
    (
        b"=?utf-8?b?" + b"w7w=" * 1000 + b"?= <a@example.org>",
        ("ü" * 1000, "a@example.org"),
        ("ü" * 1000, "a@example.org"),
    ),
    (b'"' + b"x" * 20_000 + b'" <a@example.org>', ("x" * 20_000, "a@example.org"), ("x" * 20_000, "a@example.org")),
)


def samples() -> Iterator[Sample]:
    """Senders, then recipients that may not spoil the rest."""
    for number, (value, shown, elsewhere) in enumerate(FROM):
        raw = letter(b"Text", b"From: " + value)
        yield Sample(f"from {number}", raw, sender=shown, on_dovecot=(("sender", elsewhere),))
    for number, value in enumerate(RECIPIENTS):
        yield Sample(f"to {number}", letter(b"Text", b"To: " + value))
    yield Sample("no sender", letter(without=(b"From",)), sender=None)


RECIPIENTS = (
    b", ".join(b"r%d@example.org" % number for number in range(5000)),
    b"," * 5000,
    b"a@b, " * 2000,
    b"(" * 2000 + b"a@example.org",
    b"a:" * 2000 + b"a@example.org;",
    b"<" * 2000 + b"a@example.org" + b">" * 2000,
    b'"' * 2001 + b"a@example.org",
    b"\\" * 2000,
    b"@example.org",
    b"a@",
    b"a@b@c",
    b"a b@example.org",
    b"group: a@example.org, b@example.org; c@example.org",
    b"group: (nested: a@example.org;",
    b"<@a,@b:c@example.org>",
    "ü@exämple.org".encode(),
    b"a@[127.0.0.1]",
    b'"a b"@example.org',
    b"a@example.org; b@example.org",
    b"=?utf-8?q?a=40example=2Eorg?=",
    b"=?utf-8?q?=0D=0ABcc:_x?= <a@example.org>",
    b"\0a@example.org".replace(b"\0", b"\x01"),
    b"a@" + b"x." * 2000 + b"org",
)

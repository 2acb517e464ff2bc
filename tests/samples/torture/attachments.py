"""Attachments: their names, and kinds that other programs make."""

from __future__ import annotations

from collections.abc import Iterator

from tests.samples.torture.building import ANY, Sample, base64_lines, letter, multipart, part

MANY = b"; ".join(b"filename*%d=x" % number for number in range(1000))

# The parameters of Content-Disposition, and the name that is shown.
NAMES: tuple[tuple[bytes, str | None], ...] = (
    (b"filename=a.pdf", "a.pdf"),
    (b'filename="a.pdf"', "a.pdf"),
    (b'FILENAME="a.pdf"', "a.pdf"),
    (b'filename = "a.pdf"', "a.pdf"),
    (b'filename="a b.pdf"', "a b.pdf"),
    (b"filename=a b.pdf", "a b.pdf"),
    (b'filename="a;b.pdf"', "a;b.pdf"),
    (b'filename="a\\"b.pdf"', 'a"b.pdf'),
    (b'filename="a.pdf', "a.pdf"),
    (b"filename=", None),
    (b'filename=""', None),
    (b"filename*=utf-8''%C3%BC.pdf", "ü.pdf"),
    (b"filename*=UTF-8'de'%c3%bc.pdf", "ü.pdf"),
    (b"filename*=iso-8859-1''%FC.pdf", "ü.pdf"),
    (b"filename*=iso-2022-jp''%1B%24B%46%7C%1B%28B.pdf", "日.pdf"),
    (b"filename*=gb2312''%D6%D0.pdf", "中.pdf"),
    (b"filename*=x-nothing''%C3%BC.pdf", "ü.pdf"),
    (b"filename*='' %C3%BC.pdf".replace(b" ", b""), "ü.pdf"),
    (b"filename*=utf-8''%C3%BC.pdf; filename=u.pdf", "ü.pdf"),
    (b"filename=u.pdf; filename*=utf-8''%C3%BC.pdf", "ü.pdf"),
    (b'filename*0="one "; filename*1="two"', "one two"),
    (b'filename*1="two"; filename*0="one "', "one two"),
    (b"filename*0*=utf-8''%C3; filename*1*=%BC.pdf", "ü.pdf"),
    (b"filename*0*=utf-8''%C3%BC; filename*1=%41.pdf", "ü%41.pdf"),
    (b"filename*0*=utf-8''a; filename*2*=c.pdf", "ac.pdf"),
    (b"filename*0=%C3%BC.pdf", "%C3%BC.pdf"),
    (b'filename="=?utf-8?q?=C3=BC.pdf?="', "ü.pdf"),
    (b"filename==?utf-8?q?=C3=BC.pdf?=", "ü.pdf"),
    (b'filename="=?utf-8?b?w7wu?= =?utf-8?b?cGRm?="', "ü.pdf"),
    (b'filename="=?utf-8?b?w7wu?=\r\n =?utf-8?b?cGRm?="', "ü.pdf"),
    (b'filename="=?gb2312?b?1tA=?=.pdf"', "中.pdf"),
    (b'filename*0="=?utf-8?q?=C3"; filename*1="=BC.pdf?="', "ü.pdf"),
    ('filename="ü.pdf"'.encode(), "ü.pdf"),
    ('filename="ü.pdf"'.encode("latin-1"), "ü.pdf"),
    ("filename=ü.pdf".encode(), "ü.pdf"),
    (b'filename="../../etc/passwd"', "../../etc/passwd"),
    (b'filename="=?utf-8?q?=0D=0AX:_y?="', "X: y"),
    (b"filename*=utf-8''%0D%0AX%3A%20y", "X: y"),
    (b"filename*=utf-8''%00", None),
    (b"filename*=utf-8''%ED%A0%80", "\ufffd\ufffd\ufffd"),
    (b'filename="' + b"x" * 4096 + b'"', "x" * 4096),
    (MANY, "x" * 1000),
    (b"x; " * 1000 + b"filename=a", "a"),
)

#: Dovecot reads parameters strictly: what breaks RFC 2045 ends them.
ON_DOVECOT: dict[bytes, str | None] = {
    b"filename=a b.pdf": "a",
    b'filename="a.pdf': None,
    b"x; " * 1000 + b"filename=a": None,
}
TNEF = base64_lines(b"\x78\x9f\x3e\x22" + bytes(range(256)))


def samples() -> Iterator[Sample]:
    """Names, then kinds."""
    binary = b"Content-Type: application/octet-stream"
    for number, (parameters, shown) in enumerate(NAMES):
        attached = part(b"x", binary, b"Content-Disposition: attachment; " + parameters)
        elsewhere = ANY if parameters == MANY else (ON_DOVECOT.get(parameters, shown),)
        raw = letter(*multipart(part(b"Text"), attached))
        yield Sample(f"name {number}", raw, files=(shown,), on_dovecot=(("files", elsewhere),))
    yield from _of_types()
    yield from _kinds()


def _of_types() -> Iterator[Sample]:
    """Names in the type, and dispositions that are none."""
    for number, (fields, shown) in enumerate(
        (
            ((b"Content-Type: text/plain; name=a.txt",), "a.txt"),
            ((b"Content-Type: image/png; name*=utf-8''%C3%BC.png",), "ü.png"),
            ((b'Content-Type: image/png; name="=?utf-8?q?=C3=BC.png?="',), "ü.png"),
            ((b"Content-Type: image/png; name=a.png", b"Content-Disposition: inline; filename=b.png"), "b.png"),
            ((b"Content-Type: image/png; name=a.png", b"Content-Disposition: attachment"), "a.png"),
            ((b"Content-Type: image/png; name=a.png", b"Content-Disposition: x-strange"), "a.png"),
            ((b"Content-Disposition: attachment",), None),
            ((b"Content-Disposition: ATTACHMENT; FILENAME=a.txt",), "a.txt"),
        )
    ):
        yield Sample(f"named by its type {number}", letter(*multipart(part(), part(b"x", *fields))), files=(shown,))


def _kinds() -> Iterator[Sample]:
    coded = b"Content-Transfer-Encoding: base64"
    tnef = part(TNEF, b"Content-Type: application/ms-tnef; name=winmail.dat", coded)
    yield Sample("TNEF", letter(*multipart(part(), tnef)), files=("winmail.dat",))
    yield Sample(
        "TNEF alone",
        letter(TNEF, b"Content-Type: application/ms-tnef; name=winmail.dat", coded),
        plain="",
        files=("winmail.dat",),
    )
    signature = part(base64_lines(b"signature"), b"Content-Type: application/pkcs7-signature; name=smime.p7s", coded)
    yield Sample(
        "S/MIME, signed", letter(*multipart(part(), signature, subtype=b'signed; protocol="x"')), files=("smime.p7s",)
    )
    yield Sample(
        "S/MIME, enveloped",
        letter(base64_lines(b"x"), b"Content-Type: application/pkcs7-mime; name=smime.p7m", coded),
        plain="",
        files=("smime.p7m",),
    )
    pgp = part(b"-----BEGIN PGP SIGNATURE-----", b"Content-Type: application/pgp-signature; name=signature.asc")
    yield Sample("PGP/MIME", letter(*multipart(part(), pgp, subtype=b"signed")), files=("signature.asc",))
    calendar = b"Content-Type: text/calendar; method=REQUEST; charset=utf-8"
    yield Sample("an invitation", letter(*multipart(part(), part(b"BEGIN:VCALENDAR", calendar))), files=(None,))
    forwarded = letter(b"Inner", b"Subject: Inner")
    rfc822 = b"Content-Type: message/rfc822"
    yield Sample("a forwarded message", letter(*multipart(part(), part(forwarded, rfc822))), files=(None,))
    named = part(forwarded, rfc822, b'Content-Disposition: attachment; filename="inner.eml"')
    yield Sample("a forwarded message with a name", letter(*multipart(part(), named)), files=("inner.eml",))
    nested = letter(*multipart(part(b"Inner"), part(forwarded, rfc822), boundary=b"inner"), b"Subject: Inner")
    yield Sample("messages in each other", letter(*multipart(part(), part(nested, rfc822))), files=(None,))
    yield Sample(
        "a forwarded message in base64",
        letter(*multipart(part(), part(base64_lines(forwarded), rfc822, coded))),
        files=(None,),
    )
    yield Sample(
        "a part of a message",
        letter(b"Text", b"Content-Type: message/partial; id=x; number=1; total=2"),
        plain="",
        files=(None,),
    )
    outside = b'Content-Type: message/external-body; access-type=local-file; name="/etc/passwd"'
    yield Sample("a body elsewhere", letter(*multipart(part(), part(b"X: y", outside))), files=("/etc/passwd",))
    yield Sample(
        "an empty attachment", letter(*multipart(part(), part(b"", b"Content-Type: image/png"))), files=(None,)
    )

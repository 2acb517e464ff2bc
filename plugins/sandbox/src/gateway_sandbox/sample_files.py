"""Files that sample messages carry, made by code so that they are the same on every machine."""

from __future__ import annotations

import random
import struct
import zlib

import msgspec


class File(msgspec.Struct, frozen=True, kw_only=True):
    """An attachment; with a `content_id` it is shown inside the HTML text."""

    name: str
    media_type: str
    octets: bytes
    content_id: str | None = None


def pdf(name: str, lines: list[str]) -> File:
    """Return a PDF of one page with some lines of text."""
    page = b"/Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
    text = " T* ".join(f"({line}) Tj" for line in lines)
    stream = f"BT /F1 12 Tf 16 TL 72 760 Td {text} ET".encode("latin-1")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< %b /Resources << /Font << /F1 5 0 R >> >> >>" % page,
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    document, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(document))
        document += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = len(document)
    document += b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, table)
    document += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, end)
    return File(name=name, media_type="application/pdf", octets=document)


def picture(name: str, width: int, height: int, *, grain: int, content_id: str | None = None) -> File:
    """Return a PNG of a colour gradient; more grain makes it larger (a photo hardly compresses)."""
    noise = random.Random(name)
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        shade = 255 * y // height
        for x in range(width):
            tint = 255 * x // width
            rows += bytes((channel + noise.randrange(grain + 1)) % 256 for channel in (shade, tint, 160))
    octets = b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, content)
        for kind, content in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(bytes(rows), 9)),
            (b"IEND", b""),
        )
    )
    return File(name=name, media_type="image/png", octets=octets, content_id=content_id)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

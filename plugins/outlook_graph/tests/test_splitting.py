"""Files are found in a message that is never held as a whole, as the standard library finds them in one that is."""

from __future__ import annotations

import base64
import binascii
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MessageTooLargeError
from gateway.provider import MessageSource
from gateway.testing.pieces import Pieces
from gateway_outlook_graph import splitting
from gateway_outlook_graph.splitting import Part, scan, split

pytestmark = pytest.mark.anyio

_TEXTS = st.lists(
    st.sampled_from(
        [b"text", b"--", b"--b", b"--b0x", b"--b0--x", b" --b0", b"--outer", b"", b".", b"\xe9", b"x" * 300]
    ),
    max_size=5,
)
_FILES = st.tuples(st.sampled_from(["base64", "quoted-printable", "8bit"]), st.binary(max_size=60))
_LEAVES = st.tuples(st.just("text"), _TEXTS) | st.tuples(st.just("file"), _FILES)
_TREES = st.recursive(_LEAVES, lambda inner: st.tuples(st.just("multipart"), st.lists(inner, min_size=1, max_size=4)))


class Built:
    """A message and what is in it.

    Attributes:
        leaves: the content of each part without parts, as it stands, in order.
        files: the decoded content of each file, in order.
    """

    def __init__(self, tree: Any, end: bytes) -> None:
        self.leaves: list[bytes] = []
        self.files: list[bytes] = []
        self._end = end
        self._number = 0
        top = ("multipart", [tree])
        self.octets = end.join((b"From: a@x.test", b"Subject: s", self._part(top)))

    def _part(self, tree: Any) -> bytes:
        kind, inside = tree
        end = self._end
        if kind == "text":
            content = end.join(line for line in inside if not self._delimits(line))
            self.leaves.append(content)
            return b"Content-Type: text/plain" + end + end + content
        if kind == "file":
            encoding, file = inside
            if encoding == "8bit":
                file = file.replace(b"\r", b"").replace(b"\n", b"").replace(b"--", b"-")
                content = file
            elif encoding == "base64":
                content = base64.encodebytes(file).replace(b"\n", end)
            else:
                # No CR and LF but those of soft line breaks: beside a line's LF a CR would belong to its end.
                encoded = binascii.b2a_qp(file, quotetabs=True, istext=False)
                content = encoded.replace(b"\r", b"").replace(b"\n", end)
            self.leaves.append(content)
            self.files.append(file)
            named = b"Content-Disposition: attachment;" + end + b' filename="f.bin"'
            return end.join((named, b"Content-Transfer-Encoding: " + encoding.encode(), b"", content))
        boundary = b"b%d" % self._number
        self._number += 1
        parts = [b"--" + boundary + end + self._part(part) + end for part in inside]
        head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"' + end + end
        return head + b"preamble" + end + b"".join(parts) + b"--" + boundary + b"--" + end + b"epilogue"

    def _delimits(self, line: bytes) -> bool:
        return line in {b"--b%d%b" % (number, last) for number in range(50) for last in (b"", b"--")}


def walked(octets: bytes) -> list[EmailMessage]:
    message = message_from_bytes(octets, policy=policy.SMTP)
    return [part for part in message.walk() if not part.is_multipart()]


async def content_of(source: MessageSource, part: Part) -> bytes:
    return b"".join([chunk async for chunk in source.chunks(part.content, part.content_end)])


async def check(built: Built, length: int) -> None:
    source = Pieces(built.octets, length)
    parts = await scan(source)
    assert [await content_of(source, part) for part in parts] == built.leaves
    assert [part.header.get_filename() for part in parts] == [part.get_filename() for part in walked(built.octets)]
    without = sum(part.end - part.begin for part in parts if part.is_file)
    limit, splitting.ONE_CALL = splitting.ONE_CALL, len(built.octets) - without
    try:
        left, files = await split(source)
    finally:
        splitting.ONE_CALL = limit
    contents = [b"".join([chunk async for chunk in file.content()]) for file in files]
    assert sorted(contents) == sorted(built.files)
    assert [file.size for file in files] == [len(content) for content in contents]
    texts = [part for part in walked(built.octets) if part.get_filename() is None]
    kept = [part for part in walked(left) if part.get_content_maintype() != "multipart"]
    assert [part.get_payload() for part in kept] == [part.get_payload() for part in texts]


@given(_TREES, st.sampled_from([b"\r\n", b"\n"]), st.integers(1, 40))
def test_parts_are_found_wherever_the_pieces_end(tree: Any, end: bytes, length: int) -> None:
    step = check(Built(tree, end), length)
    with pytest.raises(StopIteration):
        step.send(None)


def message(*lines: bytes) -> bytes:
    return b"\r\n".join((b"Content-Type: multipart/mixed; boundary=b", b"", *lines))


NAMED = b"Content-Disposition: attachment; filename=f"


@pytest.mark.parametrize(
    ("octets", "contents"),
    [
        (message(b"--b", NAMED, b"", b"never closed"), [b"never closed"]),
        (message(b"--b", NAMED, b"--b", b"", b"x", b"--b--"), [b"", b"x"]),
        (message(b"--b", b"", b"", b"--b  ", b"", b"y", b"--b--\t", b"--b", b"", b"after"), [b"", b"y"]),
        (message(b"--b", b"Content-Type: message/rfc822", b"", b"Subject: i", b"", b"--c", b"--b--"), None),
        (
            message(b"--b", b"Content-Type: multipart/mixed; boundary=bc", b"", b"--bc", b"", b"1", b"--b", b"", b"2"),
            None,
        ),
        (message(b"--b", b"Content-Type: multipart/mixed", b"", b"no boundary", b"--b--"), [b"no boundary"]),
        (message(b"--b", b"", b"--b" + b"x" * 200_000 + b"--b", b"z", b"--b--"), None),
        (b"Content-Type: text/plain\r\n\r\n--b\r\nx", []),
    ],
    ids=["open", "no-empty-line", "spaces", "message", "prefix", "boundless", "long-line", "single"],
)
async def test_odd_messages_are_taken_apart(octets: bytes, contents: list[bytes] | None) -> None:
    """As the standard library does it where nothing else is said."""
    source = Pieces(octets, 1000)
    found = [await content_of(source, part) for part in await scan(source)]
    if contents is None:
        contents = [
            part.as_bytes().partition(b"\r\n\r\n")[2] if part.get_content_type() == "message/rfc822" else part
            for part in message_from_bytes(octets, policy=policy.SMTP).walk()
            if part.get_content_maintype() != "multipart"
        ]
        contents = [part if isinstance(part, bytes) else part.get_payload().encode() for part in contents]
        if octets.find(b"rfc822") >= 0:
            contents = contents[:1]
    assert found == contents


async def test_text_that_is_too_large_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be taken out of it."""
    monkeypatch.setattr(splitting, "ONE_CALL", 100)
    with pytest.raises(MessageTooLargeError):
        await split(Pieces(message(b"--b", b"", b"x" * 200, b"--b", NAMED, b"", b"y" * 200, b"--b--")))


async def test_the_largest_files_are_taken_out_until_the_rest_is_small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others stay where they are."""
    octets = message(
        *(line for size in (50, 200, 100) for line in (b"--b", NAMED + b"%d" % size, b"", b"y" * size)), b"--b--"
    )
    monkeypatch.setattr(splitting, "ONE_CALL", len(octets) - 200)
    left, files = await split(Pieces(octets))
    assert [file.name for file in files] == ["f200"]
    assert [part.get_filename() for part in walked(left)] == ["f50", "f100"]

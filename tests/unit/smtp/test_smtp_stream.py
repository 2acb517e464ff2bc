"""A message that comes in chunks is sent as if it had come whole, wherever the chunks end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from aiosmtplib.protocol import normalize_message_line_endings
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConnectError, OutcomeUnknownError, ServiceUnavailableError
from gateway.provider import Envelope, MessageSource
from gateway.provider.source import Held, header_end
from gateway.smtp.client import sent_size, stuffed
from gateway.smtp.connection import SmtpConnection
from tests.unit.smtp.smtp_sink import HANG_UP, SmtpSink

pytestmark = pytest.mark.anyio

_CHUNKS = st.lists(st.lists(st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"\r\n.", b"a"])).map(b"".join))
_HEAD = b"From: a@x.test\r\nSubject: x\r\n\r\n"
_ENVELOPE = Envelope(mail_from="a@x.test", rcpt_to=("b@y.test",))


async def each(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def steps(found: AsyncIterator[bytes]) -> Iterator[bytes]:
    """Return what an iterator yields that waits for nothing."""
    while True:
        try:
            found.__anext__().send(None)  # type: ignore[attr-defined]
        except StopIteration as step:
            yield step.value
        except StopAsyncIteration:
            return


@given(_CHUNKS)
def test_dots_are_doubled_and_line_ends_are_crlf_across_chunks(chunks: list[bytes]) -> None:
    """RFC 5321 section 4.5.2, by what aiosmtplib makes of the whole; nothing of it can end the message."""
    whole = normalize_message_line_endings(b"".join(chunks))
    lines = whole.removesuffix(b"\r\n").split(b"\r\n")
    wanted = b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)
    sent = b"".join(steps(stuffed(each(chunks))))
    assert sent == (wanted if b"".join(chunks) else b"")
    assert b"\r\n.\r\n" not in b"\r\n" + sent


@given(_CHUNKS)
def test_announced_size_counts_line_ends_as_they_are_sent(chunks: list[bytes]) -> None:
    """Before any dot is doubled (RFC 1870 section 5)."""
    step = sent_size(each(chunks))
    with pytest.raises(StopIteration) as ended:
        step.send(None)
    assert ended.value.value == len(normalize_message_line_endings(b"".join(chunks)))


@given(st.binary(max_size=40), st.binary(max_size=20), st.integers(0, 60), st.none() | st.integers(0, 60))
def test_any_range_of_a_source_with_another_header_can_be_read(
    message: bytes, header: bytes, begin: int, end: int | None
) -> None:
    """Services that take a message in pieces ask for them by their place."""
    changed = Held(message).with_header(header)
    whole = header + message[header_end(message) :]
    assert changed.size == len(whole)
    assert b"".join(steps(changed.chunks(begin, end))) == whole[begin:end]


class Chunked(MessageSource):
    """A message in chunks, one of which cannot be read the second time that the message is."""

    def __init__(self, chunks: list[bytes], *, fails_at: int | None = None) -> None:
        self._chunks = chunks
        self._fails_at = fails_at
        self.read = 0
        self.header = _HEAD
        self.size = sum(map(len, chunks))
        self.ascii = True

    async def chunks(self, begin: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See `MessageSource`."""
        self.read += 1
        for number, chunk in enumerate(self._chunks):
            if self.read > 1 and number == self._fails_at:
                raise ServiceUnavailableError("gone")
            yield chunk


async def test_a_message_arrives_as_its_chunks_say() -> None:
    """Octet for octet, on a connection that goes on afterwards."""
    message = Chunked([_HEAD, b".first\r", b"\n.", b"\r\n..\r\n", b"last\r\n"])
    async with SmtpSink() as sink:
        connection = SmtpConnection(sink.server, None)
        await connection.submit(message, _ENVELOPE)
        await connection.submit(message, _ENVELOPE)
        await connection.close()
    assert [content for _, content in sink.received] == [await message.octets()] * 2
    assert sink.connections == 1


async def test_a_message_that_cannot_be_read_to_its_end_is_not_handed_over() -> None:
    """The connection is cut before the final dot, and the next message has another one."""
    async with SmtpSink() as sink:
        connection = SmtpConnection(sink.server, None)
        with pytest.raises(ServiceUnavailableError):
            await connection.submit(Chunked([_HEAD, b"x" * 50_000, b"y"], fails_at=2), _ENVELOPE)
        assert not connection.connected
        await connection.submit(Chunked([_HEAD, b"whole\r\n"]), _ENVELOPE)
        await connection.close()
    assert [content for _, content in sink.received] == [_HEAD + b"whole\r\n"]
    assert sink.connections == 2


class Cutting(Chunked):
    """Has the server hang up at the border of two chunks, the second time that it is read."""

    def __init__(self, chunks: list[bytes], sink: SmtpSink, connection: SmtpConnection, *, before: int) -> None:
        super().__init__(chunks)
        self._sink = sink
        self._connection = connection
        self._before = before

    async def chunks(self, begin: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See `MessageSource`."""
        number = 0
        async for chunk in super().chunks():
            if self.read == 2 and number == self._before:
                self._sink.hang_up()
                while self._connection.connected:
                    await asyncio.sleep(0)
            number += 1
            yield chunk


@pytest.mark.parametrize("border", [1, 10, 49])
async def test_a_connection_cut_between_two_chunks_is_no_unknown_outcome(border: int) -> None:
    """Without the final dot nothing was handed over: it may be sent again."""
    chunks = [_HEAD, *[b"x" * 998 + b"\r\n"] * 50]
    async with SmtpSink(extensions=(b"SIZE", b"8BITMIME")) as sink:
        connection = SmtpConnection(sink.server, None)
        with pytest.raises(ConnectError):
            await connection.submit(Cutting(chunks, sink, connection, before=border), _ENVELOPE)
        assert not sink.received
        await connection.submit(Chunked(chunks), _ENVELOPE)
        await connection.close()
    assert len(sink.received) == 1


async def test_a_connection_cut_after_the_final_dot_is_an_unknown_outcome() -> None:
    """As for messages that come whole: the server may have it."""
    async with SmtpSink() as sink:
        sink.answers[b"."] = HANG_UP
        connection = SmtpConnection(sink.server, None)
        with pytest.raises(OutcomeUnknownError):
            await connection.submit(Chunked([_HEAD, b"x\r\n"]), _ENVELOPE)

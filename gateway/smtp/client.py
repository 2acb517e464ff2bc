"""aiosmtplib's client, extended by the knowledge of how far a transaction has come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Literal, cast

import aiosmtplib
from aiosmtplib.protocol import LINE_ENDINGS_REGEX
from aiosmtplib.typing import Default

from gateway.provider import MessageSource
from gateway.smtp.answers import Phase
from gateway.smtp.transcript import Transcript

#: Slowest upload that is waited for, octets per second.
SLOWEST_UPLOAD = 20_000


class PhasedSMTP(aiosmtplib.SMTP):
    """An SMTP client that knows whether a message has been handed over.

    aiosmtplib takes a message as a whole, writes it and the final dot at once, and afterwards nobody can tell which of
    them left; here it is written as it comes, and the final dot follows when everything before it is on its way.
    """

    phase = Phase.CONNECT
    transcript: Transcript | None = None

    async def execute_command(
        self, *args: bytes, timeout: float | Literal[Default.token] | None = Default.token
    ) -> aiosmtplib.SMTPResponse:
        """Send a command and return the answer; see aiosmtplib."""
        if self.transcript is None:
            return await super().execute_command(*args, timeout=timeout)
        self.transcript.sent(b" ".join(args))
        response = await super().execute_command(*args, timeout=timeout)
        self.transcript.heard(response)
        return response

    async def send_source(
        self,
        sender: str,
        recipients: Sequence[str],
        message: MessageSource,
        *,
        mail_options: Sequence[str],
        rcpt_options: Sequence[str],
        timeout: float,
    ) -> tuple[dict[str, aiosmtplib.SMTPResponse], str]:
        """Send a message, and return which recipients were refused and what was answered at its end.

        Like aiosmtplib's `sendmail`; `timeout` is for each answer.

        Raises:
            aiosmtplib.SMTPException, OSError: see aiosmtplib, and `phase` for how far it came.
        """
        options, encoding = [*mail_options], "ascii"
        if "SMTPUTF8" in options:
            encoding = "utf-8"
            if not self.supports_extension("smtputf8"):
                raise aiosmtplib.SMTPNotSupported("SMTPUTF8 is not supported by this server")
        if self.supports_extension("size"):
            options.insert(0, f"size={await sent_size(message.chunks())}")
        try:
            await self.mail(sender, options=options, encoding=encoding, timeout=timeout)
            refused = await self._send_recipients(recipients, rcpt_options, encoding=encoding, timeout=timeout)
            response = await self.data_source(message, timeout=timeout)
        except (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused):
            with contextlib.suppress(ConnectionError, aiosmtplib.SMTPResponseException):
                await self.rset(timeout=timeout)
            raise
        return refused, response.message

    async def data_source(self, message: MessageSource, *, timeout: float) -> aiosmtplib.SMTPResponse:
        """Send a message (RFC 5321 section 4.1.1.4); `timeout` is for the answer to the final dot.

        Raises:
            aiosmtplib.SMTPDataError: refused.
            aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError: see `phase` for when.
            Exception: what the message could not be read for; it was not handed over.
        """
        self.phase = Phase.CONTENT
        go_ahead = await self.execute_command(b"DATA", timeout=timeout)
        if go_ahead.code != aiosmtplib.SMTPStatus.start_input:
            raise aiosmtplib.SMTPDataError(go_ahead.code, go_ahead.message)
        try:
            response = await self._content(message, timeout)
        except (ConnectionError, TimeoutError):
            self.close()
            raise
        if response.code != aiosmtplib.SMTPStatus.completed:
            raise aiosmtplib.SMTPDataError(response.code, response.message)
        return response

    async def _content(self, message: MessageSource, timeout: float) -> aiosmtplib.SMTPResponse:
        protocol = self.protocol
        if protocol is None or protocol.transport is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        # The drain below is to wait for the last octet instead of for the last 64 KiB. A TLS transport pauses at the
        # limit, not above it, and at zero may do so with nothing left to write.
        transport = cast("asyncio.WriteTransport", protocol.transport)
        transport.set_write_buffer_limits(high=0 if transport.get_extra_info("sslcontext") is None else 1)
        count = 0
        try:
            async with asyncio.timeout((self.timeout or 60) + message.size / SLOWEST_UPLOAD):
                async for content in stuffed(message.chunks()):
                    protocol.write(content)
                    count += len(content)
                    await protocol._drain_helper()  # noqa: SLF001 - the only way to wait for it
        except BaseException:
            # Within a message there is nothing else that could be said.
            self.close()
            raise
        protocol.write(b".\r\n")
        self.phase = Phase.HANDED_OVER
        response = await protocol.read_response(timeout=timeout)
        if self.transcript is not None:
            self.transcript.happened(f"{count} octets of a message sent")
            self.transcript.heard(response)
        return response


async def sent_size(chunks: AsyncIterator[bytes]) -> int:
    """Return how many octets a message has with CRLF line ends, which is what SIZE tells (RFC 1870 section 5)."""
    size, last = 0, b""
    async for chunk in chunks:
        pairs = chunk.count(b"\r\n")
        size += len(chunk) + chunk.count(b"\r") + chunk.count(b"\n") - 2 * pairs
        if last == b"\r" and chunk.startswith(b"\n"):
            size -= 2
        last = chunk[-1:] or last
    return size if last in (b"\r", b"\n") else size + 2


async def stuffed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a message with CRLF line ends, one at its end, and doubled leading dots (RFC 5321 section 4.5.2)."""
    line_begins, kept = True, b""
    async for chunk in chunks:
        octets = kept + chunk
        # Whether a line feed belongs to it is known with the next chunk.
        kept = octets[-1:] if octets.endswith(b"\r") else b""
        content = LINE_ENDINGS_REGEX.sub(b"\r\n", octets[: len(octets) - len(kept)])
        if not content:
            continue
        first = b"." if line_begins and content.startswith(b".") else b""
        line_begins = content.endswith(b"\r\n")
        yield first + content.replace(b"\r\n.", b"\r\n..")
    if kept or not line_begins:
        yield b"\r\n"

"""aiosmtplib's client, extended by the knowledge of how far a transaction has come."""

from __future__ import annotations

import asyncio
from typing import Literal, cast

import aiosmtplib
from aiosmtplib.protocol import normalize_message_line_endings
from aiosmtplib.typing import Default

from gateway.smtp.answers import Phase
from gateway.smtp.transcript import Transcript

# Slowest upload that is waited for, octets per second.
_SLOWEST_UPLOAD = 20_000


class PhasedSMTP(aiosmtplib.SMTP):
    """An SMTP client that knows whether a message has been handed over.

    aiosmtplib writes message and final dot at once, and afterwards nobody can tell which of them left; here the final
    dot follows when everything before it is on its way.
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

    async def data(
        self, message: str | bytes, /, *, timeout: float | Literal[Default.token] | None = Default.token
    ) -> aiosmtplib.SMTPResponse:
        """Send a message (RFC 5321 section 4.1.1.4); `timeout` is for the answer to the final dot.

        Raises:
            aiosmtplib.SMTPDataError: refused.
            aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError: see `phase` for when.
        """
        seconds = self.timeout if timeout is Default.token else timeout
        self.phase = Phase.CONTENT
        go_ahead = await self.execute_command(b"DATA", timeout=seconds)
        if go_ahead.code != aiosmtplib.SMTPStatus.start_input:
            raise aiosmtplib.SMTPDataError(go_ahead.code, go_ahead.message)
        try:
            response = await self._content(_stuffed(message), seconds)
        except (ConnectionError, TimeoutError):
            self.close()
            raise
        if response.code != aiosmtplib.SMTPStatus.completed:
            raise aiosmtplib.SMTPDataError(response.code, response.message)
        return response

    async def _content(self, content: bytes, timeout: float | None) -> aiosmtplib.SMTPResponse:
        protocol = self.protocol
        if protocol is None or protocol.transport is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        # Zero makes the drain below wait for the last octet instead of for the last 64 KiB.
        cast("asyncio.WriteTransport", protocol.transport).set_write_buffer_limits(high=0)
        protocol.write(content)
        drained = protocol._drain_helper()  # noqa: SLF001 - the only way to wait for it
        await asyncio.wait_for(drained, (self.timeout or 60) + len(content) / _SLOWEST_UPLOAD)
        protocol.write(b".\r\n")
        self.phase = Phase.HANDED_OVER
        response = await protocol.read_response(timeout=timeout)
        if self.transcript is not None:
            self.transcript.happened(f"{len(content)} octets of a message sent")
            self.transcript.heard(response)
        return response


def _stuffed(message: str | bytes) -> bytes:
    """Return the message with CRLF line ends and doubled leading dots (RFC 5321 section 4.5.2)."""
    content = normalize_message_line_endings(message.encode("ascii") if isinstance(message, str) else message)
    if content.startswith(b"."):
        content = b"." + content
    return content.replace(b"\r\n.", b"\r\n..")

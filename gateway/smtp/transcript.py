"""What goes over one SMTP connection, as lines for a protocol log: nothing of a SASL exchange, nothing of a message."""

from __future__ import annotations

import secrets

import aiosmtplib

from gateway.provider import ProtocolLog

_HIDDEN = "<hidden>"


class Transcript:
    """Follows one connection."""

    def __init__(self, log: ProtocolLog) -> None:
        self._log = log
        self._name = f"smtp-{secrets.token_hex(2)}"
        self._challenged = False

    def happened(self, text: str) -> None:
        """Note what nobody said."""
        self._log.note(self._name, "*", text)

    def sent(self, command: bytes) -> None:
        """Note a command; one that answers a challenge is a part of a login (RFC 4954 section 4)."""
        text = command.decode("utf-8", "replace")
        if self._challenged:
            text = _HIDDEN
        elif text[:5].upper() == "AUTH ":
            text = " ".join([*text.split(" ", 2)[:2], _HIDDEN])
        self._log.note(self._name, "C", text)

    def heard(self, response: aiosmtplib.SMTPResponse) -> None:
        """Note an answer."""
        self._challenged = response.code == aiosmtplib.SMTPStatus.auth_continue
        for line in (_HIDDEN,) if self._challenged else response.message.splitlines() or ("",):
            self._log.note(self._name, "S", f"{response.code} {line}")

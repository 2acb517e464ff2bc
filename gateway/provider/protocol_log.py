"""A record of what goes over an account's connections, for whoever looks for a fault."""

from __future__ import annotations

from typing import Literal, Protocol

#: Who said it: client, server, or nobody: something happened to the connection.
Speaker = Literal["C", "S", "*"]


class ProtocolLog(Protocol):
    """Takes lines of a conversation. A session that was lent none keeps no record, and spends nothing on it.

    Whoever writes masks: no password, no token, nothing of a SASL exchange, no octet of a message.
    """

    def note(self, connection: str, speaker: Speaker, text: str) -> None:
        """Take one line, from any thread; a long one is cut. Never fails and never waits.

        Args:
            connection: which of the account's connections, e.g. ``imap-1f3a``.
            speaker: see `Speaker`.
            text: one line without its end, masked.
        """
        ...

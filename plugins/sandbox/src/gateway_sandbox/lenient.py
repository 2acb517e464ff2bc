"""Reading messages that no grammar allows: the email package raises at some fields, which are then taken as empty."""

from __future__ import annotations

from email.errors import MessageError
from email.headerregistry import BaseHeader, HeaderRegistry
from email.policy import EmailPolicy

#: What its parsers of fields end with, beside what they are meant to raise.
_FAILURES = (MessageError, ValueError, LookupError, AttributeError, TypeError)


class LenientRegistry(HeaderRegistry):
    """Makes headers of whatever a sender wrote."""

    def __call__(self, name: str, value: str) -> BaseHeader:
        try:
            return super().__call__(name, value)
        except _FAILURES:
            return super().__call__(name, "")


#: Writes what it has read octet for octet.
LENIENT = EmailPolicy(
    header_factory=LenientRegistry(), linesep="\r\n", refold_source="none", cte_type="8bit", max_line_length=None
)


def head_of(octets: bytes) -> bytes:
    """Return the header of a message, to be parsed alone: a parser of headers goes through the body, too."""
    return octets.partition(b"\r\n\r\n")[0]

"""What Exchange Online's IMAP and SMTP servers say when they refuse, as `gateway.errors`.

Exchange answers 535 to a dozen different problems, and some of them are not about the login at all, so the text
decides. Sources: https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online,
https://learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission and
transcripts in public issue threads. The words are data, ``refusals.json``; the first row whose phrases all occur wins,
which also finds a reason that is wrapped into another answer (5.7.57).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import resources
from typing import Literal

import msgspec

from gateway.errors import (
    Actor,
    ConnectError,
    MailboxUnavailableError,
    MessageRefusedError,
    ProviderError,
    RateLimitError,
    ReauthorizationError,
    Remedy,
    ServiceUnavailableError,
)
from gateway.smtp.server_text import enhanced_status, masked

# "Suggested Backoff Time: 92415 milliseconds", seen from Exchange Online's IMAP server.
_BACKOFF = re.compile(r"backoff time: (\d{1,9}) milliseconds")
_LONGEST_PAUSE = 86_400.0
# Nothing that Exchange says about itself stands further back.
_LONGEST_TEXT = 2000

_Kind = Literal["connect", "mailbox", "message", "reauth", "retry", "throttled"]


class Refusal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of ``refusals.json``.

    Attributes:
        phrases: lower case; all of them occur in the answer.
        retry_after: seconds, where Microsoft does not tell them.
    """

    code: str
    phrases: tuple[str, ...]
    kind: _Kind = msgspec.field(name="class")
    title: str
    who: Actor
    steps: tuple[str, ...]
    retryable: bool = False
    retry_after: float = 60.0


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of ``refusals.json``."""

    smtp: tuple[Refusal, ...]
    imap: tuple[Refusal, ...]


@lru_cache(maxsize=1)
def refusals() -> Refusals:
    """Return every refusal that is known."""
    return msgspec.json.decode(
        resources.files("gateway_microsoft").joinpath("refusals.json").read_bytes(), type=Refusals
    )


def smtp_refusal(code: int, text: str) -> ProviderError | None:
    """Explain a negative answer of Exchange's submission server; None leaves it to `gateway.smtp.errors`.

    Args:
        code: RFC 5321 reply code. It is not looked at: Exchange's mean too many things.
        text: everything after it.
    """
    return _error(refusals().smtp, text, native_code=enhanced_status(text) or str(code))


def imap_refusal(text: str) -> ProviderError | None:
    """Explain a NO, BAD or BYE of Exchange's IMAP server; None leaves it to the IMAP plugin."""
    return _error(refusals().imap, text, native_code=None)


def _error(rows: tuple[Refusal, ...], text: str, *, native_code: str | None) -> ProviderError | None:
    text = text[:_LONGEST_TEXT]
    folded = text.casefold()
    row = next((row for row in rows if all(phrase in folded for phrase in row.phrases)), None)
    if row is None:
        return None
    remedy = Remedy(
        code=row.code, title=row.title, who=row.who, steps=row.steps, retryable=row.retryable, raw=masked(text)
    )
    native_code = native_code or row.code
    if row.kind == "throttled":
        told = _BACKOFF.search(folded)
        pause = min(max(int(told[1]) / 1000, 1.0), _LONGEST_PAUSE) if told else row.retry_after
        return RateLimitError(row.title, retry_after=pause, native_code=native_code, remedy=remedy)
    return _ERRORS[row.kind](row.title, native_code=native_code, remedy=remedy)


_ERRORS: Mapping[_Kind, Callable[..., ProviderError]] = {
    "connect": ConnectError,
    "mailbox": MailboxUnavailableError,
    "message": MessageRefusedError,
    "reauth": ReauthorizationError,
    "retry": ServiceUnavailableError,
}

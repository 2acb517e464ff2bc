"""What Exchange Online's IMAP and SMTP servers say when they refuse, as `gateway.errors`.

Exchange answers 535 to a dozen different problems, and some of them are not about the login at all, so the text
decides. Sources: https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online,
https://learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission and
transcripts in public issue threads. The words are data, ``refusals.json`` (rows: `gateway.smtp.answers.Answer`); the
first row that fits wins, which also finds a reason that is wrapped into another answer (5.7.57).
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources

import msgspec

from gateway.errors import ProviderError
from gateway.smtp.answers import Answer, find
from gateway.smtp.server_text import enhanced_status

# "Suggested Backoff Time: 92415 milliseconds", seen from Exchange Online's IMAP server.
_BACKOFF = re.compile(r"backoff time: (\d{1,9}) milliseconds")
_LONGEST_PAUSE = 86_400.0


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of ``refusals.json``."""

    smtp: tuple[Answer, ...]
    imap: tuple[Answer, ...]


@lru_cache(maxsize=1)
def refusals() -> Refusals:
    """Return every refusal that is known."""
    return msgspec.json.decode(
        resources.files("gateway_microsoft").joinpath("refusals.json").read_bytes(), type=Refusals
    )


def smtp_refusal(code: int, text: str) -> ProviderError | None:
    """Explain a negative answer of Exchange's submission server; None leaves it to `gateway.smtp.errors`.

    Args:
        code: RFC 5321 reply code. It decides nothing: Exchange's mean too many things.
        text: everything after it.
    """
    row = find(refusals().smtp, text, code=code)
    if row is None:
        return None
    return row.error(row.title, native_code=enhanced_status(text) or str(code), raw=text)


def imap_refusal(text: str) -> ProviderError | None:
    """Explain a NO, BAD or BYE of Exchange's IMAP server; None leaves it to the IMAP plugin."""
    row = find(refusals().imap, text)
    if row is None:
        return None
    pause = None
    if row.kind == "throttled" and (told := _BACKOFF.search(text.casefold())):
        pause = min(max(int(told[1]) / 1000, 1.0), _LONGEST_PAUSE)
    return row.error(row.title, native_code=row.code, raw=text, retry_after=pause)

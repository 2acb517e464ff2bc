"""What a mail server's refusals mean: tables whose rows say who must act, and whether and when to try again.

A row is found by the phase in which a server refused (see `Phase`), by its reply code (RFC 5321 section 4.2), its
enhanced status code (RFC 3463) and its words; the first that fits wins. ``answers.json`` is the general table, and
ends with rows that fit everything. A service that means other things by the same codes brings rows of its own, which
are asked first (`gateway.smtp.errors.Explain`).

Sources of ``answers.json``: RFC 5321 sections 3.1, 4.2.2, 4.2.3, 4.3.2, 4.5.3.1.10; RFC 3463 section 3; RFC 4954
sections 4 and 6 (logins); RFC 3207 section 4 (STARTTLS); RFC 7504 (521, 556); RFC 6531 section 3.5 (5.6.7); RFC 6647
(greylisting); for 4.7.500 to 4.7.699
https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources
from typing import Literal, TypeVar

import msgspec

from gateway.errors import (
    Actor,
    ConnectError,
    MailboxUnavailableError,
    MessageRefusedError,
    MessageTooLargeError,
    OutcomeUnknownError,
    ProviderError,
    RateLimitError,
    ReauthorizationError,
    Remedy,
    ServiceUnavailableError,
)
from gateway.smtp.server_text import enhanced_status, masked

# Nothing that a server says about itself stands further back.
_LONGEST_TEXT = 2000


class Phase(IntEnum):
    """How far a submission has come."""

    CONNECT = 1
    LOGIN = 2
    ENVELOPE = 3
    CONTENT = 4
    HANDED_OVER = 5


Kind = Literal["connect", "mailbox", "message", "reauth", "retry", "throttled", "too_large", "unknown"]

_ERRORS: Mapping[Kind, Callable[..., ProviderError]] = {
    "connect": ConnectError,
    "mailbox": MailboxUnavailableError,
    "message": MessageRefusedError,
    "reauth": ReauthorizationError,
    "retry": ServiceUnavailableError,
    "throttled": RateLimitError,
    "too_large": MessageTooLargeError,
    "unknown": OutcomeUnknownError,
}

Found = TypeVar("Found", bound="Row")

#: Kinds of refusals after which the same is tried again.
RETRIED: frozenset[Kind] = frozenset({"connect", "retry", "throttled"})


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which answers a row of a table is about. Conditions that are empty always hold.

    Attributes:
        phases: names of `Phase`, lower case.
        codes: reply codes; ``?`` is any digit, ``[!45]`` any but these.
        statuses: enhanced status codes, with the same wildcards and ``*``; "" is an answer that has none.
        phrases: lower case; all of them occur in the answer.
        any_phrase: lower case; one of them occurs in the answer.
    """

    phases: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    any_phrase: tuple[str, ...] = ()

    def fits(self, folded: str, *, code: int | None = None, phase: Phase | None = None) -> bool:
        """Tell whether this row is about an answer.

        Args:
            folded: the answer's text, case-folded.
            code: its reply code; None where the protocol has none.
            phase: when it came; None fits every row.
        """
        return (
            (not self.phases or phase is None or phase.name.lower() in self.phases)
            and (not self.codes or _matches(str(code), self.codes))
            and (not self.statuses or _matches(enhanced_status(folded) or "", self.statuses))
            and all(phrase in folded for phrase in self.phrases)
            and (not self.any_phrase or any(phrase in folded for phrase in self.any_phrase))
        )


class Answer(Row, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row for those who send: what is wrong, and who must act.

    Attributes:
        code: name of the row, and of the remedy.
        kind: which error it is.
        title: what is wrong, for people.
        who: who must act.
        steps: what they do.
        retry_after: seconds to wait before the next try, where the server does not tell them.
        base_scopes: an OAuth2 app with these base scopes would not meet the problem.
    """

    code: str
    kind: Kind = msgspec.field(name="class")
    title: str
    who: Actor
    steps: tuple[str, ...]
    retry_after: float | None = None
    base_scopes: str | None = None

    def error(
        self, message: str, *, native_code: str | None, raw: str, retry_after: float | None = None
    ) -> ProviderError:
        """Return the error that this row stands for.

        Args:
            message: its text.
            native_code: the server's own code.
            raw: the answer's text; addresses in it are masked.
            retry_after: seconds that the server told.
        """
        remedy = Remedy(
            code=self.code,
            title=self.title,
            who=self.who,
            steps=self.steps,
            retryable=self.kind in RETRIED,
            raw=masked(raw),
            base_scopes=self.base_scopes,
        )
        pause = retry_after if retry_after is not None else self.retry_after
        details = {} if pause is None else {"retry_after": pause}
        return _ERRORS[self.kind](message, native_code=native_code, remedy=remedy, **details)


def find(rows: Iterable[Found], text: str, *, code: int | None = None, phase: Phase | None = None) -> Found | None:
    """Return the first row that fits an answer, if one does; see `Row.fits`."""
    folded = text[:_LONGEST_TEXT].casefold()
    return next((row for row in rows if row.fits(folded, code=code, phase=phase)), None)


@lru_cache(maxsize=1)
def general_answers() -> tuple[Answer, ...]:
    """Return the table that holds for every submission server; a row of it fits every answer in every phase."""
    found = resources.files("gateway.smtp").joinpath("answers.json").read_bytes()
    return msgspec.json.decode(found, type=tuple[Answer, ...])


def _matches(value: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)

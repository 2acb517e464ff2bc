"""What the DNS says, for the checks of one message: bounded in number and time, each question asked once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dns.exception
import dns.name
import dns.resolver

#: Seconds for all questions about one message.
PATIENCE = 20.0

#: Seconds for one of them.
_EACH = 5.0

#: Questions about one message. SPF may need 11 records and the addresses of 10 times 10 hosts.
_MOST = 150


class LookupFailedError(Exception):
    """The DNS did not answer, or could not; it may later."""


class Lookup:
    """Answers to the questions about one message.

    Args:
        resolver: whom to ask.
        patience: seconds for all questions together.
        monotonic: the time in seconds.
    """

    def __init__(
        self,
        resolver: dns.resolver.Resolver,
        *,
        patience: float = PATIENCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolver = resolver
        self._monotonic = monotonic
        self._end = monotonic() + patience
        self._known: dict[tuple[str, str], list[Any] | None] = {}

    def records(self, name: str, kind: str) -> list[Any]:
        """Return the records of a name, none if there are none or there can be no such name.

        Raises:
            LookupFailedError: nobody knows.
        """
        question = (name.lower().rstrip("."), kind)
        if question not in self._known:
            self._known[question] = self._ask(*question)
        found = self._known[question]
        if found is None:
            raise LookupFailedError("the name server does not answer")
        return found

    def texts(self, name: str) -> list[bytes]:
        """Return the TXT records of a name, the strings of each joined. Raises like `records`."""
        return [b"".join(record.strings) for record in self.records(name, "TXT")]

    def _ask(self, name: str, kind: str) -> list[Any] | None:
        left = self._end - self._monotonic()
        if left <= 0 or len(self._known) >= _MOST:
            return None
        try:
            return list(self._resolver.resolve(dns.name.from_text(name), kind, lifetime=min(left, _EACH), search=False))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.resolver.YXDOMAIN):
            return []
        except (dns.exception.Timeout, dns.resolver.NoNameservers):
            return None
        except (dns.exception.DNSException, UnicodeError):
            # It cannot be the name of anything: a label that is empty or too long, what is no IDNA.
            return []


def open_resolver(server: tuple[str, int] | None) -> dns.resolver.Resolver:
    """Return a resolver that asks one name server, by address and port, or those of the system."""
    if server is None:
        return dns.resolver.Resolver()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [server[0]]
    resolver.port = server[1]
    return resolver

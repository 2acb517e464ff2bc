"""Names of flags, which are the same for every service."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.errors import InvalidRequestError

# RFC 9051 section 9: flag-keyword is an atom, flag-extension a backslash and an atom.
_FLAG = re.compile(r"\\?[A-Za-z0-9!#$&'+,./:;<=>?@^_`|~-]+")


def check_flags(names: Iterable[str]) -> None:
    """Refuse names that no flag can have, also where the service would not keep the flag anyway.

    Raises:
        InvalidRequestError: there is one.
    """
    if not all(_FLAG.fullmatch(name) for name in names):
        raise InvalidRequestError(
            "a flag has characters that IMAP does not allow", fields=[{"message": "not a flag", "key": "flags"}]
        )

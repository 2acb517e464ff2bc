"""The Content-Type under which a part is given out."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.mime.decode import names_charset

__all__ = ["described_type"]

_TOKEN = re.compile(r"[\w!#$&^.+-]+", re.ASCII)
_QUOTABLE = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
_LONGEST = 255


def described_type(content_type: str, parameters: Mapping[str, str]) -> str:
    """Return a media type with the parameters that say what the octets are (RFC 2045 section 5.1).

    Not the name of the file, nor the boundary of what is no multipart. Left out is also what does not fit into 255
    characters or would have to be escaped, and a charset that says nothing: some servers tell us-ascii where the sender
    named none (RFC 2045 section 5.2).

    Args:
        content_type: lower case.
        parameters: by their lower-case names, decoded.
    """
    told = content_type
    for name, value in parameters.items():
        if name == "name" or (name == "boundary" and not content_type.startswith("multipart/")):
            continue
        if name == "charset" and not names_charset(value):
            continue
        if not _TOKEN.fullmatch(name) or not _QUOTABLE.fullmatch(value):
            continue
        parameter = f"; {name}={value}" if _TOKEN.fullmatch(value) else f'; {name}="{value}"'
        if len(told) + len(parameter) <= _LONGEST:
            told += parameter
    return told

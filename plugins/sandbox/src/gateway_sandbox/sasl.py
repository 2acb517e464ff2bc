"""The client responses of the SASL mechanisms that IMAP and SMTP share (RFC 4422)."""

from __future__ import annotations

import base64
import binascii
import re

_XOAUTH2 = re.compile(rb"user=([^\x01]*)\x01auth=bearer ([^\x01]*)\x01\x01", re.IGNORECASE)


def decode(response: bytes) -> bytes:
    """Return the octets of a base64 response; ``=`` stands for an empty one (RFC 4959 section 3).

    Raises:
        ValueError: it is not base64.
    """
    if response == b"=":
        return b""
    try:
        return base64.b64decode(response, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def xoauth2(response: bytes) -> tuple[str, str]:
    """Return user and access token.

    Format: https://learn.microsoft.com/exchange/client-developer/legacy-protocols/
    how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth

    Raises:
        ValueError: it is not an XOAUTH2 response.
    """
    match = _XOAUTH2.fullmatch(response)
    if match is None:
        raise ValueError("not an XOAUTH2 response")
    return match[1].decode("utf-8"), match[2].decode("ascii")


def plain(response: bytes) -> tuple[str, str]:
    """Return user and password (RFC 4616).

    Raises:
        ValueError: it is not a PLAIN response.
    """
    _, user, password = response.decode("utf-8").split("\0")
    return user, password

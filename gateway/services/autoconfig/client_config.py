"""Documents of Mozilla's autoconfiguration (https://wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from gateway.model.autoconfig import SuggestedServer
from gateway.services.autoconfig.address import Address, is_host

#: Whether TLS begins with the first octet, by ``socketType``. There is no suggestion without TLS.
_SECURE = {"ssl": True, "starttls": False}


def read_client_config(document: bytes, address: Address) -> tuple[SuggestedServer | None, SuggestedServer | None]:
    """Return the IMAP and the SMTP server that a document names first; None for one that it does not name.

    Entities and document types are refused; the size is for the caller to bound.
    """
    try:
        root = defusedxml.ElementTree.fromstring(document, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        # The last two: an encoding that is not known, or that the text does not have.
        return None, None
    return (
        _first(root.iterfind("emailProvider/incomingServer[@type='imap']"), address),
        _first(root.iterfind("emailProvider/outgoingServer[@type='smtp']"), address),
    )


def _first(elements: Iterable[Any], address: Address) -> SuggestedServer | None:
    return next((found for element in elements if (found := _server(element, address))), None)


def _server(element: Any, address: Address) -> SuggestedServer | None:
    host = _filled(element.findtext("hostname"), address).lower().removesuffix(".")
    port = (element.findtext("port") or "").strip()
    secure = _SECURE.get((element.findtext("socketType") or "").strip().lower())
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    if secure is None or not is_host(host) or not 1 <= number <= 65535:
        return None
    return address.server(host, number, secure=secure, user=_filled(element.findtext("username"), address)[:256])


def _filled(text: str | None, address: Address) -> str:
    found = (text or "").strip()
    for placeholder, value in (
        ("%EMAILADDRESS%", address.email),
        ("%EMAILLOCALPART%", address.local_part),
        ("%EMAILDOMAIN%", address.domain),
    ):
        found = found.replace(placeholder, value)
    return found

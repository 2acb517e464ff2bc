"""Which lookups there are, and in what order their answers count."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import quote, urljoin, urlsplit

from gateway.errors import ConnectError
from gateway.http import HttpClient
from gateway.model.autoconfig import Autoconfig, Source, SuggestedServer
from gateway.services.autoconfig.address import Address, read_address
from gateway.services.autoconfig.client_config import read_client_config
from gateway.services.autoconfig.names import Names
from gateway.services.autoconfig.providers import APP_PASSWORDS, Provider, provider_of

#: Mozilla's collection of what providers say.
DIRECTORY = "https://autoconfig.thunderbird.net/v1.1/"

#: Seconds for the MX records, and for all other lookups together.
EXCHANGERS_TIMEOUT = 3.0
LOOKUPS_TIMEOUT = 6.0

#: Octets of a document that are read; they are usually a few thousand.
DOCUMENT_LIMIT = 65_536

_REDIRECTS = 3

_UNKNOWN = Autoconfig(imap=False, smtp=False, source="unknown")

_Pair = tuple[SuggestedServer | None, SuggestedServer | None]


class AutoconfigService:
    """Suggests servers. A lookup that fails is one that knows nothing."""

    def __init__(self, names: Names, http: HttpClient) -> None:
        self._names = names
        self._http = http

    async def find(self, email: str, *, timeout: float) -> Autoconfig:
        """Return what is known of an address.

        The hosts that take the domain's mail decide if they are a known provider's. Else everybody is asked at the
        same time, and the first of this order counts who knows an IMAP server: SRV records, the domain's own
        documents, Mozilla's directory.

        Args:
            email: an address; of one that no host can be asked for, nothing is known.
            timeout: seconds that the caller waits at most.
        """
        address = read_address(email)
        if address is None:
            return _UNKNOWN
        exchangers = await self._names.exchangers(address.domain, timeout=min(EXCHANGERS_TIMEOUT, timeout / 3))
        if provider := provider_of(exchangers):
            return _result("mx", _known(provider, address))
        limit = min(LOOKUPS_TIMEOUT, timeout / 2)
        lookups: list[tuple[Source, asyncio.Task[_Pair]]] = [
            ("srv", asyncio.create_task(self._services(address, limit))),
            *(
                (source, asyncio.create_task(self._document(address, urls, limit)))
                for source, urls in _documents(address, exchangers)
            ),
        ]
        try:
            for source, lookup in lookups:
                found = await lookup
                if found[0] is not None:
                    return _result(source, found)
            return _UNKNOWN
        finally:
            for _, lookup in lookups:
                lookup.cancel()
            await asyncio.gather(*(lookup for _, lookup in lookups), return_exceptions=True)

    async def _services(self, address: Address, timeout: float) -> _Pair:
        """Ask for SRV records; TLS from the first octet is preferred (RFC 8314 section 3)."""
        names = ("imaps", "imap", "submissions", "submission")
        imaps, imap, submissions, submission = await asyncio.gather(
            *(self._names.service(name, address.domain, timeout=timeout) for name in names)
        )
        incoming, outgoing = imaps or imap, submissions or submission
        return (
            address.server(incoming.host, incoming.port, secure=incoming is imaps) if incoming else None,
            address.server(outgoing.host, outgoing.port, secure=outgoing is submissions) if outgoing else None,
        )

    async def _document(self, address: Address, urls: Sequence[str], timeout: float) -> _Pair:
        """Read the first document that names an IMAP server."""
        try:
            async with asyncio.timeout(timeout):
                for url in urls:
                    found = read_client_config(await self._fetched(url, timeout), address)
                    if found[0] is not None:
                        return found
        except TimeoutError:
            pass
        return None, None

    async def _fetched(self, url: str, timeout: float) -> bytes:
        """Return a document, nothing when there is none; from https a redirect leads only to https."""
        for _ in range(1 + _REDIRECTS):
            try:
                answer = await self._http.get(url, timeout=timeout, limit=DOCUMENT_LIMIT)
            except ConnectError:
                return b""
            target = answer.redirect
            if target is None:
                return answer.body if answer.success else b""
            target = urljoin(url, target)
            if urlsplit(url).scheme == "https" != urlsplit(target).scheme:
                return b""
            url = target
        return b""


def _documents(address: Address, exchangers: Sequence[str]) -> tuple[tuple[Source, list[str]], ...]:
    """Return where documents may be. The address goes to its own domain alone, and only over TLS."""
    asked = f"?emailaddress={quote(address.email, safe='')}"
    own = f"autoconfig.{address.domain}/mail/config-v1.1.xml"
    # Whom the domain's mail is with: `mx1.host.example` is known as `host.example`.
    hosts = [host.partition(".")[2] for host in exchangers[:1]]
    return (
        ("well-known", [f"https://{address.domain}/.well-known/autoconfig/mail/config-v1.1.xml{asked}"]),
        # Many have no certificate for this name.
        ("autoconfig", [f"https://{own}{asked}", f"http://{own}"]),
        ("mozilla", [f"{DIRECTORY}{name}" for name in (address.domain, *hosts) if "." in name]),
    )


def _known(provider: Provider, address: Address) -> _Pair:
    return (
        address.server(provider.imap, 993, secure=True),
        address.server(provider.smtp, provider.smtp_port, secure=provider.smtp_port == 465),
    )


def _result(source: Source, found: _Pair) -> Autoconfig:
    imap, smtp = found
    app_password = APP_PASSWORDS.get(imap.host) if imap is not None else None
    return Autoconfig(imap=imap or False, smtp=smtp or False, app_password=app_password, source=source)

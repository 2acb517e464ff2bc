"""Any number of web hosts, all on one server on loopback, with certificates for the names that are expected."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver


class WebHosts(AbstractResolver):
    """The pages, and the resolver that leads a client to them: every name is here, port 443 and port 80.

    Attributes:
        requests: every URL that was asked for.
        trust: trusts the certificates.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        authority = trustme.CA()
        self.requests: list[str] = []
        self.trust = ssl.create_default_context()
        authority.configure_trust(self.trust)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(self.context)
        self._pages: dict[str, web.Response | asyncio.Event] = {}
        self._ports: dict[int, int] = {}

    def page(self, url: str, body: bytes, *, status: int = 200, **headers: str) -> None:
        """Answer this to requests for a URL, whatever its query."""
        self._pages[url] = web.Response(body=body, status=status, headers=headers)

    def hang(self, url: str) -> None:
        """Never answer requests for a URL."""
        self._pages[url] = asyncio.Event()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        """Say that a name is here."""
        found = {"hostname": host, "host": "127.0.0.1", "port": self._ports[port], "family": 2, "proto": 0, "flags": 0}
        return [found]

    async def close(self) -> None:
        """Nothing is open."""

    async def _take(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(str(request.url))
        page = self._pages.get(str(request.url.with_query(None)))
        if page is None:
            return web.Response(status=404)
        if isinstance(page, asyncio.Event):
            await page.wait()
            return web.Response(status=500)
        return web.Response(body=page.body, status=page.status, headers=page.headers)


@asynccontextmanager
async def running_web_hosts(*names: str) -> AsyncIterator[WebHosts]:
    """Hosts for one test; `names` are those with certificates."""
    hosts = WebHosts(names)
    runner = web.ServerRunner(web.Server(hosts._take), shutdown_timeout=0.1)
    await runner.setup()
    try:
        for port, context in ((443, hosts.context), (80, None)):
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            hosts._ports[port] = runner.addresses[-1][1]
        yield hosts
    finally:
        await runner.cleanup()

"""Puts the parts together and runs them."""

from __future__ import annotations

import logging
import sqlite3
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from gateway.provider import Clock, utc_now
from gateway_sandbox import certificates, ports
from gateway_sandbox.access import Gate
from gateway_sandbox.clouds import Endpoints
from gateway_sandbox.control import Control
from gateway_sandbox.database import connect, transaction
from gateway_sandbox.delivery import Delivery
from gateway_sandbox.failures import Failures
from gateway_sandbox.grants import Grants
from gateway_sandbox.graph import Graph
from gateway_sandbox.imap import ImapServer
from gateway_sandbox.issuer import Issuer
from gateway_sandbox.mailstore import MailStore
from gateway_sandbox.samples import populate
from gateway_sandbox.smtp import SmtpServer
from gateway_sandbox.token_endpoint import TokenEndpoint
from gateway_sandbox.tokens import Tokens
from gateway_sandbox.web import Routes, serving


@asynccontextmanager
async def running(data_dir: Path, clock: Clock = utc_now) -> AsyncIterator[Endpoints]:
    """Run the sandbox until the context is left.

    Args:
        data_dir: its files are in the directory ``sandbox`` of this one and survive.
        clock: what the issuer takes for the present time.

    Raises:
        gateway.errors.ConfigurationError: another process runs the sandbox of this directory.
    """
    # aiosmtpd logs envelopes, which hold addresses, at INFO, and at WARNING with each login that it is deprecated.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    home = data_dir / "sandbox"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = connect(home / "sandbox.sqlite3")
    try:
        async with AsyncExitStack() as stack:
            async with ports.taking_turns():
                chosen = ports.choose(home / "ports.json")
                tls = certificates.server_context(home)
                routes, imap, smtp, graph = _parts(database, clock, chosen.http, tls)
                stack.push_async_callback(graph.close)
                await stack.enter_async_context(_listening(imap, smtp, chosen))
                await stack.enter_async_context(serving(routes, chosen.http))
            yield Endpoints(
                origin=f"http://localhost:{chosen.http}",
                imap_port=chosen.imap,
                smtp_port=chosen.smtp,
                ca_file=certificates.ca_file(home).resolve(),
            )
    finally:
        database.close()


def _parts(
    database: sqlite3.Connection, clock: Clock, http_port: int, tls: ssl.SSLContext
) -> tuple[Routes, ImapServer, SmtpServer, Graph]:
    """Build the parts over one database, and fill the mailboxes at the first start."""
    # Client libraries insist on https, so this is what the metadata says; their transport takes the s back off.
    published = f"https://localhost:{http_port}"
    failures, grants = Failures(clock), Grants(database, clock)
    tokens, store = Tokens(database, clock, published), MailStore(database, clock)
    with transaction(database):
        populate(store, clock())
    gate = Gate(tokens)
    imap = ImapServer(gate, store, failures, tls)
    delivery = Delivery(store, clock)
    smtp = SmtpServer(gate, delivery, failures, tls)
    token_endpoint = TokenEndpoint(grants, tokens, failures, clock)
    graph = Graph(database=database, store=store, tokens=tokens, delivery=delivery, failures=failures, clock=clock)
    control = Control(
        failures=failures,
        grants=grants,
        tokens=tokens,
        token_endpoint=token_endpoint,
        store=store,
        imap=imap,
        smtp=smtp,
        graph=graph,
    )
    routes = Routes()
    for part in control, Issuer(grants, tokens, failures, clock, published), token_endpoint, graph:
        part.add_routes(routes)
    return routes, imap, smtp, graph


@asynccontextmanager
async def _listening(imap: ImapServer, smtp: SmtpServer, chosen: ports.Ports) -> AsyncIterator[None]:
    imap_socket = await imap.listen(chosen.imap)
    smtp_socket = await smtp.listen(chosen.smtp)
    try:
        yield
    finally:
        imap_socket.close()
        smtp_socket.close()
        imap.close()
        smtp.close()

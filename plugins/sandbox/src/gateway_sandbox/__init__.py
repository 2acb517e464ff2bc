"""A pretend Microsoft 365 on loopback: sign-in pages, tokens, IMAP, SMTP and Graph over one mail store.

It exists so that the whole OAuth2 path of the gateway can be tried and tested with no Microsoft account and no
internet. `server.running` starts the parts::

    web         the HTTP server                        <- issuer, token_endpoint, control, pages, graph
    graph       Microsoft Graph's mail                 <- graph_* (one module for each kind of call)
    imap        XOAUTH2 over TLS, Exchange's manners   <- imap_backend
    smtp        submission with STARTTLS               <- delivery
    tokens      JWT access tokens and who they are for <- grants (codes, refresh tokens, consents)
    mailstore   mailboxes and messages                 <- samples (first start only)
    items       what Exchange knows of them besides
    database    one SQLite file in the data directory
    directory   the people, their mailboxes and the registered app
    failures    switches that make it misbehave the way the real service does

This module is imported by every process that looks for plugins, so it must stay cheap: the servers are imported
when the sandbox is started.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway import hookimpl
from gateway.provider import Sandbox
from gateway_sandbox.plugin import MicrosoftSandbox


@hookimpl
def gateway_register_sandboxes(register: Callable[[Sandbox], None]) -> None:
    """Register the one sandbox of this plugin."""
    register(MicrosoftSandbox())

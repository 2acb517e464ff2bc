"""Fixtures: a running sandbox, and an IMAP client that is logged in to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import imapclient
import pytest

from gateway_sandbox.testing import ALICE, RunningSandbox, sandbox_in_thread, take_any_ports
from tests.rigs.graph_client import GraphClient

Login = Callable[..., imapclient.IMAPClient]


@pytest.fixture(scope="module")
def module_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with sandbox_in_thread(take_any_ports(tmp_path_factory.mktemp("sandbox"))) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(module_sandbox: RunningSandbox) -> Iterator[RunningSandbox]:
    """A running sandbox, shared by a module, with every failure off and the right time."""
    yield module_sandbox
    module_sandbox.reset()


@pytest.fixture
def imap(sandbox: RunningSandbox) -> Iterator[Login]:
    """Returns IMAP clients that are logged in with XOAUTH2: as (mailbox, token)."""
    clients = []

    def login(mailbox: str = ALICE, token: str | None = None) -> imapclient.IMAPClient:
        port = sandbox.endpoints.imap_port
        client = imapclient.IMAPClient("localhost", port, ssl_context=sandbox.tls, timeout=10)
        clients.append(client)
        client.oauth2_login(mailbox, token or sandbox.access_token(mailbox))
        return client

    yield login
    for client in clients:
        client.shutdown()


@pytest.fixture
def graph(sandbox: RunningSandbox) -> Iterator[Callable[..., GraphClient]]:
    """Returns clients of Graph: as (user, scopes); without a user as the app."""
    clients: list[GraphClient] = []

    def connect(*arguments: Any, **more: Any) -> GraphClient:
        clients.append(GraphClient(sandbox, *arguments, **more))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()

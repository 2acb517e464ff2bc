"""A name server, and the checks that ask it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gateway.model.delivery_test import DeliveryReport
from gateway.services.delivery_tests.evaluation import Received, evaluate
from gateway.services.delivery_tests.lookup import Lookup, open_resolver
from tests.rigs.mail_domain import LETTER, MailDomain
from tests.rigs.name_server import NameServer, running_name_server

Check = Callable[..., Awaitable[DeliveryReport]]


@pytest.fixture
async def names(anyio_backend: str) -> AsyncIterator[NameServer]:
    async with running_name_server() as server:
        yield server


@pytest.fixture
def domain(names: NameServer) -> MailDomain:
    """The domain of the author and of the envelope's sender."""
    return MailDomain("example.test", names)


@pytest.fixture
def check(names: NameServer) -> Check:
    """Evaluates a message that came from 192.0.2.1."""

    async def evaluated(content: bytes = LETTER, *, patience: float = 20.0, **members: Any) -> DeliveryReport:
        told = {"ip": "192.0.2.1", "helo": "mx.example.test", "mail_from": "ann@example.test", "receiver": "r.test"}
        received = Received(**{**told, **members}, content=content)
        lookup = Lookup(open_resolver(("127.0.0.1", names.port)), patience=patience)
        return await asyncio.to_thread(evaluate, received, lookup)

    return evaluated

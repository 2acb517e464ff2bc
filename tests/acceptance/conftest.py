"""Fixtures of the acceptance suite: running gateways, and the labs that they are pointed at."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import pytest

from tests.acceptance.client import Client
from tests.acceptance.dev_process import DevGateway, open_dev
from tests.acceptance.stack import GatewayStack, open_stack
from tests.rigs.labs import Lab

LABS = ("sandbox_lab", "graph_lab", "full_lab", "exchange_lab")


@pytest.fixture(scope="session")
def gateway_dev() -> Iterator[DevGateway]:
    """A running ``gateway dev`` with its sandbox: `url`, `token`, `data_dir`, `control_url`."""
    with open_dev() as dev:
        yield dev


@pytest.fixture(scope="session")
def stacks(request: pytest.FixtureRequest) -> Iterator[Callable[[str], GatewayStack]]:
    """Starts a stack for a lab's fixture at its first use."""
    started: dict[str, GatewayStack] = {}
    with ExitStack() as cleanup:

        def stack_of(fixture: str) -> GatewayStack:
            if fixture not in started:
                lab: Lab = request.getfixturevalue(fixture)
                started[fixture] = cleanup.enter_context(open_stack(lab))
            return started[fixture]

        yield stack_of


@pytest.fixture(scope="session", params=LABS)
def gateway_stack(request: pytest.FixtureRequest, stacks: Callable[[str], GatewayStack]) -> GatewayStack:
    """A gateway in front of every lab in turn."""
    return stacks(request.param)


@pytest.fixture(scope="session")
def sandbox_stack(stacks: Callable[[str], GatewayStack]) -> GatewayStack:
    """A gateway in front of the sandbox, whose failures can be switched on."""
    return stacks("sandbox_lab")


@pytest.fixture(scope="session")
def graph_stack(stacks: Callable[[str], GatewayStack]) -> GatewayStack:
    """A gateway in front of the sandbox' Microsoft Graph."""
    return stacks("graph_lab")


@pytest.fixture(scope="session")
def full_stack(stacks: Callable[[str], GatewayStack]) -> GatewayStack:
    """A gateway in front of Dovecot and Postfix."""
    return stacks("full_lab")


@pytest.fixture(scope="session")
def api(gateway_stack: GatewayStack) -> Client:
    """Calls the API of `gateway_stack`."""
    return gateway_stack.api


@pytest.fixture(scope="session")
def alice(gateway_stack: GatewayStack) -> str:
    """A connected account that tests use and none of them breaks."""
    return gateway_stack.connect(gateway_stack.lab.users[0], "alice")


@pytest.fixture(scope="session")
def bob(gateway_stack: GatewayStack) -> str:
    """The account of somebody to write to."""
    return gateway_stack.connect(gateway_stack.lab.users[1], "bob")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the gateway with a test that failed."""
    report = yield
    if call.when == "call" and report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, GatewayStack):
                report.sections.append((f"gateway in front of {value.lab.name}", value.log_tail()))
            elif isinstance(value, DevGateway):
                report.sections.append(("gateway dev", value.process.log_tail()))
    return report

"""A delivery test from the API through outbox, worker and relay to the receiver, each a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.acceptance.stack import GatewayStack
from tests.rigs.loop_thread import LoopThread
from tests.rigs.mail_domain import MailDomain
from tests.rigs.name_server import NameServer, running_name_server
from tests.rigs.processes import wait_until


@pytest.fixture
def names() -> Iterator[NameServer]:
    """A name server that runs beside the test."""
    with ExitStack() as cleanup:
        loop = cleanup.enter_context(LoopThread())
        serving = running_name_server()
        yield loop.run(serving.__aenter__())
        loop.run(serving.__aexit__(None, None, None))


def test_an_account_is_told_what_the_receiver_makes_of_its_mail(sandbox_stack: GatewayStack, names: NameServer) -> None:
    """The relay is the receiver itself, so that it sees the gateway's own address."""
    stack, api = sandbox_stack, sandbox_stack.api
    sender = stack.lab.users[2]
    domain = MailDomain(sender.partition("@")[2], names)
    domain.publish_spf("ip4:127.0.0.1 -all")
    domain.publish_dmarc("p=reject")
    port = stack.start_inbound(f"127.0.0.1:{names.port}")
    with stack.connected(sender) as account:
        relay = api.post("/v1/gateway", {"gateway": None, "name": "Receiver", "host": "127.0.0.1", "port": port})
        started = api.post(f"/v1/delivery-test/account/{account}", {"gateway": relay["gateway"]})
        id = started["deliveryTest"]
        assert started == {"success": True, "deliveryTest": id}
        stack.scan.plant(id)
        wait_until(lambda: api.get(f"/v1/delivery-test/check/{id}")["status"] != "pending", "a result", 60)
        found = api.get(f"/v1/delivery-test/check/{id}")
        assert (found["success"], found["status"]) == (True, "success"), found
        results = {name: found[name]["status"]["result"] for name in ("spf", "dmarc", "bimi", "arc", "mainSig")}
        assert results == {"spf": "pass", "dmarc": "pass", "bimi": "none", "arc": "none", "mainSig": "none"}
        assert (found["spf"]["client-ip"], found["spf"]["envelope-from"]) == ("127.0.0.1", sender)
        assert found["dkim"]["headerFrom"] == [sender]
        api.delete(f"/v1/gateway/{relay['gateway']}")

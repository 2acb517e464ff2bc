"""An export through everything there is: API, workers that are killed meanwhile, a real mail server."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.redis import keys
from tests.acceptance.client import account_path
from tests.acceptance.stack import GatewayStack, open_stack
from tests.rigs.processes import wait_until
from tests.rigs.real_lab import RealLab

COUNT = 5000


@pytest.fixture(scope="module", params=["full_lab", "exchange_lab"])
def stack(request: pytest.FixtureRequest) -> Iterator[GatewayStack]:
    """A gateway of this module's own, whose workers may die."""
    with open_stack(request.getfixturevalue(request.param)) as stack:
        yield stack


def kill_owner(stack: GatewayStack, account: str) -> None:
    """Kill the worker that does the work of an account."""
    with stack.redis() as client:
        owner: Any = client.hget(keys.OWNERS, account)
    (worker,) = [worker for worker in stack.running_workers if worker.name == owner.split()[0].decode()]
    worker.kill()


def test_an_export_of_5000_messages_survives_the_death_of_its_workers(stack: GatewayStack) -> None:
    """Every message is in the file once; a download that broke off is resumed."""
    lab = stack.lab
    assert isinstance(lab, RealLab)
    user = lab.users[2]
    lab.dovecot.fill(user, COUNT, "Exported")
    with stack.connected(user) as account:
        period = {"startDate": "2000-01-01T00:00:00Z", "endDate": "2100-01-01T00:00:00Z"}
        made = stack.api.post(f"{account_path(account)}/export", {**period, "folders": ["Exported"]})
        path = f"{account_path(account)}/export/{made['exportId']}"

        def state() -> Any:
            return stack.api.get(path)

        for reached in (300, 2000):
            wait_until(lambda reached=reached: state()["progress"]["messagesExported"] > reached, "it goes on", 90)  # type: ignore[misc]
            assert state()["status"] == "processing"
            kill_owner(stack, account)
        wait_until(lambda: state()["status"] != "processing", "it has ended", 120)
        found = state()
        assert (found["status"], found["progress"]["messagesExported"]) == ("completed", COUNT), found
        whole = stack.api.octets(f"{path}/download")
        assert whole.headers["content-type"] == "application/gzip"
        subjects = [json.loads(line)["subject"] for line in gzip.decompress(whole.content).splitlines()]
        assert sorted(subjects) == sorted(f"Message {number}" for number in range(COUNT))
        rest = stack.api.http.get(f"{path}/download", headers={"range": "bytes=100000-"})
        assert (rest.status_code, rest.content) == (206, whole.content[100000:])
        assert stack.api.delete(path) == {"deleted": True}

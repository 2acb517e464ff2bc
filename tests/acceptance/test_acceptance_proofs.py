"""What holds while parts of the gateway die: no call hangs, none is lost silently, everything works again."""

from __future__ import annotations

import json
import secrets
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from gateway.settings import Settings
from gateway_workers.memory import MIB
from tests.acceptance.client import Client, account_path
from tests.acceptance.dev_process import DevGateway
from tests.acceptance.processes import GatewayProcess
from tests.acceptance.stack import GatewayStack, open_stack
from tests.rigs.ports import reserve_port
from tests.rigs.processes import rig_directory, wait_until
from tests.rigs.sandbox_lab import SandboxLab

CALLS = 60


@pytest.fixture(scope="module")
def stack(sandbox_lab: SandboxLab) -> Iterator[GatewayStack]:
    """A gateway of this module's own, whose workers may die."""
    with open_stack(sandbox_lab) as stack:
        yield stack


@pytest.fixture(scope="module")
def account(stack: GatewayStack) -> str:
    """A connected account."""
    return stack.connect(stack.lab.users[1], "bob")


@pytest.fixture
def pool(stack: GatewayStack) -> Iterator[ThreadPoolExecutor]:
    """Threads for callers; the mail server is as fast as ever afterwards."""
    with ThreadPoolExecutor(CALLS) as pool:
        yield pool
    stack.slow_down(0)


def call(stack: GatewayStack, account: str) -> tuple[int, str]:
    """List the mailboxes, which only a worker can; returns the status and the error code, if there is one."""
    headers = {"Authorization": f"Bearer {stack.token}", "X-Gateway-Timeout": "25000"}
    url = f"{stack.url}{account_path(account)}/mailboxes"
    answer = httpx.get(url, params={"counters": "true"}, headers=headers, timeout=60, trust_env=False)
    body = answer.json()
    assert ("mailboxes" in body) == (answer.status_code == 200)
    return answer.status_code, str(body.get("code", ""))


def busy(stack: GatewayStack) -> GatewayProcess:
    """The worker that runs most jobs: all of one account go to its owner, and one that has none proves nothing."""
    with stack.redis() as client:

        def running(worker: GatewayProcess) -> int:
            return int(client.scard(f"{{gw}}:rq:worker:{worker.name}:executions"))

        worker = max(stack.running_workers, key=running)
        assert running(worker) > 0
        return worker


def test_killing_a_worker_loses_no_call_silently(stack: GatewayStack, account: str, pool: ThreadPoolExecutor) -> None:
    """60 calls run or wait when a worker dies: each is answered, with mail or with a clean 503 or 504."""
    stack.slow_down(0.05)
    began = time.monotonic()
    calls: list[Future[tuple[int, str]]] = [pool.submit(call, stack, account) for _ in range(CALLS)]
    wait_until(lambda: sum(future.done() for future in calls) >= 3, "the first answers", 20)
    busy(stack).kill()
    stack.slow_down(0)
    outcomes = Counter(future.result(60) for future in calls)
    seconds = time.monotonic() - began
    assert sum(outcomes.values()) == CALLS
    assert {status for status, _ in outcomes} <= {200, 503, 504}, outcomes
    assert all(code in ("", "WorkerNotAvailable", "Timeout") for _, code in outcomes), outcomes
    assert outcomes[200, ""] >= CALLS // 2, outcomes
    assert seconds < 40
    worker = stack.start_worker()
    stack.wait_for_worker(worker)
    assert call(stack, account) == (200, "")
    assert stack.api.account(account)["state"] == "connected"


def test_killing_every_worker_leaves_clean_answers_and_the_next_one_goes_on(
    stack: GatewayStack, account: str, pool: ThreadPoolExecutor
) -> None:
    """With nobody left, callers are told in time; a new worker takes over what is still waited for."""
    stack.slow_down(0.05)
    calls = [pool.submit(call, stack, account) for _ in range(CALLS)]
    wait_until(lambda: any(future.done() for future in calls), "the first answer", 20)
    for victim in stack.running_workers:
        victim.kill()
    stack.slow_down(0)
    for _ in range(3):
        stack.start_worker()
    outcomes = Counter(future.result(60) for future in calls)
    assert sum(outcomes.values()) == CALLS
    assert {status for status, _ in outcomes} <= {200, 503, 504}, outcomes
    assert outcomes[200, ""] >= CALLS // 2, outcomes
    assert call(stack, account) == (200, "")


def test_stopping_a_worker_in_good_order_fails_no_call(
    stack: GatewayStack, account: str, pool: ThreadPoolExecutor
) -> None:
    """Every deployment stops workers: SIGTERM lets them finish what they took."""
    stack.slow_down(0.02)
    calls = [pool.submit(call, stack, account) for _ in range(CALLS)]
    wait_until(lambda: sum(future.done() for future in calls) >= 3, "the first answers", 20)
    leaving = busy(stack)
    leaving.send(signal.SIGTERM)
    assert Counter(future.result(60) for future in calls) == {(200, ""): CALLS}
    assert leaving.wait(40) == 0
    stack.wait_for_worker(stack.start_worker())


def test_no_process_grows_a_queue_of_dead_jobs(stack: GatewayStack, account: str) -> None:
    """After all of that nothing waits or runs any more."""
    assert call(stack, account) == (200, "")
    with stack.redis() as client:

        def left() -> int:
            waiting = sum(int(client.llen(key)) for key in client.scan_iter("{gw}:rq:queue:*"))
            return waiting + sum(int(client.zcard(key)) for key in client.scan_iter("{gw}:rq:wip:*"))

        wait_until(lambda: left() == 0, "all queues empty", 30)


def test_every_worker_has_a_limit_of_memory(stack: GatewayStack) -> None:
    """By default: without a container it is the only thing that keeps one mail from taking the machine along."""
    for worker in stack.running_workers:
        process = psutil.Process(worker.pid)
        limit, _ = process.rlimit(psutil.RLIMIT_DATA)
        assert limit == Settings().worker_memory * MIB
        print(f"{worker.name}: {process.memory_info().data // MIB} MiB reserved")


def test_what_gateway_dev_keeps_survives_a_restart() -> None:
    """The same data directory: accounts, mail and token are there again, and the account connects by itself."""
    with rig_directory("dev-restart") as directory:
        dev = DevGateway(directory / "data")
        _keep_ports(dev.data_dir / "sandbox")
        try:
            dev.start()
            account, subject = _fill(dev)
            dev.stop()
            dev.start()
            api = Client(dev.url, dev.token)
            assert api.account(account)["state"] == "connected"
            assert len(api.with_subject(account, subject)) == 1
            assert [app["name"] for app in api.get("/v1/oauth2")["apps"]] == ["Sandbox"]
            api.close()
            dev.stop()
        finally:
            dev.process.kill()


def _keep_ports(sandbox: Path) -> None:
    """Give the sandbox ports that no other one of this machine takes while it is down: the account has them."""
    sandbox.mkdir(parents=True)
    ports = {name: reserve_port() for name in ("http", "imap", "smtp")}
    (sandbox / "ports.json").write_text(json.dumps(ports))


def _fill(dev: DevGateway) -> tuple[str, str]:
    """Connect dave's mailbox, which needs no browser, and deliver a message to it."""
    api = Client(dev.url, dev.token)
    cloud = json.loads((dev.data_dir / "clouds.json").read_text())["sandbox"]
    tls = {"rejectUnauthorized": False}
    auth = {"user": "dave@example.test", "pass": "sandbox-password"}
    imap = {"host": cloud["imap"]["host"], "port": cloud["imap"]["port"], "secure": True, "tls": tls, "auth": auth}
    account, subject = f"dave-{secrets.token_hex(3)}", f"Kept {secrets.token_hex(6)}"
    api.post("/v1/account", {"account": account, "name": "Dave", "imap": imap})
    api.wait_for_state(account, "connected")
    raw = f"From: a@example.org\r\nTo: dave@example.test\r\nSubject: {subject}\r\n\r\nx\r\n".encode()
    url = f"{dev.control_url}/deliver"
    httpx.post(url, params={"user": "dave@example.test"}, content=raw, trust_env=False).raise_for_status()
    api.wait_for_message(account, subject)
    api.close()
    return account, subject


def test_gateway_dev_is_ready_to_be_tried(gateway_dev: DevGateway) -> None:
    """Health, token, app and the page that a person sees first."""
    api = Client(gateway_dev.url, gateway_dev.token)
    assert api.http.get("/health").status_code == 200
    assert [app["cloud"] for app in api.get("/v1/oauth2")["apps"]] == ["sandbox"]
    assert api.http.get("/admin").status_code in (200, 302, 303, 401)
    assert httpx.get(f"{gateway_dev.control_url}/failures", trust_env=False).status_code == 200
    api.close()

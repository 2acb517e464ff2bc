"""`gateway dev` and `gateway demo` in the hands of somebody who has never seen them."""

from __future__ import annotations

import functools
import json
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.client import CLIENT_PAGE, Browser, Client, account_path
from tests.acceptance.dev_process import DevGateway
from tests.acceptance.processes import GatewayProcess
from tests.rigs.ports import reserve_port
from tests.rigs.processes import rig_directory, wait_until

REPETITIONS = 3


@pytest.fixture
def api(gateway_dev: DevGateway) -> Iterator[Client]:
    client = Client(gateway_dev.url, gateway_dev.token)
    yield client
    client.close()


@pytest.fixture
def directory() -> Iterator[Path]:
    with rig_directory("dev-start") as directory:
        yield directory


@pytest.fixture
def alice(gateway_dev: DevGateway, api: Client) -> Iterator[str]:
    """An account of alice's mailbox that is not the demonstration's."""
    # A user may be one account of an app, and other tests of this gateway sign her in, too.
    for entry in api.get("/v1/accounts", query="alice@contoso.test")["accounts"]:
        api.delete(account_path(entry["account"]))
    account = f"alice-{secrets.token_hex(3)}"
    app = api.get("/v1/oauth2")["apps"][0]["id"]
    asked = {"account": account, "redirectUrl": CLIENT_PAGE, "type": app}
    browser = Browser(gateway_dev.url)
    sign_in_page = browser.open(browser.begin(api.post("/v1/authentication/form", asked)["url"]))
    accepted = browser.submit(sign_in_page, user="alice@contoso.test", action="accept")
    browser.open(accepted.headers["location"])
    browser.close()
    api.wait_for_state(account, "connected")
    yield account
    api.delete(account_path(account))


def refused(directory: Path, port: int, settings: dict[str, str]) -> str:
    """Start ``gateway dev``, which must end by itself, and return what it said."""
    arguments = ["dev", "--data-dir", str(directory / "data"), "--port", str(port)]
    process = GatewayProcess("dev", arguments, settings, directory / "dev.log")
    process.start()
    try:
        assert process.wait(60) == 1
    finally:
        process.kill()
    return process.log_tail()


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_port_that_somebody_has_is_told_before_anything_starts(directory: Path) -> None:
    """Whoever answers there would be taken for the API."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(directory, port, {})
    assert said == f"gateway: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_a_process_that_does_not_start_ends_it_with_the_reason(directory: Path) -> None:
    """Instead of starting the same thing again and again for a minute."""
    said = refused(directory, reserve_port(), {"GATEWAY_SETTINGS": '{"noSuchSetting": 1}'})
    assert "unknown field `noSuchSetting`" in said
    assert "does not start; its messages are above" in said
    assert "starting it again" not in said


def test_the_demonstration_can_be_repeated(gateway_dev: DevGateway, api: Client, alice: str) -> None:
    """It finds gateway and token by the data directory, and leaves the inbox as full as it was."""

    def inbox() -> set[str]:
        return {entry["messageId"] for entry in api.messages(alice, pageSize=250)["messages"]}

    before = inbox()
    for _ in range(REPETITIONS):
        shown = demo("--data-dir", str(gateway_dev.data_dir))
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert shown.stdout.endswith("Everything happened.\n")
    assert inbox() == before
    assert [entry["account"] for entry in api.get("/v1/accounts", query="demo-")["accounts"]] == []


def test_the_demonstration_goes_over_microsoft_graph_too(gateway_dev: DevGateway) -> None:
    shown = demo("--data-dir", str(gateway_dev.data_dir), "--base-scope", "api")
    assert (shown.returncode, shown.stderr) == (0, ""), shown.stdout
    assert shown.stdout.endswith("Everything happened.\n")


def test_the_demonstration_without_a_gateway_says_so_and_fails(directory: Path) -> None:
    """A script sees it by the exit code, a person by one line."""
    url = f"http://127.0.0.1:{reserve_port()}"
    shown = demo("--url", url, "--token", secrets.token_hex(32), "--data-dir", str(directory))
    assert (shown.returncode, shown.stdout) == (1, f"  failed: no answer from {url} (ConnectError)\n")


def test_processes_that_are_killed_are_started_again(directory: Path) -> None:
    """One after the other, while the gateway is used; Ctrl-C still leaves nothing behind."""
    dev = DevGateway(directory / "data")
    try:
        dev.start()
        for command, name in (
            ("gateway worker", "The process `gateway worker`"),
            ("gateway serve", "The process `gateway serve`"),
            ("redis.sock", "The Redis server"),
        ):
            (victim,) = [child for child in dev.process.family() if command in " ".join(child.cmdline())]
            victim.kill()
            wait_until(functools.partial(dev.said, f"{name} was killed by signal 9"), name)
        wait_until(lambda: demo("--data-dir", str(dev.data_dir)).returncode == 0, "a demonstration", 90)
        dev.stop()
    finally:
        dev.process.kill()


def test_a_start_on_another_port_takes_the_sandbox_application_along(directory: Path) -> None:
    """Its redirect URL would lead to whoever has the old port now, and nobody could sign in."""
    for port in (reserve_port(), reserve_port()):
        dev = DevGateway(directory / "data", port=port)
        try:
            dev.start()
            client = Client(dev.url, dev.token)
            (app,) = client.get("/v1/oauth2")["apps"]
            client.close()
            dev.stop()
        finally:
            dev.process.kill()
        assert app["redirectUrl"] == f"{dev.url}/oauth"


def test_it_can_be_started_beside_a_folder_of_its_own_name(directory: Path) -> None:
    """Python would take that for the package, and so would the child processes."""
    (directory / "gateway").mkdir()
    (directory / "gateway" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    arguments = ["dev", "--data-dir", "data", "--port", str(reserve_port()), "--no-sandbox"]
    process = GatewayProcess("dev", arguments, {}, directory / "dev.log", directory=directory)
    process.start()
    try:
        wait_until(lambda: "Ready after" in process.log_tail() or not process.running, "gateway dev ready", 90)
        assert process.stop(signal.SIGINT) == 0, process.log_tail()
    finally:
        process.kill()


def test_an_app_that_signs_in_by_itself_opens_and_sends_for_a_mailbox(gateway_dev: DevGateway, api: Client) -> None:
    """Client credentials (RFC 6749 section 4.4): nobody at the mailbox has to do anything."""
    (sandbox_app,) = [app for app in api.get("/v1/oauth2")["apps"] if app["cloud"] == "sandbox"][:1]
    app = api.post(
        "/v1/oauth2",
        {
            "name": "By itself",
            "provider": "outlookService",
            "baseScopes": "imap",
            "clientId": sandbox_app["clientId"],
            "clientSecret": "sandbox-secret",
            "authority": "contoso.test",
            "cloud": "sandbox",
        },
    )["id"]
    tried = api.post(f"/v1/oauth2/{app}/verify", {"account": "bob@contoso.test"})
    assert [(step["id"], step["status"]) for step in tried["steps"]] == [
        ("config", "ok"),
        ("token", "ok"),
        ("mailbox", "ok"),
    ]
    account = f"bob-{secrets.token_hex(3)}"
    auth = {"user": "bob@contoso.test"}
    api.post(
        "/v1/account",
        {"account": account, "name": "Bob", "email": auth["user"], "oauth2": {"provider": app, "auth": auth}},
    )
    try:
        api.wait_for_state(account, "connected")
        subject = f"To myself {account}"
        api.post(f"{account_path(account)}/submit", {"to": {"address": auth["user"]}, "subject": subject, "text": "x"})
        wait_until(
            lambda: subject in {entry.get("subject") for entry in api.messages(account)["messages"]}, "the message", 30
        )
    finally:
        api.delete(account_path(account))
        api.delete(f"/v1/oauth2/{app}")


def test_a_mailbox_with_a_password_is_announced_and_trusted(gateway_dev: DevGateway, api: Client) -> None:
    """The form for plain IMAP accounts can be tried too, with what was printed."""
    said = gateway_dev.log.read_text()
    assert "dave@example.test, password sandbox-password; IMAP localhost:" in said
    cloud = json.loads((gateway_dev.data_dir / "clouds.json").read_text())["sandbox"]
    auth = {"user": "dave@example.test", "pass": "sandbox-password"}
    tried = api.post(
        "/v1/verifyAccount",
        {
            "imap": {"host": "localhost", "port": cloud["imap"]["port"], "secure": True, "auth": auth},
            "smtp": {"host": "localhost", "port": cloud["smtp"]["port"], "secure": False, "auth": auth},
        },
    )
    assert (tried["imap"]["success"], tried["smtp"]["success"]) == (True, True), tried

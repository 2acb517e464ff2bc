"""Starting, stopping and starting again."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import imapclient
import pytest

import gateway_sandbox
from gateway.errors import ConfigurationError
from gateway.provider import Sandbox
from gateway_sandbox import directory
from gateway_sandbox.plugin import MicrosoftSandbox
from gateway_sandbox.ports import choose
from gateway_sandbox.testing import ALICE, MAIL_SCOPES, sandbox_in_thread, take_any_ports

MESSAGE = b"From: x@outside.example\r\nSubject: kept\r\n\r\nHello\r\n"


def test_mail_and_grants_survive_a_restart(tmp_path: Path) -> None:
    """`gateway dev` is stopped and started all day; accounts must go on working with the same UIDs."""
    take_any_ports(tmp_path)
    with sandbox_in_thread(tmp_path) as first:
        grant = first.sign_in()
        uid = first.deliver(ALICE, MESSAGE)
        with imapclient.IMAPClient("localhost", first.endpoints.imap_port, ssl_context=first.tls) as client:
            client.oauth2_login(ALICE, grant["access_token"])
            validity = client.select_folder("INBOX")[b"UIDVALIDITY"]
            client.add_flags([uid], [rb"\Flagged"])
    with sandbox_in_thread(tmp_path) as second:
        assert second.endpoints == first.endpoints
        scope = " ".join(MAIL_SCOPES)
        form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"], "scope": scope}
        renewed = second.token_request(**form).json()
        # The certificate is the same: a client that has the old authority's file still trusts it.
        with imapclient.IMAPClient("localhost", second.endpoints.imap_port, ssl_context=first.tls) as client:
            client.oauth2_login(ALICE, renewed["access_token"])
            assert client.select_folder("INBOX")[b"UIDVALIDITY"] == validity
            found = client.fetch([uid], ["FLAGS", "BODY.PEEK[]"])[uid]
        assert found[b"BODY[]"] == MESSAGE
        assert rb"\Flagged" in found[b"FLAGS"]


def test_second_process_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    """Two writers would give one UID to two messages."""
    take_any_ports(tmp_path)
    with (
        sandbox_in_thread(tmp_path),
        pytest.raises(ConfigurationError, match="another process"),
        sandbox_in_thread(tmp_path),
    ):
        pass


def test_plugin_writes_its_cloud_and_leaves_the_others(tmp_path: Path) -> None:
    """The clouds file belongs to the operator."""
    take_any_ports(tmp_path)
    (tmp_path / "clouds.json").write_text('{"mine": {"login": "https://login.example"}}')

    async def run() -> None:
        async with MicrosoftSandbox().running(tmp_path) as info:
            clouds = json.loads((tmp_path / "clouds.json").read_text())
            assert clouds["mine"] == {"login": "https://login.example"}
            entry = clouds[MicrosoftSandbox.app["cloud"]]
            assert info.control_url == f"{entry['login']}/sandbox"
            assert entry["imap"]["security"] == "tls"
            assert entry["smtp"]["security"] == "starttls"
            assert Path(entry["ca_file"]).is_file()

    asyncio.run(run())


def test_broken_clouds_file_is_named(tmp_path: Path) -> None:
    """Overwriting what an operator mistyped would lose it."""
    take_any_ports(tmp_path)
    (tmp_path / "clouds.json").write_text("{oops")

    async def run() -> None:
        async with MicrosoftSandbox().running(tmp_path):
            pass

    with pytest.raises(ConfigurationError, match=r"clouds\.json"):
        asyncio.run(run())
    assert (tmp_path / "clouds.json").read_text() == "{oops"


def test_nothing_is_left_running(tmp_path: Path) -> None:
    """`gateway dev` ends when the sandbox has ended."""
    before = set(threading.enumerate())
    with sandbox_in_thread(take_any_ports(tmp_path)) as sandbox:
        ports = (sandbox.endpoints.imap_port, sandbox.endpoints.smtp_port)
        lingering = socket.create_connection(("127.0.0.1", ports[1]), timeout=10)
        assert lingering.recv(100).startswith(b"220 ")
    assert lingering.recv(100) == b""
    lingering.close()
    # Threads of earlier tests may end meanwhile: only what is new would be the sandbox'.
    assert set(threading.enumerate()) <= before
    for port in ports:
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
            pass


def test_taken_port_falls_back_and_the_choice_is_remembered(tmp_path: Path) -> None:
    """Somebody else may use 4100; accounts that were added go on working after a restart."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        path = tmp_path / "ports.json"
        path.write_text(json.dumps({"http": taken, "imap": 0, "smtp": 0}))
        chosen = choose(path)
        assert chosen.http != taken
    assert choose(path) == chosen


def test_hook_registers_the_sandbox() -> None:
    """What `gateway dev` looks for."""
    found: list[Sandbox] = []
    gateway_sandbox.gateway_register_sandboxes(found.append)
    (sandbox,) = found
    assert sandbox.name == "microsoft"
    assert sandbox.app["clientId"] == directory.CLIENT_ID
    assert sandbox.users == tuple(person.address for person in directory.sign_in_choices())
    assert ALICE in sandbox.users


def test_looking_for_plugins_does_not_load_the_servers() -> None:
    """Every process of the gateway imports its plugins; the servers cost 25 MB."""
    code = "import sys, gateway_sandbox; print({'pymap', 'aiosmtpd', 'trustme', 'joserfc'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"

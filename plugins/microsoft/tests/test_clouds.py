"""Clouds as data, and an installation's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.model.server import Server
from gateway_microsoft import load_clouds
from gateway_microsoft.clouds import is_loopback

SANDBOX: dict[str, Any] = {
    "login": "http://localhost:4711",
    "graph": "http://localhost:4711/graph",
    "imap": {"host": "localhost", "port": 1993, "security": "tls"},
    "smtp": {"host": "localhost", "port": 1587, "security": "starttls"},
    "scope_host": "https://outlook.office.com",
    "ca_file": "ca.pem",
    "instance_discovery": False,
}


def write(data_dir: Path, entries: object) -> None:
    """Replace the clouds file the way programs do."""
    replacement = data_dir / "clouds.tmp"
    replacement.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    replacement.replace(data_dir / "clouds.json")


def test_the_built_in_clouds_are_four_with_global_first() -> None:
    """The first one is what a page offers."""
    clouds = load_clouds(None)
    assert list(clouds) == ["global", "gcc-high", "dod", "china"]
    assert clouds["global"].imap == Server(host="outlook.office365.com", port=993)
    assert clouds["global"].smtp == Server(host="smtp.office365.com", port=587, security="starttls")
    assert {cloud.login for cloud in clouds.values()} == {
        "https://login.microsoftonline.com",
        "https://login.microsoftonline.us",
        "https://login.chinacloudapi.cn",
    }
    assert all(cloud.imap.security == "tls" and cloud.smtp.security == "starttls" for cloud in clouds.values())
    assert not any(cloud.instance_discovery for cloud in clouds.values())


def test_a_missing_file_or_directory_changes_nothing(tmp_path: Path) -> None:
    """Most installations have none."""
    assert load_clouds(tmp_path) == load_clouds(None) == load_clouds(tmp_path / "gone")


def test_a_file_that_appears_changes_and_goes_is_noticed(tmp_path: Path) -> None:
    """The sandbox writes it before we start or while we run."""
    assert "sandbox" not in load_clouds(tmp_path)
    write(tmp_path, {"sandbox": SANDBOX})
    assert load_clouds(tmp_path)["sandbox"].login == "http://localhost:4711"
    write(tmp_path, {"sandbox": {**SANDBOX, "login": "http://localhost:4712"}})
    assert load_clouds(tmp_path)["sandbox"].login == "http://localhost:4712"
    assert load_clouds(tmp_path) is load_clouds(tmp_path), "an unchanged file is not read again"
    (tmp_path / "clouds.json").unlink()
    assert "sandbox" not in load_clouds(tmp_path)


def test_the_authority_of_an_entry_counts_for_its_mail_servers_too(tmp_path: Path) -> None:
    """A path is relative to the file; a server may have its own."""
    own = {**SANDBOX["smtp"], "ca_file": "/etc/other.pem"}
    write(tmp_path, {"sandbox": {**SANDBOX, "smtp": own}})
    cloud = load_clouds(tmp_path)["sandbox"]
    assert (cloud.ca_file, cloud.imap.ca_file) == (tmp_path / "ca.pem", tmp_path / "ca.pem")
    assert cloud.smtp.ca_file == Path("/etc/other.pem")


def test_single_members_of_a_known_cloud_can_be_replaced(tmp_path: Path) -> None:
    """Microsoft moves a host, and nobody waits for a release."""
    write(tmp_path, {"china": {"login": "https://login.partner.microsoftonline.cn/"}})
    clouds = load_clouds(tmp_path)
    assert clouds["china"].login == "https://login.partner.microsoftonline.cn"
    assert clouds["china"].imap.host == "partner.outlook.cn"
    assert clouds["global"] == load_clouds(None)["global"]


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({**SANDBOX, "login": "http://login.example"}, "'login' must use https"),
        ({**SANDBOX, "login": "ftp://login.example"}, "'login' must be an https URL"),
        ({**SANDBOX, "login": "https://login.example/tenant"}, "'login' must be a host"),
        ({**SANDBOX, "graph": "https://graph.example?x"}, "'graph' must not have a query"),
        ({**SANDBOX, "scope_host": "outlook.office.com"}, "'scope_host' must be an https URL"),
        ({**SANDBOX, "app_scope_host": "http://outlook.example"}, "'app_scope_host' must use https"),
        ({**SANDBOX, "imap": {"host": "localhost", "port": "993"}}, r"\$.imap.port"),
        ({**SANDBOX, "smtp": {"host": "localhost", "port": 25, "security": "ssl"}}, r"\$.smtp.security"),
        ({name: value for name, value in SANDBOX.items() if name != "smtp"}, "smtp"),
        ({**SANDBOX, "logon": "x"}, "logon"),
        ("https://login.example", "must be an object"),
    ],
)
def test_a_broken_entry_is_named_with_its_member(tmp_path: Path, entry: object, named: str) -> None:
    """Whoever wrote the file must find the place."""
    write(tmp_path, {"mine": entry})
    with pytest.raises(ConfigurationError, match=f"clouds.json: entry 'mine'.*{named}"):
        load_clouds(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '"global"', "null"])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    """Going on with the built-in clouds would connect to another Microsoft than was asked for."""
    write(tmp_path, text)
    with pytest.raises(ConfigurationError, match=r"clouds\.json must be a JSON object"):
        load_clouds(tmp_path)


def test_a_broken_file_works_again_when_it_is_mended(tmp_path: Path) -> None:
    """The failure is not remembered."""
    write(tmp_path, "{")
    with pytest.raises(ConfigurationError):
        load_clouds(tmp_path)
    write(tmp_path, {"sandbox": SANDBOX})
    assert "sandbox" in load_clouds(tmp_path)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_only(host: str, expected: bool) -> None:
    """It decides where secrets may travel in the clear."""
    assert is_loopback(host) is expected

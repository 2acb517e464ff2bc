"""The command line beside a running gateway: tokens, keys, and what is wrong with an installation."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import redis

from tests.integration.api.installation import ROOT_TOKEN, SERVICE_URL, Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

KEY = (b"k" * 32).hex()


def gateway_command(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command with these settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**inherited, **settings},
    )


@pytest.fixture
def settings(gateway: Installation) -> dict[str, str]:
    return {"GATEWAY_REDIS_URL": gateway.url, "GATEWAY_SECRET_KEYS": KEY}


async def test_a_token_of_the_command_line_works_until_it_is_deleted(
    gateway: Installation, settings: dict[str, str]
) -> None:
    issued = gateway_command("tokens", "issue", "--description", "for tests", **settings)
    value = issued.stdout.strip()
    assert (issued.returncode, len(value)) == (0, 64)
    async with gateway.client(value) as client:
        assert (await client.get("/v1/oauth2")).status_code == 200
        listed = gateway_command("tokens", "list", **settings)
        assert re.search(r"^[0-9a-f]{64}  api  -  for tests$", listed.stdout, re.MULTILINE)
        assert value not in listed.stdout
        assert gateway_command("tokens", "delete", value, **settings).returncode == 0
        refusal(await client.get("/v1/oauth2"), 401)
    again = gateway_command("tokens", "delete", value, **settings)
    assert (again.returncode, again.stderr) == (1, "gateway: there is no such token\n")


async def test_a_token_is_bound_to_an_account_that_exists(gateway: Installation, settings: dict[str, str]) -> None:
    async with gateway.client(ROOT_TOKEN) as client:
        await client.post("/v1/account", json={"account": "a", "name": "a"})
    value = gateway_command("tokens", "issue", "-d", "x", "-a", "a", **settings).stdout.strip()
    async with gateway.client(value) as client:
        assert (await client.get("/v1/account/a")).status_code == 200
        refusal(await client.get("/v1/account/b"), 403)
    missing = gateway_command("tokens", "issue", "-d", "x", "-a", "none", **settings)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith("gateway: no such account")


async def test_a_new_key_is_one_that_the_settings_take(settings: dict[str, str]) -> None:
    """Put before the old one, it seals what is new while the old one opens what is there."""
    keys = [gateway_command("secrets", "generate").stdout.strip() for _ in range(2)]
    assert keys[0] != keys[1]
    rotated = {**settings, "GATEWAY_SECRET_KEYS": f"{keys[0]},{KEY}"}
    assert gateway_command("tokens", "list", **rotated).returncode == 0


async def test_a_sound_installation_has_no_problem(settings: dict[str, str]) -> None:
    with redis.Redis.from_url(settings["GATEWAY_REDIS_URL"]) as database:
        assert database.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    checked = gateway_command("check", GATEWAY_SERVICE_URL=SERVICE_URL, **settings)
    assert (checked.returncode, checked.stdout) == (0, "no problem found\n"), checked.stderr


async def test_check_names_every_problem_at_once(gateway: Installation, settings: dict[str, str]) -> None:
    """Of the settings, of Redis, of the apps: one round of mending is enough."""
    wrong = {"GATEWAY_PORT": "http", "GATEWAY_SECRET_KEYS": "short", "GATEWAY_REDIS_URL": "http://x"}
    found = gateway_command("check", **wrong)
    assert found.returncode == 1
    assert [line.split()[1] for line in found.stdout.splitlines()] == [f"{name}:" for name in sorted(wrong)]
    assert "short" not in found.stdout
    with redis.Redis.from_url(gateway.url) as database:
        database.config_set("maxmemory-policy", "allkeys-lru")
        try:
            lossy = gateway_command("check", **{**settings, "GATEWAY_SECRET_KEYS": ""})
        finally:
            database.config_set("maxmemory-policy", "noeviction")
    assert lossy.returncode == 1
    assert "GATEWAY_SECRET_KEYS is not set" in lossy.stdout
    assert "maxmemory-policy is allkeys-lru" in lossy.stdout


async def test_check_finds_apps_whose_users_would_not_come_back(
    gateway: Installation, settings: dict[str, str]
) -> None:
    async with gateway.client(ROOT_TOKEN) as client:
        app = {
            "name": "Contoso",
            "provider": "outlook",
            "clientId": "11111111-2222-4333-8444-555555555555",
            "clientSecret": "app-secret",
            "redirectUrl": "https://elsewhere.example/oauth",
        }
        id = (await client.post("/v1/oauth2", json=app)).json()["id"]
    found = gateway_command("check", **settings)
    assert found.returncode == 1
    assert f"OAuth2 app {id}" in found.stdout
    assert "https://elsewhere.example/oauth" in found.stdout


async def test_check_tells_when_redis_cannot_be_reached(settings: dict[str, str]) -> None:
    """Without repeating the address, which may hold a password."""
    found = gateway_command("check", **{**settings, "GATEWAY_REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"})
    assert found.returncode == 1
    assert "GATEWAY_REDIS_URL: the server cannot be reached" in found.stdout
    assert "hunter2" not in found.stdout + found.stderr


@pytest.mark.parametrize("command", [("serve",), ("tokens", "list"), ("check",), ("plugins",), ("worker",)])
async def test_a_setting_that_is_not_known_is_an_error(command: tuple[str, ...], settings: dict[str, str]) -> None:
    """One that is silently ignored looks like one that works."""
    found = gateway_command(*command, GATEWAY_REDIS_ULR="redis://hunter2", **settings)
    assert found.returncode == 1
    assert "GATEWAY_REDIS_ULR is not a setting" in found.stdout + found.stderr
    assert "hunter2" not in found.stdout + found.stderr


@pytest.mark.parametrize("command", [("tokens", "list"), ("tokens", "issue", "-d", "x")])
async def test_a_short_command_says_in_a_sentence_what_is_wrong(
    command: tuple[str, ...], settings: dict[str, str]
) -> None:
    """No traceback: when there is no key, and when Redis is away."""
    keyless = gateway_command(*command, GATEWAY_REDIS_URL=settings["GATEWAY_REDIS_URL"])
    away = gateway_command(*command, **{**settings, "GATEWAY_REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"})
    for found in (keyless, away):
        assert (found.returncode, found.stdout) == (1, "")
        assert found.stderr.startswith("gateway: ")
        assert len(found.stderr.splitlines()) == 1
        assert "hunter2" not in found.stderr

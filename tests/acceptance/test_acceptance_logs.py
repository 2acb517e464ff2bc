"""The protocol log of an account, through the API and a real worker."""

from __future__ import annotations

from tests.acceptance.client import Client, account_path
from tests.acceptance.stack import GatewayStack
from tests.rigs.processes import wait_until


def _log(api: Client, account: str) -> str:
    return api.octets(f"/v1/logs/{account}").text


def test_a_log_is_kept_from_the_moment_somebody_wants_it(sandbox_stack: GatewayStack) -> None:
    """The workers' open connections count, too: they are built anew."""
    api = sandbox_stack.api
    with sandbox_stack.connected(sandbox_stack.lab.users[2]) as account:
        api.get(f"{account_path(account)}/mailboxes")
        assert _log(api, account) == f"No logs found for {account}\n"
        api.put(account_path(account), {"logs": True})
        api.wait_for_state(account, "connected")
        wait_until(lambda: "LIST" in _log(api, account), "the log has a command")
        found = _log(api, account)
        assert "AUTHENTICATE XOAUTH2 <hidden>" in found
        assert " S: " in found
        assert api.octets(f"/v1/logs/{account}").headers["content-type"] == "text/plain; charset=utf-8"

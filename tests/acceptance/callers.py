"""Client apps that call the API all the time, through a load balancer."""

from __future__ import annotations

from tests.acceptance.client import account_path
from tests.acceptance.fleet import Fleet


def asked(fleet: Fleet, accounts: list[str]) -> dict[str, int]:
    """List the inbox of each of some accounts, and return the statuses."""

    def ask(account: str) -> int:
        return fleet.stack.api.http.get(f"{account_path(account)}/messages", params={"path": "INBOX"}).status_code

    return fleet.each(accounts, ask)

"""Accounts over REST: what the tests create, read and change."""

from __future__ import annotations

from typing import Any

import httpx

MASK = "******"
IMAP = {"host": "imap.example.com", "port": 993, "secure": True, "auth": {"user": "u", "pass": "imap-secret"}}
SMTP = {"host": "smtp.example.com", "port": 587, "auth": {"user": "u", "pass": "smtp-secret"}}
APP = {
    "name": "Contoso",
    "provider": "outlook",
    "clientId": "11111111-2222-4333-8444-555555555555",
    "clientSecret": "app-secret",
    "redirectUrl": "https://gateway.example/oauth",
}


async def create(client: httpx.AsyncClient, account: str | None, **members: Any) -> Any:
    answer = await client.post("/v1/account", json={"account": account, "name": "Somebody", **members})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def read(client: httpx.AsyncClient, account: str) -> Any:
    answer = await client.get(f"/v1/account/{account}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def change(client: httpx.AsyncClient, account: str, **members: Any) -> Any:
    answer = await client.put(f"/v1/account/{account}", json=members)
    assert answer.json() == {"account": account}, answer.text
    return await read(client, account)


async def create_app(client: httpx.AsyncClient) -> str:
    created: str = (await client.post("/v1/oauth2", json=APP)).json()["id"]
    return created

"""Templates over REST, and messages made of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import httpx
import pytest

from tests.integration.api.installation import Installation
from tests.integration.api.refusals import refusal

pytestmark = pytest.mark.anyio

SMTP = {"host": "smtp.example.com", "port": 587, "auth": {"user": "u", "pass": "p"}}
TEMPLATES = "/v1/templates/template"
CONTENT = {
    "subject": "Hello {{params.name}}",
    "html": "<html><body class=x><p>Dear {{params.name}}, {{account.email}} at {{service.url}}</p></body></html>",
    "previewText": "For {{params.name}}",
}


@pytest.fixture
async def sender(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client; there are the accounts `a` and `b`, which can send."""
    for account in ("a", "b"):
        member = {"account": account, "name": "Ada", "email": "ada@example.com", "smtp": SMTP}
        assert (await client.post("/v1/account", json=member)).status_code == 200
    return client


async def create(client: httpx.AsyncClient, **members: Any) -> str:
    body = {"account": None, "name": "Welcome", "content": CONTENT, **members}
    answer = await client.post(TEMPLATES, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"created": True, "account": body["account"], "id": answer.json()["id"]}
    return str(answer.json()["id"])


async def submit(client: httpx.AsyncClient, account: str = "a", **members: Any) -> httpx.Response:
    body = {"to": {"address": "bob@example.com"}, "dryRun": True, **members}
    return await client.post(f"/v1/account/{account}/submit", json=body)


async def preview(client: httpx.AsyncClient, **members: Any) -> EmailMessage:
    answer = await submit(client, **members)
    assert answer.status_code == 200, answer.text
    return message_from_bytes(base64.b64decode(answer.json()["preview"]), policy=policy.default)


def text_of(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


async def test_a_template_lives_until_it_is_deleted(gateway: Installation, sender: httpx.AsyncClient) -> None:
    id = await create(sender, description="For new customers")
    gateway.clock.advance(60)
    changed = {"name": "Farewell", "format": "markdown", "content": {"text": "Bye"}}
    assert (await sender.put(f"{TEMPLATES}/{id}", json=changed)).json() == {"updated": True, "account": None, "id": id}
    found = (await sender.get(f"{TEMPLATES}/{id}")).json()
    assert (found["name"], found["description"], found["format"]) == ("Farewell", "For new customers", "markdown")
    assert found["content"] == {"text": "Bye"}
    assert found["created"] < found["updated"]
    gone = {"deleted": True, "account": None, "id": id}
    assert (await sender.delete(f"{TEMPLATES}/{id}")).json() == gone
    assert (await sender.delete(f"{TEMPLATES}/{id}")).json() == {**gone, "deleted": False}
    assert refusal(await sender.get(f"{TEMPLATES}/{id}"), 404) == "TemplateNotFound"
    assert refusal(await sender.put(f"{TEMPLATES}/{id}", json=changed), 404) == "TemplateNotFound"


async def test_lists_are_of_one_account_or_of_all(sender: httpx.AsyncClient) -> None:
    shared, own = await create(sender), await create(sender, account="a")
    listed = (await sender.get("/v1/templates")).json()
    assert (listed["account"], listed["total"], [found["id"] for found in listed["templates"]]) == (None, 1, [shared])
    listed = (await sender.get("/v1/templates", params={"account": "a"})).json()
    assert (listed["account"], [found["id"] for found in listed["templates"]]) == ("a", [own])
    assert (await sender.get("/v1/templates", params={"account": "b"})).json()["templates"] == []
    assert refusal(await sender.get("/v1/templates", params={"account": "nobody"}), 404) == "AccountNotFound"


async def test_a_template_belongs_to_an_account_that_is_there(sender: httpx.AsyncClient) -> None:
    body = {"account": "nobody", "name": "x", "content": {}}
    assert refusal(await sender.post(TEMPLATES, json=body), 404) == "AccountNotFound"


async def test_what_is_no_handlebars_is_not_stored(gateway: Installation, sender: httpx.AsyncClient) -> None:
    before = gateway.keyspace()
    body = {"account": None, "name": "x", "content": {"html": "{{#if a}}", "previewText": "{{"}}
    answer = await sender.post(TEMPLATES, json=body)
    assert refusal(answer, 400) == "InvalidRequest"
    assert [field["key"] for field in answer.json()["fields"]] == ["content.html", "content.previewText"]
    assert gateway.keyspace() == before


async def test_the_texts_of_templates_are_sealed(gateway: Installation, sender: httpx.AsyncClient) -> None:
    await create(sender, content={"text": "VERY-PRIVATE"})
    assert "VERY-PRIVATE" not in repr(gateway.keyspace())


async def test_an_account_takes_its_templates_along(gateway: Installation, sender: httpx.AsyncClient) -> None:
    own, shared = await create(sender, account="b"), await create(sender)
    assert refusal(await sender.delete("/v1/templates/account/b"), 400) == "InvalidRequest"
    answer = await sender.delete("/v1/templates/account/b", params={"force": "true"})
    assert answer.json() == {"flushed": True, "account": "b"}
    assert (await sender.get(f"{TEMPLATES}/{own}")).status_code == 404
    other = await create(sender, account="b")
    assert (await sender.delete("/v1/account/b")).status_code == 200
    assert (await sender.get(f"{TEMPLATES}/{other}")).status_code == 404
    assert (await sender.get(f"{TEMPLATES}/{shared}")).status_code == 200


async def test_a_token_of_an_account_has_its_templates_alone(gateway: Installation, sender: httpx.AsyncClient) -> None:
    foreign, shared = await create(sender, account="b"), await create(sender)
    body = {"account": "a", "description": "a token", "scopes": ["api"]}
    token = (await sender.post("/v1/tokens", json=body)).json()["token"]
    async with gateway.client(token) as bound:
        made = await bound.post(TEMPLATES, json={"account": "b", "name": "x", "content": {"text": "x"}})
        assert made.json()["account"] == "a"
        own = f"{TEMPLATES}/{made.json()['id']}"
        assert (await bound.get(own)).status_code == 200
        for id in (foreign, shared, "unknown"):
            refusal(await bound.get(f"{TEMPLATES}/{id}"), 403)
            refusal(await bound.put(f"{TEMPLATES}/{id}", json={"name": "y"}), 403)
            refusal(await bound.delete(f"{TEMPLATES}/{id}"), 403)
        assert (await bound.get("/v1/templates", params={"account": "a"})).json()["total"] == 1
        refusal(await bound.get("/v1/templates"), 403)
        assert (await bound.delete(own)).json()["deleted"] is True


async def test_a_template_is_rendered_into_the_message(sender: httpx.AsyncClient) -> None:
    """Its texts go before those of the request."""
    id = await create(sender)
    params = {"params": {"name": "Zo\u00eb & <Co>"}}
    message = await preview(sender, template=id, subject="overwritten", render=params)
    assert message["Subject"] == "Hello Zo\u00eb & <Co>"
    html = text_of(message, "html")
    assert "Dear Zo\u00eb &amp; &lt;Co&gt;, ada@example.com at https://gateway.example" in html
    top, _, rest = html.partition("<body class=x>")
    assert top == "<html>"
    assert rest.startswith('<div style="display:none')
    assert "For Zo\u00eb &amp; &lt;Co&gt;</div>" in rest


async def test_a_template_can_be_sent_as_it_is(sender: httpx.AsyncClient) -> None:
    id = await create(sender, content={"subject": "Hello {{params.name}}", "text": "x"})
    assert (await preview(sender, template=id, render=False))["Subject"] == "Hello {{params.name}}"


async def test_the_texts_of_a_request_are_rendered_when_it_says_so(sender: httpx.AsyncClient) -> None:
    members = {"subject": "{{params.a}}", "html": "*{{params.a}}*"}
    assert (await preview(sender, **members))["Subject"] == "{{params.a}}"
    message = await preview(sender, **members, render={"format": "markdown", "params": {"a": "7"}})
    assert message["Subject"] == "7"
    assert text_of(message, "html").strip() == "<p><em>7</em></p>"


REFUSED: Mapping[str, tuple[dict[str, Any], int, str]] = {
    "a template that is not there": ({"template": "unknown"}, 404, "TemplateNotFound"),
    "texts that cannot be rendered": ({"text": "{{#if", "render": {}}, 422, "TemplateRenderFailed"),
    "a helper that is not there": ({"text": "{{a 1}}", "render": {}}, 422, "TemplateRenderFailed"),
    "raw with render": ({"raw": "QTogYg0KDQo=", "render": {}}, 400, "InvalidRequest"),
}


@pytest.mark.parametrize("label", REFUSED)
async def test_what_cannot_be_made_is_refused(label: str, gateway: Installation, sender: httpx.AsyncClient) -> None:
    members, status, code = REFUSED[label]
    before = gateway.keyspace()
    assert refusal(await submit(sender, **members, dryRun=False), status) == code
    assert gateway.keyspace() == before


async def test_a_template_of_another_account_is_not_there(sender: httpx.AsyncClient) -> None:
    id = await create(sender, account="b")
    assert refusal(await submit(sender, template=id), 404) == "TemplateNotFound"
    assert (await submit(sender, account="b", template=id)).status_code == 200

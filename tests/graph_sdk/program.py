"""What Microsoft's client does with a mailbox; run by `tests.graph_sdk` in an environment of its own."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import httpx
from kiota_abstractions.authentication import AuthenticationProvider
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_abstractions.request_information import RequestInformation
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.models.body_type import BodyType
from msgraph.generated.models.email_address import EmailAddress
from msgraph.generated.models.file_attachment import FileAttachment
from msgraph.generated.models.item_body import ItemBody
from msgraph.generated.models.message import Message
from msgraph.generated.models.recipient import Recipient
from msgraph.generated.users.item.messages.messages_request_builder import MessagesRequestBuilder
from msgraph.generated.users.item.send_mail.send_mail_post_request_body import SendMailPostRequestBody
from msgraph_core.requests.batch_request_content import BatchRequestContent
from msgraph_core.tasks.page_iterator import PageIterator

BOB = "bob@contoso.test"
Parameters = MessagesRequestBuilder.MessagesRequestBuilderGetQueryParameters


class Token(AuthenticationProvider):
    """Puts a token in."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def authenticate_request(self, request: RequestInformation, additional: Any = None) -> None:
        request.headers.try_add("Authorization", f"Bearer {self._token}")


def letter(subject: str) -> Message:
    """Return a message to somebody of the sandbox."""
    return Message(
        subject=subject,
        body=ItemBody(content_type=BodyType.Text, content="Hello."),
        to_recipients=[Recipient(email_address=EmailAddress(address=BOB))],
    )


async def lists_and_pages(client: GraphServiceClient) -> None:
    """A page of three, and all messages by the client's own iterator."""
    asked = RequestConfiguration(query_parameters=Parameters(top=3, count=True, orderby=["receivedDateTime desc"]))
    page = await client.me.messages.get(request_configuration=asked)
    assert len(page.value) == 3, page
    seen: list[str] = []

    def note(message: Message) -> bool:
        seen.append(message.id)
        return True

    await PageIterator(page, client.request_adapter).iterate(note)
    assert len(seen) == len(set(seen)) == page.odata_count, (len(seen), page.odata_count)


async def creates_and_attaches(client: GraphServiceClient) -> None:
    """A draft with a file, which is read again, changed and deleted."""
    draft = await client.me.messages.post(letter("a draft"))
    assert draft.is_draft
    one = client.me.messages.by_message_id(draft.id)
    content = bytes(range(256))
    await one.attachments.post(FileAttachment(name="octets.bin", content_bytes=content))
    (attached,) = (await one.attachments.get()).value
    assert attached.name == "octets.bin"
    whole = await one.attachments.by_attachment_id(attached.id).get()
    assert isinstance(whole, FileAttachment)
    changed = await one.patch(Message(is_read=True, categories=["Red category"]))
    assert (changed.is_read, changed.categories) == (True, ["Red category"])
    await one.delete()


async def sends(client: GraphServiceClient) -> None:
    """And finds the copy."""
    # The client says false by itself.
    body = SendMailPostRequestBody(message=letter("sent by the client"), save_to_sent_items=True)
    await client.me.send_mail.post(body)
    asked = RequestConfiguration(query_parameters=Parameters(filter="subject eq 'sent by the client'"))
    sent = await client.me.mail_folders.by_mail_folder_id("sentitems").messages.get(request_configuration=asked)
    assert len(sent.value) == 1, sent


async def follows_changes(client: GraphServiceClient) -> None:
    """Delta from the beginning, then what came since."""
    delta = client.me.mail_folders.by_mail_folder_id("drafts").messages.delta
    page = await delta.get()
    while page.odata_delta_link is None:
        page = await delta.with_url(page.odata_next_link).get()
    created = await client.me.messages.post(letter("a change"))
    after = await delta.with_url(page.odata_delta_link).get()
    assert [message.id for message in after.value] == [created.id]


async def batches(client: GraphServiceClient) -> None:
    """Two calls in one."""
    batch = BatchRequestContent()
    calls = [client.me.messages.to_get_request_information(), client.me.mail_folders.to_get_request_information()]
    for call in calls:
        batch.add_request_information(call)
    answers = await client.batch.post(batch)
    statuses = [answer.status for answer in answers.responses.values()]
    assert statuses == [200, 200], statuses


async def comes_back_after_a_refusal(client: GraphServiceClient, origin: str) -> None:
    """429 with Retry-After: the client's own retry handler waits and succeeds."""
    control = httpx.AsyncClient(base_url=origin, trust_env=False)
    throttled = {"failure": "throttled", "user": "alice@contoso.test", "seconds": 1}
    (await control.post("/sandbox/failures", json=throttled)).raise_for_status()
    asking = asyncio.create_task(client.me.messages.get())
    while not (await control.get("/sandbox/statistics")).json()["graph"]["throttled"].get("alice@contoso.test"):
        await asyncio.sleep(0.02)
    (await control.delete("/sandbox/failures")).raise_for_status()
    assert (await asking).value
    await control.aclose()


async def main(origin: str, token: str) -> None:
    """Run everything; the first failure ends it."""
    adapter = GraphRequestAdapter(Token(token))
    adapter.base_url = f"{origin}/graph/v1.0"
    client = GraphServiceClient(request_adapter=adapter)
    for scene in (lists_and_pages, creates_and_attaches, sends, follows_changes, batches):
        await scene(client)
        print(scene.__name__, "passed", flush=True)
    await comes_back_after_a_refusal(client, origin)
    print("comes_back_after_a_refusal passed", flush=True)


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(sys.argv[1], sys.argv[2]), 120))

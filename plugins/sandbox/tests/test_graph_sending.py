"""Drafts, sending and attachments over Graph."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import imapclient
import pytest

from gateway_sandbox import directory
from gateway_sandbox.testing import ALICE, BOB, CAROL, RunningSandbox
from tests.rigs.graph_client import GRAPH_SCOPES, GraphClient

Connect = Callable[..., GraphClient]
Login = Callable[..., imapclient.IMAPClient]
SUPPORT = directory.SUPPORT.address


def to(*addresses: str) -> list[dict[str, Any]]:
    return [{"emailAddress": {"address": address}} for address in addresses]


def draft(subject: str, **more: Any) -> dict[str, Any]:
    body = {"contentType": "html", "content": "<p>Hello</p>"}
    return {"subject": subject, "body": body, "toRecipients": to(BOB), **more}


def new_subject() -> str:
    return f"S-{uuid.uuid4()}"


def found(client: GraphClient, subject: str, folder: str, user: str = "/me") -> list[Any]:
    return client.get(f"{user}/mailFolders/{folder}/messages?$filter=subject eq '{subject}'")["value"]  # type: ignore[no-any-return]


def source(imap: imapclient.IMAPClient, folder: str, subject: str) -> EmailMessage:
    imap.select_folder(folder, readonly=True)
    uid = imap.search(["SUBJECT", subject])[-1]
    message = message_from_bytes(imap.fetch([uid], ["BODY.PEEK[]"])[uid][b"BODY[]"], policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_sent_by_graph_seen_by_imap(sandbox: RunningSandbox, graph: Connect, imap: Login) -> None:
    """With one copy in Sent Items, without Bcc at the recipients."""
    subject = new_subject()
    message = draft(
        subject, bccRecipients=to(CAROL), internetMessageHeaders=[{"name": "X-Ticket", "value": "7"}], importance="high"
    )
    assert graph(ALICE).call("POST", "/me/sendMail", {"message": message}).status_code == 202
    received = source(imap(BOB), "INBOX", subject)
    assert (received["x-ticket"], received["bcc"], received["importance"]) == ("7", None, "high")
    assert received["from"].addresses[0].addr_spec == ALICE
    assert source(imap(CAROL), "INBOX", subject)["to"] == BOB
    session = imap(ALICE)
    assert source(session, "Sent Items", subject)["bcc"] == CAROL
    assert len(session.search(["SUBJECT", subject])) == 1


def test_a_copy_is_kept_unless_refused(graph: Connect) -> None:
    """saveToSentItems false leaves nothing behind."""
    subject = new_subject()
    client = graph(ALICE)
    client.post("/me/sendMail", {"message": draft(subject), "saveToSentItems": False})
    assert found(client, subject, "sentitems") == []
    assert len(found(graph(BOB), subject, "inbox")) == 1


def test_a_draft_keeps_its_immutable_id_when_it_is_sent(graph: Connect) -> None:
    """That is how a client knows its own sent message."""
    client = graph(ALICE)
    client.prefer = ('IdType="ImmutableId"',)
    created = client.post("/me/messages", draft(new_subject(), categories=["Green"]))
    assert (created["isDraft"], created["categories"]) == (True, ["Green"])
    changed = client.patch(
        f"/me/messages/{created['id']}", {"subject": created["subject"] + "!", "ccRecipients": to(CAROL)}
    )
    assert changed["body"]["content"] == created["body"]["content"]
    assert changed["internetMessageId"] == created["internetMessageId"]
    assert client.call("POST", f"/me/messages/{created['id']}/send").status_code == 202
    sent = client.get(f"/me/messages/{created['id']}")
    assert (sent["isDraft"], sent["parentFolderId"]) == (False, client.get("/me/mailFolders/sentitems")["id"])
    (received,) = found(graph(CAROL), created["subject"] + "!", "inbox")
    assert received["internetMessageId"] == created["internetMessageId"]
    assert client.refusal("POST", f"/me/messages/{created['id']}/send") == (400, "ErrorInvalidRequest")


def mime(subject: str, sender: str = ALICE) -> bytes:
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"], message["Subject"] = sender, BOB, subject
    message["In-Reply-To"] = "<other@x>"
    message.set_content("Hello\n")
    return message.as_bytes()


def test_mime_is_taken_in_base64(graph: Connect, imap: Login) -> None:
    """Both for drafts and for sendMail; headers that JSON does not allow go this way."""
    client, headers = graph(ALICE), {"content-type": "text/plain"}
    subject = new_subject()
    content = base64.b64encode(mime(subject)).decode()
    created = client.post("/me/messages", content=content, headers=headers)
    assert (created["subject"], created["isDraft"]) == (subject, True)
    assert client.call("POST", "/me/sendMail", content=content, headers=headers).status_code == 202
    assert source(imap(BOB), "INBOX", subject)["in-reply-to"] == "<other@x>"
    for wrong in "äöü", '"' + content + '"':
        refused = client.refusal("POST", "/me/sendMail", content=wrong.encode(), headers=headers)
        assert refused == (400, "ErrorMimeContentInvalidBase64String")


def test_sending_in_other_names(graph: Connect, imap: Login) -> None:
    """A delegate may, structured; MIME is sent in the name of the mailbox; nobody else may."""
    client, subject = graph(ALICE), new_subject()
    sender = to(SUPPORT)[0]
    client.post("/me/sendMail", {"message": draft(subject, **{"from": sender})})
    assert source(imap(BOB), "INBOX", subject)["from"].addresses[0].addr_spec == SUPPORT
    other = new_subject()
    content = base64.b64encode(mime(other, SUPPORT)).decode()
    client.post("/me/sendMail", content=content, headers={"content-type": "text/plain"})
    assert source(imap(BOB), "INBOX", other)["from"].addresses[0].addr_spec == ALICE
    denied = {"message": draft("x", **{"from": to(BOB)[0]})}
    assert client.refusal("POST", "/me/sendMail", denied) == (403, "ErrorSendAsDenied")
    shared = new_subject()
    client.post(f"/users/{SUPPORT}/sendMail", {"message": draft(shared)})
    assert len(found(client, shared, "sentitems", f"/users/{SUPPORT}")) == 1


def test_replies_thread_and_mark_the_original(sandbox: RunningSandbox, graph: Connect, imap: Login) -> None:
    """Subject, recipients, references, quotation; the mark comes when the reply is sent."""
    subject = new_subject()
    graph(BOB).post("/me/sendMail", {"message": draft(subject, toRecipients=to(ALICE, CAROL))})
    client = graph(ALICE)
    (original,) = found(client, subject, "inbox")
    reply = client.post(f"/me/messages/{original['id']}/createReplyAll", {"comment": "Thanks & bye"})
    assert reply["subject"] == f"RE: {subject}"
    assert [entry["emailAddress"]["address"] for entry in reply["toRecipients"]] == [BOB]
    assert [entry["emailAddress"]["address"] for entry in reply["ccRecipients"]] == [CAROL]
    assert "Thanks &amp; bye" in reply["body"]["content"]
    assert reply["conversationId"] == original["conversationId"]
    session = imap(ALICE)
    session.select_folder("INBOX")
    (uid,) = session.search(["SUBJECT", subject])
    assert rb"\Answered" not in session.get_flags(uid)[uid]
    client.post(f"/me/messages/{reply['id']}/send")
    assert rb"\Answered" in session.get_flags(uid)[uid]
    client.post(f"/me/messages/{original['id']}/forward", {"comment": "FYI", "toRecipients": to(BOB)})
    assert len(found(graph(BOB), f"FW: {subject}", "inbox")) == 1
    both = {"comment": "x", "message": {"body": {"contentType": "text", "content": "y"}}}
    assert client.refusal("POST", f"/me/messages/{original['id']}/reply", both) == (400, "ErrorInvalidRequest")


def test_attachments_of_a_draft(graph: Connect, imap: Login) -> None:
    """Add, list, read, remove; ids of the others stay."""
    client = graph(ALICE)
    created = client.post("/me/messages", draft(new_subject()))
    path = f"/me/messages/{created['id']}/attachments"
    kind = "#microsoft.graph.fileAttachment"
    content = base64.b64encode(b"%PDF").decode()
    first = client.post(
        path, {"@odata.type": kind, "name": "a.pdf", "contentType": "application/pdf", "contentBytes": content}
    )
    image = {"@odata.type": kind, "name": "i.png", "contentType": "image/png", "contentBytes": content}
    second = client.post(path, {**image, "isInline": True, "contentId": "logo"})
    inner = {"@odata.type": "#microsoft.graph.itemAttachment", "name": "Inner", "item": draft("Inner subject")}
    inner["item"]["@odata.type"] = "#microsoft.graph.message"
    third = client.post(path, inner)
    listed = client.get(path + "?$select=name,isInline,size")["value"]
    assert {(one["name"], one["isInline"]) for one in listed} == {("a.pdf", False), ("i.png", True), ("Inner", False)}
    assert "contentBytes" not in listed[0]
    assert client.call("DELETE", f"{path}/{first['id']}").status_code == 204
    assert client.call("GET", f"{path}/{second['id']}/$value").content == b"%PDF"
    expanded = client.get(f"{path}/{third['id']}?$expand=microsoft.graph.itemAttachment/item")
    assert expanded["item"]["subject"] == "Inner subject"
    assert b"Subject: Inner subject" in client.call("GET", f"{path}/{third['id']}/$value").content
    assert client.refusal("GET", f"{path}/{first['id']}") == (404, "ErrorItemNotFound")
    assert client.get(f"/me/messages/{created['id']}")["hasAttachments"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"toRecipients": []}, (400, "ErrorInvalidRecipients")),
        ({"toRecipients": to("not an address")}, (400, "ErrorInvalidRecipients")),
        ({"internetMessageHeaders": [{"name": "In-Reply-To", "value": "x"}]}, (400, "InvalidInternetMessageHeader")),
        ({"body": {"contentType": "rtf", "content": ""}}, (400, "RequestBodyRead")),
    ],
)
def test_what_cannot_be_sent_is_refused(graph: Connect, change: dict[str, Any], expected: tuple[int, str]) -> None:
    """Nothing of it is kept."""
    subject = new_subject()
    client = graph(ALICE)
    assert client.refusal("POST", "/me/sendMail", {"message": {**draft(subject), **change}}) == expected
    assert found(client, subject, "sentitems") == []


def test_sending_needs_its_own_permission(graph: Connect) -> None:
    """Mail.ReadWrite makes drafts and cannot send them."""
    client = graph(ALICE, tuple(scope for scope in GRAPH_SCOPES if not scope.endswith(("Send", "Send.Shared"))))
    created = client.post("/me/messages", draft(new_subject()))
    assert client.refusal("POST", f"/me/messages/{created['id']}/send") == (403, "ErrorAccessDenied")
    assert client.refusal("POST", "/me/sendMail", {"message": draft("x")}) == (403, "ErrorAccessDenied")

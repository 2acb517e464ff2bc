"""Messages and folders over Graph, over the same store as IMAP and SMTP."""

from __future__ import annotations

import base64
import sqlite3
import uuid
from collections.abc import Callable
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import imapclient
import pytest

from gateway_sandbox import directory
from gateway_sandbox.testing import ALICE, BOB, CAROL, RunningSandbox, sandbox_in_thread, take_any_ports
from tests.rigs.graph_client import GraphClient

Connect = Callable[..., GraphClient]
Login = Callable[..., imapclient.IMAPClient]
SUPPORT = directory.SUPPORT.address


def mail(subject: str, **fields: str) -> bytes:
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = fields.get("sender", "Xenia <x@outside.example>")
    message["To"] = fields.get("to", BOB)
    message["Subject"] = subject
    message["Message-ID"] = f"<{uuid.uuid4()}@x>"
    message.set_content(fields.get("text", "Hello\n"))
    if "html" in fields:
        message.add_alternative(fields["html"], subtype="html")
    if "file" in fields:
        message.add_attachment(fields["file"].encode(), maintype="text", subtype="csv", filename="table.csv")
    return message.as_bytes()


def by_subject(client: GraphClient, subject: str, folder: str = "inbox") -> dict[str, Any]:
    found = client.get(f"/me/mailFolders/{folder}/messages?$filter=subject eq '{subject}'")["value"]
    assert len(found) == 1, [message["subject"] for message in found]
    message: dict[str, Any] = found[0]
    return message


def test_what_imap_delivers_graph_lists(sandbox: RunningSandbox, graph: Connect) -> None:
    """One store: with two there would be nothing to test."""
    sandbox.deliver(BOB, mail("Shared store ä", html="<p>Hi <b>you</b></p>", file="a,b"))
    client = graph(BOB)
    message = client.get("/me/messages?$top=1&$expand=attachments")["value"][0]
    assert message["subject"] == "Shared store ä"
    assert message["from"] == {"emailAddress": {"name": "Xenia", "address": "x@outside.example"}}
    assert (message["isRead"], message["isDraft"], message["hasAttachments"]) == (False, False, True)
    assert message["body"]["contentType"] == "html"
    assert "<b>you</b>" in message["body"]["content"]
    assert base64.b64decode(message["attachments"][0]["contentBytes"]) == b"a,b"
    client.prefer = ('outlook.body-content-type="text"',)
    assert client.get(f"/me/messages/{message['id']}")["body"] == {"contentType": "text", "content": "Hello\n"}


def test_flags_go_both_ways(sandbox: RunningSandbox, graph: Connect, imap: Login) -> None:
    """Read and flagged over Graph is seen and flagged over IMAP, and the other way round."""
    uid = sandbox.deliver(BOB, mail("Flags"))
    client, session = graph(BOB), imap(BOB)
    message = by_subject(client, "Flags")
    changed = client.patch(f"/me/messages/{message['id']}", {"isRead": True, "flag": {"flagStatus": "flagged"}})
    assert (changed["isRead"], changed["flag"]["flagStatus"]) == (True, "flagged")
    assert changed["changeKey"] != message["changeKey"]
    session.select_folder("INBOX")
    assert set(session.get_flags(uid)[uid]) == {rb"\Seen", rb"\Flagged"}
    session.remove_flags(uid, [rb"\Seen", rb"\Flagged"])
    session.add_flags(uid, [rb"\Answered"])
    expand = "$expand=singleValueExtendedProperties($filter=id eq 'Integer 0x1081')"
    after = client.get(f"/me/messages/{message['id']}?{expand}")
    assert (after["isRead"], after["flag"]["flagStatus"]) == (False, "notFlagged")
    assert after["singleValueExtendedProperties"] == [{"id": "Integer 0x1081", "value": "102"}]


def test_categories_survive_a_move_over_imap(sandbox: RunningSandbox, graph: Connect, imap: Login) -> None:
    """And so does the immutable id, while the other one changes."""
    uid = sandbox.deliver(BOB, mail("Moving"))
    client, session = graph(BOB), imap(BOB)
    message = by_subject(client, "Moving")
    client.patch(f"/me/messages/{message['id']}", {"categories": ["Red", "Blue"]})
    client.prefer = ('IdType="ImmutableId"',)
    immutable = by_subject(client, "Moving")["id"]
    assert immutable != message["id"]
    session.select_folder("INBOX")
    session.move([uid], "Archive")
    moved = client.get(f"/me/messages/{immutable}")
    assert moved["categories"] == ["Red", "Blue"]
    assert moved["parentFolderId"] == client.get("/me/mailFolders/archive")["id"]
    assert client.refusal("GET", f"/me/messages/{message['id']}") == (404, "ErrorItemNotFound")


def test_deleting_goes_to_deleted_items_and_from_there_for_good(sandbox: RunningSandbox, graph: Connect) -> None:
    """As Outlook does it; permanentDelete takes the short way."""
    sandbox.deliver(BOB, mail("Unwanted"))
    client = graph(BOB)
    assert client.call("DELETE", f"/me/messages/{by_subject(client, 'Unwanted')['id']}").status_code == 204
    deleted = by_subject(client, "Unwanted", "deleteditems")
    assert client.call("DELETE", f"/me/messages/{deleted['id']}").status_code == 204
    assert client.refusal("GET", f"/me/messages/{deleted['id']}") == (404, "ErrorItemNotFound")
    sandbox.deliver(BOB, mail("Gone"))
    gone = by_subject(client, "Gone")
    assert client.call("POST", f"/me/messages/{gone['id']}/permanentDelete").status_code == 204
    assert client.all("/me/mailFolders/deleteditems/messages?$filter=subject eq 'Gone'") == []


def test_move_and_copy_answer_the_message_in_its_new_place(sandbox: RunningSandbox, graph: Connect) -> None:
    """Clients go on with the id that is answered."""
    sandbox.deliver(BOB, mail("Wanderer"))
    client = graph(BOB)
    message = by_subject(client, "Wanderer")
    copied = client.post(f"/me/messages/{message['id']}/copy", {"destinationId": "archive"})
    moved = client.post(f"/me/messages/{message['id']}/move", {"destinationId": "junkemail"})
    assert len({message["id"], copied["id"], moved["id"]}) == 3
    assert client.get(f"/me/messages/{moved['id']}")["internetMessageId"] == message["internetMessageId"]
    assert client.refusal("POST", f"/me/messages/{moved['id']}/move", {"destinationId": "nowhere"}) == (
        400,
        "ErrorInvalidIdMalformed",
    )
    assert client.refusal("POST", f"/me/messages/{moved['id']}/move", {}) == (400, "ErrorInvalidParameter")


def test_source_is_what_imap_has(sandbox: RunningSandbox, graph: Connect) -> None:
    """Octet for octet."""
    source = mail("Source")
    sandbox.deliver(BOB, source)
    client = graph(BOB)
    assert client.call("GET", f"/me/messages/{by_subject(client, 'Source')['id']}/$value").content == source


def test_pages_hold_every_message_once(sandbox: RunningSandbox, graph: Connect) -> None:
    """In the order of arrival, with counts and only what was selected."""
    client = graph(ALICE)
    first = client.get("/me/messages?$select=subject,receivedDateTime&$top=7&$count=true")
    assert first["value"][0].keys() == {"@odata.etag", "id", "subject", "receivedDateTime"}
    everything = client.all("/me/messages?$select=subject,receivedDateTime&$top=7&$count=true")
    assert len({message["id"] for message in everything}) == len(everything) == first["@odata.count"] > 20
    received = [message["receivedDateTime"] for message in everything]
    assert received == sorted(received, reverse=True)
    assert client.call("GET", "/me/messages/$count").text == str(len(everything))
    assert len(client.get("/me/messages")["value"]) == 10
    skipped = client.get("/me/messages?$select=id&$skip=3&$top=2")["value"]
    assert [message["id"] for message in skipped] == [message["id"] for message in everything[3:5]]


def test_segments_and_keys_are_taken_in_any_case_and_form(sandbox: RunningSandbox, graph: Connect) -> None:
    """Graph is tolerant, and clients rely on it; ids are not."""
    client = graph(ALICE)
    wanted = client.get("/me/mailFolders/inbox/messages?$top=2")["value"]
    for path in (
        "/Me/MailFolders/Inbox/Messages?$Top=2",
        "/me/mailfolders('inbox')/messages?$top=2",
        f"/users/{ALICE.upper()}/mailFolders/inbox/messages?top=2",
        f"/users('{directory.ALICE.object_id}')/mailFolders('Inbox')/messages?%24top=2",
    ):
        assert client.get(path)["value"] == wanted, path
    lowered = wanted[0]["id"].lower()
    assert client.refusal("GET", f"/me/messages/{lowered}") == (400, "ErrorInvalidIdMalformed")


def test_folders_form_a_tree(sandbox: RunningSandbox, graph: Connect, imap: Login) -> None:
    """Create, rename, move and delete; IMAP sees the same paths, with slashes escaped."""
    client, session = graph(CAROL), imap(CAROL)
    names = {folder["displayName"] for folder in client.all("/me/mailFolders?$top=3")}
    assert {"Inbox", "Sent Items", "Deleted Items", "Archive"} <= names
    assert "Calendar" not in names
    top = client.post("/me/mailFolders", {"displayName": "Projects"})
    child = client.post(f"/me/mailFolders/{top['id']}/childFolders", {"displayName": "A/B 100%"})
    assert child["parentFolderId"] == top["id"]
    paths = [name for _, _, name in session.list_folders()]
    assert "Projects/A%2FB 100%25" in paths
    renamed = client.patch(f"/me/mailFolders/{child['id']}", {"displayName": "Plain"})
    assert (renamed["id"], renamed["displayName"]) == (child["id"], "Plain")
    moved = client.post(f"/me/mailFolders/{child['id']}/move", {"destinationId": "msgfolderroot"})
    assert moved["parentFolderId"] == client.get("/me/mailFolders/msgfolderroot")["id"]
    assert client.refusal("POST", "/me/mailFolders", {"displayName": "plain"}) == (409, "ErrorFolderExists")
    assert client.refusal("DELETE", "/me/mailFolders/inbox") == (403, "ErrorDeleteDistinguishedFolder")
    assert client.call("DELETE", f"/me/mailFolders/{top['id']}").status_code == 204
    assert (
        client.get(f"/me/mailFolders/{top['id']}")["parentFolderId"]
        == (client.get("/me/mailFolders/deleteditems")["id"])
    )
    assert client.call("DELETE", f"/me/mailFolders/{top['id']}").status_code == 204
    assert client.refusal("GET", f"/me/mailFolders/{top['id']}") == (404, "ErrorItemNotFound")
    assert client.refusal("GET", "/me/mailFolders/clutter") == (404, "ErrorItemNotFound")


def test_imap_renames_keep_the_folder_id(sandbox: RunningSandbox, graph: Connect, imap: Login) -> None:
    """Else every rename would look like a deletion."""
    client, session = graph(CAROL), imap(CAROL)
    session.create_folder("Before")
    folder = client.get("/me/mailFolders?$filter=displayName eq 'Before'")["value"][0]
    session.rename_folder("Before", "After")
    assert client.get(f"/me/mailFolders/{folder['id']}")["displayName"] == "After"


@pytest.mark.parametrize(
    ("scopes", "path", "expected"),
    [
        (("Mail.Read",), "/me/messages", None),
        (("User.Read",), "/me/messages", (403, "ErrorAccessDenied")),
        (("Mail.ReadWrite",), f"/users/{SUPPORT}/messages", (403, "ErrorAccessDenied")),
        (("Mail.ReadWrite.Shared",), f"/users/{SUPPORT}/messages", None),
        (("Mail.ReadWrite.Shared",), f"/users/{BOB}/messages", (404, "ErrorItemNotFound")),
        (("Mail.ReadWrite",), "/users/nobody@contoso.test/messages", (404, "ErrorInvalidUser")),
    ],
)
def test_permissions_are_checked(
    graph: Connect, scopes: tuple[str, ...], path: str, expected: tuple[int, str] | None
) -> None:
    """Delegated ones: one's own mailbox, and those one is a delegate of with the shared permission."""
    client = graph(ALICE, tuple(f"https://graph.microsoft.com/{scope}" for scope in scopes))
    if expected is None:
        assert client.get(path)["@odata.context"]
    else:
        assert client.refusal("GET", path) == expected


def test_reading_is_not_writing_nor_sending(graph: Connect) -> None:
    """Mail.Read alone must not do."""
    client = graph(ALICE, ("https://graph.microsoft.com/Mail.Read",))
    message = client.get("/me/messages?$top=1")["value"][0]
    assert client.refusal("PATCH", f"/me/messages/{message['id']}", {"isRead": True}) == (403, "ErrorAccessDenied")
    assert client.refusal("POST", "/me/sendMail", {"message": {}}) == (403, "ErrorAccessDenied")


def test_the_app_reads_any_mailbox_but_is_nobody(graph: Connect) -> None:
    """Application permissions: /users/{id} works, /me does not."""
    client = graph(None)
    assert client.get(f"/users/{BOB}")["mail"] == BOB
    assert client.get(f"/users/{SUPPORT}/mailFolders/inbox")["displayName"] == "Inbox"
    assert client.refusal("GET", "/me/messages") == (400, "BadRequest")


def test_tokens_that_do_not_open_graph(sandbox: RunningSandbox, graph: Connect) -> None:
    """401 with the code by which clients know that a new token may help."""
    client = graph(ALICE)
    for token in "-", "rubbish", sandbox.access_token(ALICE):
        client.token = token
        assert client.refusal("GET", "/me") == (401, "InvalidAuthenticationToken")


def test_unknown_segments_methods_and_properties_are_refused(graph: Connect) -> None:
    """Each with the status that the real service uses."""
    client = graph(ALICE)
    message = client.get("/me/messages?$top=1")["value"][0]["id"]
    assert client.refusal("GET", "/me/nonsense")[0] == 400
    assert client.refusal("GET", "/nonsense")[0] == 400
    assert client.refusal("PUT", "/me/messages")[0] == 405
    assert client.refusal("PATCH", f"/me/messages/{message}", {"seen": True}) == (400, "RequestBodyRead")
    assert client.refusal("PATCH", f"/me/messages/{message}", {"subject": "x"}) == (
        400,
        "ErrorInvalidPropertyUpdateSentMessage",
    )
    assert client.refusal("GET", "/me/messages?$select=seen") == (400, "RequestBroker--ParseUri")


def test_a_data_directory_from_before_graph_is_taken_over(tmp_path: Path) -> None:
    """Its messages get their identity at the start; nobody has to begin afresh."""
    data_dir = take_any_ports(tmp_path)
    with sandbox_in_thread(data_dir) as sandbox:
        sandbox.deliver(BOB, mail("Older"))
    database = sqlite3.connect(data_dir / "sandbox" / "sandbox.sqlite3")
    database.executescript("DROP TABLE items; DROP TABLE departed; DROP TABLE folder_states; DROP TABLE subscriptions;")
    database.close()
    with sandbox_in_thread(data_dir) as sandbox:
        client = GraphClient(sandbox, BOB)
        message = by_subject(client, "Older")
        moved = client.post(f"/me/messages/{message['id']}/move", {"destinationId": "archive"})
        assert by_subject(client, "Older", "archive")["id"] == moved["id"]
        client.close()

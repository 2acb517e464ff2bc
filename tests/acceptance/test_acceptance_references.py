"""Replies, forwards and attachments out of the account's own mail, through API and workers, in every lab."""

from __future__ import annotations

import base64
import email
import re
import secrets
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, cast

import pytest

from tests.acceptance.client import Client, RefusedError, account_path, message_path
from tests.acceptance.letters import BINARY, Letter, letter
from tests.acceptance.stack import GatewayStack
from tests.rigs.processes import wait_until


@pytest.fixture
def received(gateway_stack: GatewayStack, api: Client, alice: str, bob: str) -> tuple[Letter, Any]:
    """A letter from alice in bob's inbox, and its entry."""
    alice_address, bob_address = gateway_stack.lab.users[:2]
    made = letter(bob_address, sender=f"Alice <{alice_address}>")
    gateway_stack.scan.plant(made.subject, made.text)
    gateway_stack.lab.deliver(bob_address, made.raw)
    return made, api.wait_for_message(bob, made.subject)


def preview(api: Client, account: str, **members: Any) -> EmailMessage:
    """Return the message that a request would send."""
    answer = api.post(f"{account_path(account)}/submit", {**members, "dryRun": True})
    return cast(EmailMessage, email.message_from_bytes(base64.b64decode(answer["preview"]), policy=SMTP))


def test_reply_reaches_the_author_and_the_original_is_marked_as_answered(
    gateway_stack: GatewayStack, api: Client, alice: str, bob: str, received: tuple[Letter, Any]
) -> None:
    """Everything but the text is taken from the original; the thread holds together."""
    made, entry = received
    word = f"Danke {secrets.token_hex(8)}"
    reference = {"message": entry["id"], "inline": True, "messageId": entry["messageId"]}
    queued = api.post(f"{account_path(bob)}/submit", {"reference": reference, "text": word, "html": f"<p>{word}</p>"})
    assert queued["reference"] == {"message": entry["id"], "success": True, "threadId": entry["threadId"]}
    answer = api.get(message_path(alice, api.wait_for_message(alice, f"Re: {made.subject}")["id"]), textType="*")
    assert [who["address"] for who in answer["to"]] == [gateway_stack.lab.users[0]]
    assert answer["inReplyTo"] == entry["messageId"]
    assert answer["headers"]["references"] == [entry["messageId"]]
    assert answer["text"]["plain"].startswith(f"{word}\n\nOn ")
    assert f"> {made.text}" in answer["text"]["plain"]
    assert made.text in answer["text"]["html"]
    wait_until(
        lambda: "\\Answered" in api.get(message_path(bob, entry["id"])).get("flags", []), "marked as answered", 30
    )


def test_forward_takes_the_attachments_along_octet_for_octet(
    gateway_stack: GatewayStack, api: Client, bob: str, received: tuple[Letter, Any]
) -> None:
    made, entry = received
    reference = {"message": entry["id"], "action": "forward", "forwardAttachments": True, "inline": True}
    found = preview(api, bob, reference=reference, text="See below.", to={"address": gateway_stack.lab.users[2]})
    assert found["Subject"] == f"Fwd: {made.subject}"
    assert "In-Reply-To" not in found
    assert found["References"] == entry["messageId"]
    (attached,) = found.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("Übersicht 1.bin", BINARY)
    text = found.get_body(("plain",))
    assert text is not None
    assert text.get_content().splitlines()[:3] == ["See below.", "", "---------- Forwarded message ----------"]
    assert f"Subject: {made.subject}" in text.get_content()


#: Each would end a line of a header, or a string: in a subject, the names of people, and the names of a file.
_MANY_LINES = b"""\
From: =?utf-8?Q?Ali{end}ce?= <alice@example.org>
To: =?utf-8?Q?Bo{end}b?= <{bob}>, =?utf-8?Q?Ca=00rol?= <carol@example.org>
Cc: =?utf-8?Q?{end}Dave{end}?= <dave@example.org>
Subject: =?utf-8?Q?{word}=0D=0AX-Inj:_1=00?=
Message-ID: <{word}@example.org>
X-Note: =?utf-8?Q?a=0D=0Ab=00?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

Text
--b
Content-Type: application/pdf; name="=?utf-8?Q?a=0Ab.pdf?="
Content-Disposition: attachment; filename="=?utf-8?Q?a=0Ab.pdf?="

one
--b
Content-Type: application/pdf
Content-Disposition: attachment; filename*=utf-8''c%0D%0Ad.pdf

two
--b--
"""


@pytest.mark.parametrize("action", ["reply", "reply-all", "forward"])
def test_message_with_line_ends_in_its_names_can_be_answered_and_forwarded(
    gateway_stack: GatewayStack, api: Client, bob: str, action: str
) -> None:
    """What encoded-words hold beside text is shown as a space, and cannot begin a header of the answer."""
    word, address = secrets.token_hex(8), gateway_stack.lab.users[1]
    # The sandbox reads names with the parser of the standard library, which fails on line ends in them.
    end = b"=00" if gateway_stack.lab.name in ("sandbox", "graph") else b"=0D=0A"
    raw = _MANY_LINES.replace(b"{word}", word.encode()).replace(b"{bob}", address.encode()).replace(b"{end}", end)
    gateway_stack.lab.deliver(address, raw.replace(b"\n", b"\r\n"))
    subject = f"{word} X-Inj: 1"
    entry = api.get(message_path(bob, api.wait_for_message(bob, subject)["id"]))
    values = [value for values in entry["headers"].values() for value in values]
    shown = [one["name"] for one in (entry["from"], *entry["to"], *entry["cc"])]
    files = [one["filename"] for one in entry["attachments"]]
    assert not set("\r\n\0") & set("".join((*values, *shown, *files)))
    assert (entry["subject"], sorted(files)) == (subject, ["a b.pdf", "c d.pdf"])
    reference = {"message": entry["id"], "action": action, "inline": True, "forwardAttachments": True}
    to = {} if action != "forward" else {"to": {"address": gateway_stack.lab.users[2]}}
    found = preview(api, bob, reference=reference, text="Yes.", html="<p>Yes.</p>", **to)
    assert "X-Inj" not in found
    assert found["Subject"] == ("Fwd: " if action == "forward" else "Re: ") + subject
    if action != "forward":
        everyone = {"carol@example.org", "dave@example.org"} if action == "reply-all" else set()
        reached = {one.addr_spec for name in ("To", "Cc") if name in found for one in found[name].addresses}
        assert reached == {"alice@example.org"} | everyone
    else:
        assert sorted(part.get_filename() or "" for part in found.iter_attachments()) == ["a b.pdf", "c d.pdf"]


def test_attachment_of_another_message_is_attached_by_its_id(
    gateway_stack: GatewayStack, api: Client, bob: str, received: tuple[Letter, Any]
) -> None:
    """No octet of it passes the client."""
    _, entry = received
    (attachment,) = api.get(message_path(bob, entry["id"]))["attachments"]
    items = [{"reference": attachment["id"], "filename": "other.bin"}, {"content": "eA==", "filename": "x.txt"}]
    found = preview(api, bob, to={"address": gateway_stack.lab.users[2]}, text="x", attachments=items)
    assert {part.get_filename(): part.get_payload(decode=True) for part in found.iter_attachments()} == {
        "other.bin": BINARY,
        "x.txt": b"x",
    }


def test_draft_of_a_reply_is_stored_and_found_by_its_thread(
    api: Client, bob: str, received: tuple[Letter, Any]
) -> None:
    """On every kind of server: the answer lies elsewhere than the original."""
    made, entry = received
    draft = {"path": "\\Drafts", "flags": ["\\Draft"], "reference": {"message": entry["id"]}, "text": "Later."}
    stored = api.post(f"{account_path(bob)}/message", draft)
    assert stored["reference"]["success"] is True
    found = api.get(message_path(bob, stored["id"]))
    assert (found["subject"], found["inReplyTo"], found["draft"]) == (f"Re: {made.subject}", entry["messageId"], True)
    assert entry["threadId"] == stored["reference"]["threadId"] == found["threadId"]
    search = {"search": {"threadId": entry["threadId"]}}
    for path, id in (("INBOX", entry["id"]), ("\\Drafts", stored["id"])):
        page = api.call("POST", f"{account_path(bob)}/search", search, path=path)
        assert [one["id"] for one in page["messages"]] == [id]


def test_thread_can_be_answered_in_place_of_a_message(api: Client, bob: str, received: tuple[Letter, Any]) -> None:
    """A draft that waits in it is newer, and not what is answered."""
    _, entry = received
    draft = {"path": "\\Drafts", "flags": ["\\Draft"], "reference": {"message": entry["id"]}, "text": "Later."}
    api.post(f"{account_path(bob)}/message", draft)
    letter = {"reference": {"threadId": entry["threadId"]}, "text": "Now.", "dryRun": True}
    told = api.post(f"{account_path(bob)}/submit", letter)["reference"]
    assert told == {"message": entry["id"], "threadId": entry["threadId"], "success": True}


def test_answer_to_a_thread_goes_to_its_newest_message_wherever_it_lies(full_stack: GatewayStack) -> None:
    """Drafts, trash and junk are passed over; a reply is not written to oneself."""
    api, own = full_stack.api, full_stack.lab.users[1]
    bob, word = full_stack.connect(own, "bob"), secrets.token_hex(8)
    elsewhere = f"Elsewhere {word}"
    api.post(f"{account_path(bob)}/mailbox", {"path": elsewhere})

    def stored(day: int, sender: str, path: str, *flags: str) -> Any:
        lines = (
            *(f"From: {sender}", f"To: {own}", "Cc: carol@example.org", f"Subject: {word}"),
            *(f"Message-ID: <{word}-{day}@example.org>", f"References: <{word}-1@example.org>", "", f"Day {day}"),
        )
        date = f"2026-07-0{day}T12:00:00Z"
        raw = base64.b64encode("\r\n".join(lines).encode()).decode()
        message = {"path": path, "raw": raw, "flags": flags, "internalDate": date}
        return api.post(f"{account_path(bob)}/message", message)["id"]

    def answered(**reference: Any) -> Any:
        letter = {"text": "x", "to": {"address": "dave@example.org"}, "dryRun": True}
        return api.post(f"{account_path(bob)}/submit", {**letter, "reference": reference})["reference"]

    first = stored(1, "ada@example.org", "INBOX")
    thread = api.get(message_path(bob, first))["threadId"]
    newest = stored(2, "ada@example.org", elsewhere)
    mine = stored(3, own, "INBOX")
    stored(4, "ada@example.org", "\\Trash")
    stored(5, own, "\\Drafts", "\\Draft")
    assert answered(threadId=thread) == {"message": newest, "threadId": thread, "success": True}
    assert answered(threadId=thread, message=first)["message"] == first
    assert answered(threadId=thread, action="forward")["message"] == mine
    assert answered(threadId=thread, action="reply-all")["message"] == mine
    found = preview(api, bob, reference={"threadId": thread, "inline": True}, text="x")
    assert (found["To"], found["In-Reply-To"]) == ("ada@example.org", f"<{word}-2@example.org>")
    api.call("DELETE", f"{account_path(bob)}/mailbox", path=elsewhere)


def test_thread_without_a_message_is_told_and_can_be_ignored(api: Client, bob: str) -> None:
    letter = {"text": "x", "subject": "x", "to": {"address": "dave@example.org"}}
    for thread in (f"nothing-{secrets.token_hex(4)}", "a.b", "nothing like an id"):
        with pytest.raises(RefusedError) as caught:
            preview(api, bob, **letter, reference={"threadId": thread})
        assert (caught.value.status, caught.value.code) == (404, "ReferenceNotFound")
        ignoring = {**letter, "dryRun": True, "reference": {"threadId": thread, "ignoreMissing": True}}
        told = api.post(f"{account_path(bob)}/submit", ignoring)["reference"]
        assert (told["threadId"], told["success"], "message" in told) == (thread, False, False)


def test_missing_original_is_told_and_can_be_ignored(
    gateway_stack: GatewayStack, api: Client, bob: str, received: tuple[Letter, Any]
) -> None:
    _, entry = received
    api.delete(message_path(bob, entry["id"]), force=True)
    to = {"address": gateway_stack.lab.users[2]}
    reference = {"message": entry["id"]}
    with pytest.raises(RefusedError) as caught:
        preview(api, bob, to=to, text="x", reference=reference)
    assert (caught.value.status, caught.value.code) == (404, "ReferenceNotFound")
    ignoring = {"to": to, "text": "x", "dryRun": True, "reference": {**reference, "ignoreMissing": True}}
    answer = api.post(f"{account_path(bob)}/submit", ignoring)
    assert answer["reference"]["success"] is False
    assert answer["reference"]["error"]


def test_id_that_nobody_issued_is_refused_or_counts_as_missing(
    gateway_stack: GatewayStack, api: Client, bob: str
) -> None:
    """A client that goes on without an original need not know why there is none."""
    letter = {"to": {"address": gateway_stack.lab.users[2]}, "subject": "x", "text": "x"}
    with pytest.raises(RefusedError) as caught:
        preview(api, bob, **letter, reference={"message": "nonexist"})
    assert caught.value.code in ("InvalidMessageId", "ReferenceNotFound")
    reference = {"message": "nonexist", "ignoreMissing": True}
    answer = api.post(f"{account_path(bob)}/submit", {**letter, "dryRun": True, "reference": reference})
    assert (answer["reference"]["message"], answer["reference"]["success"]) == ("nonexist", False)


def test_quotation_has_zone_and_language_of_the_message_else_the_account_else_the_settings(
    gateway_stack: GatewayStack, api: Client, bob: str, received: tuple[Letter, Any]
) -> None:
    _, entry = received

    def quoted(**members: Any) -> str:
        body = preview(api, bob, reference={"message": entry["id"], "inline": True}, text="x", **members).get_body()
        assert body is not None
        return next(line for line in body.get_content().splitlines() if "Alice" in line)

    assert re.fullmatch(r"On [-0-9]+ [0-9:]+ \+0000, Alice wrote:", quoted())
    try:
        api.post("/v1/settings", {"timezone": "Asia/Tokyo", "locale": "fr"})
        assert re.fullmatch(r"Le [-0-9]+ [0-9:]+ \+0900, Alice a écrit :", quoted())
        api.put(account_path(bob), {"tz": "Asia/Kolkata", "locale": "de_DE"})
        assert re.fullmatch(r"Am [-0-9]+ [0-9:]+ \+0530 schrieb Alice:", quoted())
        assert re.fullmatch(r"Op [-0-9]+ [0-9:]+ \+0545 schreef Alice:", quoted(tz="Asia/Kathmandu", locale="nl"))
        api.put(account_path(bob), {"tz": "no zone"})
        assert re.fullmatch(r"Am [-0-9]+ [0-9:]+ \+0900 schrieb Alice:", quoted())
    finally:
        api.post("/v1/settings", {"timezone": None, "locale": None})
        api.put(account_path(bob), {"tz": "", "locale": ""})


@pytest.mark.parametrize(
    ("members", "status", "code"),
    [
        ({"reference": {"message": "{id}", "messageId": "<other@example.org>"}}, 404, "MessageNotFound"),
        ({"reference": {"inline": True}}, 400, "InvalidRequest"),
        ({"reference": {"message": "{id}"}, "raw": "eA=="}, 400, "InvalidRequest"),
        ({"reference": {"message": "{id}", "inline": True}, "tz": "Nowhere/Here"}, 400, "InvalidRequest"),
        ({"attachments": [{"filename": "x"}]}, 400, "InvalidRequest"),
        ({"attachments": [{"content": "eA==", "reference": "x"}]}, 400, "InvalidRequest"),
    ],
)
def test_wrong_reference_is_refused(
    gateway_stack: GatewayStack,
    api: Client,
    bob: str,
    received: tuple[Letter, Any],
    members: Any,
    status: int,
    code: str,
) -> None:
    _, entry = received
    if members.get("reference", {}).get("message"):
        members = {**members, "reference": {**members["reference"], "message": entry["id"]}}
    with pytest.raises(RefusedError) as caught:
        preview(api, bob, **{"to": {"address": gateway_stack.lab.users[2]}, "text": "x", **members})
    assert (caught.value.status, caught.value.code) == (status, code)

"""Reading and changing mail through the API, in every lab."""

from __future__ import annotations

import base64
import secrets
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from tests.acceptance.client import Client, RefusedError, account_path, message_path
from tests.acceptance.letters import Letter, letter
from tests.acceptance.stack import GatewayStack
from tests.rigs.processes import wait_until


@pytest.fixture
def delivered(gateway_stack: GatewayStack, api: Client, alice: str) -> tuple[Letter, str]:
    """A letter in alice's inbox, and its id."""
    user = gateway_stack.lab.users[0]
    made = letter(user)
    gateway_stack.scan.plant(made.subject, made.text)
    gateway_stack.lab.deliver(user, made.raw)
    return made, str(api.wait_for_message(alice, made.subject)["id"])


def test_mailboxes_have_their_special_uses(gateway_stack: GatewayStack, api: Client, alice: str) -> None:
    """Clients move and file by special use; Exchange announces none, and has its own names."""
    mailboxes = api.get(f"{account_path(alice)}/mailboxes", counters=True)["mailboxes"]
    assert all(mailbox["messages"] == mailbox["status"]["messages"] for mailbox in mailboxes if "status" in mailbox)
    assert all(("uidNext" in mailbox) == (gateway_stack.lab.name != "graph") for mailbox in mailboxes)
    uses = [box["specialUse"] for box in mailboxes if "specialUse" in box]
    assert sorted(uses) == sorted(set(uses)), "a special use belongs to one mailbox"
    assert {"\\Inbox", "\\Sent", "\\Drafts", "\\Trash", "\\Junk", "\\Archive"} <= set(uses)
    inbox = next(box for box in mailboxes if box.get("specialUse") == "\\Inbox")
    assert inbox["path"] == "INBOX"

    def counted() -> bool:
        """Whether both tell the same; what was sent before may arrive in between."""
        listed = api.get(f"{account_path(alice)}/mailboxes", counters=True)["mailboxes"]
        count = next(box["status"]["messages"] for box in listed if box["path"] == "INBOX")
        return bool(count == api.messages(alice)["total"])

    wait_until(counted, "counters and listing tell the same", 10)


def test_pages_and_cursors_walk_through_a_mailbox_newest_first(
    gateway_stack: GatewayStack, api: Client, alice: str
) -> None:
    """Every message once, in order, whichever way is walked."""
    user = gateway_stack.lab.users[0]
    subjects = [f"Walk {number} {secrets.token_hex(6)}" for number in range(5)]
    for subject in subjects:
        gateway_stack.lab.deliver(user, letter(user, subject=subject).raw)
        api.wait_for_message(alice, subject)
    first = api.messages(alice, pageSize=2)
    second = api.messages(alice, pageSize=2, cursor=first["nextPageCursor"])
    third = api.messages(alice, pageSize=2, cursor=second["nextPageCursor"])
    walked = [entry["id"] for page in (first, second, third) for entry in page["messages"]]
    last = api.messages(alice, pageSize=1000)
    assert walked == [entry["id"] for entry in last["messages"][:6]]
    assert set(subjects) <= {entry["subject"] for entry in last["messages"]}
    # Graph tells no fractions of seconds.
    order = [entry.get("uid", entry["date"]) for entry in last["messages"]]
    assert order == sorted(order, reverse=True)
    assert first["prevPageCursor"] is None
    back = api.messages(alice, pageSize=2, cursor=second["prevPageCursor"])
    assert [entry["id"] for entry in back["messages"]] == [entry["id"] for entry in first["messages"]]
    by_number = api.messages(alice, pageSize=2, page=1)
    assert [entry["id"] for entry in by_number["messages"]] == [entry["id"] for entry in second["messages"]]
    assert first["pages"] == -(-first["total"] // 2)
    assert last["nextPageCursor"] is None
    assert len(last["messages"]) == last["total"]
    assert api.messages(alice, pageSize=2, page=last["total"])["messages"] == []


def test_a_message_is_read_with_its_text(api: Client, alice: str, delivered: tuple[Letter, str]) -> None:
    """Decoded text, correct envelope, and nothing is marked as read by reading."""
    made, id = delivered
    found = api.get(message_path(alice, id), textType="*")
    assert found["subject"] == made.subject
    assert found["from"] == {"name": "Sender", "address": "sender@example.org"}
    assert found["text"]["plain"].strip() == made.text
    assert made.text in found["text"]["html"]
    assert found["preview"] == " ".join(made.text.split())[:200].rstrip()
    assert found["unseen"] is True
    assert api.get(message_path(alice, id))["unseen"] is True
    assert "plain" not in (api.get(message_path(alice, id)).get("text") or {})


def test_text_is_cut_where_the_caller_says(api: Client, alice: str, delivered: tuple[Letter, str]) -> None:
    """A client that shows a preview must not be sent megabytes, and has to know that there is more."""
    made, id = delivered
    cut = api.get(message_path(alice, id), textType="plain", maxBytes=5)["text"]
    assert cut["hasMore"] is True
    assert cut["plain"] == made.text.encode()[:5].decode(errors="ignore") or len(cut["plain"].encode()) <= 5
    whole = api.get(f"{account_path(alice)}/text/{api.messages(alice, pageSize=1)['messages'][0]['text']['id']}")
    assert whole["plain"].strip() == made.text


def test_attachment_and_source_arrive_octet_for_octet(api: Client, alice: str, delivered: tuple[Letter, str]) -> None:
    """What was sent is what is downloaded, whatever the octets are."""
    made, id = delivered
    (attachment,) = api.get(message_path(alice, id))["attachments"]
    assert attachment["encodedInMessage"] is True
    assert attachment["filename"] == "Übersicht 1.bin"
    answer = api.octets(f"{account_path(alice)}/attachment/{attachment['id']}")
    assert answer.content == made.attachment
    assert answer.headers["content-type"].startswith("application/octet-stream")
    assert "filename*=UTF-8''%C3%9Cbersicht%201.bin" in answer.headers["content-disposition"]
    source = api.octets(f"{message_path(alice, id)}/source")
    # Delivery puts header fields before the message (RFC 5321 section 4.4); what follows is untouched.
    assert source.content.endswith(made.raw)
    assert source.headers["content-type"] == "message/rfc822"


def test_flags_change_and_stay_changed(api: Client, alice: str, delivered: tuple[Letter, str]) -> None:
    """Both directions, and `set` replaces."""
    _, id = delivered
    changed = api.put(message_path(alice, id), {"flags": {"add": ["\\Seen", "\\Flagged"]}})
    assert {"\\Seen", "\\Flagged"} <= set(changed["flags"]["result"])
    found = api.get(message_path(alice, id))
    assert (found.get("unseen", False), found["flagged"]) == (False, True)
    api.put(message_path(alice, id), {"flags": {"delete": ["\\Flagged"]}})
    assert "\\Flagged" not in api.get(message_path(alice, id)).get("flags", [])
    api.put(message_path(alice, id), {"flags": {"set": ["\\Answered"]}})
    assert "\\Seen" not in api.get(message_path(alice, id))["flags"]


def test_a_moved_message_is_found_under_its_new_id(api: Client, alice: str, delivered: tuple[Letter, str]) -> None:
    """Clients keep ids; the one that the move answers has to work, and the old one must not lead elsewhere."""
    made, id = delivered
    email_id = api.get(message_path(alice, id))["emailId"]
    archive = api.mailbox_of_use(alice, "\\Archive")
    moved = api.put(f"{message_path(alice, id)}/move", {"path": archive})
    assert moved["path"] == archive
    there = api.get(message_path(alice, moved["id"]))
    assert moved.get("uid") == there.get("uid")
    assert (there["subject"], there["emailId"]) == (made.subject, email_id)
    assert api.with_subject(alice, made.subject) == []
    if moved["id"] != id:
        with pytest.raises(RefusedError) as refused:
            api.get(message_path(alice, id))
        assert refused.value.status == 404


def test_deleting_goes_to_the_trash_first(
    gateway_stack: GatewayStack, api: Client, alice: str, delivered: tuple[Letter, str]
) -> None:
    """The first delete can be undone, the second cannot. Graph's clients know the first as a deletion, too."""
    made, id = delivered
    trash = api.mailbox_of_use(alice, "\\Trash")
    first = api.delete(message_path(alice, id))
    assert first["deleted"] is (gateway_stack.lab.name == "graph")
    assert first["moved"]["destination"] == trash
    moved = first["moved"]["message"]
    assert api.get(message_path(alice, moved))["subject"] == made.subject
    assert api.delete(message_path(alice, moved)) == {"deleted": True}
    assert api.with_subject(alice, made.subject, trash) == []
    with pytest.raises(RefusedError) as refused:
        api.get(message_path(alice, moved))
    assert refused.value.status == 404


def test_deleting_by_force_leaves_nothing(api: Client, alice: str, delivered: tuple[Letter, str]) -> None:
    """`force` skips the trash."""
    made, id = delivered
    assert api.delete(message_path(alice, id), force=True) == {"deleted": True}
    assert api.with_subject(alice, made.subject) == []
    assert api.with_subject(alice, made.subject, api.mailbox_of_use(alice, "\\Trash")) == []


def test_a_stored_message_is_the_one_that_was_given(gateway_stack: GatewayStack, api: Client, alice: str) -> None:
    """Raw octets unchanged, flags as asked, into a mailbox named by its special use."""
    made = letter(gateway_stack.lab.users[1])
    payload = {"path": "\\Drafts", "flags": ["\\Seen", "\\Draft"], "raw": base64.b64encode(made.raw).decode()}
    stored = api.post(f"{account_path(alice)}/message", payload)
    assert stored["path"] == api.mailbox_of_use(alice, "\\Drafts")
    found = api.get(message_path(alice, stored["id"]))
    assert found["subject"] == made.subject
    assert found["draft"] is True
    assert api.octets(f"{message_path(alice, stored['id'])}/source").content == made.raw
    api.delete(message_path(alice, stored["id"]), force=True)


def test_mailboxes_are_created_renamed_and_deleted(api: Client, alice: str) -> None:
    """With names that IMAP encodes (RFC 3501 section 5.1.3)."""
    name, renamed = f"Ablage & Größe {secrets.token_hex(3)}", f"Neu {secrets.token_hex(3)}"
    path = f"{account_path(alice)}/mailbox"
    made = api.post(path, {"path": name})
    assert made["created"] is True
    assert name in {box["path"] for box in api.get(f"{account_path(alice)}/mailboxes")["mailboxes"]}
    api.put(path, {"path": name, "newPath": renamed})
    assert renamed in {box["path"] for box in api.get(f"{account_path(alice)}/mailboxes")["mailboxes"]}
    assert api.delete(path, path=renamed)["deleted"] is True
    paths = {box["path"] for box in api.get(f"{account_path(alice)}/mailboxes")["mailboxes"]}
    assert not {name, renamed} & paths


def test_mailboxes_are_subscribed_and_no_longer_where_there_is_imap(
    gateway_stack: GatewayStack, api: Client, alice: str
) -> None:
    """With and without another name; Graph knows nothing of it, and then nothing is changed."""
    name, renamed = f"Sub {secrets.token_hex(3)}", f"Neu {secrets.token_hex(3)}"
    path = f"{account_path(alice)}/mailbox"
    api.post(path, {"path": name})
    if gateway_stack.lab.name == "graph":
        with pytest.raises(RefusedError) as refused:
            api.put(path, {"path": name, "newPath": renamed, "subscribed": False})
        assert (refused.value.status, refused.value.code) == (400, "UnsupportedOperation")
        renamed = name
    else:
        answer = api.put(path, {"path": name, "subscribed": False})
        assert (answer["renamed"], answer["subscribed"], "newPath" in answer) == (False, False, False)
        answer = api.put(path, {"path": name, "newPath": renamed})
        assert (answer["renamed"], answer["subscribed"], answer["newPath"]) == (True, False, renamed)
        assert api.put(path, {"path": renamed, "subscribed": True})["subscribed"] is True
    assert api.delete(path, path=renamed)["deleted"] is True


@pytest.mark.parametrize("id", ["AAAAAX____8", "no such id", "x" * 400])
def test_unknown_ids_are_refused_without_harm(api: Client, alice: str, id: str) -> None:
    """Ids come from outside; the account must not suffer from a wrong one."""
    with pytest.raises(RefusedError) as refused:
        api.get(message_path(alice, id))
    assert refused.value.status in (400, 404)
    assert api.account(alice)["state"] == "connected"


def test_an_unknown_mailbox_is_not_found(api: Client, alice: str) -> None:
    """Not a fault of the account."""
    with pytest.raises(RefusedError) as refused:
        api.messages(alice, "No such mailbox")
    assert refused.value.status == 404
    assert api.account(alice)["state"] == "connected"


def test_html_of_a_stranger_is_made_safe_with_its_images_in_place(
    gateway_stack: GatewayStack, api: Client, alice: str
) -> None:
    """What a client puts into its own page; an image that could hold a script stays where it is."""
    user = gateway_stack.lab.users[0]
    subject = f"Safe {secrets.token_hex(8)}"
    image = base64.b64decode("iVBORw0KGgo=")
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "Sender <sender@example.org>", user, subject
    message.set_content("plain")
    message.add_alternative(
        '<p onclick="x()">new <img src="cid:logo@x"><img src="cid:evil@x"><script>x()</script></p>'
        '<blockquote type="cite">old</blockquote>',
        subtype="html",
    )
    html_part = message.get_payload()[1]  # type: ignore[index]
    html_part.add_related(image, "image", "png", cid="<logo@x>")  # type: ignore[union-attr]
    html_part.add_related(b"<svg/>", "image", "svg+xml", cid="<evil@x>")  # type: ignore[union-attr]
    gateway_stack.lab.deliver(user, message.as_bytes())
    entry = api.wait_for_message(alice, subject)
    path = message_path(alice, entry["id"])
    text = api.get(path, webSafeHtml=True)["text"]
    assert (text["webSafe"], text["plain"].strip()) == (True, "plain")
    data = f'<img src="data:image/png;base64,{base64.b64encode(image).decode()}">'
    new, _, _ = text["html"].partition('<details class="ee-collapsed-thread">')
    assert new.endswith(f'><p>new {data}<img src="cid:evil@x"></p>')
    assert "script" not in text["html"]
    kept = api.get(path, webSafeHtml=True, embedAttachedImages=False)["text"]["html"]
    assert '<img src="cid:logo@x">' in kept
    raw = api.get(path, textType="html", embedAttachedImages=True)["text"]
    assert data in raw["html"]
    assert "<script>" in raw["html"]
    assert "webSafe" not in raw
    only = api.get(f"{account_path(alice)}/text/{entry['text']['id']}", webSafeHtml=True)
    assert (set(only) & {"plain", "html", "webSafe"}, "script" in only["html"]) == ({"html", "webSafe"}, False)


INVITATION = b"\r\n".join(
    (
        *(b"BEGIN:VCALENDAR", b"VERSION:2.0", b"METHOD:REQUEST", b"BEGIN:VEVENT", b"UID:lunch@example.org"),
        *(b"SUMMARY:Lunch\\, with cake", b"DTSTART;TZID=W. Europe Standard Time:20260702T120000", b"DURATION:PT45M"),
        *(b'ORGANIZER;CN="Bob":mailto:bob@example.org', b"END:VEVENT", b"END:VCALENDAR", b""),
    )
)


def test_an_invitation_tells_its_event(gateway_stack: GatewayStack, api: Client, alice: str) -> None:
    """Once, although it is attached twice as Google does, and beside a calendar that is none."""
    user = gateway_stack.lab.users[0]
    subject = f"Invitation {secrets.token_hex(8)}"
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "Bob <bob@example.org>", user, subject
    message.set_content("Lunch?")
    message.add_attachment(b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:soon", "text", "calendar", filename="bad.ics")
    message.add_attachment(INVITATION, "text", "calendar", filename="invite.ics", params={"method": "REQUEST"})
    message.add_attachment(INVITATION, "application", "ics", filename="again.ics")
    gateway_stack.lab.deliver(user, message.as_bytes())
    found = api.get(message_path(alice, api.wait_for_message(alice, subject)["id"]), textType="*")
    (event,) = [event for event in found["calendarEvents"] if "eventId" in event]
    ids = {each["filename"]: each["id"] for each in found["attachments"]}
    assert base64.b64decode(event.pop("content")) == INVITATION
    assert event.pop("startDate").startswith("2026-07-02T10:00:00")
    assert event.pop("endDate").startswith("2026-07-02T10:45:00")
    assert event == {
        "eventId": "lunch@example.org",
        "attachment": ids["invite.ics"],
        "method": "REQUEST",
        "summary": "Lunch, with cake",
        "timezone": "Europe/Berlin",
        "organizer": "mailto:bob@example.org",
        "filename": "invite.ics",
        "contentType": "text/calendar",
        "encoding": "base64",
    }


def test_plain_text_is_shown_as_html_where_there_is_none(gateway_stack: GatewayStack, api: Client, alice: str) -> None:
    user = gateway_stack.lab.users[0]
    subject = f"Plain {secrets.token_hex(8)}"
    raw = f"From: a@example.org\r\nTo: {user}\r\nSubject: {subject}\r\n\r\n1 < 2\r\n"
    gateway_stack.lab.deliver(user, raw.encode())
    text = api.get(message_path(alice, api.wait_for_message(alice, subject)["id"]), webSafeHtml=True)["text"]
    assert "1 &lt; 2" in text["html"]

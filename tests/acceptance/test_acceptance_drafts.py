"""A stored draft is sent, through API and workers, in every lab; afterwards it is no draft any more."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import pytest

from tests.acceptance.client import Client, RefusedError, account_path, message_path
from tests.acceptance.letters import letter
from tests.acceptance.stack import GatewayStack
from tests.acceptance.test_acceptance_accounts import PasswordMailbox
from tests.acceptance.test_acceptance_sending import left_outbox
from tests.rigs.dovecot import GUEST_PASSWORD
from tests.rigs.processes import wait_until

LATER = "2099-01-01T00:00:00Z"


def stored(api: Client, account: str, sender: str, /, **addresses: str) -> tuple[str, str]:
    """Store a draft that was begun long ago; return its subject and its id."""
    subject = f"Entwurf {secrets.token_hex(8)} – Grüße"
    draft = EmailMessage(policy=SMTP)
    draft["From"], draft["Subject"] = sender, subject
    for name, value in addresses.items():
        draft[name] = value
    draft["Date"] = "Mon, 02 Jan 2023 10:00:00 +0000"
    draft.set_content("Grüße\n")
    raw = base64.b64encode(draft.as_bytes()).decode()
    payload = {"path": "\\Drafts", "flags": ["\\Seen", "\\Draft"], "raw": raw}
    return subject, api.post(f"{account_path(account)}/message", payload)["id"]


def submit(api: Client, account: str, draft: str, **members: Any) -> Any:
    return api.post(f"{message_path(account, draft)}/submit", members)


def refused(api: Client, account: str, draft: str, **members: Any) -> tuple[int, str]:
    with pytest.raises(RefusedError) as found:
        submit(api, account, draft, **members)
    return found.value.status, found.value.code


def copying(stack: GatewayStack) -> dict[str, Any]:
    """What has a copy filed where the server does not do so itself, as Exchange does."""
    return {"copy": True} if stack.lab.name == "real-full" else {}


def test_a_draft_is_sent_and_removed(gateway_stack: GatewayStack, api: Client, alice: str, bob: str) -> None:
    """Who is hidden gets it, and is seen by nobody; it is dated when it is sent."""
    lab = gateway_stack.lab
    with gateway_stack.connected(lab.users[2]) as carol:
        subject, draft = stored(api, alice, lab.users[0], To=f"Bob <{lab.users[1]}>", Bcc=lab.users[2])
        gateway_stack.scan.plant(subject)
        queued = submit(api, alice, draft, **copying(gateway_stack))
        assert queued["response"] == "Queued for delivery"
        received = api.wait_for_message(bob, subject)
        api.wait_for_message(carol, subject)
        wait_until(lambda: left_outbox(api, queued["queueId"]), "the entry is gone", 30)
    headers = api.get(message_path(bob, received["id"]))["headers"]
    assert "bcc" not in headers
    assert headers["date"] != ["Mon, 02 Jan 2023 10:00:00 +0000"]
    assert api.with_subject(alice, subject, "\\Drafts") == []
    assert api.with_subject(alice, subject, "\\Trash") == []
    assert len(api.with_subject(alice, subject, "\\Sent")) == 1


def test_a_draft_stays_until_it_is_sent_and_its_envelope_can_be_another(
    gateway_stack: GatewayStack, api: Client, alice: str
) -> None:
    lab = gateway_stack.lab
    subject, draft = stored(api, alice, lab.users[0], To=lab.users[1])
    way = {"proxy": "socks5://proxy.example:1080", "localAddress": "127.0.0.5"}
    queued = submit(api, alice, draft, sendAt=LATER, envelope={"to": lab.users[2]}, **way)
    entry = api.get(f"/v1/outbox/{queued['queueId']}")
    assert {name: entry[name] for name in way} == way
    assert entry["envelope"] == {"from": lab.users[0], "to": [lab.users[2]]}
    assert (entry["subject"], entry["state"], queued["sendAt"]) == (subject, "queued", LATER)
    assert [one["id"] for one in api.with_subject(alice, subject, "\\Drafts")] == [draft]
    assert api.delete(f"/v1/outbox/{queued['queueId']}") == {"deleted": True}
    api.delete(message_path(alice, draft), force=True)


def test_a_draft_is_sent_once_with_its_key(gateway_stack: GatewayStack, api: Client, alice: str, bob: str) -> None:
    """The answer is the same when the draft is gone."""
    lab = gateway_stack.lab
    subject, draft = stored(api, alice, lab.users[0], To=lab.users[1])
    path, headers = f"{message_path(alice, draft)}/submit", {"Idempotency-Key": secrets.token_hex(8)}
    first = api.http.post(path, json=copying(gateway_stack), headers=headers).json()
    wait_until(lambda: left_outbox(api, first["queueId"]), "the entry is gone", 30)
    again = api.http.post(path, json=copying(gateway_stack), headers=headers).json()
    assert (first["idempotency"]["status"], again["idempotency"]["status"]) == ("MISS", "HIT")
    assert again["queueId"] == first["queueId"]
    api.wait_for_message(bob, subject)
    assert refused(api, alice, draft)[0] == 404


def test_what_is_no_draft_or_for_nobody_is_refused(gateway_stack: GatewayStack, api: Client, alice: str) -> None:
    lab = gateway_stack.lab
    made = letter(lab.users[0])
    lab.deliver(lab.users[0], made.raw)
    mail = api.wait_for_message(alice, made.subject)["id"]
    _, nobody = stored(api, alice, lab.users[0])
    try:
        assert refused(api, alice, mail) == (400, "NotADraft")
        assert refused(api, alice, nobody) == (400, "DraftHasNoRecipients")
        assert refused(api, alice, nobody, envelope={"from": lab.users[0]}) == (400, "DraftHasNoRecipients")
    finally:
        for id in (mail, nobody):
            api.delete(message_path(alice, id), force=True)


@pytest.fixture
def plain(full_stack: GatewayStack) -> Iterator[tuple[str, str]]:
    """An account on servers that file nothing by themselves, and its address."""
    mailbox = PasswordMailbox(full_stack, full_stack.lab.dovecot.new_user(), GUEST_PASSWORD)
    name = f"drafts-{secrets.token_hex(3)}"
    payload = {"account": name, "name": "Dave", "email": mailbox.user, "imap": mailbox.imap, "smtp": mailbox.smtp}
    full_stack.api.post("/v1/account", payload)
    full_stack.api.wait_for_state(name, "connected")
    yield name, mailbox.user
    full_stack.forget(name)


def test_a_draft_whose_copy_was_filed_leaves_nothing_behind(full_stack: GatewayStack, plain: tuple[str, str]) -> None:
    """The copy names who is hidden."""
    api, (account, user) = full_stack.api, plain
    hidden = full_stack.lab.users[1]
    subject, draft = stored(api, account, user, To=user, Bcc=hidden)
    queued = submit(api, account, draft)
    wait_until(lambda: left_outbox(api, queued["queueId"]), "the entry is gone", 30)
    assert [api.with_subject(account, subject, path) for path in ("\\Drafts", "\\Trash")] == [[], []]
    (filed,) = api.with_subject(account, subject, "\\Sent")
    assert [one["address"] for one in api.get(message_path(account, filed["id"]))["bcc"]] == [hidden]


@pytest.mark.parametrize("members", [{"copy": False}, {"copy": True, "sentMailPath": "No such mailbox"}])
def test_a_draft_without_a_copy_goes_to_the_trash(
    members: dict[str, Any], full_stack: GatewayStack, plain: tuple[str, str]
) -> None:
    """So that what was written is not lost to its sender, whether or not a copy was wanted."""
    api, (account, user) = full_stack.api, plain
    subject, draft = stored(api, account, user, To=user)
    queued = submit(api, account, draft, **members)
    wait_until(lambda: left_outbox(api, queued["queueId"]), "the entry is gone", 30)
    assert [len(api.with_subject(account, subject, path)) for path in ("\\Drafts", "\\Trash", "\\Sent")] == [0, 1, 0]

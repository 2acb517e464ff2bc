"""Ugly messages through API, workers and mailboxes: every octet is kept, and what is shown is right."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.acceptance.boxes import KINDS, Box, open_box
from tests.acceptance.client import message_path
from tests.acceptance.stack import GatewayStack
from tests.samples.torture import samples
from tests.samples.torture.building import ANY, Sample
from tests.unit.mime.test_mime_torture import python_samples

#: Seconds in which a message is stored, read and downloaded.
MOST_TIME = 20.0
GROUPS = sorted({sample.name.partition(":")[0] for sample in samples()})


@pytest.fixture(scope="module", params=KINDS)
def box(request: pytest.FixtureRequest, full_stack: GatewayStack) -> Box:
    """An account of every kind."""
    return open_box(request.param, full_stack)


def kept(box: Box, raw: bytes) -> bytes:
    """Return what a mailbox makes of octets: IMAP has no bare line feeds (RFC 9051 section 2.2)."""
    return raw if box.kind == "maildir" else re.sub(rb"(?<!\r)\n", b"\r\n", raw)


def shown(found: Any) -> dict[str, Any]:
    text, sender = found.get("text") or {}, found.get("from")
    return {
        "subject": found.get("subject"),
        "plain": (text.get("plain") or "").rstrip("\n"),
        "html": (text.get("html") or "").rstrip("\n"),
        "files": tuple(attachment.get("filename") for attachment in found.get("attachments", ())),
        "sender": (sender.get("name", ""), sender.get("address", "")) if sender else None,
    }


def problems(box: Box, sample: Sample) -> list[str]:
    """Store a message, read it in every way, delete it, and return what was wrong."""
    wanted = sample.for_dovecot() if box.kind == "dovecot" else sample
    began = time.monotonic()
    id = box.store(sample.raw)
    try:
        found = shown(box.read(id, textType="*"))
        differing = [
            f"{sample.name}: {name} is {str(value)[:200]!r}, not {str(getattr(wanted, name))[:200]!r}"
            for name, value in found.items()
            if getattr(wanted, name) not in (ANY, value)
        ]
        if box.source(id) != kept(box, sample.raw):
            differing.append(f"{sample.name}: the source is another")
        if time.monotonic() - began > MOST_TIME:
            differing.append(f"{sample.name}: took {time.monotonic() - began:.0f} s")
    finally:
        box.api.delete(message_path(box.account, id), force=True)
    return differing


@pytest.mark.parametrize("group", GROUPS)
def test_ugly_messages_are_kept_and_read(box: Box, group: str) -> None:
    chosen = [sample for sample in samples() if sample.name.startswith(f"{group}:")]
    found = [problem for sample in chosen for problem in problems(box, sample)]
    assert found == [], "\n".join(found)


def test_a_mailbox_of_ugly_messages_is_listed(box: Box) -> None:
    """One listing of all of them; none spoils the page for the others."""
    box.api.post(f"{box.path}/mailbox", {"path": "Ugly"})
    stored = [box.store(sample.raw, "Ugly") for sample in samples()]
    listed = []
    for page in range(-(-len(stored) // 50)):
        listed += box.api.messages(box.account, "Ugly", page=page, pageSize=50)["messages"]
    assert sorted(entry["id"] for entry in listed) == sorted(stored)
    box.api.delete(f"{box.path}/mailbox", path="Ugly")


@pytest.mark.skipif(not python_samples(), reason="this interpreter comes without its tests")
def test_messages_of_the_interpreters_own_tests_are_kept(box: Box) -> None:
    """Octet for octet; text and attachments can be read."""
    for file in python_samples():
        raw = file.read_bytes()
        id = box.store(raw)
        found = box.read(id, textType="*")
        assert box.source(id) == kept(box, raw), file.name
        for attachment in found.get("attachments", ()):
            box.attachment(attachment["id"])
        box.api.delete(message_path(box.account, id), force=True)

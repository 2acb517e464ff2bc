"""What is sent on every kind of service is what is read there: any script, any charset, headers of any length."""

from __future__ import annotations

import base64
import random
import secrets
from collections.abc import Iterator
from email.header import Header
from typing import Any

import pytest

from tests.acceptance.client import Client, account_path, message_path
from tests.acceptance.stack import GatewayStack

#: Alphabets of one, two, three and four octets of UTF-8, from both directions of writing, and combining marks.
ALPHABETS = (
    "abcXYZ019 .,;:-_=?()<>@\"\\/'&%#",
    "äöüßéèçñøåğşœæ",
    "дуб в поле",
    "العربية שלום",
    "你好世界日本語テキスト한국어",
    "🌍👩‍👩‍👧‍👦🏳️‍🌈𝔘",
    "e\u0301o\u0308ก็ हिन्दी",
)
LINES = (
    ".",
    "..",
    ".hidden",
    "From the first word",
    ">From",
    "-- ",
    "=",
    "=3D",
    "tab\tin it",
    "  indented",
    "x" * 5000,
)
CHARSETS = {
    "iso-8859-1": "Déjà vu, señor Ægir",
    "windows-1252": "“Preis” – 100 €",
    "koi8-r": "Здравствуй, мир",
    "iso-2022-jp": "日本語の手紙です",
    "shift_jis": "カタカナと漢字",
    "euc-kr": "안녕하세요",
    "gb18030": "简体中文𠀀",
    "big5": "繁體中文",
    "iso-8859-8": "שלום עולם",
    "windows-1256": "مرحبا",
    "utf-8": "žluťoučký kůň 🌍",
}


@pytest.fixture(scope="module")
def random_source() -> random.Random:
    """Prints its seed, so that a run can be repeated."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def carol(gateway_stack: GatewayStack) -> Iterator[str]:
    """The account that sends: a service takes so many messages a minute from one, and here are many."""
    with gateway_stack.connected(gateway_stack.lab.users[2]) as account:
        yield account


def written(source: random.Random, length: int) -> str:
    """Return one line in every alphabet that is not empty, without white space at its ends or twice."""
    text = "".join(source.choice(source.choice(ALPHABETS)) for _ in range(length))
    return " ".join(text.split()) or "a"


def lines(text: str) -> list[str]:
    """Return text as lines, without what transports may add at its end."""
    return text.replace("\r\n", "\n").rstrip("\n").split("\n")


def sent(stack: GatewayStack, sender: str, recipient: str, **members: Any) -> Any:
    """Send a message and return it as its recipient reads it; its header X-Test is what it is found by."""
    api, marker = stack.api, secrets.token_hex(8)
    subject = f"{marker} {members.pop('subject', '')}".strip()
    stack.scan.plant(subject)
    payload = {"to": [{"name": "Bob", "address": stack.lab.users[1]}], "subject": subject, **members}
    api.post(f"{account_path(sender)}/submit", payload)
    id = api.wait_for_message(recipient, subject)["id"]
    message = api.get(message_path(recipient, id), textType="*")
    assert message["subject"] == subject
    return message


@pytest.mark.parametrize("length", [1, 76, 950])
def test_text_of_every_script_arrives_as_it_was_written(
    gateway_stack: GatewayStack, carol: str, bob: str, random_source: random.Random, length: int
) -> None:
    """In the subject, in names, in the text, in names of files, and in headers of one's own."""
    subject, name = written(random_source, length), written(random_source, min(length, 200))
    text = [*LINES, *(written(random_source, length) for _ in range(20))]
    filename = written(random_source, min(length, 120)).replace("/", "-").replace("\\", "-") + ".bin"
    content = random_source.randbytes(length)
    message = sent(
        gateway_stack,
        carol,
        bob,
        subject=subject,
        **{"from": {"name": name, "address": gateway_stack.lab.users[2]}},
        text="\n".join(text),
        attachments=[{"filename": filename, "content": base64.b64encode(content).decode()}],
        headers={"X-Long": written(random_source, length)},
    )
    assert lines(message["text"]["plain"]) == text
    assert message["from"]["name"] == name
    (attachment,) = message["attachments"]
    assert attachment["filename"] == filename
    download = gateway_stack.api.octets(f"{account_path(bob)}/attachment/{attachment['id']}")
    assert download.content == content


def test_headers_may_be_as_long_as_threads_make_them(gateway_stack: GatewayStack, carol: str, bob: str) -> None:
    """References of a long thread, with identifiers as long as Exchange's, and an ASCII header of one's own."""
    references = " ".join(f"<{'A' * 60}{number}@{'mail' * 10}.example.org>" for number in range(100))
    words = " ".join(f"word{number}" for number in range(1000))
    message = sent(gateway_stack, carol, bob, text="x", headers={"References": references, "X-Words": words})
    found = {name.lower(): values for name, values in message["headers"].items()}
    assert [" ".join(value.split()) for value in found["references"]] == [references]
    assert [" ".join(value.split()) for value in found["x-words"]] == [words]


def test_large_text_arrives_as_it_was_written(
    gateway_stack: GatewayStack, carol: str, bob: str, random_source: random.Random
) -> None:
    """A body that lies in the outbox in pieces, which end within characters and between the dots of lines."""
    text = [written(random_source, 40) if number % 2 else "." * (number % 80) for number in range(12_000)]
    message = sent(gateway_stack, carol, bob, text="\n".join(text))
    assert lines(message["text"]["plain"]) == text


def test_finished_messages_arrive_in_the_charset_they_were_written_in(
    gateway_stack: GatewayStack, api: Client, carol: str, bob: str
) -> None:
    """In every encoding, with encoded words in the same charset; every one of them is read as what it says."""
    marker, (_, recipient, sender) = secrets.token_hex(6), gateway_stack.lab.users[:3]
    wanted = {}
    for number, (charset, text) in enumerate(CHARSETS.items()):
        octets, name = text.encode(charset), f"{marker} {charset}"
        encoding, body = (
            ("8bit", octets),
            ("base64", base64.encodebytes(octets)),
            ("quoted-printable", "".join(f"={octet:02X}" for octet in octets).encode()),
        )[number % 3]
        head = (
            f"From: {sender}\r\nTo: {recipient}\r\nMIME-Version: 1.0\r\n"
            f"Subject: {name} {Header(text, charset).encode()}\r\n"
            f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        )
        raw = base64.b64encode(head.encode() + body + b"\r\n").decode()
        api.post(f"{account_path(carol)}/submit", {"raw": raw})
        wanted[f"{name} {text}"] = text
    for subject, text in wanted.items():
        entry = api.wait_for_message(bob, subject)
        message = api.get(message_path(bob, entry["id"]), textType="plain")
        assert lines(message["text"]["plain"]) == [text], subject

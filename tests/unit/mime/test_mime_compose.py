"""Making messages."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import InvalidRequestError
from gateway.mime.compose import ComposedMessage, Outgoing, OutgoingAttachment, compose
from gateway.mime.parse import parse_message
from gateway.model.message import Address
from gateway.provider import Envelope

NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
ZOE = Address(name="Zoë", address="zoe@example.org")
BOB = Address(address="bob@example.org")
# A byte order mark at the start of a text is not part of it.
_LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0\ufeff"), max_size=120)


def made(raw: bytes | None = None, *, draft: bool = False, **fields: Any) -> ComposedMessage:
    ids: Iterator[UUID] = (UUID(int=number) for number in range(1, 100))
    if raw is None:
        fields = {"from_": ZOE, "to": (BOB,), **fields}
    return compose(Outgoing(raw=raw, **fields), now=lambda: NOW, new_id=lambda: next(ids), draft=draft)


def read(message: ComposedMessage) -> EmailMessage:
    """Read it with a parser of somebody else's, which must find nothing to complain of."""
    found = email.message_from_bytes(message.raw, policy=email.policy.SMTP)
    assert isinstance(found, EmailMessage)
    assert not [part.defects for part in found.walk() if part.defects]
    return found


def refused(**fields: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        made(**fields)
    (field,) = caught.value.details["fields"]
    return str(field["key"])


def test_simple_message_octet_by_octet() -> None:
    """The whole of it: order of headers, defaults, line ends."""
    assert made(subject="Hello", text="Hi,\nBob.\n").raw == (
        b"From: =?utf-8?q?Zo=C3=AB?= <zoe@example.org>\r\n"
        b"To: bob@example.org\r\n"
        b"Subject: Hello\r\n"
        b"Message-ID: <00000000-0000-0000-0000-000000000001@example.org>\r\n"
        b"Date: Thu, 02 Jan 2025 03:04:05 +0000\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Hi,\r\nBob.\r\n"
    )


def test_envelope_holds_every_recipient_once_and_bcc_only_there() -> None:
    """A blind copy that stands in the message is not blind."""
    message = made(cc=(ZOE, BOB), bcc=(Address(address="secret@example.org"),), text="x")
    assert message.envelope.mail_from == "zoe@example.org"
    assert message.envelope.rcpt_to == ("bob@example.org", "zoe@example.org", "secret@example.org")
    assert b"secret" not in message.raw
    assert read(message)["Bcc"] is None


def test_copy_for_the_sender_names_the_blind_recipients() -> None:
    """In their own Sent mailbox people want to see to whom they wrote."""
    message = made(bcc=(Address(address="secret@example.org"),), text="x")
    assert message.sent_copy() == b"Bcc: secret@example.org\r\n" + message.raw
    plain = made(text="x")
    assert plain.sent_copy() == plain.raw


def test_given_envelope_wins() -> None:
    """Lists and bounces send to others than the headers say."""
    envelope = Envelope(mail_from="bounce@example.org", rcpt_to=("list@example.org",))
    assert made(text="x", envelope=envelope).envelope == envelope


@given(subject=_LINE, name=_LINE, filename=_LINE.filter(bool))
@example(subject="=?utf-8?q?not_decoded?=", name="=?utf-8?q?a?=", filename="=?utf-8?q?a?=.pdf")
@example(subject="a  b", name="two  spaces", filename="a  b.pdf")
@example(subject=" both sides ", name='"quoted", \\ (comment) <x>', filename='a"b\\c;d.pdf')
@example(subject="x" * 3000, name="ü" * 300, filename="%41ü'*.pdf")
@example(subject="\u2028\x85\x0b\x1c", name="\u2028\x85\x0b", filename="\u2028\x85\x0b\x1c")
def test_headers_are_read_back(subject: str, name: str, filename: str) -> None:
    """Whatever a person types arrives: commas, quotes, emoji, things that look encoded."""
    attachment = OutgoingAttachment(content=b"x", filename=filename)
    message = made(subject=subject, to=(Address(name=name, address="bob@example.org"),), attachments=(attachment,))
    assert all(len(line) <= 998 for line in message.raw.split(b"\r\n"))
    assert message.raw.isascii()
    found = parse_message(message.raw)
    assert found.headers["subject"] == (subject,)
    assert found.addresses("to") == (Address(name=name.strip(), address="bob@example.org"),)
    assert [one.filename for one in found.attachments()] == [filename]
    assert message.subject == subject


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=300), html=st.none() | st.text(max_size=50))
@example(text="x" * 5000, html=None)
@example(text=".\r\n..\rFrom me\n\n", html="<p>")
@example(text="trailing space \n\ttab\t\n\x00\x1b", html=None)
def test_text_is_read_back(text: str, html: str | None) -> None:
    """Line ends become those of mail; nothing else changes."""
    message = made(text=text, html=html)
    assert all(len(line) <= 998 for line in message.raw.split(b"\r\n"))
    assert message.raw.isascii()
    found = parse_message(message.raw).text()
    expected = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    assert (found.plain or "") == expected


@given(st.binary(max_size=300))
def test_attachment_is_read_back_octet_by_octet(content: bytes) -> None:
    """As another parser sees it."""
    (found,) = read(made(text="x", attachments=(OutgoingAttachment(content=content),))).iter_attachments()
    assert found.get_payload(decode=True) == content


def test_structure_of_a_full_message() -> None:
    """Images beside their HTML, the alternative inside the mixed (RFC 2046 section 5.1.4, RFC 2387)."""
    message = made(
        html='<p>Hi</p><img src="cid:logo">',
        attachments=(
            OutgoingAttachment(content=b"P", filename="a.png", disposition="inline", cid="logo"),
            OutgoingAttachment(content=b"%PDF", filename="b.pdf"),
            OutgoingAttachment(content=b"BEGIN", content_type="text/calendar; method=REQUEST; charset=utf-8"),
        ),
    )
    assert [part.get_content_type() for part in read(message).walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
        "text/calendar",
    ]
    found = parse_message(message.raw)
    assert found.text().plain == "Hi"
    assert [(a.id, a.content_id, a.inline, a.embedded, a.method) for a in found.attachments()] == [
        ("1.2.2", "<logo>", True, True, None),
        ("2", None, False, False, None),
        ("3", None, False, False, "REQUEST"),
    ]


def test_inline_image_without_html_is_an_attachment() -> None:
    """There is nothing that it could be shown in."""
    message = made(text="x", attachments=(OutgoingAttachment(content=b"P", disposition="inline", cid="<logo>"),))
    assert [part.get_content_type() for part in read(message).walk()] == [
        "multipart/mixed",
        "text/plain",
        "application/octet-stream",
    ]


def test_attached_message_is_not_encoded() -> None:
    """RFC 2046 section 5.2.1 allows only 7bit, 8bit and binary; what cannot be sent so is a file."""
    inner = b"Subject: inner\n\nhi"
    (part,) = parse_message(
        made(text="x", attachments=(OutgoingAttachment(content=inner, content_type="message/rfc822"),)).raw
    ).attachments()
    assert (part.content_type, part.encoded_size) == ("message/rfc822", len(inner) + 2)
    unsendable = OutgoingAttachment(content=b"a\0b", content_type="message/rfc822")
    (part,) = parse_message(made(text="x", attachments=(unsendable,)).raw).attachments()
    assert part.content_type == "application/octet-stream"


def test_long_identifier_is_not_encoded() -> None:
    """Message-IDs of Exchange are longer than a line; in encoded-words they break the thread."""
    parent = f"<{'A' * 90}@prod.exchange.example>"
    message = made(text="x", headers={"In-Reply-To": parent, "References": f"{parent} {parent}"})
    assert f"In-Reply-To: {parent}\r\n".encode() in message.raw
    assert read(message)["References"].split() == [parent, parent]


def test_international_address_stays_utf8() -> None:
    """A local part has no other form (RFC 6532); a domain has (RFC 5891), which any server takes."""
    message = made(to=(Address(name="Jürgen", address="jürgen@exämple.org"),), from_=Address(address="a@exämple.org"))
    assert message.envelope.rcpt_to == ("jürgen@xn--exmple-cua.org",)
    assert message.envelope.mail_from == "a@xn--exmple-cua.org"
    assert "<jürgen@xn--exmple-cua.org>".encode() in message.raw
    assert message.message_id.endswith("@xn--exmple-cua.org>")


def test_given_identity_is_used() -> None:
    """A retry must carry the same Message-ID; a message for tomorrow carries tomorrow's date."""
    tomorrow = datetime(2025, 1, 3, 12, tzinfo=timezone(timedelta(hours=2)))
    message = made(text="x", message_id="fixed@example.org", date=tomorrow)
    assert message.message_id == "<fixed@example.org>"
    assert b"Date: Fri, 03 Jan 2025 10:00:00 +0000\r\n" in message.raw
    assert made(text="x", headers={"Message-ID": "<mine@example.org>"}).message_id == "<mine@example.org>"


def test_further_header_replaces_the_composers_own() -> None:
    """One Date, one Subject, whoever set it."""
    message = made(text="x", subject="ours", headers={"subject": "Grüße", "X-Custom": "1", "Date": "yesterday"})
    assert read(message).get_all("Subject") == ["Grüße"]
    assert message.subject == "Grüße"
    assert parse_message(message.raw).headers["date"] == ("yesterday",)


@pytest.mark.parametrize("evil", ["a\r\nBcc: b@example.org", "a\nb", "a\rb", "a\0b", "\ud800"])
@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("subject", lambda evil: {"subject": evil}),
        ("to.name", lambda evil: {"to": (Address(name=evil, address="b@example.org"),)}),
        ("to.address", lambda evil: {"to": (Address(address=f"{evil}@example.org"),)}),
        ("from.name", lambda evil: {"from_": Address(name=evil, address="b@example.org")}),
        ("replyTo.name", lambda evil: {"reply_to": (Address(name=evil, address="b@example.org"),)}),
        ("bcc.address", lambda evil: {"bcc": (Address(address=f"{evil}@example.org"),)}),
        ("headers.X-Custom", lambda evil: {"headers": {"X-Custom": evil}}),
        ("messageId", lambda evil: {"message_id": f"<{evil}@example.org>"}),
        ("attachments.0.filename", lambda evil: {"attachments": (OutgoingAttachment(content=b"", filename=evil),)}),
        ("attachments.0.cid", lambda evil: {"attachments": (OutgoingAttachment(content=b"", cid=evil),)}),
        (
            "attachments.0.contentType",
            lambda evil: {"attachments": (OutgoingAttachment(content=b"", content_type=f"a/b; x={evil}"),)},
        ),
    ],
)
def test_no_field_can_smuggle_a_header(key: str, fields: Any, evil: str) -> None:
    """The caller is told which field it was (CWE-93)."""
    assert refused(**fields(evil)) == key


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("headers.Bcc", {"headers": {"Bcc": "x@example.org"}}),
        ("headers.To", {"headers": {"To": "x@example.org"}}),
        ("headers.content-type", {"headers": {"content-type": "text/html"}}),
        ("headers.'X Y'", {"headers": {"X Y": "1"}}),
        ("headers.''", {"headers": {"": "1"}}),
        ("headers.X-Long", {"headers": {"X-Long": "x" * 999}}),
        ("to.address", {"to": (Address(address="nobody"),)}),
        ("to.address", {"to": (Address(address="a@b@c"),)}),
        ("to.address", {"to": (Address(address="a b@c"),)}),
        ("to.address", {"to": (Address(address="a@b>, <c@d"),)}),
        ("messageId", {"message_id": "<two words@example.org>"}),
        ("messageId", {"message_id": ""}),
        ("attachments.0.contentType", {"attachments": (OutgoingAttachment(content=b"", content_type="png"),)}),
        ("attachments.0.contentType", {"attachments": (OutgoingAttachment(content=b"", content_type="multipart/x"),)}),
        ("text", {"text": "\ud800"}),
        ("to", {"to": ()}),
        ("from", {"from_": None}),
    ],
)
def test_impossible_field_is_named(key: str, fields: dict[str, Any]) -> None:
    """Before anything is sent."""
    assert refused(**fields) == key


RAW = (
    b"Received: from somewhere\r\n"
    b"DKIM-Signature: v=1;\r\n\tb=abc \r\n"
    b"From: Zoe <zoe@example.org>\r\n"
    b'To: bob@example.org, "Doe, C" <carol@example.org>\r\n'
    b"Bcc: hidden@example.org,\r\n other@example.org\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Message-ID: <given@example.org>\r\n"
    b"Date: yesterday\r\n"
    b"MIME-Version: 1.0\r\n"
    b"\r\n"
    b"8bit \xff\x00 and\nbare line ends\r.\r\n"
)


def test_finished_message_changes_by_its_bcc_alone() -> None:
    """Every other octet stays, the odd ones too: somebody signed them."""
    message = made(RAW)
    assert message.raw == RAW.replace(b"Bcc: hidden@example.org,\r\n other@example.org\r\n", b"")
    assert message.envelope.mail_from == "zoe@example.org"
    assert message.envelope.rcpt_to == (
        "bob@example.org",
        "carol@example.org",
        "hidden@example.org",
        "other@example.org",
    )
    assert (message.message_id, message.subject) == ("<given@example.org>", "Grüße")


@pytest.mark.parametrize("name", [b"BCC:", b"bcc :", b"Bcc\t:", b"Resent-Bcc:"])
def test_bcc_is_found_however_it_is_written(name: bytes) -> None:
    """One notation that is overlooked betrays a recipient."""
    message = made(b"From: a@example.org\r\n" + name + b" hidden@example.org\r\n\r\nx")
    assert b"hidden" not in message.raw
    assert message.envelope.rcpt_to == ("hidden@example.org",)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_missing_headers_are_added_at_the_top(line_end: bytes) -> None:
    """In the line ends of the message; below them nothing changes."""
    raw = line_end.join((b"From: a@example.org", b"To: b@example.org", b"", b"body"))
    message = made(raw)
    added, kept = message.raw[: -len(raw)], message.raw[-len(raw) :]
    assert kept == raw
    assert [line.partition(b":")[0] for line in added.split(line_end)[:-1]] == [b"Message-ID", b"Date", b"MIME-Version"]


def test_fields_beside_a_finished_message_replace_its_headers() -> None:
    """In the place of the first one; an empty list removes."""
    message = made(
        RAW,
        from_=Address(address="new@example.org"),
        to=(),
        cc=(Address(address="copy@example.org"),),
        bcc=(),
        subject="New",
        message_id="<new@example.org>",
        headers={"received": "from nowhere", "X-New": "1"},
    )
    assert message.envelope == Envelope(mail_from="new@example.org", rcpt_to=("copy@example.org",))
    found = parse_message(message.raw)
    assert [name for name, _ in found.root.fields] == [
        "cc",
        "x-new",
        "received",
        "dkim-signature",
        "from",
        "subject",
        "message-id",
        "date",
        "mime-version",
    ]
    assert found.headers["received"] == ("from nowhere",)
    assert message.raw.endswith(RAW.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize(
    "raw",
    [b"From: a@example.org\r\nTo: b@example.org", b"From x y z\nFrom: a@example.org\nTo: b@example.org\n\nbody"],
    ids=["no-body", "mbox-line"],
)
def test_odd_finished_message_is_sent_all_the_same(raw: bytes) -> None:
    """Without a body, or with the separator of a mailbox file in front."""
    message = made(raw)
    assert message.envelope == Envelope(mail_from="a@example.org", rcpt_to=("b@example.org",))
    assert b"From x y z" not in message.raw
    assert b"\n\r\n" in message.raw or b"\n\n" in message.raw


def test_draft_needs_neither_author_nor_recipient() -> None:
    """People store half a letter."""
    assert made(from_=None, to=(), text="x", draft=True).envelope.rcpt_to == ()


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"x", b"\r\n", b"Subject: x", b"Subject: x\n\ny", b"no header\r\n\r\n", b"From x y z\nSubject: x\n\ny"),
        b"Bcc: Zoe <zoe@example.org>\r\nbcc: not an address\r\nX:\xff\x00\r\n\r\n\x00\xff\r",
    ],
)
def test_finished_draft_is_stored_octet_for_octet(raw: bytes) -> None:
    """What is uploaded is what is downloaded later: nothing is added, removed or brought into form."""
    message = made(raw, draft=True)
    assert (message.raw, message.sent_copy()) == (raw, raw)


def test_only_what_is_given_beside_a_finished_draft_is_changed() -> None:
    """The rest keeps its octets."""
    raw = b"X:  a\r\n b\r\nBcc: zoe@example.org\r\n\r\nbody\n"
    assert made(raw, draft=True, subject="new").raw == b"Subject: new\r\n" + raw
    assert made(raw, draft=True, bcc=()).sent_copy() == b"X:  a\r\n b\r\n\r\nbody\n"


def test_content_is_not_shown() -> None:
    """Structs end up in tracebacks."""
    shown = [
        repr(Outgoing(text="private", to=(BOB,))),
        repr(made(text="private")),
        repr(OutgoingAttachment(content=b"private")),
    ]
    assert not [text for text in shown if "private" in text or "bob@" in text]

"""BODYSTRUCTURE and ENVELOPE as attachments, text and addresses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.identity import thread_id_of
from gateway.mime.structure import MAX_TEXTS
from gateway.model.message import Address, EncodedSize
from gateway_imap.entries import addresses, internal_date, message_entry, read_headers
from gateway_imap.ids import MessageId, decode_attachment_id, decode_text_id
from gateway_imap.structure import read_structure

MESSAGE = MessageId(3, 4)


def text(subtype: str, size: int = 10, *, disposition: Any = None, parameters: Any = None) -> list[Any]:
    """A text part as the server describes it."""
    return ["text", subtype, parameters or ["charset", "utf-8"], None, None, "7bit", size, 1, None, disposition, None]


def image(content_id: str | None, disposition: Any = None) -> list[Any]:
    """An image part."""
    return ["IMAGE", "PNG", ["NAME", "a.png"], content_id, None, "BASE64", 400, None, disposition, None, None]


RELATED = [text("html", 30), image("<i@x>", ["INLINE", ["FILENAME", "a.png"]]), "RELATED", ["BOUNDARY", "r"], None]
FORWARD = ["message", "rfc822", None, None, None, "7bit", 99, [None] * 10, text("plain"), 5, None, ["attachment", None]]
WHOLE = [
    [text("plain"), RELATED, "alternative", None, None, None],
    FORWARD,
    text("plain", 7),
    "mixed",
    None,
    None,
    None,
]


def test_parts_are_numbered_as_the_server_numbers_them() -> None:
    """A wrong number fetches another part (RFC 9051 section 6.4.5.1)."""
    structure = read_structure(WHOLE)
    assert [part.number for part in structure.plain] == ["1.1", "3"]
    assert [part.number for part in structure.html] == ["1.2.1"]
    assert [(part.number, part.content_type) for part in structure.others] == [
        ("1.2.2", "image/png"),
        ("2", "message/rfc822"),
    ]


def test_an_attached_message_tells_its_subject() -> None:
    """A download is named by it, where the sender gave no name."""
    envelope = [None, "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", *[None] * 8]
    (letter,) = read_structure([*FORWARD[:7], envelope, *FORWARD[8:]]).others
    assert (letter.filename, letter.subject) == (None, "Grüße")


def test_attachments_tell_how_they_are_used() -> None:
    """An image inside the text is no paper clip."""
    picture, forwarded = read_structure(WHOLE).attachments(MESSAGE)
    assert (picture.embedded, picture.inline, picture.content_id, picture.filename) == (True, True, "<i@x>", "a.png")
    assert (forwarded.embedded, forwarded.inline, forwarded.encoded_size) == (False, False, 99)
    assert not forwarded.encoded_in_message
    assert decode_attachment_id(picture.id) == (MESSAGE, "1.2.2")


def test_text_info_names_the_parts_and_their_octets() -> None:
    """The text is later fetched by this id alone."""
    info = read_structure(WHOLE).text_info(MESSAGE)
    assert info is not None
    assert info.encoded_size == EncodedSize(plain=17, html=30)
    assert decode_text_id(info.id)[1:] == (("1.1", "3"), ("1.2.1",))


@pytest.mark.parametrize("levels", [31, 99])
def test_what_is_deeper_than_ids_reach_is_one_attachment(levels: int) -> None:
    """It is not lost, and its id can be read back; servers cut off such messages at a hundred levels."""
    body: list[Any] = text("plain")
    for _ in range(levels):
        body = [body, "mixed", None, None, None]
    (deep,) = read_structure(body).attachments(MESSAGE)
    assert (deep.content_type, deep.filename) == ("multipart/mixed", None)
    assert decode_attachment_id(deep.id) == (MESSAGE, ".".join(["1"] * 30))


def test_texts_beyond_the_hundredth_are_attachments() -> None:
    """The id of the text, and the command that fetches it, stay short."""
    structure = read_structure([*[text("plain")] * 16_000, "mixed", None, None, None])
    assert (len(structure.plain), len(structure.others)) == (MAX_TEXTS, 16_000 - MAX_TEXTS)
    assert len(structure.text_info(MESSAGE).id) <= 4096  # type: ignore[union-attr]


def test_texts_deep_in_many_parts_are_attachments_when_their_numbers_become_too_long() -> None:
    """The API takes ids of texts of 4096 characters."""
    body: list[Any] = [*[text("plain")] * 100, "mixed", None, None, None]
    for _ in range(28):
        body = [*[image(None)] * 999, body, "mixed", None, None, None]
    structure = read_structure(body)
    id = structure.text_info(MESSAGE).id  # type: ignore[union-attr]
    assert len(id) <= 4096
    assert decode_text_id(id).plain == tuple(part.number for part in structure.plain)
    assert len(structure.plain) + len(structure.others) == 100 + 28 * 999


def test_message_of_one_part_is_part_one() -> None:
    """There is no multipart around it."""
    assert read_structure(text("plain")).plain[0].number == "1"
    assert read_structure(image(None)).text_info(MESSAGE) is None


@pytest.mark.parametrize(
    ("part", "attached"),
    [
        (text("plain", disposition=["attachment", None]), True),
        (text("html", disposition=["inline", ["filename", "page.html"]]), True),
        (text("plain", disposition=["inline", None]), False),
        (text("plain", parameters=["charset", "utf-8", "name", "body.txt"]), True),
        (text("csv"), True),
        (text("calendar", parameters=["method", "REQUEST"]), True),
    ],
)
def test_text_is_body_unless_it_is_sent_as_a_file(part: list[Any], attached: bool) -> None:
    """A log file must not become the letter, nor the letter a file."""
    assert bool(read_structure([part, "mixed", None]).others) is attached


def test_invitation_shows_its_method() -> None:
    """Calendars decide by it what to do (RFC 5546)."""
    (invitation,) = read_structure(text("calendar", parameters=["METHOD", "REQUEST"])).attachments(MESSAGE)
    assert invitation.method == "REQUEST"


@pytest.mark.parametrize(
    ("parameters", "filename"),
    [
        (["filename*", "utf-8''r%C3%A9sum%C3%A9.pdf"], "résumé.pdf"),
        (["filename*0", "very ", "filename*1", "long.pdf"], "very long.pdf"),
        (["filename", "=?utf-8?q?r=C3=A9sum=C3=A9?="], "résumé"),
    ],
)
def test_file_names_are_decoded(parameters: list[str], filename: str) -> None:
    """RFC 2231, and what senders do instead."""
    part = ["application", "pdf", None, None, None, "base64", 4, None, ["attachment", parameters], None, None]
    assert read_structure(part).others[0].filename == filename


_JUNK = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=8)), lambda inner: st.lists(inner, max_size=12), max_leaves=40
)


@given(_JUNK, _JUNK, _JUNK)
def test_nonsense_of_a_server_does_not_spoil_a_listing(body: Any, envelope: Any, flags: Any) -> None:
    """Whatever stands in one message, the others are listed."""
    row = {"BODYSTRUCTURE": body, "ENVELOPE": envelope, "FLAGS": flags, "INTERNALDATE": body, "EMAILID": flags}
    assert message_entry(MESSAGE, row, None).id == MESSAGE.encode()


def test_groups_and_missing_parts_of_addresses() -> None:
    """RFC 9051 section 7.5.2 writes groups as addresses without a host, and so do servers for broken headers."""
    listed = addresses(
        [
            [None, None, "undisclosed-recipients", None],
            ["=?utf-8?q?J=C3=B6rg?=", None, "joerg", "example.org"],
            [None, None, None, None],
            [None, None, "MISSING_MAILBOX", "MISSING_DOMAIN"],
            ["Words", None, "MISSING_MAILBOX", "SYNTAX_ERROR"],
            ["Broken", None, "nobody", "MISSING_DOMAIN"],
            ["junk"],
        ]
    )
    assert listed == (
        Address(name="Jörg", address="joerg@example.org"),
        Address(name="Words", address=""),
        Address(name="Broken", address="nobody"),
    )


def test_dates_are_converted_to_utc() -> None:
    """Servers tell local time with an offset."""
    assert internal_date("17-Jul-1996 02:44:25 -0700") == datetime(1996, 7, 17, 9, 44, 25, tzinfo=UTC)
    assert internal_date(" 7-Jul-1996 02:44:25 +0130") == datetime(1996, 7, 7, 1, 14, 25, tzinfo=UTC)
    for nonsense in (
        None,
        "",
        "17-Foo-1996 02:44:25 -0700",
        "31-Feb-1996 02:44:25 -0700",
        "01-Jan-0001 00:00:00 +0100",
    ):
        assert internal_date(nonsense) is None


def test_automatic_replies_are_recognized_by_what_a_listing_shows() -> None:
    """Answering them starts a loop between two machines (RFC 3834)."""
    for subject, expected in (("Automatic reply: away", True), ("auto: hello", True), ("Hello", False)):
        row = {"ENVELOPE": [None, subject, None, None, None, None, None, None, "<1@x>", None]}
        assert message_entry(MESSAGE, row, None).is_auto_reply is expected


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"\r\n", False),
        (b"", False),
        (b"Auto-Submitted: auto-replied (vacation)\r\n\r\n", True),
        (b"auto-submitted:\r\n\tauto-replied\r\n\r\n", True),
        (b"Auto-Submitted: no\r\n\r\n", False),
        (b"References: <auto-replied@x>\r\n\r\n", False),
        (b"References: <1@x>\r\nPrecedence: auto_reply\r\n\r\n", True),
        (b"Precedence: bulk\r\nX-Autoreply: yes\r\n\r\n", True),
        (b"X-Auto-Response-Suppress: =?us-ascii?q?All?=\r\n\r\n", True),
        (b"no field at all\r\n: x\r\n\r\nAuto-Submitted: auto-replied\r\n", False),
    ],
)
def test_automatic_replies_are_recognized_by_the_header_of_a_listing(octets: bytes, expected: bool) -> None:
    """The subject is in any language; the fields of RFC 3834 are not."""
    row = {"BODY[HEADER.FIELDS (REFERENCES AUTO-SUBMITTED)]<0>": octets}
    assert message_entry(MESSAGE, row, None).is_auto_reply is expected


def test_thread_is_read_among_the_other_fields_of_a_listing() -> None:
    """Which comes first is up to the message."""
    octets = b"Auto-Submitted: auto-replied\r\nReferences:\r\n <root@x>\r\n <other@x>\r\nPrecedence: bulk\r\n\r\n"
    row = {"BODY[HEADER.FIELDS (REFERENCES AUTO-SUBMITTED PRECEDENCE)]<0>": octets}
    entry = message_entry(MESSAGE, row, None)
    assert (entry.thread_id, entry.is_auto_reply) == (thread_id_of("<root@x>", None, None), True)


def test_headers_keep_order_repetition_and_hostile_names() -> None:
    """A header may be called anything."""
    octets = (
        b"Received: one\r\nSUBJECT: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\tand more\r\n"
        b"received: two\r\n__proto__: x\r\n\r\nno: body"
    )
    assert read_headers(octets) == {
        "received": ("one", "two"),
        "subject": ("Grüße\tand more",),
        "__proto__": ("x",),
    }

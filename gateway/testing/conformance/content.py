"""Source, headers, text and attachments of one message."""

from __future__ import annotations

import pytest

from gateway.errors import InvalidIdentifierError, NotFoundError
from gateway.model.message import TextType
from gateway.provider import Session
from gateway.testing.conformance.base import Deliver, arrived, octets, same_octets
from gateway.testing.conformance.samples import (
    BINARY,
    CUT_TEXT,
    LONG_TEXT,
    MULTIPART,
    RICH_HTML,
    RICH_PLAIN,
    escaped,
    numbered,
    octets_of_every_kind,
)

__all__ = ["ContentConformance"]


def _lines(text: str | None) -> str:
    """Return text with the line ends that do not matter here made alike."""
    return (text or "").replace("\r\n", "\n").strip("\n")


class ContentConformance:
    """What is in a message."""

    async def test_source_is_unchanged(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Signatures (DKIM, S/MIME) survive only if not one octet changes."""
        entry = await arrived(session, deliver, inbox, octets_of_every_kind())
        same_octets(await octets(session, entry.id), octets_of_every_kind())

    async def test_size_of_a_source_is_the_true_one(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """It is told before the octets, so that a part can be asked for; an estimate would break the download."""
        entry = await arrived(session, deliver, inbox, octets_of_every_kind())
        assert await session.source_size(entry.id) in (None, len(await octets(session, entry.id)))

    async def test_headers_are_lower_case_with_every_value_in_order(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Received lines repeat; and names that mean something to a programming language mean nothing here."""
        entry = await arrived(session, deliver, inbox, octets_of_every_kind())
        headers = (await session.message(entry.id)).headers
        assert headers["x-repeated"] == ("one", "two")
        assert headers["x-lower"] == ("no space after the colon",)
        assert headers["__proto__"] == headers["constructor"] == ("polluted",)
        assert headers["subject"] == ("Grüße",)
        assert all(name == name.lower() for name in headers)

    async def test_message_has_no_text_unless_asked(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Bodies are large and private; they travel on demand."""
        entry = await arrived(session, deliver, inbox, MULTIPART)
        text = (await session.message(entry.id)).text
        assert text is None or (text.plain, text.html) == (None, None)

    async def test_text_of_each_type_is_decoded(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Whatever charset and transfer encoding the sender chose, the reader gets text, and only what was asked."""
        entry = await arrived(session, deliver, inbox, MULTIPART)
        expected: tuple[tuple[TextType, str, str], ...] = (
            ("plain", RICH_PLAIN, ""),
            ("html", "", RICH_HTML),
            ("*", RICH_PLAIN, RICH_HTML),
        )
        for text_type, plain, html in expected:
            text = (await session.message(entry.id, text_type=text_type)).text
            assert text is not None
            assert (_lines(text.plain), _lines(text.html), text.has_more) == (plain, html, False)

    async def test_text_is_found_by_the_id_in_the_listing(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """A client that has the listing fetches the body without the message."""
        entry = await arrived(session, deliver, inbox, MULTIPART)
        assert entry.text is not None
        text = await session.text(entry.text.id)
        assert (_lines(text.plain), _lines(text.html)) == (RICH_PLAIN, RICH_HTML)
        only = await session.text(entry.text.id, text_type="plain")
        assert (_lines(only.plain), only.html) == (RICH_PLAIN, None)

    async def test_long_text_is_cut_and_says_so(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """A limit protects memory; without `has_more` a client would show half a letter as the whole."""
        entry = await arrived(session, deliver, inbox, numbered(1, body="0123456789" * 50))
        text = (await session.message(entry.id, text_type="plain", max_bytes=100)).text
        assert text is not None
        assert text.plain
        assert len(text.plain) <= 100
        assert ("0123456789" * 10).startswith(text.plain)
        assert text.has_more
        assert not (await session.text(_text_id(entry.text), max_bytes=10_000)).has_more

    async def test_cut_does_not_split_a_character(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Half a character shows as a black diamond."""
        entry = await arrived(session, deliver, inbox, numbered(1, body=CUT_TEXT))
        for limit in (100, 101):
            text = await session.text(_text_id(entry.text), text_type="plain", max_bytes=limit)
            assert text.plain
            assert CUT_TEXT.startswith(text.plain)

    async def test_cut_text_has_all_characters_that_are_whole(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """However much longer than the text its escapes are, and wherever the limit falls in one."""
        entry = await arrived(session, deliver, inbox, escaped(LONG_TEXT))
        for limit in (5000, 5001, 5003, 9000):
            text = await session.text(_text_id(entry.text), text_type="plain", max_bytes=limit)
            assert (text.plain, text.has_more) == (LONG_TEXT[: limit // 3], True)

    async def test_attachments_are_described(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """A client draws the paper clip, the name and the image in the text from this."""
        entry = await arrived(session, deliver, inbox, MULTIPART)
        pdf, image = (await session.message(entry.id)).attachments
        assert (pdf.filename, pdf.content_type, pdf.inline) == ("Übersicht.pdf", "application/pdf", False)
        assert (image.filename, image.content_type, image.inline) == ("dot.png", "image/png", True)
        assert image.content_id == "<dot@conformance.example>"
        assert pdf.encoded_size >= len(BINARY)
        assert pdf.id != image.id

    async def test_attachment_arrives_octet_by_octet(self, session: Session, deliver: Deliver, inbox: str) -> None:
        """Every octet value, decoded, under the name the sender gave."""
        entry = await arrived(session, deliver, inbox, MULTIPART)
        stream = await session.attachment(entry.attachments[0].id)
        same_octets(b"".join([chunk async for chunk in stream.chunks]), BINARY)
        assert (stream.filename, stream.content_type, stream.disposition) == (
            "Übersicht.pdf",
            "application/pdf",
            "attachment",
        )
        assert stream.size in (None, len(BINARY))

    async def test_session_works_after_an_attachment_was_read(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """Nothing of the download is left on the connection to be taken for the next answer."""
        entry = await arrived(session, deliver, inbox, MULTIPART)
        stream = await session.attachment(entry.attachments[1].id)
        assert b"".join([chunk async for chunk in stream.chunks]) == b"\x89PNG\r\n\x1a\n"
        assert (await session.message(entry.id)).subject == "rich"

    async def test_attachment_of_another_number_is_refused(
        self, session: Session, deliver: Deliver, inbox: str
    ) -> None:
        """The id of a message is not that of an attachment."""
        entry = await arrived(session, deliver, inbox, MULTIPART)
        for id in (entry.id, f"{entry.attachments[0].id}9999"):
            with pytest.raises((NotFoundError, InvalidIdentifierError)):
                await session.attachment(id)


def _text_id(text: object) -> str:
    id = getattr(text, "id", None)
    assert isinstance(id, str), "the listing tells the id of the text"
    return id

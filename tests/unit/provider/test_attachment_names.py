"""The names by which attachments are kept."""

from __future__ import annotations

import pytest

from gateway.provider import AttachmentStream


@pytest.mark.parametrize(
    ("content_type", "given", "kept"),
    [
        ("message/rfc822", None, "message.eml"),
        ("message/rfc822", "Re: plans", "Re: plans.eml"),
        ("message/global", "letter.EML", "letter.EML"),
        ("application/pdf", None, None),
        ("application/pdf", "a", "a"),
    ],
)
def test_an_attached_message_is_kept_as_a_file_of_mail(content_type: str, given: str | None, kept: str | None) -> None:
    assert AttachmentStream(content_type=content_type, chunks=None, filename=given).file_name == kept

"""Ids and cursors: what is issued is read back, everything else is refused."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidIdentifierError
from gateway_imap.ids import (
    MessageId,
    decode_attachment_id,
    decode_message_id,
    decode_text_id,
)

_IDS = st.builds(MessageId, st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1))


@given(_IDS)
def test_message_ids_are_eleven_characters_and_come_back(message: MessageId) -> None:
    """Clients store them."""
    assert len(message.encode()) == 11
    assert decode_message_id(message.encode()) == message


@given(_IDS, st.lists(st.integers(1, 99).map(str), min_size=1, max_size=5).map(".".join))
def test_attachment_and_text_ids_come_back(message: MessageId, part: str) -> None:
    """The part number is in the id, so that nothing has to be remembered."""
    assert decode_attachment_id(message.encode_attachment(part)) == (message, part)
    text = decode_text_id(message.encode_text([part], []))
    assert (text.message, text.plain, text.html) == (message, (part,), ())


@given(st.text(max_size=30))
def test_anything_else_is_refused(id: str) -> None:
    """Two ids for one message would be two messages to a client."""
    for decode in (decode_message_id, decode_attachment_id, decode_text_id):
        with contextlib.suppress(InvalidIdentifierError):
            decode(id)
            assert re.fullmatch(r"[A-Za-z0-9_-]{11,}", id)


@pytest.mark.parametrize(
    "id",
    ["", "AAAAAQAAAA", "AAAAAQAAAAE=", "AAAAAQAAAAF", "AAAAAAAAAAE", "AAAAAQAAAAA", "AAAA AQAAAAE", "AAAAAQAAAAEé"],
)
def test_near_misses_are_refused(id: str) -> None:
    """Too short, padded, stray bits, mailbox 0, UID 0, white space, beyond ASCII."""
    with pytest.raises(InvalidIdentifierError):
        decode_message_id(id)


@pytest.mark.parametrize("part", ["1] BODY[2", "HEADER", "1.", "0", "1\r\nA LOGOUT", "é"])
def test_part_number_cannot_smuggle_a_command(part: str) -> None:
    """The part number ends up in a FETCH command."""
    message = MessageId(1, 1)
    with pytest.raises(InvalidIdentifierError):
        decode_text_id(message.encode_text([part], []))
    if part.isascii():
        with pytest.raises(InvalidIdentifierError):
            decode_attachment_id(message.encode_attachment(part))

"""What a part is said to be when it is given out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.replies import safe_content_type
from gateway.mime.content_type import described_type
from gateway.mime.decode import parse_parameters
from gateway.mime.parse import open_part


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("text/csv; charset=iso-8859-1", "text/csv; charset=iso-8859-1"),
        ('Text/Plain; Format=Flowed; delsp="yes"', "text/plain; format=Flowed; delsp=yes"),
        ("text/calendar; method=REQUEST; name=a.ics", "text/calendar; method=REQUEST"),
        ('a/b; title="a b;c"', 'a/b; title="a b;c"'),
        ('a/b; x=""', 'a/b; x=""'),
        ("image/png; boundary=x", "image/png"),
        ('multipart/mixed; boundary="a b"', 'multipart/mixed; boundary="a b"'),
        ("text/csv; charset=us-ascii", "text/csv"),
        ('a/b; x="a\\"b"; y="a\\\\b"; z=ok', "a/b; z=ok"),
        ("a/b; x*=utf-8''%C3%9C; y*=utf-8''a%07b; z=ok", "a/b; z=ok"),
        (f"a/b; x={'x' * 300}; z=ok", "a/b; z=ok"),
        ("image/png", "image/png"),
    ],
)
def test_parameters_that_describe_the_content_are_told(written: str, told: str) -> None:
    assert described_type(*parse_parameters(written)) == told


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=200), max_size=4))
def test_whatever_the_parameters_are_the_type_remains(parameters: dict[str, str]) -> None:
    """The API gives out octets without a type when it is not safe to tell it."""
    told = described_type("text/csv", parameters)
    assert told.startswith("text/csv")
    assert safe_content_type(told) == told


def test_attachment_of_a_message_at_hand_has_its_parameters() -> None:
    raw = b"Content-Type: text/csv; charset=iso-8859-1; name=a.csv\r\n\r\na;b"
    assert open_part(raw, "1").content_type == "text/csv; charset=iso-8859-1"

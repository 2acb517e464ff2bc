"""Addresses: however they are read, the same comes out."""

from __future__ import annotations

from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.addresses import parse_addresses

_WORDS = st.text(alphabet="ab1_-+", min_size=1, max_size=4)
_ADDRESSES = st.builds(
    lambda local, domain: f"{'.'.join(local)}@{'.'.join(domain)}", *[st.lists(_WORDS, min_size=1)] * 2
)


@given(st.lists(_WORDS, max_size=3).map(" ".join), _ADDRESSES, st.booleans())
def test_usual_addresses_read_as_the_standard_library_reads_them(name: str, address: str, angled: bool) -> None:
    line = f"{name} <{address}>".strip() if angled else address
    assert [(one.name, one.address) for one in parse_addresses([line])] == getaddresses([line])


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("a <b@c", [("a", "b@c")]),
        ("b@c, d@e", [("", "b@c"), ("", "d@e")]),
        ('"a, b" <b@c>', [("a, b", "b@c")]),
        ("a (comment) <b@c>", [("a (comment)", "b@c")]),
        ("=?utf-8?q?=C3=A9?= <b@c>", [("é", "b@c")]),
        ("nobody at all", [("nobody at all", "")]),
    ],
)
def test_what_only_looks_usual_is_read_with_care(line: str, read: list[tuple[str, str]]) -> None:
    assert [(one.name, one.address) for one in parse_addresses([line])] == read

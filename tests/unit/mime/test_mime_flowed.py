"""Flowed text (RFC 3676)."""

from __future__ import annotations

import time

import pytest

from gateway.mime.flowed import joined_lines

FLOWED = {"format": "Flowed"}


@pytest.mark.parametrize(
    ("text", "parameters", "shown"),
    [
        ("one \ntwo\nthree", FLOWED, "one two\nthree"),
        ("one \ntwo\nthree", {}, "one \ntwo\nthree"),
        ("one \ntwo", {"format": "fixed"}, "one \ntwo"),
        ("日本 \n語", {**FLOWED, "delsp": "Yes"}, "日本語"),
        (" From x\n >y\n  z", FLOWED, "From x\n>y\n z"),
        ("> a \n> b\n>> c \n>> d\ne", FLOWED, "> a b\n>> c d\ne"),
        ("> a \nb", FLOWED, "> a \nb"),
        ("a \n-- \nme", FLOWED, "a \n-- \nme"),
        ("a \n\nb \n", FLOWED, "a \nb "),
        ("", FLOWED, ""),
        (">", FLOWED, "> "),
    ],
)
def test_paragraphs_are_joined_as_their_writer_saw_them(text: str, parameters: dict[str, str], shown: str) -> None:
    """Only at soft line breaks, and never across depths of quotation or the line before a signature."""
    assert joined_lines(text, parameters) == shown


def test_one_paragraph_of_a_megabyte_takes_linear_time() -> None:
    began = time.process_time()
    assert len(joined_lines("word \n" * 200_000, FLOWED)) == 1_000_000
    assert time.process_time() - began < 5

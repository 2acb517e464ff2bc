"""JMESPath of strangers, run over the events of others."""

from __future__ import annotations

import time
from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.services.webhooks.expressions import ExpressionError, evaluate, holds, parse

EVENT: dict[str, Any] = {
    "event": "messageNew",
    "path": "INBOX",
    "data": {
        "subject": "Invoice 7",
        "from": {"address": "bob@example.com"},
        "to": [{"address": "ann@example.com"}, {"address": "zoe@example.com"}],
        "attachments": [],
        "size": 0,
    },
}

#: Each would take longer than a life, or more memory than there is.
HEAVY = [
    " | ".join(["[@, @][]"] * 40),
    " | ".join(["[@, @, @, @]"] * 30),
    "|".join(["{a: @, b: @}"] * 40),
    " | ".join(["join('', [to_string(@), to_string(@)])"] * 40),
    "|".join(["[*].[@, @][][]"] * 40).replace("[*]", "[@,@][*]", 1),
    "data.to | " + " | ".join(["map(&[@, @], @)[]"] * 30),
]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("event == 'messageNew'", True),
        ("contains(data.subject, 'Invoice') && path == 'INBOX'", True),
        ("data.to[?address == 'zoe@example.com']", True),
        ("data.attachments", False),
        ("data.missing", False),
        ("data.size", True),
        ("''", False),
        ("contains(data.missing, 'x')", False),
        ("event > `1`", False),
    ],
)
def test_a_filter_lets_through_what_is_true_in_jmespath(expression: str, expected: bool) -> None:
    assert holds(expression, EVENT) is expected


def test_a_mapping_makes_a_new_value() -> None:
    mapped = evaluate("{who: data.from.address, all: data.to[].address, n: length(data.to)}", EVENT)
    assert mapped == {"who": "bob@example.com", "all": ["ann@example.com", "zoe@example.com"], "n": 2}


@pytest.mark.parametrize("expression", ["", "event ==", "no_such_function(@)", "length(@, @)", "length()", "(" * 5000])
def test_an_expression_that_cannot_be_used_is_refused_when_it_is_stored(expression: str) -> None:
    with pytest.raises(ExpressionError):
        parse(expression)


def test_the_reason_names_no_more_than_it_needs() -> None:
    with pytest.raises(ExpressionError) as refused:
        parse("event ==\n== " + "x" * 4000)
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("expression", HEAVY)
def test_an_expression_that_asks_for_too_much_is_stopped(expression: str) -> None:
    began = time.monotonic()
    with pytest.raises(ExpressionError, match=r"too much work|too deeply"):
        evaluate(expression, EVENT)
    assert time.monotonic() - began < 5


# The library's word about literals that other implementations refuse.
@pytest.mark.filterwarnings("ignore:deprecated string literal syntax")
@given(st.text(alphabet="abe.[]*{}:,|&?@`'\" ()<>=!0123-", max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_is_written_is_refused_or_run(text: str) -> None:
    try:
        holds(text, EVENT)
    except ExpressionError:
        return


@pytest.mark.parametrize(
    "expression",
    [
        "data.to[*].address | sort(@)",
        "sort_by(data.to, &address)[0]",
        "data.{a: subject, b: size}",
        "keys(data)",
        "to_array(event)[::-1]",
        "max_by(data.to, &length(address)).address",
        "not_null(data.missing, path)",
        "data.to[?starts_with(address, 'ann')] | [0].address",
        "merge(data.from, {x: `1`})",
    ],
)
def test_the_bound_changes_no_result(expression: str) -> None:
    assert evaluate(expression, EVENT) == jmespath.search(expression, EVENT)

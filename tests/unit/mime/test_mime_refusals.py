"""What the answers of refusing servers mean."""

from __future__ import annotations

from typing import get_args

import pytest

from gateway.mime.reports.refusals import bounce_response, refusal, refusals
from gateway.model.event import BounceAction, BounceCategory
from tests.samples.refusals import rows

ANSWERS = rows("answers.txt")


@pytest.mark.parametrize(("message", "status", "category", "action"), ANSWERS)
def test_an_answer_tells_what_it_is_about_and_what_to_do(
    message: str | None, status: str | None, category: str, action: str
) -> None:
    """Whoever gives up an address that is only full loses a reader; whoever keeps one that is gone loses a name."""
    response = bounce_response("smtp", message, status)
    assert (response.category, response.recommended_action) == (category, action)
    assert (response.source, response.message, response.status) == ("smtp", message, status)


@pytest.mark.parametrize(("message", "name", "type"), rows("blocklists.txt"))
def test_a_blocklist_is_known_by_its_host(message: str, name: str, type: str) -> None:
    """Its name is what somebody needs who wants to be taken off it."""
    response = bounce_response("smtp", message, None)
    assert response.blocklist is not None
    assert (response.blocklist.name, response.blocklist.type) == (name, type)
    assert response.category == f"{type}_blacklisted"


@pytest.mark.parametrize(("message", "seconds"), rows("waits.txt"))
def test_a_time_that_the_answer_names_is_told_in_seconds(message: str, seconds: str | None) -> None:
    """Only a wait that is asked for: not one that has passed, nor the span of a limit."""
    assert bounce_response("smtp", message, None).retry_after == (int(seconds) if seconds else None)


def test_answers_are_many() -> None:
    """A figure about few samples says little."""
    assert len(ANSWERS) == len(set(ANSWERS)) >= 200


def test_every_category_and_every_action_is_told_by_some_answer() -> None:
    """The words of the wire are all in use."""
    assert {category for *_, category, _ in ANSWERS} == set(get_args(BounceCategory))
    assert {action for *_, action in ANSWERS} == set(get_args(BounceAction))
    assert set(refusals().actions) == set(get_args(BounceCategory))


def test_no_row_is_hidden_behind_an_earlier_one() -> None:
    """A row that nothing reaches would promise what never happens."""
    reached = {id(refusal(message, status)) for message, status, *_ in ANSWERS}
    assert [row for row in refusals().rows if id(row) not in reached] == []


def test_phrases_are_compared_in_lower_case() -> None:
    """A phrase that is not would never be found."""
    for row in refusals().rows:
        assert all(phrase == phrase.casefold() for phrase in (*row.phrases, *row.any_phrase))
    for known in refusals().blocklists:
        assert all(mark == mark.casefold() for mark in known.marks)


def test_addresses_and_hosts_are_no_reasons() -> None:
    """A mailbox or a server may be called anything."""
    response = bounce_response(
        "smtp", "host spam-filter.test said: 550 5.1.1 <virus@greylist.test>: User unknown", None
    )
    assert response.category == "user_unknown"

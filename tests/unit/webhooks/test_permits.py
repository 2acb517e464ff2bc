"""How much of a worker one endpoint may occupy."""

from __future__ import annotations

import pytest

from gateway.services.webhooks.permits import FAILING, MOST_TO_HOST, MOST_TO_URL, Permits, Place, places

ONE, OTHER = (Place("one", 2),), (Place("other", 2),)
PAIRS = [(f"account-{number}", "default") for number in range(5)]


def test_a_place_is_occupied_up_to_its_number_and_others_stay_free() -> None:
    permits = Permits()
    assert [permits.take(ONE, pair) for pair in PAIRS[:3]] == [True, True, False]
    assert permits.take(OTHER, PAIRS[2])


def test_who_waits_is_named_in_order_and_once() -> None:
    permits = Permits()
    for pair in (*PAIRS, PAIRS[2]):
        permits.take(ONE, pair)
    assert [permits.give_back(ONE) for _ in range(2)] == [[PAIRS[2]], [PAIRS[3]]]
    assert permits.take(ONE, PAIRS[2])
    assert permits.give_back(ONE) == [PAIRS[4]]
    assert permits.take(ONE, PAIRS[0])
    assert permits.give_back(ONE) == []


def test_a_failing_place_has_few_permits_until_a_delivery_succeeds() -> None:
    permits, place = Permits(), (Place("one", 16),)
    for _ in range(FAILING):
        assert permits.take(place, PAIRS[0])
        permits.note(place, success=False)
        permits.give_back(place)
    assert [permits.take(place, pair) for pair in PAIRS] == [True, True, False, False, False]
    permits.note(place, success=True)
    assert permits.take(place, PAIRS[3])


def test_a_permit_is_taken_of_every_place_or_of_none() -> None:
    permits = Permits()
    assert permits.take((*ONE, *OTHER), PAIRS[0])
    assert permits.take(OTHER, PAIRS[1])
    assert not permits.take((*ONE, *OTHER), PAIRS[2])
    assert permits.take(ONE, PAIRS[3])
    assert permits.give_back((*ONE, *OTHER)) == [PAIRS[2]]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Example.com/one?key=1", "example.com"),
        ("https://user:p%40ss@example.com/two", "example.com"),
        ("http://example.com:8080/", "example.com:8080"),
        ("http://[bad/", ""),
    ],
)
def test_urls_of_one_host_share_its_permits(url: str, host: str) -> None:
    assert places(url) == (Place(host, MOST_TO_HOST), Place(url, MOST_TO_URL))

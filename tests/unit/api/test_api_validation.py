"""What the API accepts, and how it says what it does not."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from gateway.api.catalogue import OPERATIONS
from gateway.api.requests import decode_body, decode_query, parse_query, read_timeout
from gateway.api.validation import MOST_PROBLEMS, validate
from gateway.errors import InvalidRequestError
from gateway.model.account import AccountCreate
from gateway.model.base import Payload
from gateway.model.submission import AppendRequest


class Inner(Payload, frozen=True, kw_only=True):
    """A nested object."""

    host: str
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None


class Sample(Payload, frozen=True, kw_only=True):
    """One of each kind of member."""

    name: Annotated[str, Meta(min_length=1, max_length=5)]
    count: Annotated[int, Meta(ge=0, le=10)] = 0
    ratio: float | None = None
    flag: bool = False
    when: datetime | None = None
    kind: Literal["a", "b"] | None = None
    inner: Inner | bool | UnsetType = UNSET
    tags: tuple[Annotated[str, Meta(max_length=3)], ...] | str | None = None
    people: tuple[Inner, ...] = ()
    free: dict[str, Any] | None = None
    word: Annotated[str, Meta(pattern="^[a-z]+$")] | None = None


def problems_of(value: Any, cls: type[msgspec.Struct] = Sample) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        validate(value, cls)
    return {field["key"]: field["message"] for field in caught.value.details["fields"]}


def test_every_mistake_is_reported_with_its_path() -> None:
    """A client fixes all of its mistakes after one answer."""
    found = problems_of(
        {
            "count": 11,
            "inner": {"port": "x", "nope": 1},
            "people": [{"host": "h"}, {"host": 5}],
            "tags": ["ok", "long!"],
            "extra": 1,
        }
    )
    assert set(found) == {
        "name",
        "count",
        "inner.host",
        "inner.port",
        "inner.nope",
        "people[1].host",
        "tags[1]",
        "extra",
    }
    assert found["name"] == '"name" is required'
    assert found["extra"] == '"extra" is not allowed'


@pytest.mark.parametrize(
    ("member", "given_value", "expected"),
    [
        ("count", "7", 7),
        ("count", "7.0", 7),
        ("count", 7.0, 7),
        ("ratio", "1.5", 1.5),
        ("flag", "Y", True),
        ("flag", "true", True),
        ("flag", "TRUE", True),
        ("flag", 1, True),
        ("flag", "N", False),
        ("flag", "0", False),
        ("when", "2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
        ("when", "2024-02-29T10:00:00", datetime(2024, 2, 29, 10, tzinfo=UTC)),
        ("when", "2024-02-29T10:00:00.5+02:00", datetime(2024, 2, 29, 8, 0, 0, 500000, tzinfo=UTC)),
        ("tags", "one", "one"),
        ("tags", ["one"], ("one",)),
        ("inner", False, False),
    ],
)
def test_spellings_that_the_wire_api_takes(member: str, given_value: Any, expected: Any) -> None:
    """Clients send strings where the schema says number, boolean or time."""
    assert getattr(validate({"name": "n", member: given_value}, Sample), member) == expected


@pytest.mark.parametrize(
    ("member", "given_value"),
    [
        ("name", ""),
        ("name", "sixsix"),
        ("name", "a\x00"),
        ("name", 5),
        ("name", None),
        ("count", -1),
        ("count", 1.5),
        ("count", True),
        ("count", "1e3"),
        ("count", 10**40),
        ("ratio", "1e999"),
        ("ratio", "nan"),
        ("flag", "yes"),
        ("flag", ""),
        ("flag", 2),
        ("when", 1700000000),
        ("when", "yesterday"),
        ("when", "0001-01-01T00:00:00+10:00"),
        ("kind", "c"),
        ("kind", ["a"]),
        ("inner", "x"),
        ("tags", 5),
        ("people", {}),
        ("people", [None]),
        ("free", []),
        ("free", {"deep": 10**40}),
        ("word", "abc\n"),
    ],
)
def test_values_that_are_refused(member: str, given_value: Any) -> None:
    """Nothing of the wrong kind, size or form reaches a controller; `$` does not let a line break through."""
    assert any(key.startswith(member) for key in problems_of({"name": "n", member: given_value}))


def test_free_members_have_a_depth() -> None:
    """What is stored and encoded again later must not be able to exhaust the stack."""
    value: Any = 1
    for _ in range(200):
        value = {"x": value}
    assert "free.x" in problems_of({"name": "n", "free": value})


def test_the_number_of_reported_mistakes_is_bounded() -> None:
    """A hostile body must not become an answer many times its size."""
    assert len(problems_of({f"k{index}": 1 for index in range(10_000)})) == MOST_PROBLEMS


@pytest.mark.parametrize("value", [[], "x", 5, None, True])
def test_a_body_that_is_no_object_is_refused(value: Any) -> None:
    assert list(problems_of(value).values()) == ['"value" must be an object']


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "InvalidJson"),
        (b"\xff\xfe", "InvalidJson"),
        (b'{"name":"\xff"}', "InvalidJson"),
        (b'{"name":"\\ud800"}', "InvalidJson"),
        (b'{"ratio":NaN}', "InvalidJson"),
        (b'{"free":' + b'{"a":' * 100_000, "InvalidJson"),
        (b"[" * 100_000, "InvalidJson"),
    ],
)
def test_bodies_that_are_not_json(body: bytes, code: str) -> None:
    """Broken UTF-8, lone surrogates, NaN and endless nesting are the caller's fault, said clearly."""
    with pytest.raises(InvalidRequestError) as caught:
        decode_body(body, "application/json", Sample)
    assert caught.value.error_code == code


@pytest.mark.parametrize(
    ("content_type", "taken"),
    [
        (None, True),
        ("application/json", True),
        ("application/json; charset=UTF-8", True),
        ("application/merge-patch+json", True),
        ("application/json; charset=latin-1", False),
        ("application/x-www-form-urlencoded", False),
        ("text/plain", False),
    ],
)
def test_only_json_bodies_are_taken(content_type: str | None, taken: bool) -> None:
    if taken:
        assert decode_body(b'{"name":"n"}', content_type, Sample).name == "n"
        return
    with pytest.raises(InvalidRequestError) as caught:
        decode_body(b'{"name":"n"}', content_type, Sample)
    assert caught.value.error_code == "UnsupportedMediaType"


def test_a_query_member_may_stand_for_a_list_of_one() -> None:
    class Query(Payload, frozen=True, kw_only=True):
        ids: tuple[str, ...] = ()
        page: int = 0

    assert decode_query(parse_query(b"ids=a"), Query).ids == ("a",)
    assert decode_query(parse_query(b"ids=a&ids=b&page=2&access_token=x&documentStore=true"), Query).ids == ("a", "b")
    with pytest.raises(InvalidRequestError) as caught:
        decode_query(parse_query(b"page=1&page=2"), Query)
    assert caught.value.details["fields"][0]["key"] == "page"


@pytest.mark.parametrize("query", [b"a=%ff", b"a=\xff", b"&".join(b"a=1" for _ in range(2000))])
def test_query_strings_that_are_refused(query: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_query(query)


@pytest.mark.parametrize(("value", "seconds"), [("1500", 1.5), ("0", 10.0), ("7200000", 7200.0)])
def test_the_timeout_header_counts_milliseconds(value: str, seconds: float) -> None:
    assert read_timeout({"x-ee-timeout": value}, 10.0) == seconds
    assert read_timeout({"x-gateway-timeout": value}, 10.0) == seconds


@pytest.mark.parametrize("value", ["-1", "1.5", "7200001", "x", "", "9" * 5000, "\u0661"])
def test_timeouts_that_are_refused(value: str) -> None:
    with pytest.raises(InvalidRequestError):
        read_timeout({"x-ee-timeout": value}, 10.0)


# --- anything at all --------------------------------------------------------------------------------------------------

NASTY = st.sampled_from(
    [
        "__proto__",
        "__class__",
        "constructor",
        "*",
        "../",
        "\x00",
        "\U0001f4a9",
        "%s{0}",
        "a" * 4096,
        "",
        "Y",
        "1",
        "now",
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | NASTY
    | st.text(string.printable, max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NASTY | st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ACCEPTED: list[type[msgspec.Struct]] = sorted(
    {cls for found in OPERATIONS for cls in (found.query, found.body) if cls is not None}
    | {Sample, AccountCreate, AppendRequest},
    key=lambda cls: cls.__name__,
)


@given(st.data())
def test_any_value_is_either_taken_or_refused_cleanly(data: st.DataObject) -> None:
    """Whatever a client sends for whatever member, the outcome is a struct or an error with named fields."""
    cls = data.draw(st.sampled_from(ACCEPTED))
    names = st.sampled_from(cls.__struct_encode_fields__) if cls.__struct_encode_fields__ else NASTY
    value = data.draw(st.dictionaries(names | NASTY, JSON, max_size=6) | JSON)
    try:
        found = validate(value, cls)
    except InvalidRequestError as error:
        assert error.details["fields"]
        assert all(set(field) == {"message", "key"} for field in error.details["fields"])
    else:
        assert isinstance(found, cls)


@given(st.binary(max_size=200))
def test_any_octets_are_taken_or_refused_cleanly(body: bytes) -> None:
    """A body of any octets is a struct or an `InvalidRequestError`."""
    try:
        decode_body(body, "application/json", Sample)
    except InvalidRequestError as error:
        assert error.message


def strictly(value: dict[str, Any]) -> bool:
    try:
        msgspec.convert(value, Sample, strict=True)
    except msgspec.ValidationError:
        return False
    return True


@given(
    st.fixed_dictionaries(
        {"name": st.text("ab", max_size=7)},
        optional={
            "count": st.integers(-2, 12),
            "ratio": st.floats(-5, 5),
            "flag": st.booleans(),
            "kind": st.sampled_from(["a", "b", "c"]),
            "inner": st.booleans()
            | st.fixed_dictionaries({"host": st.text("h")}, optional={"port": st.integers(0, 3)}),
            "tags": st.text("t", max_size=4) | st.lists(st.text("t", max_size=4), max_size=3),
            "people": st.lists(st.fixed_dictionaries({}, optional={"host": st.text("h")}), max_size=2),
        },
    )
)
def test_well_typed_values_are_judged_as_msgspec_judges_them(value: dict[str, Any]) -> None:
    """The walk adds spellings and reports; it must not refuse or let through what the struct's own type does not."""
    try:
        validate(value, Sample)
        taken = True
    except InvalidRequestError:
        taken = False
    assert taken == strictly(value)

"""A calendar tells its events, and one of a stranger who means ill costs little and says nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.calendar import LARGEST, MOST_EVENTS, CalendarEvent, read_calendar

#: As Exchange writes the zone of somebody who set his clock by hand.
OWN_ZONE = (
    "BEGIN:VTIMEZONE\r\nTZID:Customized Time Zone\r\n"
    "BEGIN:STANDARD\r\nDTSTART:16010101T030000\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\n"
    "RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10\r\nEND:STANDARD\r\n"
    "BEGIN:DAYLIGHT\r\nDTSTART:16010101T020000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\n"
    "RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3\r\nEND:DAYLIGHT\r\nEND:VTIMEZONE\r\n"
)


def calendar(*lines: str, zones: str = "") -> bytes:
    """Return a calendar with one event."""
    event = "\r\n".join(("BEGIN:VEVENT", *lines, "END:VEVENT"))
    return f"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\n{zones}{event}\r\nEND:VCALENDAR\r\n".encode()


def event_of(*lines: str, zones: str = "") -> CalendarEvent:
    (event,) = read_calendar(calendar(*lines, zones=zones))
    return event


def test_an_invitation_is_read() -> None:
    assert event_of(
        "UID:1@x",
        "SUMMARY;LANGUAGE=de:Gr\u00fc\u00dfe\\, al",
        " le",
        "DESCRIPTION:one\\ntwo",
        'ORGANIZER;CN="Ada: L":mailto:ada@example.org',
        "DTSTART:20260701T100000Z",
        "DTEND:20260701T110000Z",
        "BEGIN:VALARM",
        "DESCRIPTION:not this",
        "END:VALARM",
    ) == CalendarEvent(
        uid="1@x",
        method="REQUEST",
        summary="Gr\u00fc\u00dfe, alle",
        description="one\ntwo",
        timezone="UTC",
        start=datetime(2026, 7, 1, 10, tzinfo=UTC),
        end=datetime(2026, 7, 1, 11, tzinfo=UTC),
        organizer="mailto:ada@example.org",
    )


@pytest.mark.parametrize(
    ("zone", "hour", "shown"),
    [
        ("TZID=Europe/Berlin", 8, "Europe/Berlin"),
        ("TZID=W. Europe Standard Time", 8, "Europe/Berlin"),
        ('TZID="Pacific Standard Time"', 17, "America/Los_Angeles"),
        ("TZID=/mozilla.org/20070129_1/Europe/Berlin", 8, "Europe/Berlin"),
        ("tzid=Customized Time Zone", 8, "Customized Time Zone"),
        ("X-OTHER=1;TZID=Europe/Berlin", 8, "Europe/Berlin"),
        ("TZID=Nowhere", 10, "Nowhere"),
        ("TZID=../../etc/passwd", 10, "../../etc/passwd"),
        ("VALUE=DATE-TIME", 10, None),
    ],
)
def test_time_is_found_in_any_zone(zone: str, hour: int, shown: str | None) -> None:
    """IANA's, Windows', the calendar's own; in one that nobody knows the time is taken as it stands."""
    event = event_of(f"DTSTART;{zone}:20260701T100000", zones=OWN_ZONE)
    assert (event.start, event.timezone) == (datetime(2026, 7, 1, hour, tzinfo=UTC), shown)


def test_zone_of_one_calendar_means_nothing_to_the_next() -> None:
    """Its name is all that a sender has to know to shift the appointments of others."""
    wrong = OWN_ZONE.replace("+0200", "+1000").replace("+0100", "+0900")
    event_of("DTSTART;TZID=Customized Time Zone:20260701T100000", zones=wrong)
    event = event_of("DTSTART;TZID=Customized Time Zone:20260701T100000", zones=OWN_ZONE)
    assert event.start == datetime(2026, 7, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lines", "end"),
    [
        (("DTSTART;VALUE=DATE:20260701",), datetime(2026, 7, 2, tzinfo=UTC)),
        (("DTSTART;VALUE=DATE:20260701", "DTEND;VALUE=DATE:20260704"), datetime(2026, 7, 4, tzinfo=UTC)),
        (("DTSTART:20260701T100000Z",), datetime(2026, 7, 1, 10, tzinfo=UTC)),
        (("DTSTART:20260701T100000Z", "DURATION:PT90M"), datetime(2026, 7, 1, 11, 30, tzinfo=UTC)),
        (("DTSTART:20260701T100000Z", "DTEND:garbage"), datetime(2026, 7, 1, 10, tzinfo=UTC)),
        (("DTSTART:99991231T230000Z", "DURATION:P9D"), None),
        (("DTSTART:garbage",), None),
    ],
)
def test_end_follows_from_what_there_is(lines: tuple[str, ...], end: datetime | None) -> None:
    """RFC 5545 section 3.6.1."""
    assert [event.end for event in read_calendar(calendar(*lines))] in ([end], [])


def test_recurring_event_is_told_once() -> None:
    assert event_of("DTSTART:20260701T100000Z", "RRULE:FREQ=SECONDLY").start == datetime(2026, 7, 1, 10, tzinfo=UTC)


def test_only_so_many_events_are_told() -> None:
    events = "BEGIN:VEVENT\r\nUID:x\r\nDTSTART:20260101T000000Z\r\nEND:VEVENT\r\n" * 1000
    octets = f"BEGIN:VCALENDAR\r\n{events}END:VCALENDAR\r\n".encode()
    assert len(read_calendar(octets)) == MOST_EVENTS


_HOSTILE = {
    "nested": b"BEGIN:VEVENT\r\n",
    "components": b"BEGIN:X-1\r\nEND:X-1\r\n",
    "properties": b"SUMMARY:x,y\r\n",
    "rules": b"RRULE:FREQ=DAILY;BYMONTH=1,2,3\r\n",
    "parameters": b";A=B",
    "escapes": b"\\",
    "quotes": b'"',
    "folds": b"\r\n ",
    "digits": b"1",
}


@pytest.mark.parametrize("piece", _HOSTILE.values(), ids=_HOSTILE)
@pytest.mark.parametrize("begin", [b"", b"UID:1\r\nSUMMARY", b"UID:1\r\nDTSTART:", b"DURATION:P"])
def test_no_calendar_takes_long(begin: bytes, piece: bytes) -> None:
    """Much more than is needed at worst, for machines that do something else as well."""
    head = b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n" + begin
    started = time.process_time()
    read_calendar(head + piece * ((LARGEST - len(head)) // len(piece)))
    assert time.process_time() - started < 5


def test_zone_whose_rules_never_end_is_not_asked() -> None:
    """The one in force would be sought second by second since 1601."""
    zones = OWN_ZONE.replace("FREQ=YEARLY", "FREQ=SECONDLY")
    event = event_of("DTSTART;TZID=Customized Time Zone:20260701T100000", zones=zones)
    assert event.start == datetime(2026, 7, 1, 10, tzinfo=UTC)


def test_calendar_that_is_too_large_is_not_read() -> None:
    assert read_calendar(calendar("UID:1", "DESCRIPTION:" + "x" * LARGEST)) == []


_PIECES = st.sampled_from(
    [
        *("BEGIN:", "END:", "VCALENDAR", "VEVENT", "VTIMEZONE", "STANDARD", "\r\n", "\r\n ", "\n", ":", ";", "=", ","),
        *('"', "\\", "DTSTART", "DTEND", "DURATION", "TZID=", "VALUE=DATE", "VALUE=PERIOD", "UID", "RRULE:", "P1D"),
        *("20260701T100000Z", "20260701", "99991231T235959", "00010101T000000", "FREQ=YEARLY", "BYDAY=-1SU", "\0"),
        *("TZOFFSETTO:", "TZOFFSETFROM:", "+0100", "-9999", "ENCODING=BASE64", "UTC", "Europe", "\u00e4", "\ud83d"),
        OWN_ZONE,
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;TZID=Customized Time Zone:20260701T100000\r\n",
    ]
)


@given(st.lists(_PIECES, max_size=30).map("".join))
def test_no_garbage_fails(text: str) -> None:
    for event in read_calendar(text.encode("utf-8", "surrogatepass")):
        assert event.start is None or event.start.tzinfo is UTC


@given(st.binary(max_size=200), st.integers(0, 900), st.integers(0, 40))
def test_no_broken_calendar_fails(octets: bytes, start: int, length: int) -> None:
    good = calendar("UID:1@x", "DTSTART;TZID=Customized Time Zone:20260701T100000", "DURATION:PT1H", zones=OWN_ZONE)
    assert len(read_calendar(good[:start] + octets + good[start + length :])) <= MOST_EVENTS

"""Read the events of calendars that strangers send (RFC 5545, RFC 6047).

The library reads what a calendar says. What it is given is bounded in length and number, and of the rest only known
components get to it: it keeps a class for every name of a component it meets, and every time zone under the name that
its sender gave it, for whoever uses that name next. No recurrence is expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import icalendar
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from gateway.mime.decode import decode_text

__all__ = ["LARGEST", "MOST_EVENTS", "CalendarEvent", "read_calendar"]

#: Octets of a calendar that is read. An invitation has a few thousand; a quarter of a second is needed at worst.
LARGEST = 128 * 1024

#: Events of one calendar. An invitation has one, and one for each date that was moved.
MOST_EVENTS = 10

_MOST_ZONES = 10
_ZONE = "X-ZONE"
#: Components that are read, by what they may stand in and what they are called for the library.
_COMPONENTS = {
    ("", "VCALENDAR"): "VCALENDAR",
    ("VCALENDAR", "VEVENT"): "VEVENT",
    ("VCALENDAR", "VTIMEZONE"): _ZONE,
    ("VTIMEZONE", "STANDARD"): "STANDARD",
    ("VTIMEZONE", "DAYLIGHT"): "DAYLIGHT",
}
_PROPERTIES = {
    *("METHOD", "UID", "RECURRENCE-ID", "SUMMARY", "DESCRIPTION", "ORGANIZER", "DTSTART", "DTEND", "DURATION"),
    *("TZID", "X-LIC-LOCATION", "TZOFFSETFROM", "TZOFFSETTO", "RRULE"),
}
_FOLD = re.compile(r"\r?\n[ \t]")
_LINE_END = re.compile(r"\r\n|\n|\r")
_NAME = re.compile(r"[A-Za-z0-9-]+")
#: The parameter that names a zone; the library would look for it everywhere, and warn of what it found.
_TZID = re.compile(r"^((?:DTSTART|DTEND)[^:\"]*;\s*)TZID=", re.IGNORECASE)
#: Rules of a zone that name one day a year; of others it may take for ever to find the one in force.
_YEARLY = {"FREQ", "INTERVAL", "BYMONTH", "BYDAY", "UNTIL", "WKST"}
#: What garbage makes the library raise, found by feeding it some.
_GARBAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


class CalendarEvent(NamedTuple):
    """One event; `start` and `end` are aware UTC, midnight UTC where there is only a date.

    Attributes:
        uid: the same in every message about the event.
        method: what the message asks for (RFC 5546 section 1.4), upper case.
        summary: its title.
        description: what it is about.
        timezone: of the start, an IANA name where there is one; else as the calendar calls it.
        start: when it begins; of recurring ones the first.
        end: when it ends.
        organizer: as the calendar has it, commonly a ``mailto:`` URI.
    """

    uid: str | None
    method: str | None
    summary: str | None
    description: str | None
    timezone: str | None
    start: datetime | None
    end: datetime | None
    organizer: str | None


def read_calendar(octets: bytes) -> list[CalendarEvent]:
    """Return the events of a calendar; of garbage, and of what is larger than `LARGEST`, none."""
    if len(octets) > LARGEST:
        return []
    text = "\r\n".join(_known_lines(decode_text(octets)))
    try:
        calendars = icalendar.Calendar.from_ical(text, multiple=True) if text else []
    except _GARBAGE:
        return []
    return [event for calendar in calendars for event in _events(calendar)][:MOST_EVENTS]


def _known_lines(text: str) -> Iterator[str]:
    """Yield the lines that matter, of no more components than are read."""
    opened: list[str] = []
    skipped = 0
    counts = {"VEVENT": MOST_EVENTS, "VTIMEZONE": _MOST_ZONES, "STANDARD": _MOST_ZONES, "DAYLIGHT": _MOST_ZONES}
    for line in _LINE_END.split(_FOLD.sub("", text)):
        name = _name(line)
        component = line.rpartition(":")[2].strip().upper()
        if name == "BEGIN":
            known = _COMPONENTS.get((opened[-1] if opened else "", component))
            counts[component] = counts.get(component, 1) - (known is not None and not skipped)
            if skipped or known is None or counts[component] < 0:
                skipped += 1
            else:
                opened.append(component)
                yield f"BEGIN:{known}"
        elif name == "END":
            if skipped:
                skipped -= 1
            elif opened and opened[-1] == component:
                opened.pop()
                yield f"END:{_COMPONENTS[opened[-1] if opened else '', component]}"
        elif opened and not skipped and name in _PROPERTIES:
            yield _TZID.sub(r"\1X-TZID=", line)
    while opened:
        component = opened.pop()
        yield f"END:{_COMPONENTS[opened[-1] if opened else '', component]}"


def _name(line: str) -> str:
    found = _NAME.match(line)
    return "" if found is None else found[0].upper()


def _events(calendar: icalendar.Component) -> Iterator[CalendarEvent]:
    zones = {str(zone.get("TZID", "")): zone for zone in calendar.walk(_ZONE)}
    method = _text(calendar, "METHOD")
    for event in calendar.walk("VEVENT"):
        try:
            yield _event(event, method, zones)
        except _GARBAGE:
            continue


def _event(event: icalendar.Component, method: str | None, zones: dict[str, icalendar.Component]) -> CalendarEvent:
    start, zone = _moment(event, "DTSTART", zones)
    end, _ = _moment(event, "DTEND", zones)
    if end is None and start is not None:
        end = start + _duration(event)
    return CalendarEvent(
        uid=_text(event, "UID"),
        method=None if method is None else method.upper(),
        summary=_text(event, "SUMMARY"),
        description=_text(event, "DESCRIPTION"),
        timezone=zone,
        start=start,
        end=end,
        organizer=_text(event, "ORGANIZER"),
    )


def _first(component: icalendar.Component, name: str) -> Any:
    """Return a property; the first one where it stands more than once."""
    value = component.get(name)
    return value[0] if isinstance(value, list) else value


def _text(component: icalendar.Component, name: str) -> str | None:
    value = _first(component, name)
    return None if value is None else str(value).strip() or None


def _duration(event: icalendar.Component) -> timedelta:
    """Return how long an event without an end takes (RFC 5545 section 3.6.1)."""
    found = getattr(_first(event, "DURATION"), "dt", None)
    if isinstance(found, timedelta):
        return found
    start = getattr(_first(event, "DTSTART"), "dt", None)
    return timedelta(0) if isinstance(start, datetime) else timedelta(days=1)


def _moment(
    event: icalendar.Component, name: str, zones: dict[str, icalendar.Component]
) -> tuple[datetime | None, str | None]:
    """Return when something is, and in which zone; a time of no zone that is known is taken for UTC."""
    value = _first(event, name)
    found = getattr(value, "dt", None)
    if not isinstance(found, date):
        return None, None
    if not isinstance(found, datetime):
        return datetime(found.year, found.month, found.day, tzinfo=UTC), None
    wanted = str(value.params.get("X-TZID", "")) or None
    zone: tzinfo = UTC
    shown = wanted
    if wanted is None:
        shown = None if found.tzinfo is None else "UTC"
    elif (known := _known_zone(wanted)) is not None:
        zone, shown = known, known.key
    elif wanted in zones:
        zone, shown = _own_zone(zones[wanted], wanted)
    return found.replace(tzinfo=zone).astimezone(UTC), shown


def _known_zone(name: str) -> ZoneInfo | None:
    """Return a zone by IANA's name, also behind a prefix (``/mozilla.org/2007_1/Europe/Rome``), or by Windows' name."""
    parts = name.strip().strip("/").split("/")
    for count in range(min(3, len(parts)), 0, -1):
        key = "/".join(parts[-count:])
        try:
            return ZoneInfo(WINDOWS_TO_OLSON.get(key, key))
        except (ValueError, OSError, LookupError):
            continue
    return None


def _own_zone(described: icalendar.Component, name: str) -> tuple[tzinfo, str]:
    """Return a zone that only the calendar knows (RFC 5545 section 3.6.5)."""
    place = _text(described, "X-LIC-LOCATION")
    if place is not None and (known := _known_zone(place)) is not None:
        return known, known.key
    if not all(_is_yearly(each) for each in described.subcomponents):
        return UTC, name
    zone = icalendar.Timezone()
    zone.add("TZID", name)
    for observance in described.subcomponents:
        zone.add_component(observance)
    return zone.to_tz(lookup_tzid=False), name


def _is_yearly(observance: icalendar.Component) -> bool:
    """Whether it is told at once when standard or daylight time is in force."""
    rule = observance.get("RRULE")
    if rule is None:
        return True
    return (
        not isinstance(rule, list)
        and rule.get("FREQ") == ["YEARLY"]
        and rule.keys() <= _YEARLY
        and all(len(values) == 1 for values in rule.values())
    )

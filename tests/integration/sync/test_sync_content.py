"""How much of its content `messageNew` tells, as the settings say."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.integration.sync.scripted import Taking

pytestmark = pytest.mark.anyio

CALENDAR = (
    b"BEGIN:VCALENDAR\r\nMETHOD:CANCEL\r\nBEGIN:VEVENT\r\nUID:1@x\r\nSUMMARY:Lunch\r\n"
    b"DTSTART:20260701T100000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
LETTER = (
    b"Message-ID: <1@x>\r\nSubject: x\r\nX-One: 1\r\nX-Two: 2\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    b'--b\r\nContent-Type: text/html\r\n\r\n<p onclick="x()">0123456789<img src="cid:i"><script>x()</script></p>\r\n'
    b"--b\r\nContent-Type: image/png\r\nContent-ID: <i>\r\nContent-Disposition: inline; filename=i.png\r\n\r\npng\r\n"
    b"--b\r\nContent-Type: text/calendar; method=CANCEL\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(CALENDAR).replace(b"\n", b"\r\n")
    + b"--b--\r\n"
)


async def told(taking: Taking, **settings: Any) -> dict[str, Any]:
    """Return what is told of the letter."""
    await taking.services.runtime_settings.update(settings)
    await taking.take()
    taking.session.put("1")
    taking.session.sources["1"] = LETTER
    await taking.take()
    (event,) = await taking.events("messageNew")
    return dict(event["data"])


async def test_nothing_is_read_unless_it_is_asked_for(taking: Taking) -> None:
    data = await told(taking, notifyTextSize=10, notifyWebSafeHtml=True)
    assert not {"headers", "calendarEvents"} & data.keys()
    assert not {"plain", "html"} & data["text"].keys()
    assert all("content" not in each for each in data["attachments"])
    assert taking.session.opened == []


async def test_text_and_headers_and_attachments_are_told(taking: Taking) -> None:
    data = await told(taking, notifyText=True, notifyTextSize=20, notifyHeaders=["X-One"], notifyAttachments=True)
    assert (data["text"]["html"], data["text"]["hasMore"]) == ('<p onclick="x()">012', True)
    assert data["headers"] == {"x-one": ["1"]}
    assert [base64.b64decode(each["content"]) for each in data["attachments"]] == [b"png", CALENDAR]


async def test_attachments_over_the_limit_are_told_without_content(taking: Taking) -> None:
    data = await told(taking, notifyAttachments=True, notifyAttachmentSize=10)
    assert ["content" in each for each in data["attachments"]] == [True, False]


async def test_html_is_made_safe_with_its_images_in_place(taking: Taking) -> None:
    text = (await told(taking, notifyText=True, notifyWebSafeHtml=True))["text"]
    assert text["webSafe"]
    assert '><p>0123456789<img src="data:image/png;base64,cG5n"></p>' in text["html"]


async def test_calendar_events_are_told_and_nothing_else_is_read(taking: Taking) -> None:
    data = await told(taking, notifyCalendarEvents=True)
    (event,) = data["calendarEvents"]
    assert (event["eventId"], event["method"], event["summary"]) == ("1@x", "CANCEL", "Lunch")
    assert (event["startDate"], event["timezone"]) == ("2026-07-01T10:00:00Z", "UTC")
    assert base64.b64decode(event["content"]) == CALENDAR
    assert taking.session.opened == [event["attachment"]]
    assert "headers" not in data

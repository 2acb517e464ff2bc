"""Control headers of finished messages."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequestError
from gateway.model.submission import SubmitRequest
from gateway.services.controls import Controls, take_controls, with_controls

CONTROLS = (
    b"X-EE-Send-At: 2026-12-01T08:00:00+01:00\r\n"
    b"x-ee-delivery-attempts: 3\r\n"
    b"X-EE-Gateway:\r\n main-relay\r\n"
    b"X-EE-Idempotency-Key: abc\r\n"
    b"X-EE-Tracking-Enabled: true\r\n"
    b"X-EE-Account: ann\r\n"
)
REST = (
    b"From: a@example.test\r\nSubject: =?utf-8?q?x?= \r\n\tfolded\r\nX-EE-Other: stays\r\n"
    b"\r\nX-EE-Gateway: body\r\n.\xff\n"
)
LINES = [b"X-EE-Gateway: a", b"A: b", b"x-ee-send-at:", b"Subject: x\r\n y"]


def test_controls_are_read_and_taken_off_and_all_other_octets_stay() -> None:
    taken = take_controls(b"Received: here\r\n" + CONTROLS + REST)
    assert taken == Controls(
        raw=b"Received: here\r\n" + REST,
        send_at=datetime(2026, 12, 1, 8, tzinfo=timezone(timedelta(hours=1))),
        delivery_attempts=3,
        gateway="main-relay",
        idempotency_key="abc",
    )


def test_a_time_without_a_zone_is_utc() -> None:
    assert take_controls(b"X-EE-Send-At: 2026-12-01T08:00:00\n\nx").send_at == datetime(2026, 12, 1, 8, tzinfo=UTC)


@given(st.binary(max_size=300))
def test_a_message_without_controls_keeps_every_octet(raw: bytes) -> None:
    """Whatever it looks like."""
    message = raw.replace(b"X", b"Y").replace(b"x", b"y")
    assert take_controls(message).raw == message


@given(st.lists(st.sampled_from(LINES), max_size=6))
def test_no_control_header_is_ever_sent(lines: list[bytes]) -> None:
    """Wherever in the header section it stands, and however often."""
    raw = take_controls(b"".join(line + b"\r\n" for line in lines) + b"\r\nbody").raw
    assert b"x-ee-" not in raw.lower()
    assert raw.endswith(b"\r\nbody")


@pytest.mark.parametrize(
    "header",
    [
        b"X-EE-Send-At: tomorrow",
        b"X-EE-Delivery-Attempts: 0",
        b"X-EE-Delivery-Attempts: 101",
        b"X-EE-Delivery-Attempts: \xc2\xb2",
        b"X-EE-Delivery-Attempts: " + b"1" * 5000,
    ],
    ids=lambda header: header[:40].decode(),
)
def test_a_value_that_makes_no_sense_is_refused_by_the_name_of_its_header(header: bytes) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        take_controls(header + b"\r\n\r\nx")
    assert [field["key"] for field in refused.value.details["fields"]] == [header.partition(b":")[0].decode()]


def test_members_of_the_request_go_before_its_headers() -> None:
    """Whoever says both says the first on purpose."""
    request = SubmitRequest(raw=base64.b64encode(CONTROLS + REST).decode(), gateway="other", delivery_attempts=5)
    found = with_controls(request)
    assert (found.gateway, found.delivery_attempts) == ("other", 5)
    assert found.send_at == datetime(2026, 12, 1, 7, tzinfo=UTC)
    assert base64.b64decode(found.raw or "") == REST


def test_a_request_without_controls_is_the_same_one() -> None:
    plain = SubmitRequest(raw=base64.b64encode(REST).decode())
    assert with_controls(plain) is plain
    unfinished = msgspec.structs.replace(plain, raw=None)
    assert with_controls(unfinished) is unfinished

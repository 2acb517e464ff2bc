"""What jobs, replies and failures look like in Redis."""

from __future__ import annotations

import zlib
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gateway.errors import InvalidRequestError, NotFoundError, RateLimitError, WorkerLostError
from gateway.model.message import FlagUpdate, MessageUpdate
from gateway.queue import operations, wire
from gateway.queue.serializer import MessagePackSerializer

NOW = datetime(2026, 3, 4, 5, 6, 7, 890, tzinfo=UTC)
JOB = "0123456789abcdef" * 2


def fields_of(
    arguments: msgspec.Struct, operation: operations.Operation, meta: wire.Meta | None = None
) -> dict[str, Any]:
    """The job record as a dict."""
    pairs = wire.job_fields(operation, "ada", arguments, now=NOW, meta=meta, timeout=1.2)
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (operations.ACCOUNT_CONNECT, operations.NoArguments()),
        (operations.MESSAGES_LIST, operations.ListMessages(path="INBOX", page=2, cursor="c")),
        (
            operations.MESSAGES_UPDATE,
            operations.UpdateMessage(message="m", update=MessageUpdate(flags=FlagUpdate(add=("\\Seen",)))),
        ),
        (operations.MESSAGES_APPEND, operations.AppendMessage(path="INBOX", content=b"\x00\xff", date=NOW)),
        (operations.ACCOUNT_VERIFY, operations.VerifyAccount(sealed=b"\x01")),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
@pytest.mark.parametrize("deflated", [False, True], ids=["as enqueued", "as RQ rewrites it"])
def test_a_call_is_read_as_it_was_written(
    operation: operations.Operation, arguments: msgspec.Struct, deflated: bool
) -> None:
    """RQ deflates job data whenever it saves a job itself, on a retry for instance."""
    data = fields_of(arguments, operation)["data"]
    assert wire.read_call(zlib.compress(data) if deflated else data) == wire.Call(operation, "ada", arguments)


def test_the_description_names_the_operation_and_nothing_else() -> None:
    """RQ logs descriptions; by default they quote every argument."""
    record = fields_of(operations.MoveMessage(message="secret", path="private"), operations.MESSAGES_MOVE)
    assert record["description"] == "messages.move"
    assert not any("secret" in str(value) for field, value in record.items() if field != "data")


def test_a_time_limit_is_rounded_up() -> None:
    """RQ knows whole seconds only, and 0 would mean no time at all."""
    assert fields_of(operations.NoArguments(), operations.ACCOUNT_CONNECT)["timeout"] == 2


@pytest.mark.parametrize(
    "data",
    [
        MessagePackSerializer.dumps(("os.getcwd", None, ["ada", b"\x80"], {})),
        MessagePackSerializer.dumps(("os.getcwd", None, [], {})),
        MessagePackSerializer.dumps(("messages.move", None, ["ada", b"\x80"], {})),
        MessagePackSerializer.dumps(("messages.move", None, ["ada", b"\xc1"], {})),
        MessagePackSerializer.dumps(["messages.move"]),
        b"\x80\x04K\x01.",  # a pickle
        b"",
    ],
    ids=["unknown", "unknown without arguments", "missing field", "no msgpack inside", "short", "pickle", "empty"],
)
def test_what_is_no_call_of_an_allowed_operation_is_refused(data: bytes) -> None:
    """Everybody who can write to Redis can write jobs."""
    with pytest.raises(InvalidRequestError):
        wire.read_call(data)


def test_replies_carry_results_and_errors() -> None:
    """The same class and details come out as went in."""
    assert wire.read_frame(wire.success_frame(JOB, b'{"a":1}')) == (JOB, b'{"a":1}')
    job, error = wire.read_frame(wire.failure_frame(JOB, RateLimitError("slow down", retry_after=7.0).record()))
    assert job == JOB
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 7.0


def test_results_are_read_from_rqs_stream() -> None:
    """That is where a caller looks whose reply got lost."""
    success = {b"return_value": b64encode(wire.encode_value(b"{}"))}
    assert wire.read_result(success) == b"{}"
    text = wire.failure_text(NotFoundError("gone").record())
    failure = {b"exc_string": b64encode(zlib.compress(text.encode()))}
    assert isinstance(wire.read_result(failure), NotFoundError)


@pytest.mark.parametrize("entry", [{}, {b"exc_string": b64encode(zlib.compress(b"AbandonedJobError"))}])
def test_a_job_that_rq_gave_up_counts_as_lost(entry: dict[bytes, bytes]) -> None:
    """RQ's maintenance fails jobs in its own words."""
    assert isinstance(wire.read_result(entry), WorkerLostError)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x81\xa5reply\x01"])
def test_foreign_meta_means_that_nobody_waits(data: bytes) -> None:
    """A job made by hand has none, or something else in it."""
    assert wire.read_meta(data) == wire.Meta()

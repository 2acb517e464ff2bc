"""What jobs, replies and recorded failures look like in Redis."""

from __future__ import annotations

import math
import zlib
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from gateway.errors import ErrorRecord, GatewayError, InvalidRequestError, WorkerLostError, from_record
from gateway.queue.operations import ALLOWLIST, Arguments, Operation

#: Seconds that a worker goes on after the caller's deadline, so that the result of a late job can still be fetched.
GRACE = 5.0

#: Seconds that the result of a call is kept: long enough for a caller whose subscription had to be made anew, and no
#: longer, because at hundreds of listings a second this is most of Redis' memory.
RESULT_TTL = 15

#: Seconds that a failure is kept for ``rq info``: of a call, whose caller was told, and of a job nobody waited for.
CALL_FAILURE_TTL = 60
FAILURE_TTL = 86_400

#: Seconds that a job nobody waits for may wait itself.
QUEUED_TTL = 86_400

#: Seconds that a job may go on streaming.
STREAM_TIME_LIMIT = 3600

# Callers' jobs are named by UUIDs, in hexadecimal.
_ID = 32
_DONE, _FAILED = b"+", b"-"

_encode = msgspec.msgpack.Encoder().encode
_decode_data = msgspec.msgpack.Decoder(tuple[str, None, tuple[str, bytes], dict[str, Any]]).decode
_decode_record = msgspec.json.Decoder(ErrorRecord).decode


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """RQ's ``meta`` of a job.

    Attributes:
        reply: the channel its caller listens on.
        deadline: Unix time after which its caller is gone.
    """

    reply: str = ""
    deadline: float | None = None


_decode_meta = msgspec.msgpack.Decoder(Meta).decode


class Call(msgspec.Struct, frozen=True):
    """What a job asks for."""

    operation: Operation
    account: str
    arguments: Arguments


def timestamp(moment: datetime) -> str:
    """Return RQ's text form of an aware UTC time."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def job_fields(
    operation: Operation, account: str, arguments: msgspec.Struct, *, now: datetime, meta: Meta | None, timeout: float
) -> list[Any]:
    """Return the fields and values, alternating, that RQ would write for a queued job.

    The description is the operation's name alone, because RQ logs it. The data is not deflated; RQ reads both.

    Args:
        operation: what is asked for.
        account: whose; empty for operations without one.
        arguments: an instance of the operation's `arguments`.
        now: aware UTC.
        meta: who waits; None for nobody.
        timeout: seconds that the job may run.
    """
    stamp = timestamp(now)
    fields = [
        *("created_at", stamp, "enqueued_at", stamp, "status", "queued", "origin", operation.queue),
        *("description", operation.name, "timeout", math.ceil(timeout), "result_ttl", RESULT_TTL),
        *("failure_ttl", FAILURE_TTL if meta is None else CALL_FAILURE_TTL),
        *("data", _encode((operation.name, None, (account, _encode(arguments)), {}))),
        *("success_callback_name", "", "failure_callback_name", "", "stopped_callback_name", ""),
        *("started_at", "", "ended_at", "", "last_heartbeat", "", "worker_name", "", "group_id", ""),
    ]
    return fields if meta is None else [*fields, "meta", _encode(meta)]


def read_call(data: bytes, allowlist: Mapping[str, Operation] = ALLOWLIST) -> Call:
    """Decode the data of a job.

    Raises:
        InvalidRequestError: it names no operation of the allowlist, or is not what that operation takes.
    """
    try:
        name, _, (account, arguments), _ = _decode_data(inflated(data))
    except msgspec.MsgspecError:
        raise InvalidRequestError("the job is not one of this gateway", code="InvalidJob") from None
    operation = allowlist.get(name)
    if operation is None:
        raise InvalidRequestError("there is no such operation", code="UnknownOperation")
    try:
        return Call(operation, account, msgspec.msgpack.decode(arguments, type=operation.arguments))
    except msgspec.MsgspecError:
        raise InvalidRequestError("the arguments are not those of the operation", code="InvalidJob") from None


def inflated(data: bytes) -> bytes:
    """Return job data as the serializer made it; RQ deflates when it writes a job itself."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def read_meta(data: bytes) -> Meta:
    """Decode ``meta``; one that is not ours says that nobody waits."""
    try:
        return _decode_meta(data) if data else Meta()
    except msgspec.MsgspecError:
        return Meta()


def encode_value(value: bytes) -> bytes:
    """Return a result, as the serializer makes it."""
    return _encode(value)


def failure_text(record: ErrorRecord) -> str:
    """Return what stands in place of a traceback: a traceback may quote mail and secrets."""
    return msgspec.json.encode(record).decode()


def success_frame(job: str, body: bytes) -> bytes:
    """Return the message that tells a caller the result, JSON."""
    return job.encode() + _DONE + body


def failure_frame(job: str, record: ErrorRecord) -> bytes:
    """Return the message that tells a caller the error."""
    return job.encode() + _FAILED + msgspec.json.encode(record)


def read_frame(frame: bytes) -> tuple[str, bytes | GatewayError]:
    """Return the job id of a reply, and its result or its error."""
    job, tag, body = frame[:_ID], frame[_ID : _ID + 1], frame[_ID + 1 :]
    return job.decode(), body if tag == _DONE else from_record(_decode_record(body))


def read_result(entry: Mapping[bytes, bytes]) -> bytes | GatewayError:
    """Decode an entry of RQ's result stream."""
    if b"return_value" in entry:
        return msgspec.msgpack.decode(b64decode(entry[b"return_value"]), type=bytes)
    try:
        return from_record(_decode_record(zlib.decompress(b64decode(entry[b"exc_string"]))))
    except (KeyError, msgspec.MsgspecError):
        # RQ's own maintenance gave the job up, in its own words.
        return WorkerLostError("the job was given up")

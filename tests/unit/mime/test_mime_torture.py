"""Ugly messages are read as their owners should see them, in bounded time and memory."""

from __future__ import annotations

import asyncio
import importlib.util
import time
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from gateway.mime.parse import ParsedMessage, open_part, parse_message
from tests.samples.torture import samples
from tests.samples.torture.building import ANY, Sample

#: Seconds and octets that a message may take; octets beside a multiple of its size.
MOST_TIME, MOST_MEMORY, TIMES_ITS_SIZE = 2.0, 8 * 1024 * 1024, 24


def python_samples() -> list[Path]:
    """Return the samples of the interpreter's own tests; not every installation has them."""
    try:
        found = importlib.util.find_spec("test.test_email.data")
    except ModuleNotFoundError:
        return []
    places = (found.submodule_search_locations or []) if found else []
    return sorted(file for place in places for file in Path(place).glob("msg_*.txt"))


def everything(message: ParsedMessage) -> bytes:
    """Return all that an API would say of a message, as JSON."""
    entry = message.entry("id")
    detail = message.detail("id", text_type="*")
    return msgspec.json.encode([entry, detail])


async def opened(raw: bytes, id: str) -> bytes:
    return b"".join([chunk async for chunk in open_part(raw, id).chunks])


def test_there_are_as_many_ugly_messages_as_promised() -> None:
    assert len(samples()) >= 200


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_ugly_message_is_read(sample: Sample) -> None:
    message = parse_message(sample.raw)
    detail = message.detail("id", text_type="*")
    assert detail.text is not None
    sender = detail.from_
    found = {
        "subject": detail.subject,
        "plain": (detail.text.plain or "").rstrip("\n"),
        "html": (detail.text.html or "").rstrip("\n"),
        "files": tuple(one.filename for one in detail.attachments),
        "sender": (sender.name, sender.address) if sender else None,
    }
    for name, value in found.items():
        wanted = getattr(sample, name)
        assert wanted == ANY or value == wanted, name
    assert message.raw == sample.raw


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_ugly_message_takes_bounded_time_and_memory(sample: Sample) -> None:
    began = time.process_time()
    everything(parse_message(sample.raw))
    spent = time.process_time() - began
    tracemalloc.start()
    try:
        everything(parse_message(sample.raw))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert spent < MOST_TIME
    assert most < MOST_MEMORY + TIMES_ITS_SIZE * len(sample.raw)


@pytest.mark.skipif(not python_samples(), reason="this interpreter comes without its tests")
def test_messages_of_the_interpreters_own_tests_are_read() -> None:
    """Somebody else's collection: all can be told as JSON, and every part can be opened."""
    for file in python_samples():
        raw = file.read_bytes()
        message = parse_message(raw)
        assert everything(message), file.name
        for attachment in message.attachments():
            asyncio.run(opened(raw, attachment.id))

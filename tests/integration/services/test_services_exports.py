"""What is in an export, whatever happens to the worker meanwhile; on a real Redis, from a mailbox in memory."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from gateway.provider import Session
from gateway.redis import keys
from tests.integration.services.exporting import YEAR, DyingSession, Exporting

pytestmark = pytest.mark.anyio


async def test_an_export_holds_every_message_of_the_period_once(export: Exporting) -> None:
    """From `startDate` on and before `endDate`, of all mailboxes but junk and trash."""
    export.fill(23)
    export.fill(3, "Archive")
    start, end = YEAR + timedelta(hours=2), YEAR + timedelta(hours=21)
    await export.begin(start_date=start, end_date=end)
    found = await export.run()
    assert (found.status, found.phase, found.truncated, found.error) == ("completed", "complete", False, None)
    wanted = [f"INBOX {number}" for number in range(2, 21)] + ["Archive 2"]
    assert sorted(await export.subjects()) == sorted(wanted)
    progress = found.progress
    assert (progress.messages_queued, progress.messages_exported, progress.messages_skipped) == (20, 20, 0)
    assert (progress.folders_scanned, progress.folders_total) == (3, 3)
    assert progress.bytes_written == len(await export.file())
    assert found.is_encrypted


async def test_a_worker_killed_at_any_call_loses_and_repeats_nothing(export: Exporting) -> None:
    """Whatever it was doing, the file is the same as without the death."""
    export.fill(11)
    export.fill(3, "Archive")
    await export.begin()
    await export.run()
    calls, undisturbed = export.calls, await export.file()
    assert calls >= 20
    for dies_at in range(1, calls + 1):
        await export.world.services.exports.delete("ann", export.id)
        export.calls, export.dies_at = 0, dies_at
        await export.begin()
        await export.run()
        assert export.calls > calls
        assert gzip.decompress(await export.file()) == gzip.decompress(undisturbed), dies_at


async def test_two_workers_at_once_write_nothing_twice(export: Exporting) -> None:
    """The step of one of them ends without an effect."""
    export.fill(9)
    await export.begin()
    other: list[bool] = []

    async def take_over() -> None:
        other.append(True)
        await export.step()

    class Overtaken(DyingSession):
        async def message(self, id: str, **options: Any) -> Any:
            if not other:
                await take_over()
            return await super().message(id, **options)

    @contextlib.asynccontextmanager
    async def overtaken() -> AsyncIterator[Session]:
        yield Overtaken(export)

    await export.world.services.export_runner.step("ann", export.id, overtaken)
    await export.run()
    assert other
    assert Counter(await export.subjects()) == Counter({f"INBOX {number}": 1 for number in range(9)})


async def test_messages_that_come_and_go_meanwhile_cost_no_others(export: Exporting) -> None:
    """Deleting moves the rest onto earlier pages, delivering onto later ones."""
    export.fill(40)
    stays = {f"INBOX {number}" for number in range(40) if number % 3}

    def disturb(name: str) -> None:
        inbox = export.service.mailboxes["INBOX"]
        if name == "search" and export.calls % 2:
            export.fill(1, start=1000 + export.calls)
            gone = [one for one in inbox if (one.received - YEAR) // timedelta(hours=1) in range(0, 40, 3)]
            for stored in gone[-2:]:
                export.service.remove("INBOX", stored)

    export.on_call = disturb
    await export.begin()
    await export.run()
    found = Counter(await export.subjects())
    assert stays <= set(found)
    assert set(found.values()) == {1}


async def test_a_message_deleted_before_it_was_read_is_counted_as_skipped(export: Exporting) -> None:
    """And the others are there."""
    export.fill(6)
    await export.begin(folders=("INBOX",))
    await export.step(batches=4)
    export.service.remove("INBOX", export.service.mailboxes["INBOX"][2])
    found = await export.run()
    assert (found.progress.messages_exported, found.progress.messages_skipped) == (5, 1)
    assert len(await export.subjects()) == 5


async def test_a_message_that_kills_workers_is_left_out_in_the_end(export: Exporting) -> None:
    """It is found by reading one by one, and takes no other message along."""
    export.fill(10)
    export.poison = "m4"
    await export.begin()
    found = await export.run()
    assert (found.progress.messages_exported, found.progress.messages_skipped) == (9, 1)
    assert "INBOX 3" not in await export.subjects()


async def test_attachments_are_in_the_file_when_they_are_asked_for(export: Exporting) -> None:
    """As base64."""
    raw = (
        b"Subject: file\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ntext\r\n"
        b"--x\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--x--\r\n"
    )
    export.service.store("INBOX", raw, received=YEAR)
    for asked in (True, False):
        await export.begin(include_attachments=asked, text_type="plain")
        await export.run()
        (line,) = gzip.decompress(await export.file()).splitlines()
        (attachment,) = json.loads(line)["attachments"]
        assert attachment.get("content") == ("aGVsbG8=" if asked else None)
        assert json.loads(line)["text"]["plain"].strip() == "text"


async def test_an_export_of_nothing_is_an_empty_gzip_file(export: Exporting) -> None:
    """Not no file."""
    await export.begin()
    assert (await export.run()).status == "completed"
    assert gzip.decompress(await export.file()) == b""


async def test_any_part_of_the_file_can_be_read(export: Exporting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across the borders of its pieces, too."""
    monkeypatch.setattr("gateway.store.exports.PIECE", 100)
    export.fill(7)
    await export.begin()
    await export.run()
    whole, service = await export.file(), export.world.services.exports
    file = await service.file("ann", export.id)
    assert len(file.sizes) > 3
    for first, last in ((0, 0), (99, 100), (150, 420), (file.size - 1, file.size - 1)):
        assert b"".join([piece async for piece in service.read(file, first, last)]) == whole[first : last + 1]


async def test_no_mail_lies_in_redis_unencrypted(export: Exporting) -> None:
    """The pieces are sealed, each for its own place."""
    export.fill(3)
    await export.begin()
    await export.run()
    stored = await export.world.services.databases.data.hgetall(  # type: ignore[misc]
        keys.export_content("ann", export.id)
    )
    assert stored
    for sealed in stored.values():
        assert b"\x1f\x8b\x08" not in sealed
        assert sealed.startswith(b"1.")

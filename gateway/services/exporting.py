"""The work on an export, in a worker: step by step, each written down before the next.

First the mailboxes are searched for messages of the period, page by page; then the messages are read, batch by batch.
Each batch is a gzip member of its own (RFC 1952 section 2.2: members may follow each other), written together with the
count of messages that it deals with. So a worker that is killed loses at most the batch that it was reading.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import msgspec
import structlog

from gateway.errors import (
    GatewayError,
    NotFoundError,
    ProviderError,
    RateLimitError,
    TransientError,
)
from gateway.model.event import ExportCompletedData, ExportFailedData
from gateway.provider import Clock, MessagePage, Session
from gateway.services import export_reading as reading
from gateway.services.deliveries import retry_delay
from gateway.services.events import EventService
from gateway.services.exports import KEPT, MOST_KEPT, SWEEP, Exporter
from gateway.store.due import DueStore, DueWork
from gateway.store.exports import Export, ExportStore

log = structlog.get_logger(__name__)

#: Messages in a batch.
BATCH = 50

#: How much one step does: then other exports have their turn.
STEP_BATCHES = 40
_STEP_TIME = timedelta(seconds=20)

#: Failures of the mail service in a row that end an export.
ATTEMPTS = 10

#: Starts without getting further after which a message is suspected, or, when it is read alone, skipped.
DEATHS = 2

_replace = msgspec.structs.replace


class SupersededError(GatewayError):
    """Somebody else goes on with the export, or it was erased."""

    code = "Superseded"


class ExportRunner:
    """Makes the steps of exports."""

    def __init__(
        self, *, exports: ExportStore, due: DueStore, events: EventService, exporter: Exporter, clock: Clock
    ) -> None:
        self._exports = exports
        self._due = due
        self._events = events
        self._exporter = exporter
        self._clock = clock

    async def step(
        self,
        account: str,
        export_id: str,
        open_session: Callable[[], AbstractAsyncContextManager[Session]],
        *,
        batches: int = STEP_BATCHES,
    ) -> None:
        """Go on with an export for a while; what is left is queued.

        Args:
            account: whose.
            export_id: which.
            open_session: opens a session that nobody waits for meanwhile.
            batches: pages and batches at most.
        """
        work = DueWork("export.run", account, export_id)
        export = await self._exports.get(account, export_id)
        if export is None or export.expires_at <= self._clock():
            await self._exports.remove(account, export_id)
            await self._due.done(work)
            return
        try:
            if export.under_way:
                await self._due.put(work, self._clock() + SWEEP)
                export = await self._advance(_replace(export, status="processing", starts=export.starts + 1))
                export = await self._work(export, open_session, batches)
            await self._settle(export, work)
        except SupersededError:
            log.info("export_superseded", account=account, export=export_id)

    async def _settle(self, export: Export, work: DueWork) -> None:
        """Have the next step made, or tell how the export ended and have it erased in the end."""
        if export.under_way:
            if not export.failures:
                await self._exporter.export(export.account, export.id)
            return
        if export.untold is not None:
            # Told again after a crash it is the same event, by its id.
            await self._events.append(export.account, [export.untold])
            export = await self._advance(_replace(export, untold=None))
            await self._exports.drop_messages(export)
        await self._due.put(work, export.expires_at)

    async def _work(
        self, export: Export, open_session: Callable[[], AbstractAsyncContextManager[Session]], batches: int
    ) -> Export:
        end = self._clock() + _STEP_TIME
        try:
            async with open_session() as session:
                while export.under_way and batches > 0 and self._clock() < end:
                    export = await self._next(session, export)
                    batches -= 1
        except TransientError as error:
            return await self._postponed(export, error)
        except ProviderError as error:
            return await self._failed(export, error)
        return export

    async def _next(self, session: Session, export: Export) -> Export:
        if export.folders is None:
            folders = tuple(dict.fromkeys(reading.folders(await session.mailboxes(), export.asked)))
            progress = _replace(export.progress, folders_total=len(folders))
            return await self._progress(_replace(export, folders=folders, progress=progress))
        if export.phase == "indexing":
            return await self._index(session, export, export.folders)
        return await self._export(session, export)

    # --- looking for messages ----------------------------------------------------------------------------------------

    async def _index(self, session: Session, export: Export, folders: tuple[str, ...]) -> Export:
        """Note the messages on one page."""
        scanned = export.progress.folders_scanned
        if scanned == len(folders):
            return await self._progress(_replace(export, phase="exporting"))
        try:
            found = await reading.page(session, folders[scanned], export)
        except NotFoundError:
            if export.asked:
                raise
            found = MessagePage(total=0, page=0, messages=())
        ids = [entry.id for entry in found.messages if reading.in_period(entry.date, export)]
        room = export.most_messages - export.progress.messages_queued
        export = _behind(export, found)
        if len(ids) > room:
            export = _truncated(_replace(export, phase="exporting"), "TooManyMessages")
        return await self._progress(export, messages=ids[:room])

    # --- reading messages --------------------------------------------------------------------------------------------

    async def _export(self, session: Session, export: Export) -> Export:
        """Write one batch of messages."""
        alone = export.done < export.careful
        guilty = alone and export.starts > DEATHS
        if export.starts > DEATHS and not alone:
            # Written before anything is read: the next death has to be counted as that of one message.
            export, alone = await self._advance(_replace(export, careful=export.done + BATCH, starts=1)), True
        ids = await self._exports.messages(export, 1 if alone else BATCH)
        if not ids:
            return await self._completed(export)
        if guilty:
            log.warning("export_message_skipped", account=export.account, export=export.id)
        lines, skipped = await reading.lines(session, export, () if guilty else ids)
        skipped += guilty
        content = await asyncio.to_thread(gzip.compress, b"".join(lines), 6, mtime=0) if lines else b""
        octets = export.progress.bytes_written + len(content)
        if octets > export.most_octets:
            return await self._completed(_truncated(export, "ExportTooLarge"))
        if await self._exports.kept() + len(content) > MOST_KEPT:
            return await self._completed(_truncated(export, "ExportStorageFull"))
        progress = _replace(
            export.progress,
            messages_exported=export.progress.messages_exported + len(lines),
            messages_skipped=export.progress.messages_skipped + skipped,
            bytes_written=octets,
        )
        return await self._progress(_replace(export, progress=progress), content=content)

    # --- what is written ---------------------------------------------------------------------------------------------

    async def _advance(self, export: Export, *, messages: list[str] | None = None, content: bytes = b"") -> Export:
        written = await self._exports.advance(export, self._clock(), messages=messages or (), content=content)
        if written is None:
            raise SupersededError("the export is in other hands")
        return written

    async def _progress(self, export: Export, *, messages: list[str] | None = None, content: bytes = b"") -> Export:
        """Write that the export got further: what held it up before counts no more."""
        now = self._clock()
        await self._due.put(DueWork("export.run", export.account, export.id), now + SWEEP)
        export = _replace(export, starts=0, failures=0, expires_at=now + KEPT)
        return await self._advance(export, messages=messages, content=content)

    async def _completed(self, export: Export) -> Export:
        # A file without a message is a gzip file, too.
        content = b"" if export.progress.bytes_written else gzip.compress(b"", mtime=0)
        now = self._clock()
        progress = _replace(export.progress, bytes_written=export.progress.bytes_written + len(content))
        export = _replace(export, status="completed", phase="complete", progress=progress, expires_at=now + KEPT)
        told = ExportCompletedData(
            export_id=export.id,
            folders=export.folders or (),
            start_date=export.start_date,
            end_date=export.end_date,
            messages_exported=progress.messages_exported,
            messages_skipped=progress.messages_skipped,
            bytes_written=progress.bytes_written,
            duration=int((now - export.created) / timedelta(milliseconds=1)),
            expires_at=export.expires_at,
        )
        event = self._events.make("exportCompleted", export.account, told)
        return await self._advance(_replace(export, untold=event), content=content)

    async def _postponed(self, export: Export, error: TransientError) -> Export:
        """Try again later what a passing failure of the mail service has ended, unless there were too many."""
        if export.failures + 1 >= ATTEMPTS:
            return await self._failed(export, error)
        wait = retry_delay(export.failures + 1)
        if isinstance(error, RateLimitError):
            wait = max(wait, timedelta(seconds=error.retry_after))
        await self._due.put(DueWork("export.run", export.account, export.id), self._clock() + wait)
        return await self._advance(_replace(export, starts=0, failures=export.failures + 1))

    async def _failed(self, export: Export, error: GatewayError) -> Export:
        told = ExportFailedData(
            export_id=export.id,
            error=error.message,
            error_code=error.error_code,
            phase=export.phase,
            messages_exported=export.progress.messages_exported,
            messages_queued=export.progress.messages_queued,
        )
        event = self._events.make("exportFailed", export.account, told)
        failed = _replace(export, status="failed", error=error.message, error_code=error.error_code, untold=event)
        return await self._advance(_replace(failed, expires_at=self._clock() + KEPT))


def _behind(export: Export, found: MessagePage) -> Export:
    """Return the export with the page to look at next.

    New messages push others onto later pages, where they are met again and known. Deleted ones pull others onto earlier
    pages: as many pages are looked at again.
    """
    lost = (export.total or 0) - found.total
    if lost > 0:
        return _replace(export, page=max(0, export.page - -(-lost // reading.PAGE)), total=found.total)
    if (export.page + 1) * reading.PAGE < found.total:
        return _replace(export, page=export.page + 1, total=found.total)
    progress = _replace(export.progress, folders_scanned=export.progress.folders_scanned + 1)
    return _replace(export, page=0, total=None, progress=progress)


def _truncated(export: Export, code: str) -> Export:
    return _replace(export, truncated=True, error_code=code)

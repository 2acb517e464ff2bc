"""Exports: ask for one, see how far it is, download it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import NamedTuple, Protocol

from gateway.errors import RateLimitError, RequestError, ResourceNotFoundError, ServiceUnavailableError
from gateway.model.export import (
    ExportCreated,
    ExportDeleted,
    ExportDetail,
    ExportEntry,
    ExportList,
    ExportRequest,
)
from gateway.provider import Clock
from gateway.services.account_payload import invalid
from gateway.services.paging import page_of
from gateway.services.runtime_settings import RuntimeSettingsService
from gateway.store.accounts import AccountStore
from gateway.store.due import DueStore, DueWork
from gateway.store.exports import Export, ExportStore

#: How long an export is kept: from its end, and before that from the last time it got further.
KEPT = timedelta(hours=24)

# Bounds by the settings that change them: exports under way at most, of one account and of this installation; messages
# and octets of one export at most, what is beyond is left out.
_BOUNDS = {
    "exportMaxConcurrent": 2,
    "exportMaxGlobalConcurrent": 8,
    "exportMaxMessages": 100_000,
    "exportMaxSize": 256 * 1024 * 1024,
}

#: Octets of all exports that are kept at most; above that no new one begins, and those under way end.
MOST_KEPT = 1024 * 1024 * 1024

#: Time after which a step whose job was lost is made again; longer than one may take.
SWEEP = timedelta(seconds=150)


class Exporter(Protocol):
    """Queues the steps of exports."""

    async def export(self, account: str, export_id: str) -> None:
        """Queue a job that carries the id."""
        ...


class ExportFile(NamedTuple):
    """A finished export, gzip (RFC 1952) of one JSON object a line; `size` in octets."""

    export: Export
    sizes: list[int]

    @property
    def size(self) -> int:
        """Octets of the whole."""
        return sum(self.sizes)


class ExportService:
    """Takes requests for exports and hands out what came of them."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        exports: ExportStore,
        settings: RuntimeSettingsService,
        due: DueStore,
        exporter: Exporter,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._exports = exports
        self._settings = settings
        self._due = due
        self._exporter = exporter
        self._clock = clock

    async def create(self, account: str, request: ExportRequest) -> ExportCreated:
        """Queue an export.

        Raises:
            InvalidRequestError: the period is empty.
            ResourceNotFoundError: there is no such account.
            RateLimitError: too many are under way (code TooManyExports), or kept (code ExportStorageFull).
        """
        if request.start_date >= request.end_date:
            raise invalid("endDate", "must be later than startDate")
        await self._require(account)
        settings = await self._settings.many(tuple(_BOUNDS))
        of_account, of_all, messages, octets = (settings[name] or bound for name, bound in _BOUNDS.items())
        export = self._export(account, request, messages, octets)
        refused = await self._exports.admit(
            export, self._clock(), of_account=of_account, of_all=of_all, octets=MOST_KEPT
        )
        if refused == 1:
            raise RateLimitError("too many exports are under way", code="TooManyExports", retry_after=60.0)
        if refused:
            raise RateLimitError("the exports kept take up too much", code="ExportStorageFull", retry_after=3600.0)
        # Due in any case: should the job be lost, the sweep brings it back.
        work = DueWork("export.run", account, export.id)
        await self._due.put(work, self._clock() + SWEEP)
        if not await self._exports.add(export, self._clock()):
            await self._erase(export)
            raise ResourceNotFoundError("no such account", code="AccountNotFound")
        try:
            await self._exporter.export(account, export.id)
        except ServiceUnavailableError:
            # It is accepted by now, and due.
            await self._due.put(work, self._clock())
        return ExportCreated(export_id=export.id, status=export.status, created=export.created)

    async def list(self, account: str, *, page: int, page_size: int) -> ExportList:
        """Return one page of an account's exports, newest first.

        Raises:
            ResourceNotFoundError: there is no such account.
        """
        await self._require(account)
        found = [await self._exports.get(account, export_id) for export_id in await self._exports.of_account(account)]
        known = [export for export in found if export is not None and self._lives(export)]
        chunk, pages = page_of(known, page, page_size)
        entries = tuple(
            ExportEntry(export_id=export.id, status=export.status, created=export.created, expires_at=export.expires_at)
            for export in chunk
        )
        return ExportList(total=len(known), page=page, pages=pages, exports=entries)

    async def get(self, account: str, export_id: str) -> ExportDetail:
        """Return one export.

        Raises:
            ResourceNotFoundError: there is no such export, or no longer.
        """
        export = await self._find(account, export_id)
        return ExportDetail(
            export_id=export.id,
            status=export.status,
            phase=export.phase,
            folders=export.folders if export.folders is not None else export.asked,
            start_date=export.start_date,
            end_date=export.end_date,
            is_encrypted=True,
            progress=export.progress,
            created=export.created,
            expires_at=export.expires_at,
            truncated=export.truncated,
            error=export.error,
            error_code=export.error_code,
        )

    async def file(self, account: str, export_id: str) -> ExportFile:
        """Return the file of a finished export.

        Raises:
            ResourceNotFoundError: there is no such export, or no longer.
            RequestError: it is not finished, or failed (code ExportNotReady).
        """
        export = await self._find(account, export_id)
        if export.status != "completed":
            raise RequestError("the export has no file", code="ExportNotReady")
        return ExportFile(export, await self._exports.sizes(export))

    async def read(self, file: ExportFile, first: int, last: int) -> AsyncIterator[bytes]:
        """Yield the octets from `first` to `last`, both included, counted from 0.

        Raises:
            ResourceNotFoundError: the export is gone meanwhile.
        """
        begin = 0
        for number, size in enumerate(file.sizes):
            if begin > last:
                return
            if begin + size > first:
                piece = await self._exports.piece(file.export, number)
                if piece is None:
                    raise ResourceNotFoundError("no such export", code="ExportNotFound")
                yield piece[max(0, first - begin) : last + 1 - begin]
            begin += size

    async def delete(self, account: str, export_id: str) -> ExportDeleted:
        """End an export if it is under way, and erase it.

        Raises:
            ResourceNotFoundError: there is no such export, or no longer.
        """
        export = await self._find(account, export_id)
        return ExportDeleted(deleted=await self._erase(export))

    async def remove_of_account(self, account: str) -> None:
        """End and erase every export of an account."""
        for export_id in await self._exports.of_account(account):
            await self._due.done(DueWork("export.run", account, export_id))
            await self._exports.remove(account, export_id)

    async def _erase(self, export: Export) -> bool:
        await self._due.done(DueWork("export.run", export.account, export.id))
        return await self._exports.remove(export.account, export.id)

    async def _require(self, account: str) -> None:
        if await self._accounts.state(account) is None:
            raise ResourceNotFoundError("no such account", code="AccountNotFound")

    async def _find(self, account: str, export_id: str) -> Export:
        await self._require(account)
        export = await self._exports.get(account, export_id)
        if export is None or not self._lives(export):
            raise ResourceNotFoundError("no such export", code="ExportNotFound")
        return export

    def _lives(self, export: Export) -> bool:
        return export.expires_at > self._clock()

    def _export(self, account: str, request: ExportRequest, messages: int, octets: int) -> Export:
        now = self._clock()
        return Export(
            id=f"exp_{secrets.token_hex(12)}",
            account=account,
            asked=request.folders,
            start_date=request.start_date,
            end_date=request.end_date,
            text_type=request.text_type,
            max_bytes=request.max_bytes,
            include_attachments=request.include_attachments,
            most_messages=messages,
            most_octets=octets,
            created=now,
            expires_at=now + KEPT,
        )

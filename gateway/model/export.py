"""Exports: the mail of a period, written to a file for download."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from gateway.model.base import Payload, Resource
from gateway.model.mailbox import MailboxPath
from gateway.model.message import TextType

ExportState = Literal["queued", "processing", "completed", "failed", "cancelled"]
ExportPhase = Literal["indexing", "exporting", "complete"]


class ExportRequest(Payload, frozen=True, kw_only=True):
    """What to export: messages that arrived from `startDate` on and before `endDate`."""

    folders: Annotated[
        tuple[MailboxPath, ...],
        Meta(max_length=1000, description="Paths or special uses; if there are none, all mail but junk and trash"),
    ] = ()
    start_date: datetime
    end_date: datetime
    text_type: TextType = "*"
    max_bytes: Annotated[int, Meta(ge=0, le=1073741824, description="Octets of each text part, at most")] = 5242880
    include_attachments: bool = False


class ExportCreated(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """An export was queued."""

    export_id: str
    status: ExportState
    created: datetime


class ExportEntry(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """An export in a list."""

    export_id: str
    status: ExportState
    created: datetime
    expires_at: datetime


class ExportList(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One page of the exports of an account, newest first."""

    total: int
    page: int
    pages: int
    exports: tuple[ExportEntry, ...]


class ExportProgress(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """How far an export has come; `bytesWritten` counts octets of the compressed file."""

    folders_scanned: int = 0
    folders_total: int = 0
    messages_queued: int = 0
    messages_exported: int = 0
    messages_skipped: int = 0
    bytes_written: int = 0


class ExportDetail(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One export; `truncated` tells that a limit ended it early, `errorCode` which, or why it failed."""

    export_id: str
    status: ExportState
    phase: ExportPhase
    folders: tuple[str, ...]
    start_date: datetime
    end_date: datetime
    is_encrypted: Annotated[bool, Meta(description="Of the file as it is stored; a download is not encrypted")]
    progress: ExportProgress
    created: datetime
    expires_at: datetime
    truncated: bool
    error: str | None
    error_code: str | None


class ExportDeleted(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The export is gone, with its file."""

    deleted: bool

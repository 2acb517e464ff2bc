"""Exports of an account: start, follow, download, delete."""

from __future__ import annotations

from gateway.api.call import Call, Download
from gateway.api.operation import operation
from gateway.api.paging import Paging
from gateway.api.ranges import asked_range
from gateway.model.export import ExportCreated, ExportDeleted, ExportDetail, ExportList, ExportRequest
from gateway.model.stream import OctetRange

_ACCOUNT = "/v1/account/{account}"
_EXPORT = f"{_ACCOUNT}/export/{{exportId}}"


@operation(
    "POST",
    f"{_ACCOUNT}/export",
    operation_id="postV1AccountAccountExport",
    summary="Start an export",
    tag="Export",
    action="write",
    group="export",
    returns=ExportCreated,
)
async def create_export(call: Call, body: ExportRequest) -> ExportCreated:
    """Queue an export of the messages of a period. `exportCompleted` or `exportFailed` tells when it has ended."""
    return await call.services.exports.create(call.account, body)


@operation(
    "GET",
    f"{_ACCOUNT}/exports",
    operation_id="getV1AccountAccountExports",
    summary="List exports",
    tag="Export",
    action="read",
    group="export",
    returns=ExportList,
)
async def list_exports(call: Call, query: Paging) -> ExportList:
    """List the exports of an account that have not expired, newest first."""
    return await call.services.exports.list(call.account, page=query.page, page_size=query.page_size)


@operation(
    "GET",
    _EXPORT,
    operation_id="getV1AccountAccountExportExportid",
    summary="Read an export",
    tag="Export",
    action="read",
    group="export",
    returns=ExportDetail,
)
async def get_export(call: Call) -> ExportDetail:
    """Read how far an export is."""
    return await call.services.exports.get(call.account, call.path["exportId"])


@operation(
    "GET",
    f"{_EXPORT}/download",
    operation_id="getV1AccountAccountExportExportidDownload",
    summary="Download an export",
    tag="Export",
    action="read",
    group="export",
    returns="application/gzip",
    ranges=True,
)
async def download_export(call: Call) -> Download:
    """Download a finished export: gzip, one message a line as JSON. A `Range` of octets resumes a broken download."""
    file = await call.services.exports.file(call.account, call.path["exportId"])
    tag = f'"{file.export.id}"'
    span = (asked_range(call.headers, tag) or OctetRange(0)).within(file.size)
    return Download(
        chunks=call.services.exports.read(file, span.first, span.last),
        content_type="application/gzip",
        filename=f"{file.export.id}.ndjson.gz",
        size=span.last - span.first + 1,
        etag=tag,
        span=span,
    )


@operation(
    "DELETE",
    _EXPORT,
    operation_id="deleteV1AccountAccountExportExportid",
    summary="Delete an export",
    tag="Export",
    action="destructive",
    group="export",
    returns=ExportDeleted,
)
async def delete_export(call: Call) -> ExportDeleted:
    """End an export if it is under way, and erase it with its file."""
    return await call.services.exports.delete(call.account, call.path["exportId"])


OPERATIONS = (create_export, list_exports, get_export, download_export, delete_export)

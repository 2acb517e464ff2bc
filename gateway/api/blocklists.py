"""Blocklists."""

from __future__ import annotations

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.api.paging import Paging
from gateway.errors import InvalidRequestError
from gateway.model.account import Email
from gateway.model.base import Payload
from gateway.model.blocklist import BlockDeleted, BlocklistList, BlocklistPage, BlockRequest, BlockResult, is_list_id

_LIST = "/v1/blocklist/{listId}"


class RecipientQuery(Payload, frozen=True, kw_only=True):
    """Who."""

    recipient: Email


@operation(
    "GET",
    "/v1/blocklists",
    operation_id="getV1Blocklists",
    summary="List blocklists",
    tag="Blocklists",
    action="read",
    group="blocklist",
    returns=BlocklistList,
)
async def list_blocklists(call: Call, query: Paging) -> BlocklistList:
    """List the lists that somebody has left, and how many."""
    return await call.services.blocklists.list(query.page, query.page_size)


@operation(
    "GET",
    _LIST,
    operation_id="getV1BlocklistListid",
    summary="Read a blocklist",
    tag="Blocklists",
    action="read",
    group="blocklist",
    returns=BlocklistPage,
)
async def get_blocklist(call: Call, query: Paging) -> BlocklistPage:
    """Show who gets no mail of a list. A list that nobody has left is empty."""
    return await call.services.blocklists.get(_list_id(call), query.page, query.page_size)


@operation(
    "POST",
    _LIST,
    operation_id="postV1BlocklistListid",
    summary="Put somebody on a blocklist",
    tag="Blocklists",
    action="write",
    group="blocklist",
    returns=BlockResult,
    errors=(404,),
)
async def add_to_blocklist(call: Call, body: BlockRequest) -> BlockResult:
    """Send somebody no more mail of a list; `added` is false when it was so before."""
    return await call.services.blocklists.add(_list_id(call), body)


@operation(
    "DELETE",
    _LIST,
    operation_id="deleteV1BlocklistListid",
    summary="Take somebody from a blocklist",
    tag="Blocklists",
    action="destructive",
    group="blocklist",
    returns=BlockDeleted,
)
async def remove_from_blocklist(call: Call, query: RecipientQuery) -> BlockDeleted:
    """Send somebody the mail of a list again."""
    return await call.services.blocklists.remove(_list_id(call), query.recipient)


def _list_id(call: Call) -> str:
    found = call.path["listId"]
    if not is_list_id(found):
        field = {"message": '"listId" must look like a host name', "key": "listId"}
        raise InvalidRequestError("Input validation failed", fields=[field])
    return found


OPERATIONS = (list_blocklists, get_blocklist, add_to_blocklist, remove_from_blocklist)

"""Protocol logs of accounts."""

from __future__ import annotations

from gateway.api.call import Call, Download
from gateway.api.operation import operation


@operation(
    "GET",
    "/v1/logs/{account}",
    operation_id="getV1LogsAccount",
    summary="Read the protocol log of an account",
    tag="Logs",
    action="read",
    group="logs",
    returns="text/plain",
)
async def get_log(call: Call) -> Download:
    """Return what went over the account's IMAP and SMTP connections, oldest line first: time, connection, `C:` for the
    gateway and `S:` for the server. Passwords, tokens and messages are left out. Lines are kept for accounts with
    `logs`, or for all with the setting `logs.all`; a setting counts for connections that are opened after it was made.
    """
    await call.services.accounts.recent_state(call.account)
    return Download(chunks=call.services.protocol_logs.read(call.account), content_type="text/plain; charset=utf-8")


OPERATIONS = (get_log,)

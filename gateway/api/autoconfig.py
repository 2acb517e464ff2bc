"""The servers of a mail address."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.model.autoconfig import Autoconfig
from gateway.model.base import Payload


class AutoconfigQuery(Payload, frozen=True, kw_only=True):
    """Whose servers."""

    email: Annotated[str, Meta(max_length=320, pattern=r"^[^@\s]+@[^@\s]+$", description="Mail address")]


@operation(
    "GET",
    "/v1/autoconfig",
    operation_id="getV1Autoconfig",
    summary="Find the servers of a mail address",
    tag="Settings",
    action="read",
    group="diagnostics",
    returns=Autoconfig,
)
async def get_autoconfig(call: Call, query: AutoconfigQuery) -> Autoconfig:
    """Suggest IMAP and SMTP servers. The hosts that take the domain's mail tell if it is a large provider's; else SRV
    records (RFC 6186, RFC 8314), documents of the domain (`/.well-known/autoconfig`, `autoconfig.<domain>`) and
    Mozilla's directory are asked at the same time, and count in this order.

    Of an unknown domain `imap` and `smtp` are false. What is found is the word of whoever runs the domain or is on the
    way to it: show it to the user before a password is sent there.
    """
    return await call.services.autoconfig.find(query.email, timeout=call.timeout)


OPERATIONS = (get_autoconfig,)

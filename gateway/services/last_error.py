"""Errors of mail services as the account shows them."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.errors import AccountError, GatewayError, MailboxUnavailableError, ProviderError
from gateway.model.account import AccountState
from gateway.model.account_errors import LastError, RemedyInfo, SmtpStatus, TokenRequestInfo

#: The response code of every refused token request; which one it was stands in its description.
RENEWAL_REFUSED = "OauthRenewError"


def last_error(error: GatewayError, at: datetime) -> LastError:
    """Return what an account or app shows of an error."""
    remedy = error.remedy if isinstance(error, ProviderError) else None
    native = error.native_code if isinstance(error, ProviderError) else None
    request = error.details.get("token_request")
    return LastError(
        response=error.message,
        description=remedy.title if remedy is not None else None,
        server_response_code=RENEWAL_REFUSED if request else native or error.error_code,
        token_request=msgspec.convert(request, TokenRequestInfo) if request else None,
        remedy=msgspec.convert(msgspec.to_builtins(remedy), RemedyInfo) if remedy is not None else None,
        time=at,
    )


def smtp_status(error: GatewayError, at: datetime) -> SmtpStatus:
    """Return what an account or relay shows of a submission that failed."""
    return SmtpStatus(
        created=at,
        status="error",
        description=error.message,
        code=error.error_code,
        response=error.details.get("smtp_response"),
        response_code=error.details.get("smtp_response_code"),
        command=error.details.get("smtp_command"),
        remedy=last_error(error, at).remedy,
        network_routing=error.details.get("network_routing"),
    )


def state_after(error: GatewayError) -> AccountState:
    """Return the state an account is in after an error that parks it."""
    if isinstance(error, MailboxUnavailableError):
        # The sign-in was accepted: to ask the user for another one would mend nothing.
        return "connectError"
    return "authenticationError" if isinstance(error, AccountError) else "connectError"

"""Errors of mail services as the account shows them."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.errors import AccountError, GatewayError, ProviderError
from gateway.model.account import AccountState, LastError, RemedyInfo


def last_error(error: GatewayError, at: datetime) -> LastError:
    """Return what an account or app shows of an error."""
    remedy = error.remedy if isinstance(error, ProviderError) else None
    native = error.native_code if isinstance(error, ProviderError) else None
    return LastError(
        response=error.message,
        description=remedy.title if remedy is not None else None,
        server_response_code=native or error.error_code,
        remedy=msgspec.convert(msgspec.to_builtins(remedy), RemedyInfo) if remedy is not None else None,
        time=at,
    )


def state_after(error: GatewayError) -> AccountState:
    """Return the state an account is in after an error that parks it."""
    return "authenticationError" if isinstance(error, AccountError) else "connectError"

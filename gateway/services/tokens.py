"""API tokens: issue, look up, revoke."""

from __future__ import annotations

import ipaddress
import secrets

import msgspec

from gateway.errors import InvalidRequestError, ResourceNotFoundError
from gateway.model.token import (
    Allowance,
    Scope,
    TokenCreate,
    TokenCreated,
    TokenDeleted,
    TokenList,
    TokenLog,
    TokenRecord,
)
from gateway.provider import Clock
from gateway.services.paging import page_of
from gateway.settings import decode_token
from gateway.store.accounts import AccountStore
from gateway.store.tokens import TokenStore, token_id


class TokenService:
    """Tokens are 32 random octets as hex; only their SHA-256 is kept."""

    def __init__(self, tokens: TokenStore, accounts: AccountStore, clock: Clock) -> None:
        self._tokens = tokens
        self._accounts = accounts
        self._clock = clock

    async def authenticate(self, value: str) -> TokenRecord | None:
        """Return the token with this value if it is one and has not expired."""
        try:
            decode_token(value)
        except ValueError:
            return None
        token = await self._tokens.get(token_id(value))
        if token is None or (token.expires is not None and token.expires <= self._clock()):
            return None
        return token

    async def still_valid(self, token: TokenRecord) -> bool:
        """Tell whether a token that was authenticated is neither revoked nor expired meanwhile."""
        found = await self._tokens.get(token.id)
        return found is not None and (found.expires is None or found.expires > self._clock())

    async def used(self, token: TokenRecord, ip: str | None) -> None:
        """Remember that a token was used, at most once a minute."""
        now = self._clock()
        last = token.access.time if token.access else None
        if last is None or (now - last).total_seconds() > 60:
            await self._tokens.touch(token.id, at=now, ip=ip)

    async def count(self, token: TokenRecord) -> Allowance:
        """Count one call against the token's rate limit, in fixed windows.

        Raises:
            InvalidRequestError: the token has no rate limit.
        """
        limit = token.restrictions.rate_limit if token.restrictions is not None else None
        if limit is None:
            raise _invalid("restrictions.rateLimit", "is not set for this token")
        now = self._clock().timestamp()
        window = int(now // limit.time_window)
        count = await self._tokens.count_call(token.id, window, limit.time_window)
        return Allowance(
            limit=limit.max_requests,
            remaining=limit.max_requests - count,
            reset=(window + 1) * limit.time_window - now,
        )

    async def issue(self, request: TokenCreate) -> TokenCreated:
        """Make a token as the API allows it: bound to an account, or narrowed.

        Raises:
            InvalidRequestError: neither; or a restriction is not one.
            ResourceNotFoundError: the account does not exist.
        """
        if request.account is None and request.permissions is None:
            raise _invalid("permissions", "is required for a token that is not bound to an account")
        if request.permissions is not None and not (request.permissions.actions or request.permissions.groups):
            raise _invalid("permissions", "must name actions or groups")
        if not request.scopes:
            raise _invalid("scopes", "must name at least one scope")
        if request.account is not None and not await self._accounts.exists(request.account):
            raise ResourceNotFoundError("no such account", code="AccountNotFound")
        if request.metadata is not None:
            _check_json(request.metadata)
        for address in (request.restrictions.addresses or ()) if request.restrictions else ():
            _check_address(address)
        record = TokenRecord(
            id="",
            account=request.account,
            description=request.description,
            metadata=request.metadata,
            ip=request.ip,
            scopes=request.scopes,
            restrictions=request.restrictions,
            permissions=request.permissions,
            expires=request.expires,
        )
        return await self._store(secrets.token_hex(32), record)

    async def issue_unrestricted(
        self, description: str, scopes: tuple[Scope, ...], account: str | None = None
    ) -> TokenCreated:
        """Make a token from the command line, where nothing has to be narrowed."""
        if account is not None and not await self._accounts.exists(account):
            raise ResourceNotFoundError("no such account", code="AccountNotFound")
        record = TokenRecord(id="", account=account, description=description, scopes=scopes)
        return await self._store(secrets.token_hex(32), record)

    async def prepare(self, value: str) -> None:
        """Make sure that a token with this value exists, with every right."""
        if await self._tokens.get(token_id(value)) is None:
            await self._store(value, TokenRecord(id="", description="prepared token", scopes=("*",)))

    async def list(
        self, *, page: int, page_size: int, account: str | None = None, query: str | None = None
    ) -> TokenList:
        """Return one page of the tokens, newest last."""
        tokens = await self._tokens.all(account)
        if query:
            wanted = query.casefold()
            tokens = [token for token in tokens if wanted in f"{token.id} {token.description}".casefold()]
        chunk, pages = page_of(tokens, page, page_size)
        return TokenList(account=account, total=len(tokens), page=page, pages=pages, tokens=tuple(chunk))

    async def get(self, id: str) -> TokenRecord:
        """Return one token by its id.

        Raises:
            ResourceNotFoundError: there is none.
        """
        token = await self._tokens.get(id)
        if token is None:
            raise ResourceNotFoundError("no such token", code="TokenNotFound")
        return token

    async def delete(self, id_or_value: str) -> TokenDeleted:
        """Revoke a token, named by its id or by its value."""
        deleted = await self._tokens.delete(id_or_value)
        if not deleted and len(id_or_value) == 64:
            deleted = await self._tokens.delete(token_id(id_or_value))
        return TokenDeleted(deleted=deleted)

    async def log(self, id: str, *, page: int, page_size: int) -> TokenLog:
        """Return the token's audit trail: empty, as none is kept unless it is switched on."""
        await self.get(id)
        return TokenLog(token=id, total=0, page=page, pages=0, entries=())

    async def _store(self, value: str, record: TokenRecord) -> TokenCreated:
        id = token_id(value)
        await self._tokens.save(msgspec.structs.replace(record, id=id, created=self._clock()))
        return TokenCreated(token=value, id=id)


def _invalid(key: str, message: str) -> InvalidRequestError:
    return InvalidRequestError(f"{key} {message}", fields=[{"message": f'"{key}" {message}', "key": key}])


def _check_json(text: str) -> None:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise _invalid("metadata", "must be JSON text") from error


def _check_address(text: str) -> None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise _invalid("restrictions.addresses", "must be IP addresses or networks") from error

"""SMTP relays: create, look up, change, delete, and send through them."""

from __future__ import annotations

import contextlib
import secrets
from datetime import datetime

import msgspec
from msgspec import UNSET

from gateway.errors import GatewayError, ResourceNotFoundError
from gateway.model.account_errors import SmtpStatus
from gateway.model.oauth2 import MASK
from gateway.model.relay import (
    Relay,
    RelayCreate,
    RelayCreated,
    RelayDeleted,
    RelayList,
    RelaySummary,
    RelayUpdate,
    RelayUpdated,
)
from gateway.model.server import Server
from gateway.provider import DIRECT, Clock, Envelope, Login, MessageSource, Route, SubmitReceipt
from gateway.redis import UNREACHABLE
from gateway.services.account_payload import invalid
from gateway.services.last_error import smtp_status
from gateway.services.paging import page_of
from gateway.smtp import SmtpConnection
from gateway.store.relays import RelayStore, RelayUse, StoredRelay

#: Pairs of a relay and a way to it whose connections are kept.
_MOST_WAYS = 64


class RelayService:
    """The relays of this installation."""

    def __init__(self, relays: RelayStore, clock: Clock) -> None:
        self._relays = relays
        self._clock = clock
        #: Connections that nobody uses, by relay, the time of its last change, and the way they take.
        self._idle: dict[tuple[str, datetime, Route], list[SmtpConnection]] = {}

    async def list(self, page: int, page_size: int) -> RelayList:
        """Return one page of the relays."""
        known = await self._relays.all()
        chunk, pages = page_of(known, page, page_size)
        shown = [_summary(relay, await self._relays.use(relay.id)) for relay in chunk]
        return RelayList(total=len(known), page=page, pages=pages, gateways=tuple(shown))

    async def get(self, id: str) -> Relay:
        """Return one relay, its password masked."""
        relay = await self.require(id)
        return Relay(
            **msgspec.structs.asdict(_summary(relay, await self._relays.use(id))),
            user=relay.user,
            pass_=MASK if relay.password is not None else None,
            host=relay.host,
            port=relay.port,
            secure=relay.secure,
        )

    async def create(self, request: RelayCreate) -> RelayCreated:
        """Create a relay, or replace the one that has this id; a masked password stays as it is.

        Raises:
            InvalidRequestError: a user without password, or the reverse.
        """
        id = request.gateway or f"gw{secrets.token_hex(10)}"
        old = await self._relays.get(id)
        now = self._clock()
        relay = StoredRelay(
            id=id,
            name=request.name,
            user=request.user,
            password=_password(request.pass_, old),
            host=request.host,
            port=request.port,
            secure=request.secure,
            created=old.created if old is not None else now,
            updated=now,
        )
        await self._save(relay)
        return RelayCreated(gateway=id, state="new" if old is None else "existing")

    async def update(self, id: str, request: RelayUpdate) -> RelayUpdated:
        """Change a relay.

        Raises:
            ResourceNotFoundError: there is no such relay.
            InvalidRequestError: a user without password, or the reverse.
        """
        old = await self.require(id)
        names = ("name", "user", "host", "port", "secure")
        changes = {name: value for name in names if (value := getattr(request, name)) is not UNSET}
        if not isinstance(request.pass_, msgspec.UnsetType):
            changes["password"] = _password(request.pass_, old)
        await self._save(msgspec.structs.replace(old, **changes, updated=self._clock()))
        return RelayUpdated(gateway=id)

    async def delete(self, id: str) -> RelayDeleted:
        """Delete a relay.

        Raises:
            ResourceNotFoundError: there is no such relay.
        """
        if not await self._relays.delete(id):
            raise _unknown()
        return RelayDeleted(gateway=id)

    async def require(self, id: str) -> StoredRelay:
        """Return a relay.

        Raises:
            ResourceNotFoundError: there is no such relay (code GatewayNotFound).
        """
        found = await self._relays.get(id)
        if found is None:
            raise _unknown()
        return found

    async def submit(self, id: str, message: bytes | MessageSource, envelope: Envelope) -> SubmitReceipt:
        """Send a message through a relay, and note what became of it; raises as `SmtpConnection.submit` does."""
        relay, route = await self.require(id), envelope.route or DIRECT
        idle = self._idle.setdefault((id, relay.updated, route), [])
        connection = idle.pop() if idle else _connection(relay, route)
        try:
            receipt = await connection.submit(message, envelope)
        except GatewayError as error:
            await self._note(id, smtp_status(error, self._clock()))
            raise
        finally:
            idle.append(connection)
            await self._leave_oldest()
        await self._note(id, None)
        return receipt

    async def aclose(self) -> None:
        """Leave every connection."""
        for key in list(self._idle):
            for connection in self._idle.pop(key):
                await connection.close()

    async def _leave_oldest(self) -> None:
        """Keep connections for a bounded number of ways; every message may take one of its own."""
        while len(self._idle) > _MOST_WAYS:
            for connection in self._idle.pop(next(iter(self._idle))):
                await connection.close()

    async def _save(self, relay: StoredRelay) -> None:
        if (relay.user is None) != (relay.password is None):
            raise invalid("pass" if relay.password is None else "user", "is required, as user and pass go together")
        await self._relays.save(relay)

    async def _note(self, id: str, error: SmtpStatus | None) -> None:
        # What became of the message is known by now, and counts more than this.
        with contextlib.suppress(*UNREACHABLE):
            await self._relays.used(id, self._clock(), error)


def _connection(relay: StoredRelay, route: Route) -> SmtpConnection:
    server = Server(host=relay.host, port=relay.port, security="tls" if relay.secure else "opportunistic")
    if relay.user is None:
        return SmtpConnection(server, None, route=route)
    known = Login(user=relay.user, password=relay.password)

    async def login(_: Login | None) -> Login:
        return known

    return SmtpConnection(server, login, route=route)


def _password(given: str | None, old: StoredRelay | None) -> str | None:
    return old.password if given == MASK and old is not None else given


def _unknown() -> ResourceNotFoundError:
    return ResourceNotFoundError("There is no such gateway", code="GatewayNotFound")


def _summary(relay: StoredRelay, use: RelayUse) -> RelaySummary:
    return RelaySummary(
        gateway=relay.id,
        name=relay.name,
        deliveries=use.deliveries,
        last_use=use.last_use,
        last_error=use.last_error,
    )

"""SMTP relays ("gateways" of the wire API): servers that mail can be sent through in place of an account's own."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from gateway.model.account_errors import SmtpStatus
from gateway.model.base import Payload, Resource

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Host = Annotated[str, Meta(max_length=253, pattern=r"^[A-Za-z0-9_.:\-\[\]]+$")]
Port = Annotated[int, Meta(ge=1, le=65535)]
Secret = Annotated[str, Meta(max_length=1024)]


class RelayCreate(Payload, frozen=True, kw_only=True):
    """A relay, new or changed as a whole; `secure` is TLS from the first octet, else STARTTLS is used where offered."""

    gateway: Annotated[str, Meta(max_length=256, description="Id; null makes one")] | None
    name: Name
    user: Secret | None = None
    pass_: Secret | None = field(name="pass", default=None)
    host: Host
    port: Port
    secure: bool = False


class RelayUpdate(Payload, frozen=True, kw_only=True):
    """A change of a relay; members that are absent stay."""

    name: Name | UnsetType = UNSET
    user: Secret | None | UnsetType = UNSET
    pass_: Secret | None | UnsetType = field(name="pass", default=UNSET)
    host: Host | UnsetType = UNSET
    port: Port | UnsetType = UNSET
    secure: bool | UnsetType = UNSET


class RelaySummary(Resource, frozen=True, kw_only=True):
    """A relay in a list; `deliveries` counts messages that it took, `lastError` is there while it takes none."""

    gateway: str
    name: str
    deliveries: int | UnsetType = UNSET
    last_use: datetime | None | UnsetType = UNSET
    last_error: SmtpStatus | None = None


class Relay(RelaySummary, frozen=True, kw_only=True):
    """A relay in full, its password masked."""

    user: str | None | UnsetType = UNSET
    pass_: str | None = field(name="pass", default=None)
    host: str
    port: int
    secure: bool | UnsetType = UNSET


class RelayList(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """One page of the relays."""

    total: int
    page: int
    pages: int
    gateways: tuple[RelaySummary, ...]


class RelayCreated(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The relay's id, and whether it was there before."""

    gateway: str
    state: Literal["existing", "new"]


class RelayUpdated(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The relay was changed."""

    gateway: str


class RelayDeleted(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The relay is gone; mail that was to go through it fails."""

    gateway: str
    deleted: bool = True

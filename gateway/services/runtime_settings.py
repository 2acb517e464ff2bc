"""Settings that change at run time, with their types, defaults and what they mean."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.errors import InvalidRequestError, MissingSettingError
from gateway.model.base import Payload
from gateway.store.runtime_settings import RuntimeSettingsStore


class RuntimeSettings(Payload, frozen=True, kw_only=True):
    """The settings that mean something to this gateway."""

    service_url: Annotated[str, Meta(max_length=8192)] | None | UnsetType = UNSET
    service_secret: Annotated[str, Meta(min_length=8, max_length=1024)] | UnsetType = UNSET
    page_brand_name: Annotated[str, Meta(max_length=1024)] | None | UnsetType = UNSET
    template_header: Annotated[str, Meta(max_length=1048576)] | None | UnsetType = UNSET
    enable_oauth_tokens_api: bool | UnsetType = msgspec.field(name="enableOAuthTokensApi", default=UNSET)
    delivery_attempts: Annotated[int, Meta(ge=1, le=100)] | None | UnsetType = UNSET


class RuntimeSettingsService:
    """Reads and writes the runtime settings."""

    def __init__(self, store: RuntimeSettingsStore) -> None:
        self._store = store

    async def get(self, name: str) -> Any:
        """Return one setting by its wire name, None when it was never made."""
        return await self._store.get(name)

    async def update(self, values: Mapping[str, Any]) -> list[str]:
        """Make settings from their wire form and return the names.

        Raises:
            InvalidRequestError: a name is unknown or a value has the wrong form.
        """
        wire = checked(values)
        await self._store.save(wire)
        return sorted(wire)

    async def service_url(self) -> str:
        """Return the origin under which users reach the gateway.

        Raises:
            MissingSettingError: it was never set.
        """
        url = await self._store.get("serviceUrl")
        if not url:
            raise MissingSettingError(
                "serviceUrl is not set: set GATEWAY_SERVICE_URL to the address users reach the gateway at",
                code="MissingServiceURLSetup",
            )
        return str(url)

    async def service_secret(self) -> bytes:
        """Return the key that signs links and cookies, made at its first use."""
        secret = await self._store.get("serviceSecret")
        if secret is None:
            secret = await self._store.save_first("serviceSecret", secrets.token_hex(16))
        return str(secret).encode()


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in the form in which they are stored.

    Raises:
        InvalidRequestError: a name is unknown or a value has the wrong form.
    """
    try:
        settings = msgspec.convert(dict(values), RuntimeSettings)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"runtime settings: {error}") from error
    wire: dict[str, Any] = msgspec.to_builtins(settings)
    if wire.get("serviceUrl"):
        wire["serviceUrl"] = origin(wire["serviceUrl"])
    return wire


def origin(url: str) -> str:
    """Return scheme, host and port of an address.

    Raises:
        InvalidRequestError: it is not an absolute http or https URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        field = {"message": "must be an http or https URL", "key": "serviceUrl"}
        raise InvalidRequestError("not an absolute http or https URL", fields=[field])
    return f"{parts.scheme}://{parts.netloc}"

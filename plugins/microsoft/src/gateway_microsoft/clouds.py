"""Microsoft's clouds as data: where to sign in, where the mail servers are, what the scopes are called.

Sources: https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud and
https://learn.microsoft.com/microsoft-365/enterprise/urls-and-ip-address-ranges. Two cells of ``clouds.json`` are
disputed among public sources: the scope host of "dod" and the submission host of "china".

``clouds.json`` in the data directory of an installation is merged over them: new entries are added, members of known
entries are replaced. That is how a cloud moves, and how a pretend one is added.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.errors import AppRefusedError, ConfigurationError, Remedy
from gateway.model.server import Server, decode_path

FILE_NAME = "clouds.json"


class Cloud(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of Microsoft's clouds.

    Attributes:
        login: origin of the identity service; ``http`` is accepted on loopback only.
        graph: base of Graph, and the resource its scopes are named after.
        scope_host: the resource that delegated IMAP and SMTP scopes are named after.
        app_scope_host: the resource of app-only IMAP tokens, where it differs.
        ca_file: PEM file of certificate authorities to trust instead of the public ones, for all hosts of the entry.
        instance_discovery: let MSAL ask Microsoft whether it knows the login host. The entries here are trusted.
    """

    name: str
    login: str
    graph: str
    imap: Server
    smtp: Server
    scope_host: str
    app_scope_host: str | None = None
    ca_file: Path | None = None
    instance_discovery: bool = False


def load_clouds(data_dir: Path | None) -> Mapping[str, Cloud]:
    """Return all clouds by name, "global" first; the installation's file is read again when it has changed.

    Raises:
        ConfigurationError: the file is broken; the text names the entry and the member.
    """
    path = None if data_dir is None else data_dir / FILE_NAME
    try:
        stat = None if path is None else path.stat()
    except FileNotFoundError:
        stat = None
    except OSError as error:
        raise ConfigurationError(f"{FILE_NAME} cannot be read: {error.strerror}") from error
    if path is None or stat is None:
        return _builtin_clouds()
    return _merged_clouds(path, (stat.st_mtime_ns, stat.st_size, stat.st_ino))


def cloud_of(name: str, data_dir: Path | None) -> Cloud:
    """Return one cloud.

    Raises:
        AppRefusedError: there is no such cloud.
        ConfigurationError: the override file is broken.
    """
    cloud = load_clouds(data_dir).get(name)
    if cloud is None:
        raise _unknown_cloud(name)
    return cloud


@lru_cache(maxsize=1)
def _builtin_entries() -> dict[str, Any]:
    text = resources.files("gateway_microsoft").joinpath(FILE_NAME).read_bytes()
    return msgspec.json.decode(text, type=dict[str, Any])


@lru_cache(maxsize=1)
def _builtin_clouds() -> Mapping[str, Cloud]:
    return MappingProxyType({name: _cloud(name, entry, None) for name, entry in _builtin_entries().items()})


@lru_cache(maxsize=8)
def _merged_clouds(path: Path, version: tuple[int, int, int]) -> Mapping[str, Cloud]:
    entries = dict(_builtin_entries())
    for name, entry in _overrides(path).items():
        if not isinstance(entry, dict):
            raise ConfigurationError(f"{FILE_NAME}: entry {name!r} must be an object")
        entries[name] = {**entries.get(name, {}), **entry}
    return MappingProxyType({name: _cloud(name, entry, path.parent) for name, entry in entries.items()})


def _overrides(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise ConfigurationError(f"{FILE_NAME} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{FILE_NAME} must be a JSON object: {error}") from error


def _cloud(name: str, entry: Mapping[str, Any], base: Path | None) -> Cloud:
    try:
        cloud = msgspec.convert({**entry, "name": name}, Cloud, dec_hook=decode_path)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{FILE_NAME}: entry {name!r}: {error}") from error
    for member in ("login", "graph", "scope_host", "app_scope_host"):
        url = getattr(cloud, member)
        if url is not None and (problem := _url_problem(url, bare=member == "login")):
            raise ConfigurationError(f"{FILE_NAME}: entry {name!r}: {member!r} {problem}")
    ca_file = cloud.ca_file if cloud.ca_file is None or base is None else base / cloud.ca_file
    return msgspec.structs.replace(
        cloud,
        login=cloud.login.rstrip("/"),
        graph=cloud.graph.rstrip("/"),
        scope_host=cloud.scope_host.rstrip("/"),
        ca_file=ca_file,
        imap=_trusting(cloud.imap, ca_file),
        smtp=_trusting(cloud.smtp, ca_file),
    )


def _trusting(server: Server, ca_file: Path | None) -> Server:
    return server if server.ca_file is not None else msgspec.structs.replace(server, ca_file=ca_file)


def _url_problem(url: str, *, bare: bool) -> str | None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must be an https URL"
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        return "must use https, except on this machine"
    if parts.query or parts.fragment or parts.username or (bare and parts.path.strip("/")):
        return "must be a host without anything behind it" if bare else "must not have a query"
    return None


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine (RFC 6761 section 6.3, RFC 8252 section 7.3)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unknown_cloud(name: str) -> AppRefusedError:
    explained = Remedy(
        code="unknown_cloud",
        title=f"There is no cloud {name!r} here",
        who="app_owner",
        steps=("Choose another cloud in the gateway's app, or add it to clouds.json in the data directory.",),
    )
    return AppRefusedError(explained.title, native_code=explained.code, remedy=explained)

"""Find plugins by entry point and keep what they register.

A plugin that cannot be imported or registered is reported with its distribution; the others still load.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import pluggy

from gateway import hookspecs
from gateway.errors import ConfigurationError
from gateway.provider import Environment, IdentityProvider, Provider, Sandbox

ENTRY_POINT_GROUP = "gateway"


class PluginInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One installed plugin: where it comes from and what it brought, or why it did not load."""

    name: str
    distribution: str
    version: str
    providers: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    sandboxes: tuple[str, ...] = ()
    error: str | None = None


class Plugins(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the installed plugins brought."""

    providers: dict[str, Provider]
    identities: dict[str, IdentityProvider]
    sandboxes: dict[str, Sandbox]
    installed: tuple[PluginInfo, ...]

    def for_app(self, app_provider: str, base_scopes: str) -> Provider | None:
        """Return the provider that serves accounts of such an OAuth2 app."""
        return _serving(self.providers.values(), app_provider, base_scopes)

    def identity_for_app(self, app_provider: str, base_scopes: str) -> IdentityProvider | None:
        """Return the identity provider that signs in for such an OAuth2 app."""
        return _serving(self.identities.values(), app_provider, base_scopes)

    def for_settings(self, key: str) -> Provider | None:
        """Return the provider whose settings stand under this member of the account payload."""
        for provider in self.providers.values():
            if provider.settings_key == key:
                return provider
        return None


ForApps = TypeVar("ForApps", Provider, IdentityProvider)
Named = TypeVar("Named", Provider, IdentityProvider, Sandbox)


def _serving(found: Iterable[ForApps], app_provider: str, base_scopes: str) -> ForApps | None:
    for candidate in found:
        if (app_provider, base_scopes) in candidate.app_types:
            return candidate
    return None


def installed_entry_points() -> list[tuple[EntryPoint, Distribution]]:
    """Return the entry points of all installed plugins, ordered by name, each distribution once."""
    found: dict[tuple[str, str], tuple[EntryPoint, Distribution]] = {}
    for distribution in distributions():
        for point in distribution.entry_points:
            if point.group == ENTRY_POINT_GROUP:
                found.setdefault((point.name, distribution.name), (point, distribution))
    return [found[key] for key in sorted(found)]


def load_plugins(
    environment: Environment, entry_points: Iterable[tuple[EntryPoint, Distribution]] | None = None
) -> Plugins:
    """Load all plugins and collect what they register.

    Args:
        environment: handed to the plugins.
        entry_points: what to load instead of everything that is installed.
    """
    providers: dict[str, Provider] = {}
    identities: dict[str, IdentityProvider] = {}
    sandboxes: dict[str, Sandbox] = {}
    infos = []
    for point, distribution in installed_entry_points() if entry_points is None else entry_points:
        info = PluginInfo(name=point.name, distribution=distribution.name, version=distribution.version)
        collected = _Collected(_Registry(providers), _Registry(identities), _Registry(sandboxes))
        # A plugin is foreign code: whatever it raises must not keep the others from loading.
        try:
            _register(point, environment, collected)
        except Exception as failure:  # noqa: BLE001
            infos.append(msgspec.structs.replace(info, error=f"{type(failure).__name__}: {failure}"))
            continue
        infos.append(
            msgspec.structs.replace(
                info,
                providers=collected.providers.accept(),
                identities=collected.identities.accept(),
                sandboxes=collected.sandboxes.accept(),
            )
        )
    return Plugins(providers=providers, identities=identities, sandboxes=sandboxes, installed=tuple(infos))


class _Registry(Generic[Named]):
    """What one plugin registers of one kind, refused when another plugin was first."""

    def __init__(self, taken: dict[str, Named]) -> None:
        self._taken: dict[str, Named] = taken
        self._mine: dict[str, Named] = {}

    def add(self, item: Named) -> None:
        if item.name in self._taken or item.name in self._mine:
            raise ConfigurationError(f"another plugin already provides {item.name!r}")
        types: frozenset[tuple[str, str]] = getattr(item, "app_types", frozenset())
        for other in (*self._taken.values(), *self._mine.values()):
            if both := types & getattr(other, "app_types", frozenset()):
                raise ConfigurationError(f"{other.name!r} already serves OAuth2 apps of type {min(both)}")
        self._mine[item.name] = item

    def accept(self) -> tuple[str, ...]:
        """Keep what was registered, and return the names."""
        self._taken.update(self._mine)
        return tuple(self._mine)


class _Collected(NamedTuple):
    providers: _Registry[Provider]
    identities: _Registry[IdentityProvider]
    sandboxes: _Registry[Sandbox]


def _register(point: EntryPoint, environment: Environment, collected: _Collected) -> None:
    plugins = pluggy.PluginManager(hookspecs.PROJECT_NAME)
    plugins.add_hookspecs(hookspecs)
    module: Any = point.load()
    plugins.register(module, name=point.name)
    plugins.check_pending()
    plugins.hook.gateway_register_providers(register=collected.providers.add, environment=environment)
    plugins.hook.gateway_register_identities(register=collected.identities.add, environment=environment)
    plugins.hook.gateway_register_sandboxes(register=collected.sandboxes.add)

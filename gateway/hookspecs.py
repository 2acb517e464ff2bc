"""The pluggy hooks of the gateway.

A plugin registers objects; the gateway then calls methods on them. There is no hook per mail operation: a hook would
be broadcast to every plugin, lose its types and cost ten times a method call.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from gateway.provider import Environment, IdentityProvider, Provider, Sandbox

PROJECT_NAME = "gateway"
hookspec = pluggy.HookspecMarker(PROJECT_NAME)


@hookspec
def gateway_register_providers(register: Callable[[Provider], None], environment: Environment) -> None:
    """Call `register` with each provider of this plugin."""


@hookspec
def gateway_register_identities(register: Callable[[IdentityProvider], None], environment: Environment) -> None:
    """Call `register` with each identity provider of this plugin."""


@hookspec
def gateway_register_sandboxes(register: Callable[[Sandbox], None]) -> None:
    """Call `register` with each sandbox of this plugin."""

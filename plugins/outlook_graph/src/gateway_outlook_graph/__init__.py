"""Outlook and Microsoft 365 mailboxes over Microsoft Graph v1.0.

- `provider`, `session`: the contract; `session` hands each operation to one of the parts below.
- `folders`: mailboxes; `reading`, `listing`, `searching`: messages; `changing`, `storing`, `submitting`,
  `splitting`, `uploading`: what changes them; `following`: what changed.
- `resources`: Graph's JSON as structs; `mapping`: the same as the gateway's structs.
- `client`, `batch`: calls on one mailbox; `gate`: how many at once; `pace`: how fast an app calls; `transport`: HTTP;
  `errors`: refusals.

Sign-in and clouds are those of `gateway_microsoft`.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway import hookimpl
from gateway.provider import Environment, Provider
from gateway_outlook_graph.limits import Limits
from gateway_outlook_graph.provider import OutlookGraphProvider

__all__ = ["Limits", "OutlookGraphProvider", "gateway_register_providers"]


@hookimpl
def gateway_register_providers(register: Callable[[Provider], None], environment: Environment) -> None:
    """Register the provider."""
    register(OutlookGraphProvider(environment))

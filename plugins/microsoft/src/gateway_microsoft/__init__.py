"""Microsoft identity: which cloud, which scopes, how to sign in, and what went wrong.

- `clouds`: the clouds as data, with an installation's overrides.
- `scopes`: which permissions an app asks for.
- `identity`: OAuth2 through MSAL, as `gateway.provider.Identity`.
- `transport`: the HTTP client below it.
- `classify`: OAuth2 errors as `gateway.errors`; `explain`: the same errors in words for the person who must act.
- `refusals`: what Exchange's IMAP and SMTP servers say when they refuse.
- `limits`: what Exchange takes from one mailbox.
- `problems`, `guide`: checks and instructions for whoever registers the app.
- `plugin`: all of it as `gateway.provider.IdentityProvider`.

It opens no mailbox: that is for the providers of Outlook, which use `clouds`, `refusals` and `limits`.
"""

from __future__ import annotations

from gateway_microsoft.clouds import Cloud, cloud_of, load_clouds
from gateway_microsoft.guide import app_guide
from gateway_microsoft.identity import Identities, MicrosoftIdentity
from gateway_microsoft.limits import EXCHANGE_LIMITS
from gateway_microsoft.problems import app_problems
from gateway_microsoft.refusals import imap_refusal, smtp_refusal

__all__ = [
    "EXCHANGE_LIMITS",
    "Cloud",
    "Identities",
    "MicrosoftIdentity",
    "app_guide",
    "app_problems",
    "cloud_of",
    "imap_refusal",
    "load_clouds",
    "smtp_refusal",
]

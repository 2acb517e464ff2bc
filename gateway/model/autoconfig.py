"""What can be found out about the servers of a mail address."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.model.base import Resource

Source = Literal["mx", "srv", "well-known", "autoconfig", "mozilla", "unknown"]


class SuggestedAuth(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Whom to sign in as."""

    user: str


class SuggestedServer(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """A server, as in `imap` and `smtp` of an account. TLS is used in any case."""

    auth: SuggestedAuth
    host: str
    port: Annotated[int, Meta(ge=1, le=65535)]
    secure: Annotated[bool, Meta(description="TLS from the first octet; false for STARTTLS")]


class AppPassword(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """A provider that takes no ordinary password from other programs."""

    required: bool
    provider: str
    instructions: str


class Autoconfig(Resource, frozen=True, kw_only=True):
    """Suggested servers; false where there is no suggestion."""

    imap: Annotated[SuggestedServer | bool, Meta(description="false when nothing was found")]
    smtp: Annotated[SuggestedServer | bool, Meta(description="false when nothing was found")]
    app_password: AppPassword | None = None
    source: Annotated[Source, Meta(description="Which lookup knew it")] = msgspec.field(name="_source")

"""Labs: mail worlds, pretended or real, that a gateway under test is pointed at from outside.

A suite written against `Lab` knows neither which servers stand behind it nor how its users sign in.
"""

from __future__ import annotations

from typing import Any, Protocol


class Lab(Protocol):
    """An identity provider and the mail servers that trust it, with users who have mailboxes there.

    Attributes:
        users: addresses of accounts that exist; their mailboxes may hold what earlier tests left.
    """

    users: tuple[str, ...]

    @property
    def name(self) -> str:
        """For test ids."""
        ...

    def clouds_entry(self) -> dict[str, Any]:
        """Where everything is, in the form of an entry of the gateway's clouds file; `app_fields` has its name.

        Keys: `login`, `imap` and `smtp` (each host, port, security: tls, starttls or plain), `graph`, `scope_host`,
        `ca_file`, `instance_discovery`.
        """
        ...

    def app_fields(self) -> dict[str, str]:
        """The part of an OAuth2 app that the identity provider decides: clientId, clientSecret, authority, cloud,
        and baseScopes where it is not imap."""
        ...

    def sign_in(self, authorization_url: str, user: str) -> str:
        """Sign `user` in and consent; returns the URL that sends the browser back to the gateway."""
        ...

    def decline(self, authorization_url: str, user: str) -> str:
        """Refuse consent as `user`; returns the URL that sends the browser back to the gateway."""
        ...

    def deliver(self, user: str, raw: bytes) -> None:
        """Put a message into the user's INBOX as if it had just come in."""
        ...

    def expire_access_tokens(self, user: str) -> None:
        """End the access tokens that `user` has, with the sessions that they opened; refresh tokens stay good."""
        ...

    def revoke(self, user: str) -> None:
        """Withdraw what `user` granted: access and refresh tokens end, as when he removes the app's access."""
        ...

    def refresh_count(self) -> int:
        """Requests to redeem a refresh token so far, by anybody and whatever the answer was."""
        ...

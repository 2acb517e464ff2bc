"""Who may use which mailbox with which credentials: the one check behind IMAP and SMTP."""

from __future__ import annotations

import msgspec

from gateway_sandbox import directory
from gateway_sandbox.directory import OUTLOOK, Person
from gateway_sandbox.tokens import Bearer, InvalidTokenError, Tokens


class AccessDeniedError(Exception):
    """The credentials do not open what was asked for; the servers never say why."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What a login has opened.

    Attributes:
        mailbox: the mailbox, or for SMTP the sender's identity.
        bearer: the token, or None after a password.
    """

    mailbox: Person
    bearer: Bearer | None = None


class Gate:
    """Checks credentials."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def imap(self, user: str, token: str) -> Access:
        """Open a mailbox with an access token: one's own, or a shared one as a delegate.

        Raises:
            AccessDeniedError: wrong token, scope, audience or mailbox.
        """
        bearer = self._verify(token)
        mailbox = directory.find(user)
        if mailbox is None or not mailbox.exchange:
            raise AccessDeniedError
        delegated = bearer.person is not None and "IMAP.AccessAsUser.All" in bearer.scopes
        if delegated and directory.may_open(bearer.person or "", mailbox.address):
            return Access(mailbox=mailbox, bearer=bearer)
        if bearer.person is None and "IMAP.AccessAsApp" in bearer.scopes:
            return Access(mailbox=mailbox, bearer=bearer)
        raise AccessDeniedError

    def smtp(self, user: str, token: str) -> Access:
        """Log in to submission. Unlike with IMAP the identity is the delegate's own address.

        Raises:
            AccessDeniedError: wrong token, scope, audience or identity.
        """
        bearer = self._verify(token)
        sender = directory.find(user)
        if sender is None or not sender.exchange:
            raise AccessDeniedError
        if bearer.person == sender.address and "SMTP.Send" in bearer.scopes:
            return Access(mailbox=sender, bearer=bearer)
        if bearer.person is None and "SMTP.SendAsApp" in bearer.scopes:
            return Access(mailbox=sender, bearer=bearer)
        raise AccessDeniedError

    def password(self, user: str, password: str) -> Access:
        """Log in with a password, which works for the one mailbox outside the tenant.

        Raises:
            AccessDeniedError: wrong password, or a mailbox that needs OAuth2.
        """
        person = directory.find(user)
        if person is None or person.password is None or person.password != password:
            raise AccessDeniedError
        return Access(mailbox=person)

    def still_good(self, access: Access) -> bool:
        """Return whether the token behind a login has neither run out nor been revoked."""
        return access.bearer is None or self._tokens.still_good(access.bearer)

    def seconds_left(self, bearer: Bearer) -> float:
        """Return for how long a token is good."""
        return self._tokens.seconds_left(bearer)

    def _verify(self, token: str) -> Bearer:
        try:
            bearer = self._tokens.verify(token)
        except InvalidTokenError as error:
            raise AccessDeniedError from error
        if bearer.audience != OUTLOOK:
            raise AccessDeniedError
        return bearer

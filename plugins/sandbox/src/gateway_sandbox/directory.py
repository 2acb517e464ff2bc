"""Who exists in the sandbox: its tenant, its people and mailboxes, and the one registered app."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

import msgspec

CLOUD = "sandbox"
TENANT_ID = "5a9db0c5-0000-4000-8000-00000000c057"
TENANT_DOMAIN = "contoso.test"
CLIENT_ID = "11111111-2222-4333-8444-555555555555"
CLIENT_SECRET = "sandbox-secret"
APP_NAME = "Email gateway"

OUTLOOK = "https://outlook.office.com"
GRAPH = "https://graph.microsoft.com"

_OWN_GRAPH = re.compile(r"http://(?:localhost|127\.0\.0\.1)(?::\d+)?/graph")

#: Audience of the access tokens -> scope names that can be asked for (without the resource's prefix).
SCOPES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        OUTLOOK: frozenset({"IMAP.AccessAsUser.All", "SMTP.Send", "POP.AccessAsUser.All"}),
        GRAPH: frozenset(
            {"Mail.ReadWrite", "Mail.ReadWrite.Shared", "Mail.Read", "Mail.Send", "Mail.Send.Shared", "User.Read"}
            | {"MailboxSettings.Read"}
        ),
    }
)
#: Roles of an app-only token (client credentials with ``.default``).
ROLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {OUTLOOK: ("IMAP.AccessAsApp", "SMTP.SendAsApp"), GRAPH: ("Mail.ReadWrite", "Mail.Send")}
)
IDENTITY_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody, or a shared mailbox.

    Attributes:
        delegates: who besides the owner may open the mailbox and send as it.
        password: set for the one mailbox that signs in with a password; it is then not part of the tenant.
        admin: may approve apps for everybody.
        shared: a mailbox nobody signs in to directly.
    """

    address: str
    name: str
    object_id: str
    delegates: frozenset[str] = frozenset()
    password: str | None = None
    admin: bool = False
    shared: bool = False

    @property
    def exchange(self) -> bool:
        """Whether the mailbox has Exchange's folders and files its own copies of sent mail."""
        return self.password is None


def _person(number: int, address: str, name: str, **more: bool | str | frozenset[str]) -> Person:
    fields = {"address": address, "name": name, "object_id": f"00000000-0000-4000-8000-{number:012d}"}
    return msgspec.convert({**fields, **more}, Person)


ALICE = _person(1, "alice@contoso.test", "Alice Bergström")
BOB = _person(2, "bob@contoso.test", "Bob Martínez")
CAROL = _person(3, "carol@contoso.test", "Carol Okafor")
SUPPORT = _person(4, "support@contoso.test", "Contoso Support", shared=True, delegates=frozenset({ALICE.address}))
ADMIN = _person(5, "admin@contoso.test", "Ada Administrator", admin=True)
DAVE = _person(6, "dave@example.test", "Dave Plain", password="sandbox-password")

PEOPLE = (ALICE, BOB, CAROL, SUPPORT, ADMIN, DAVE)
ADDRESSES = tuple(person.address for person in PEOPLE if not person.admin and person.exchange)
_BY_ADDRESS = {person.address: person for person in PEOPLE}


def find(address: str) -> Person | None:
    """Return who has this address, in any case."""
    return _BY_ADDRESS.get(address.strip().lower())


def sign_in_choices() -> tuple[Person, ...]:
    """Return who is offered on the sign-in page."""
    return tuple(person for person in PEOPLE if person.exchange and not person.shared and not person.admin)


def can_sign_in(address: str) -> Person | None:
    """Return the person of this address when they may sign in to the tenant."""
    person = find(address)
    return person if person is not None and person.exchange and not person.shared else None


def may_open(who: str, mailbox: str) -> bool:
    """Return whether a person may open a mailbox: their own, or one they are a delegate of."""
    person = find(mailbox)
    return person is not None and (person.address == who or who in person.delegates)


def known_tenant(tenant: str) -> bool:
    """Return whether a path starts with a tenant of this cloud (a directory of work accounts)."""
    return tenant.lower() in {"common", "organizations", TENANT_ID, TENANT_DOMAIN}


def registered_reply_address(uri: str) -> bool:
    """Return whether a redirect URI is registered: any port of this machine, path ending in ``/oauth``."""
    parts = urlsplit(uri)
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    return local and parts.scheme in {"http", "https"} and parts.path.endswith("/oauth")


def registered_app() -> dict[str, str]:
    """Return the members of ``POST /v1/oauth2`` for the registered app."""
    return {
        "provider": "outlook",
        "clientId": CLIENT_ID,
        "clientSecret": CLIENT_SECRET,
        "authority": "common",
        "cloud": CLOUD,
        "baseScopes": "imap",
    }


class ScopeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A scope parameter taken apart.

    Attributes:
        resources: audiences that were asked for.
        names: scope names without their prefix.
        unknown: scopes that no resource has.
        default: whether ``.default`` was asked for.
    """

    resources: frozenset[str]
    names: frozenset[str]
    unknown: tuple[str, ...]
    default: bool
    identity: frozenset[str]


def parse_scope(scope: str) -> ScopeRequest:
    """Take a scope parameter apart (RFC 6749 section 3.3); a scope without a prefix is Graph's."""
    resources: set[str] = set()
    names: set[str] = set()
    unknown: list[str] = []
    default = False
    words = scope.split()
    for word in words:
        if word in IDENTITY_SCOPES:
            continue
        resource, _, name = word.rpartition("/") if "://" in word else (GRAPH, "/", word)
        resource = resource.replace("https://outlook.office365.com", OUTLOOK)
        if _OWN_GRAPH.fullmatch(resource):
            # The entry in the clouds file points apps at this machine.
            resource = GRAPH
        if resource in SCOPES and name == ".default":
            default = True
        elif name not in SCOPES.get(resource, frozenset()):
            unknown.append(word)
            continue
        else:
            names.add(name)
        resources.add(resource)
    return ScopeRequest(
        resources=frozenset(resources),
        names=frozenset(names),
        unknown=tuple(unknown),
        default=default,
        identity=frozenset(words) & IDENTITY_SCOPES,
    )

"""What accounts keep, replace and let go when they are created again, changed and deleted."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from gateway.errors import (
    AccountNotReadyError,
    AppRefusedError,
    ConflictError,
    ConnectError,
    InvalidRequestError,
    RateLimitError,
    ReauthorizationError,
    ResourceNotFoundError,
)
from gateway.model.account import AccountCreate, AccountUpdate, OAuth2Auth, OAuth2Config
from gateway.model.oauth2 import MASK, AppUpdate
from gateway.model.token import TokenCreate
from gateway.store.accounts import AccountSecrets
from gateway.store.due import DueWork
from gateway.store.numbers import AccountNumbers
from tests.integration.services.world import World

pytestmark = pytest.mark.anyio

IMAP = {"host": "imap.test", "port": 993, "secure": True, "auth": {"user": "ann", "pass": "imap-password"}}
SMTP = {"host": "smtp.test", "port": 587, "auth": {"user": "ann", "pass": "smtp-password"}}


def create(**members: Any) -> AccountCreate:
    """The payload of POST /v1/account."""
    return msgspec.convert({"account": "dave", "name": "Dave", **members}, AccountCreate)


def update(**members: Any) -> AccountUpdate:
    """The payload of PUT /v1/account/{account}."""
    return msgspec.convert(members, AccountUpdate)


async def connected(world: World, account: str = "dave") -> None:
    """Pretend that a worker reached the account."""
    await world.services.account_health.connected(account)


async def test_members_that_are_absent_stay(world: World) -> None:
    """Also on a second POST, which clients use as an update."""
    accounts = world.services.accounts
    await accounts.create(create(email="d@example.test", imap=IMAP, smtp=SMTP, path=["INBOX"], copy=True))
    assert (await accounts.create(create(name="David"))).state == "existing"
    found = await accounts.get("dave")
    assert (found.name, found.email, found.path, found.copy) == ("David", "d@example.test", ("INBOX",), True)
    assert found.imap is not None and found.imap.host == "imap.test"
    assert found.smtp is not None and found.smtp.host == "smtp.test"


async def test_null_and_false_clear(world: World) -> None:
    """Null empties a member, false takes a server away together with its password."""
    accounts = world.services.accounts
    await accounts.create(create(email="d@example.test", imap=IMAP, smtp=SMTP))
    await accounts.update("dave", update(email=None, smtp=False))
    found = await accounts.get("dave")
    assert (found.email, found.smtp) == (None, None)
    assert await world.services.account_store.secrets("dave") == AccountSecrets(imap_password="imap-password")


@pytest.mark.parametrize("given", [MASK, None])
async def test_a_mask_or_no_password_keeps_the_stored_one(world: World, given: str | None) -> None:
    """What clients were shown is what they send back."""
    accounts = world.services.accounts
    await accounts.create(create(imap=IMAP))
    auth = {"user": "ann", **({"pass": given} if given else {})}
    await accounts.update("dave", update(imap={**IMAP, "port": 1993, "auth": auth}))
    secrets = await world.services.account_store.secrets("dave")
    assert secrets.imap_password == "imap-password"
    assert (await accounts.get("dave")).imap.port == 1993  # type: ignore[union-attr]


async def test_a_partial_server_keeps_what_it_does_not_name(world: World) -> None:
    """And a server that is not partial must be complete."""
    accounts = world.services.accounts
    await accounts.create(create(imap=IMAP))
    await accounts.update("dave", update(imap={"partial": True, "host": "other.test"}))
    found = (await accounts.get("dave")).imap
    assert found is not None
    assert (found.host, found.port, found.secure) == ("other.test", 993, True)
    with pytest.raises(InvalidRequestError) as refused:
        await accounts.update("dave", update(imap={"host": "other.test"}))
    assert {field["key"] for field in refused.value.details["fields"]} <= {"imap.port", "imap.auth"}


async def test_a_partial_server_can_switch_something_off(world: World) -> None:
    """A value that is the default is a value all the same."""
    accounts = world.services.accounts
    await accounts.create(create(imap={**IMAP, "sentMailPath": "Done"}))
    await accounts.update("dave", update(imap={"partial": True, "secure": False, "port": 143}))
    found = (await accounts.get("dave")).imap
    assert found is not None
    assert (found.port, found.secure, found.sent_mail_path) == (143, False, "Done")


async def test_a_change_that_does_not_concern_the_connection_keeps_it(world: World) -> None:
    """A new display name must not send the mailbox through a login."""
    accounts = world.services.accounts
    await accounts.create(create(imap=IMAP))
    await connected(world)
    await accounts.update("dave", update(name="David"))
    assert (await accounts.recent_state("dave"))[0] == "connected"
    await accounts.update("dave", update(imap={**IMAP, "auth": {"user": "ann", "pass": "new-password"}}))
    assert (await accounts.recent_state("dave"))[0] == "init"


async def test_an_account_needs_something_to_sign_in_with(world: World) -> None:
    """Refused at once, not by a worker later; and the mailbox stays free."""
    auth = OAuth2Auth(user="ann@example.test")
    request = AccountCreate(account="ann", name="", oauth2=OAuth2Config(provider=world.app, auth=auth))
    with pytest.raises(InvalidRequestError):
        await world.services.accounts.create(request)
    await world.add_account()


async def test_one_mailbox_belongs_to_one_account(world: World) -> None:
    """Whoever comes second is told who was first; a shared mailbox of the same person is another mailbox."""
    await world.add_account()
    oauth2 = OAuth2Config(provider=world.app, auth=OAuth2Auth(user="Ann@Example.test"))
    request = AccountCreate(account="other", name="", oauth2=oauth2)
    with pytest.raises(ConflictError) as refused:
        await world.services.accounts.create(request, world.identity.issue())
    assert refused.value.details["existingAccount"] == "ann"
    with pytest.raises(ResourceNotFoundError):
        await world.services.accounts.get("other")
    shared = OAuth2Config(
        provider=world.app, auth=OAuth2Auth(user="ann@example.test", delegated_user="team@example.test")
    )
    await world.services.accounts.create(AccountCreate(account="team", name="", oauth2=shared), world.identity.issue())
    await world.services.accounts.delete("ann")
    await world.services.accounts.create(request, world.identity.issue())


async def test_deleting_takes_everything_along(world: World) -> None:
    """Keys, index entries, tokens, planned work; other accounts keep theirs, also one whose name is a pattern of it."""
    services = world.services
    for account in ("ann", "ann*", "ann?"):
        oauth2 = OAuth2Config(provider=world.app, auth=OAuth2Auth(user=f"{account}@example.test"))
        await services.accounts.create(AccountCreate(account=account, name="", oauth2=oauth2), world.identity.issue())
        await services.tokens.issue(TokenCreate(description="t", scopes=("api",), account=account))
        await AccountNumbers(services.store, account).number("INBOX")
    await services.account_health.outcome("ann*", ConnectError("no"))
    await services.accounts.delete("ann*")
    database = services.databases.data
    keys = [key.decode() async for key in database.scan_iter(count=1000)]
    assert not [key for key in keys if "{a:ann*}" in key]
    assert [key for key in keys if "{a:ann}" in key]
    assert {item.account for item in (await services.accounts.list(page=0, page_size=10)).accounts} == {"ann", "ann?"}
    assert {token.account for token in (await services.tokens.list(page=0, page_size=10)).tokens} == {"ann", "ann?"}
    world.clock.advance(10**8)
    assert {work.account for work in await services.due.claim(world.clock())} == {"ann", "ann?"}


async def test_what_arrives_for_a_deleted_account_does_not_bring_it_back(world: World) -> None:
    """A worker that was busy with the account while it was deleted finishes afterwards."""
    services = world.services
    await world.add_account()
    numbers = AccountNumbers(services.store, "ann")
    stored = await services.grants.peek("ann")
    await services.accounts.delete("ann")
    await services.account_health.connected("ann")
    await services.account_health.outcome("ann", ReauthorizationError("no"))
    await services.account_store.count_failure("ann")
    with pytest.raises(ResourceNotFoundError):
        await numbers.number("INBOX")
    assert stored is not None
    keys = [key async for key in services.databases.data.scan_iter(match="{a:*", count=1000)]
    assert keys == []
    assert await services.account_store.summaries() == {}


async def test_revoking_is_tried_and_does_not_keep_the_account(world: World) -> None:
    """Whether the provider could withdraw the grant is told."""
    grant = await world.add_account()
    deleted = await world.services.accounts.delete("ann", revoke=True)
    assert deleted.revoked is True
    assert world.identity.revoked == [grant.refresh_token]


@pytest.mark.parametrize(
    ("error", "state", "due"),
    [
        (ReauthorizationError("refused"), "authenticationError", False),
        (AppRefusedError("secret"), "authenticationError", True),
        (ConnectError("no route"), "connectError", True),
        (RateLimitError("slow", retry_after=1), "connected", False),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_outcomes_decide_state_and_next_try(world: World, error: Exception, state: str, due: bool) -> None:
    """Only what somebody must act on parks the account; what may mend itself is tried again."""
    await world.add_account()
    await connected(world, "ann")
    await world.services.due.done(DueWork("grant.renew", "ann"))
    await world.services.account_health.outcome("ann", error)
    assert (await world.services.accounts.recent_state("ann"))[0] == state
    world.clock.advance(3600)
    planned = await world.services.due.claim(world.clock())
    assert (DueWork("account.connect", "ann") in planned) is due


async def test_calls_on_an_account_that_cannot_serve_say_why(world: World) -> None:
    """The code tells a client whether to wait or to ask its user."""
    await world.add_account()
    with pytest.raises(AccountNotReadyError) as waiting:
        await world.services.accounts.require_operational("ann")
    assert waiting.value.error_code == "NotYetConnected"
    await connected(world, "ann")
    await world.services.accounts.require_operational("ann")
    await world.services.account_health.outcome("ann", ReauthorizationError("no"))
    with pytest.raises(AccountNotReadyError) as refused:
        await world.services.accounts.require_operational("ann")
    assert refused.value.error_code == "AuthenticationFails"


async def test_changing_an_app_forgets_its_error_and_wakes_its_accounts(world: World) -> None:
    """The error must not come back from the record that was read before the change."""
    services = world.services
    await world.add_account()
    world.clock.advance(7200)
    world.identity.errors = [AppRefusedError("the client secret has expired", native_code="AADSTS7000222")]
    with pytest.raises(AppRefusedError) as refused:
        await world.valid()
    await services.account_health.outcome("ann", refused.value)
    assert (await services.apps.get(world.app)).last_error is not None
    await services.apps.update(world.app, AppUpdate(client_secret="new-secret"))
    assert (await services.apps.get(world.app)).last_error is None
    assert (await services.accounts.recent_state("ann"))[0] == "connecting"


async def test_a_delete_and_a_change_of_state_at_once_leave_no_ghost_in_the_list(world: World) -> None:
    """Record and index are in different tiers."""
    services = world.services
    for _ in range(20):
        await world.add_account()
        await asyncio.gather(
            services.accounts.delete("ann"),
            services.account_health.outcome("ann", ConnectError("no")),
            services.account_health.connected("ann"),
        )
        assert await services.account_store.summaries() == {}

"""A mailbox that the server lists and does not open: the others are taken in, and the account says so."""

from __future__ import annotations

import pytest

from gateway.model.account_errors import SyncError
from tests.integration.sync.scripted import ACCOUNT, Taking

pytestmark = pytest.mark.anyio


async def _told(taking: Taking) -> SyncError | None:
    return (await taking.services.accounts.get(ACCOUNT)).sync_error


async def test_the_account_tells_which_mailbox_was_left_out_until_it_is_taken_in(taking: Taking) -> None:
    session = taking.session
    session.boxes |= {"Broken": {}, "Work": {}}
    session.closed.add("Broken")
    session.put("1", path="Work")
    await taking.take()
    assert set(await taking.services.index.all_states(ACCOUNT, "Work")) == {"1"}
    found = await _told(taking)
    assert found is not None
    assert (found.path, found.error) == ("Broken", "the mailbox cannot be opened")
    session.closed.clear()
    await taking.take()
    assert await _told(taking) is None

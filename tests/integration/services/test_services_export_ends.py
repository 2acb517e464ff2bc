"""How exports end: limits, failures, expiry, deletion; on a real Redis, from a mailbox in memory."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from gateway.errors import (
    GatewayError,
    InvalidRequestError,
    RateLimitError,
    ReauthorizationError,
    RequestError,
    ResourceNotFoundError,
)
from gateway.provider import Session
from gateway.redis import keys
from gateway.services import exporting, exports
from tests.integration.services.exporting import YEAR, Exporting

pytestmark = pytest.mark.anyio


async def test_limits_end_an_export_early_and_say_so(export: Exporting, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there can be downloaded."""
    export.fill(30)
    settings = export.world.services.runtime_settings
    for bounds, kept, code in (
        ({"exportMaxMessages": 7}, exports.MOST_KEPT, "TooManyMessages"),
        ({"exportMaxMessages": None, "exportMaxSize": 700}, exports.MOST_KEPT, "ExportTooLarge"),
        ({"exportMaxSize": None}, 2000, "ExportStorageFull"),
    ):
        await settings.update(bounds)
        monkeypatch.setattr(exporting, "MOST_KEPT", kept)
        await export.begin()
        found = await export.run()
        assert (found.status, found.truncated, found.error_code) == ("completed", True, code)
        assert 0 < len(await export.subjects()) < 30


async def test_a_setting_changed_meanwhile_is_for_exports_that_begin_later(export: Exporting) -> None:
    """What was promised at the beginning holds."""
    export.fill(30)
    await export.begin()
    await export.world.services.runtime_settings.update({"exportMaxMessages": 7})
    assert not (await export.run()).truncated
    assert len(await export.subjects()) == 30


async def test_two_exports_of_an_account_are_under_way_at_most(export: Exporting) -> None:
    """The third is refused until one has ended or was deleted."""
    first = await export.begin()
    await export.begin()
    with pytest.raises(RateLimitError) as refused:
        await export.begin()
    assert refused.value.error_code == "TooManyExports"
    await export.run()
    last = await export.begin()
    assert last != first
    listed = await export.world.services.exports.list("ann", page=0, page_size=2)
    assert (listed.total, listed.pages, len(listed.exports)) == (3, 2, 2)


@pytest.mark.parametrize("setting", ["exportMaxConcurrent", "exportMaxGlobalConcurrent"])
async def test_how_many_exports_are_under_way_is_a_setting(export: Exporting, setting: str) -> None:
    """Of an account, and of all."""
    settings = export.world.services.runtime_settings
    await settings.update({"exportMaxConcurrent": 3, setting: 1})
    await export.begin()
    with pytest.raises(RateLimitError) as refused:
        await export.begin()
    assert refused.value.error_code == "TooManyExports"
    await settings.update({setting: 2})
    await export.begin()


async def test_no_export_begins_while_too_much_is_kept(export: Exporting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all accounts together."""
    export.fill(3)
    await export.begin()
    await export.run()
    monkeypatch.setattr(exports, "MOST_KEPT", 10)
    with pytest.raises(RateLimitError) as refused:
        await export.begin()
    assert refused.value.error_code == "ExportStorageFull"


async def test_an_export_expires_a_day_after_its_end(export: Exporting) -> None:
    """And is erased by the work that is due then."""
    export.fill(3)
    await export.begin()
    found = await export.run()
    clock, services = export.world.clock, export.world.services
    assert found.expires_at - clock() <= timedelta(hours=24)
    clock.advance(24 * 3600 + 1)
    with pytest.raises(ResourceNotFoundError):
        await services.exports.get("ann", export.id)
    assert [work.operation for work in await services.due.claim(clock()) if work.subject == export.id] == ["export.run"]
    await export.step()
    assert not await services.databases.data.exists(keys.export("ann", export.id))
    assert not await services.databases.data.exists(keys.export_content("ann", export.id))
    assert not await services.databases.control.hexists(keys.EXPORTS, export.id)  # type: ignore[misc]


async def test_an_export_under_way_does_not_expire(export: Exporting) -> None:
    """However long it takes, as long as it gets further."""
    export.fill(30)
    await export.begin()
    for _ in range(6):
        await export.step(batches=1)
        export.world.clock.advance(20 * 3600)
    assert (await export.run()).status == "completed"
    assert len(await export.subjects()) == 30


async def test_its_end_is_told_once(export: Exporting) -> None:
    """Also when the worker is killed between the end and the telling: the event is the same."""
    export.fill(2)
    await export.begin()
    await export.run()
    await export.step()
    events = [event for event in await export.world.services.events.recent("ann", 50) if "export" in event.event]
    assert [event.event for event in events] == ["exportCompleted"]
    data = json.loads(bytes(events[0].data))
    assert (data["exportId"], data["messagesExported"], data["messagesSkipped"]) == (export.id, 2, 0)
    assert set(data) >= {"folders", "startDate", "endDate", "bytesWritten", "duration", "expiresAt"}


async def test_a_failing_service_is_tried_again_and_given_up_in_the_end(export: Exporting) -> None:
    """Later and later; then the export has failed, which is told."""
    export.fill(2)
    await export.begin()
    export.service.network = "unreachable"
    await export.step()
    assert (await export.world.services.exports.get("ann", export.id)).status == "processing"
    export.service.network = "up"
    assert (await export.run()).status == "completed"
    await export.begin()
    export.service.network = "unreachable"
    found = await export.run()
    assert (found.status, found.error_code) == ("failed", "ConnectionError")
    with pytest.raises(RequestError) as refused:
        await export.file()
    assert refused.value.error_code == "ExportNotReady"
    (event,) = [one for one in await export.world.services.events.recent("ann", 50) if one.event == "exportFailed"]
    assert json.loads(bytes(event.data))["errorCode"] == "ConnectionError"


async def test_a_refused_login_and_a_missing_mailbox_end_it_at_once(export: Exporting) -> None:
    """Trying again helps neither."""
    await export.begin(folders=("Nowhere",))
    assert (await export.run()).error_code == "MailboxNotFound"
    await export.begin(folders=("\\Junk",))
    assert (await export.run()).error_code == "MailboxNotFound"

    @contextlib.asynccontextmanager
    async def refused() -> AsyncIterator[Session]:
        raise ReauthorizationError("the grant is refused")
        yield

    await export.begin()
    await export.world.services.export_runner.step("ann", export.id, refused)
    found = await export.world.services.exports.get("ann", export.id)
    assert (found.status, found.error_code) == ("failed", "AuthenticationFails")


async def test_deleting_an_export_under_way_ends_it(export: Exporting) -> None:
    """What the worker still reads is written nowhere."""
    export.fill(9)
    await export.begin()
    await export.step(batches=3)
    assert (await export.world.services.exports.delete("ann", export.id)).deleted
    await export.step()
    data = export.world.services.databases.data
    assert not [name async for name in data.scan_iter(f"*{export.id}*")]
    with pytest.raises(ResourceNotFoundError):
        await export.world.services.exports.delete("ann", export.id)


async def test_deleting_the_account_erases_its_exports(export: Exporting) -> None:
    """In both tiers, with what is due."""
    export.fill(3)
    await export.begin()
    await export.run()
    await export.begin()
    await export.world.services.accounts.delete("ann")
    databases = export.world.services.databases
    assert not [name async for name in databases.data.scan_iter("{a:*")]
    assert not await databases.control.exists(keys.EXPORTS)
    export.world.clock.advance(48 * 3600)
    assert not [w for w in await export.world.services.due.claim(export.world.clock()) if w.operation == "export.run"]
    await export.step()
    with pytest.raises(ResourceNotFoundError):
        await export.begin()


async def test_an_empty_period_is_refused(export: Exporting) -> None:
    """`startDate` comes before `endDate`."""
    with pytest.raises(InvalidRequestError):
        await export.begin(end_date=YEAR)
    for extreme in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)):
        start, end = sorted((YEAR, extreme))
        await export.begin(start_date=start, end_date=end)
        assert (await export.run()).status == "completed"


async def test_another_account_cannot_reach_an_export(export: Exporting) -> None:
    """Its id alone opens nothing."""
    await export.world.add_account("bob")
    await export.begin()
    for call in (export.world.services.exports.get, export.world.services.exports.delete):
        with pytest.raises(GatewayError) as refused:
            await call("bob", export.id)
        assert refused.value.error_code == "ExportNotFound"

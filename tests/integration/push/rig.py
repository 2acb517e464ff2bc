"""Services in front of the sandbox's Graph, which calls them back over HTTP."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from gateway.model.account import AccountCreate, AccountDetail, OAuth2Auth, OAuth2Config
from gateway.model.oauth2 import AppCreate
from gateway.provider import Clock, Grant, SignedInUser
from gateway.redis import keys
from gateway.services.container import Services, build_services
from gateway.services.push import LIFECYCLE_PATH, NOTIFICATION_PATH, Hints, Kept
from gateway.settings import Settings
from gateway_sandbox import clouds, directory
from gateway_sandbox.testing import ALICE, REDIRECT_URI, RunningSandbox
from gateway_workers.process import run_worker
from gateway_workers.watching import Periods
from tests.acceptance.graph_telephone import GraphTelephone
from tests.integration.queue.rig import eventually
from tests.rigs.graph_client import GRAPH_SCOPES, GraphClient

KEY = bytes(range(32))


class Callee:
    """Where Graph calls.

    Attributes:
        answers: whether it does as it should.
        validations: how often it was asked whether it is there.
    """

    def __init__(self) -> None:
        self.answers = True
        self.validations = 0
        self.port = 0
        self.services: Services | None = None

    @property
    def url(self) -> str:
        """The base of its addresses."""
        return f"http://127.0.0.1:{self.port}"

    async def take(self, request: web.Request) -> web.Response:
        """Take a call as the pages do."""
        token = request.query.get("validationToken")
        if token is not None:
            self.validations += 1
        if not self.answers:
            return web.Response(status=500)
        if token is not None:
            return web.Response(text=token)
        assert self.services is not None
        await self.services.push.called(request.query["account"], await request.read())
        return web.Response(status=202)


class PushWorld:
    """An account on the sandbox, and whoever keeps its subscription.

    Attributes:
        services: all.
        settings: theirs.
        sandbox: with the mailbox.
        callee: where it calls.
    """

    def __init__(self, services: Services, settings: Settings, sandbox: RunningSandbox, callee: Callee) -> None:
        self.services = services
        self.settings = settings
        self.sandbox = sandbox
        self.callee = callee

    async def prepare(self) -> None:
        """Say where the service calls; none of an earlier world's subscriptions does any more."""
        await self.services.runtime_settings.update({"serviceUrl": self.callee.url})
        for one in await self.subscriptions():
            await self.remove(one["id"])

    async def _app(self) -> str:
        """Register the app once more: an app has one account for each person."""
        fields = directory.registered_app()
        request = AppCreate(
            name="Graph",
            provider="outlook",
            base_scopes="api",
            enabled=True,
            client_id=fields["clientId"],
            client_secret=fields["clientSecret"],
            authority=fields["authority"],
            cloud=fields["cloud"],  # type: ignore[arg-type]
            redirect_url=REDIRECT_URI,
        )
        return (await self.services.apps.create(request)).id

    async def account(self, account: str = "alice", *, shared: str | None = None, notify_from: str = "now") -> str:
        """Connect Alice's mailbox, or one that she opens."""
        answer = await asyncio.to_thread(self.sandbox.sign_in, ALICE, GRAPH_SCOPES)
        grant = Grant(
            access_token=answer["access_token"],
            refresh_token=answer["refresh_token"],
            expires_at=self.services.clock() + timedelta(seconds=answer["expires_in"]),
            scopes=tuple(answer["scope"].split()),
            user=SignedInUser(user=ALICE, email=ALICE, emails=(ALICE,)),
        )
        auth = OAuth2Auth(user=ALICE, delegated_user=shared)
        oauth2 = OAuth2Config(provider=await self._app(), auth=auth)
        request = AccountCreate(
            account=account, name="Alice", email=shared or ALICE, oauth2=oauth2, notify_from=notify_from
        )
        await self.services.accounts.create(request, grant)
        return account

    async def keep(self, account: str = "alice", *, told: Collection[str] = ()) -> Kept:
        """Do what is due."""
        async with await self.services.sessions.open(account) as session:
            return await self.services.push.keep(account, session, told)

    async def shown(self, account: str = "alice") -> AccountDetail:
        """What a client is shown."""
        return await self.services.accounts.get(account)

    async def subscriptions(self) -> list[dict[str, Any]]:
        """What there is at the service."""
        return list((await self._graph("GET", "/subscriptions"))["value"])

    async def remove(self, subscription: str) -> None:
        """Remove a subscription at the service, which does not say so."""
        await self._graph("DELETE", f"/subscriptions/{subscription}")

    async def forget(self, account: str = "alice") -> None:
        """Lose what is known of the subscription."""
        await self.services.store.data.call("DEL", keys.push(account))

    async def _graph(self, method: str, path: str) -> Any:
        """Do something as another program that Alice uses; it signs in each time, however late it is."""

        def call() -> Any:
            client = GraphClient(self.sandbox, ALICE)
            try:
                answer = client.call(method, path).raise_for_status()
                return answer.json() if answer.content else None
            finally:
                client.close()

        return await asyncio.to_thread(call)

    async def deliver(self, subject: str = "news") -> None:
        """Put a message into the inbox."""
        raw = f"From: bob@example.test\r\nTo: {ALICE}\r\nSubject: {subject}\r\n\r\nx\r\n".encode()
        await asyncio.to_thread(self.sandbox.deliver, ALICE, raw)

    async def called(self, account: str = "alice", *, within: float = 5.0) -> Hints:
        """Return what the service called for, once it did; nothing if it does not."""
        return await self._hints(account, bool, within)

    async def told(self) -> frozenset[str]:
        """Wait until the service said something of the subscription, and return what."""
        return (await self._hints("alice", lambda hints: bool(hints.told), 5.0)).told

    async def _hints(self, account: str, enough: Callable[[Hints], bool], within: float) -> Hints:
        end = asyncio.get_running_loop().time() + within
        while not enough(hints := await self.services.push.take(account, 1000)):
            if asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(0.005)
        return hints

    async def log(self, account: str = "alice") -> list[dict[str, Any]]:
        """What was told, the oldest first."""
        found, _ = await self.services.events.log(account, set(), after="0", until="+", limit=100_000)
        return [msgspec.json.decode(event) for event in found]

    async def lifecycle(self, event: str) -> None:
        """Have the service tell what happens to the subscription."""
        body = {"event": event, "user": ALICE}
        answer = await asyncio.to_thread(self.sandbox.http.post, "/sandbox/lifecycle", json=body)
        answer.raise_for_status()


@asynccontextmanager
async def open_push(redis_url: str, sandbox: RunningSandbox, data_dir: Path, clock: Clock) -> AsyncIterator[PushWorld]:
    """Open services, and an address at which they are called."""
    clouds.write_entry(data_dir / clouds.FILE_NAME, directory.CLOUD, clouds.entry(sandbox.endpoints))
    settings = Settings(redis_url=redis_url, secret_keys=(KEY,), data_dir=data_dir)
    callee = Callee()
    application = web.Application()
    application.add_routes([web.post(path, callee.take) for path in (NOTIFICATION_PATH, LIFECYCLE_PATH)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    callee.port = runner.addresses[0][1]
    services = callee.services = build_services(settings, clock=clock)
    await services.start(settings)
    world = PushWorld(services, settings, sandbox, callee)
    try:
        await world.prepare()
        yield world
    finally:
        await services.aclose()
        await runner.cleanup()


@asynccontextmanager
async def worker(world: PushWorld, periods: Periods, *, notify_from: str = "now") -> AsyncIterator[None]:
    """Run one, with an account that is called."""
    stop = asyncio.Event()
    running = asyncio.create_task(run_worker(world.settings, stop, name="worker", periods=periods))
    try:
        await world.account(notify_from=notify_from)

        async def active() -> bool:
            push = (await world.shown()).push
            return push is not None and push.active

        await eventually(active, "the service calls", 20)
        yield
    finally:
        stop.set()
        await running


def telephone(world: PushWorld) -> GraphTelephone:
    """Another program that uses the mailbox, which is empty."""
    token = world.sandbox.sign_in(ALICE, GRAPH_SCOPES)["access_token"]
    origin = world.sandbox.endpoints.origin
    phone = GraphTelephone(origin, token, ALICE, lambda raw: world.sandbox.deliver(ALICE, raw), random.Random(7))
    phone.empty()
    return phone

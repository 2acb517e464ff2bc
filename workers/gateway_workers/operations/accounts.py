"""Operations on accounts as a whole: connect, look after, verify."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from gateway.errors import (
    AccountError,
    AppRefusedError,
    ConsentRequiredError,
    GatewayError,
    ResourceNotFoundError,
)
from gateway.model.account import QuotaInfo
from gateway.model.oauth2 import VerifyApp, VerifyAppResult
from gateway.model.signature import SignatureList
from gateway.model.verification import VerifyResult
from gateway.queue import operations as ask
from gateway.services import mail
from gateway.services.container import Services
from gateway.services.verification import AppCredentials, ForgetfulNumbers
from gateway.store.accounts import AccountConfig, StoredOAuth2
from gateway.store.due import DueWork
from gateway_workers.context import Handler, JobContext
from gateway_workers.watching import Watchers

#: Time after which an attempt to connect that came to the wrong worker is made again.
_ELSEWHERE = timedelta(seconds=1)


def handlers(services: Services, watchers: Watchers) -> Mapping[str, Handler]:  # noqa: C901  one function each, none of them complex
    """Return the handlers of these operations."""

    async def connect(job: JobContext, arguments: ask.NoArguments) -> None:
        """Connect the account, if this worker watches it; the outcome becomes its state."""
        if await services.account_store.state(job.account) is None:
            await services.due.done(DueWork("account.connect", job.account))
        elif not await watchers.connect(job.account):
            # Its owner has changed since the job was queued.
            await services.due.put(DueWork("account.connect", job.account), services.clock() + _ELSEWHERE)

    async def sync(job: JobContext, arguments: ask.NoArguments) -> None:
        """Look at the account's mailboxes."""
        if not watchers.sync(job.account):
            await services.dispatcher.connect(job.account)

    async def quota(job: JobContext, arguments: ask.NoArguments) -> QuotaInfo | None:
        """The account's quota."""
        async with job.session() as session:
            return await mail.quota(session)

    async def signatures(job: JobContext, arguments: ask.NoArguments) -> SignatureList:
        """Signatures kept at the provider."""
        async with job.session() as session:
            return await mail.signatures(session)

    async def verify(job: JobContext, arguments: ask.VerifyAccount) -> VerifyResult:
        """Try connection settings that are not stored."""
        return await services.probes.probe(arguments.sealed)

    async def verify_app(job: JobContext, arguments: ask.VerifyOAuth2) -> VerifyAppResult:
        """Diagnose an OAuth2 app."""
        request = VerifyApp(account=arguments.account or None, test_connection=arguments.test_connection)
        return await services.apps.verify(arguments.app, request, open_mailbox)

    async def open_mailbox(app: str, user: str) -> None:
        config = AccountConfig(account="verify", oauth2=StoredOAuth2(app=app, user=user))
        credentials = AppCredentials(await services.apps.identity(app), user)
        async with await services.sessions.open_config(config, credentials, ForgetfulNumbers()) as session:
            await session.check()

    async def renew(job: JobContext, arguments: ask.NoArguments) -> None:
        """Renew a grant ahead of its end."""
        work = DueWork("grant.renew", job.account)
        stored = await services.account_store.get(job.account)
        if stored is None or stored.config.oauth2 is None:
            await services.due.done(work)
            return
        try:
            await services.grants.renew_ahead(stored.config)
        except (AppRefusedError, ConsentRequiredError):
            raise
        except AccountError:
            # Nobody can renew this grant any more; a new sign-in plans the next renewal.
            await services.due.done(work)
            raise

    return {
        ask.ACCOUNT_CONNECT.name: connect,
        ask.ACCOUNT_SYNC.name: sync,
        ask.ACCOUNT_QUOTA.name: quota,
        ask.ACCOUNT_SIGNATURES.name: signatures,
        ask.ACCOUNT_VERIFY.name: verify,
        ask.OAUTH_VERIFY.name: verify_app,
        ask.GRANT_RENEW.name: renew,
    }


async def judge(services: Services, account: str, error: BaseException | None) -> None:
    """Tell the account's health how a job ended."""
    if isinstance(error, GatewayError) and not isinstance(error, ResourceNotFoundError):
        await services.account_health.outcome(account, error)

"""Opening a session: what other plugins build on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager

from gateway.model.server import Server
from gateway.provider import DIRECT, Account, Login, SessionContext
from gateway.smtp import Explain, SmtpConnection, Timeouts
from gateway_imap.dialing import ImapTimeouts
from gateway_imap.errors import ExplainImap
from gateway_imap.link import Link
from gateway_imap.mailboxes import Quirks
from gateway_imap.session import ImapSession


@asynccontextmanager
async def open_session(
    *,
    account: Account,
    context: SessionContext,
    imap: Server | None,
    smtp: Server | None,
    imap_user: str | None = None,
    smtp_user: str | None = None,
    explain_imap: ExplainImap | None = None,
    explain_smtp: Explain | None = None,
    quirks: Quirks | None = None,
    imap_timeouts: ImapTimeouts | None = None,
    smtp_timeouts: Timeouts | None = None,
    threads: Executor | None = None,
) -> AsyncIterator[ImapSession]:
    """Open a session on an IMAP server, a submission server, or both; connections are made at their first use.

    Args:
        account: whose mail it is.
        context: credentials, numbering, and which way connections take.
        imap: where the mailbox is; None for an account that only sends.
        smtp: where mail is submitted; None for an account that only reads.
        imap_user: name to log in to IMAP with instead of the login's own.
        smtp_user: name to log in to SMTP with instead of the login's own.
        explain_imap: turns the text of a NO, BAD or BYE into an error of the service; None leaves it to the rules.
        explain_smtp: the same for SMTP's code and text.
        quirks: how the service differs from a plain server.
        imap_timeouts: see `ImapTimeouts`.
        smtp_timeouts: see `gateway.smtp.Timeouts`.
        threads: where blocking work runs; the process's shared IMAP threads without it.
    """

    async def smtp_login(refused: Login | None) -> Login:
        login: Login = await context.credentials.login("smtp", refused=refused)
        return login

    link, sender = None, None
    if imap is not None:
        link = Link(
            imap,
            context.credentials,
            user=imap_user,
            explain=explain_imap,
            timeouts=imap_timeouts,
            threads=threads,
            route=context.routes.get("imap", DIRECT),
            log=context.protocol_log,
        )
    if smtp is not None:
        sender = SmtpConnection(
            smtp,
            smtp_login,
            user=smtp_user,
            route=context.routes.get("smtp", DIRECT),
            explain=explain_smtp,
            timeouts=smtp_timeouts,
            log=context.protocol_log,
        )
    session = ImapSession(account, context, link=link, sender=sender, quirks=quirks or Quirks())
    try:
        yield session
    finally:
        await session.close()

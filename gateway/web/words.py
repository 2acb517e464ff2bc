"""What the pages call things: states, people, providers, verdicts."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.model.token import Action, Group
from gateway.model.verification import ServerVerdict

Tone = Literal["good", "busy", "bad", "idle"]


class StateWords(msgspec.Struct, frozen=True):
    """How a state is shown.

    Attributes:
        poll_after: seconds after which the page asks for the state again.
    """

    label: str
    tone: Tone
    poll_after: float
    meaning: str


STATES: dict[str, StateWords] = {
    "connected": StateWords("Connected", "good", 10, "Mail can be read and sent."),
    "syncing": StateWords("Syncing", "busy", 1, "Signed in; the mailboxes are being looked through."),
    "connecting": StateWords("Connecting", "busy", 1, "Signing in to the mail service."),
    "init": StateWords("Starting", "busy", 1, "Waiting for a worker to pick the account up."),
    "disconnected": StateWords("Disconnected", "busy", 1, "The connection was lost and is being set up again."),
    "connectError": StateWords("Unreachable", "bad", 2, "The mail service cannot be reached; it is tried again."),
    "authenticationError": StateWords("Needs attention", "bad", 2, "The mail service refused the sign-in."),
    "paused": StateWords("Paused", "idle", 5, "Closed on purpose."),
    "unset": StateWords("Not synced", "idle", 10, "There is no mailbox to read."),
}

#: Who has to act (`gateway.errors.Actor`), in words that can be forwarded.
ACTORS: dict[str, str] = {
    "user": "The owner of the mailbox",
    "tenant_admin": "An administrator of the organisation",
    "app_owner": "Whoever registered the application",
    "operator": "Whoever runs this gateway",
    "gateway": "The makers of this gateway",
    "microsoft": "Microsoft",
    "nobody": "Nobody; it is tried again by itself",
}

PROVIDERS: dict[str, str] = {
    "outlook": "Microsoft",
    "outlookService": "Microsoft (application access)",
    "gmail": "Google",
    "gmailService": "Google (service account)",
    "mailRu": "Mail.ru",
}

ACCOUNT_TYPES: dict[str, str] = {
    **PROVIDERS,
    "imap": "IMAP",
    "oauth2": "OAuth2",
    "delegated": "Shared mailbox",
    "sending": "Sending only",
    "invalid": "Incomplete",
}

CLOUDS: dict[str, str] = {
    "global": "Worldwide",
    "gcc-high": "US government (GCC High)",
    "dod": "US government (DoD)",
    "china": "China (21Vianet)",
    "sandbox": "Sandbox on this machine",
}

BASE_SCOPES: dict[str, str] = {"imap": "IMAP and SMTP", "api": "MS Graph API", "pubsub": "Pub/Sub"}

TOKEN_SCOPES: dict[str, str] = {
    "api": "REST API",
    "metrics": "Metrics",
    "smtp": "SMTP",
    "imap-proxy": "IMAP proxy",
    "mcp": "MCP",
}
TOKEN_ACTIONS: tuple[Action, ...] = ("read", "write", "send", "destructive")
TOKEN_GROUPS: tuple[Group, ...] = (
    *("account", "mailbox", "message", "submit", "outbox", "export", "template", "blocklist", "webhook"),
    *("gateway", "events", "diagnostics", "logs"),
)

#: How an attempt to deliver an event ended: tone, label.
DELIVERIES: dict[str, tuple[Tone, str]] = {
    "delivered": ("good", "Delivered"),
    "failed": ("busy", "Failed"),
    "dead": ("bad", "Given up"),
}

#: How far the sending of a message is: tone, label.
SENDS: dict[str, tuple[Tone, str]] = {
    "queued": ("busy", "Waiting"),
    "sending": ("busy", "Being sent"),
    "sent": ("good", "Sent"),
    "retrying": ("busy", "To be tried again"),
    "unknown": ("bad", "Not known yet"),
    "failed": ("bad", "Failed"),
    "cancelled": ("idle", "Cancelled"),
}

#: What was just done, by the code in the address of the page that follows.
DONE: dict[str, str] = {
    "account-deleted": "The account was deleted.",
    "reconnecting": "The connection is being set up again.",
    "app-created": "The application was registered. Add an account to try it.",
    "app-updated": "The changes were saved.",
    "app-deleted": "The application was deleted.",
    "token-deleted": "The token was deleted; it opens nothing any more.",
    "webhooks-saved": "The changes were saved.",
    "webhook-enabled": "Events are delivered to it from now on.",
    "event-replayed": "The event is being delivered again.",
    "send-cancelled": "The message will not be sent.",
    "send-not-cancelled": "The message is not in the outbox any more, or is being sent this moment.",
    "send-deleted": "The message was removed from the outbox.",
    "send-retried": "The message is being sent.",
    "send-not-retried": "The message is not in the outbox any more, or is in another state by now.",
    "logged-out": "You are logged out.",
}

_VERDICTS: dict[str, str] = {
    "AuthenticationFails": "The server answered, but refused the user name or password.",
    "AUTHENTICATIONFAILED": "The server answered, but refused the user name or password.",
    "EAUTH": "The server answered, but refused the user name or password.",
    "ConnectionError": "The server could not be reached. Check host name, port and security.",
    "ECONNREFUSED": "Nothing answers at this host and port. Check the port.",
    "ENOTFOUND": "There is no server with this name. Check the host name.",
    "ETIMEDOUT": "The server did not answer in time. Check host name and port.",
    "Timeout": "The server did not answer in time. Check host name and port.",
    "ETLS": "No secure connection could be made. Check port and security.",
    "ECONNRESET": "The server hung up. Check port and security.",
    "EHOSTUNREACH": "No way leads to this server. Check the host name.",
    "EAI_AGAIN": "The name of the server cannot be looked up right now. Try again in a minute.",
    "CERTIFICATE": "The server's certificate is not trusted. Check the host name, or ask whoever runs the server.",
    "PROTOCOL": "What answers there is another kind of server. Check the port.",
    "UNSUPPORTED": "The server offers no secure way to log in. Check port and security.",
    "MailboxUnavailable": "Signed in, but the mailbox cannot be opened.",
    "RateLimited": "The server asks to wait a little before trying again.",
    "ServiceUnavailable": "The server is busy right now. Try again in a minute.",
}


def verdict_words(verdict: ServerVerdict) -> str:
    """Return in a sentence how the test of a server ended."""
    if verdict.success:
        return "Works: signed in."
    code = verdict.code if isinstance(verdict.code, str) else ""
    detail = verdict.error if isinstance(verdict.error, str) else ""
    return _VERDICTS.get(code) or sentence(detail) or "The test failed."


def sentence(text: str) -> str:
    """Return a message of ours, or what a service said, as a sentence: people read these, not only programs."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?', ':')) else '.'}" if text else ""


def sign_in_label(title: str, provider: str) -> tuple[str, str]:
    """Return the text of a sign-in button and the line below it; a title that is a whole label stands alone."""
    if title.lower().startswith(("sign in", "log in", "continue", "connect")):
        return title, ""
    maker = PROVIDERS.get(provider)
    if maker is None or title == maker:
        return f"Sign in with {title}", ""
    return f"Sign in with {maker}", title

"""The contract between the gateway and a mail provider.

A provider plugin brings one kind of mailbox. It registers `Provider` objects through the hook
``gateway_register_providers`` (`gateway.hookspecs`); the gateway finds it by its entry point in the group ``gateway``.

Words are IMAP's (RFC 9051) and OAuth2's (RFC 6749); a provider translates its own words once. The structs of mail
are the wire structs of `gateway.model`: what a session returns is what the API answers. Identifiers are opaque
strings, unique within one account and stable while the message stays where it is. Times are aware UTC, sizes octets,
durations seconds.

Everything is asynchronous. A blocking library is wrapped in the plugin, a whole operation per thread hop.
Errors are those of `gateway.errors`; the native error is the `__cause__`. No error text holds a secret or an address.
"""

from gateway.errors import Remedy
from gateway.provider.account import (
    CONSENT_STATE,
    NOBODY,
    Account,
    Credentials,
    Login,
    Numbers,
    OAuth2App,
    SessionContext,
)
from gateway.provider.cursors import LONGEST_CURSOR, Listed, Place, cursors, numbered_place, read_cursor, slice_page
from gateway.provider.flags import check_flags
from gateway.provider.identity import AppGuide, AuthorizationStart, Grant, Identity, IdentityProvider, SignedInUser
from gateway.provider.mail import (
    AttachmentStream,
    Changes,
    DeliveryNotification,
    Envelope,
    MailboxChanges,
    MessagePage,
    MessageState,
    PageRequest,
    Quota,
    Signature,
    SubmitReceipt,
)
from gateway.provider.protocol_log import ProtocolLog, Speaker
from gateway.provider.push import Notification, NotificationKind, Push, PushSubscription
from gateway.provider.route import DIRECT, Route
from gateway.provider.sandbox import Sandbox, SandboxInfo
from gateway.provider.service import Provider
from gateway.provider.session import Session
from gateway.provider.source import MessageSource
from gateway.provider.structs import Capability, Clock, Environment, Service, SubmissionLimits, utc_now
from gateway.provider.watch import PollWatch, SocketWatch, Watch

__all__ = [
    "CONSENT_STATE",
    "DIRECT",
    "LONGEST_CURSOR",
    "NOBODY",
    "Account",
    "AppGuide",
    "AttachmentStream",
    "AuthorizationStart",
    "Capability",
    "Changes",
    "Clock",
    "Credentials",
    "DeliveryNotification",
    "Envelope",
    "Environment",
    "Grant",
    "Identity",
    "IdentityProvider",
    "Listed",
    "Login",
    "MailboxChanges",
    "MessagePage",
    "MessageSource",
    "MessageState",
    "Notification",
    "NotificationKind",
    "Numbers",
    "OAuth2App",
    "PageRequest",
    "Place",
    "PollWatch",
    "ProtocolLog",
    "Provider",
    "Push",
    "PushSubscription",
    "Quota",
    "Remedy",
    "Route",
    "Sandbox",
    "SandboxInfo",
    "Service",
    "Session",
    "SessionContext",
    "Signature",
    "SignedInUser",
    "SocketWatch",
    "Speaker",
    "SubmissionLimits",
    "SubmitReceipt",
    "Watch",
    "check_flags",
    "cursors",
    "numbered_place",
    "read_cursor",
    "slice_page",
    "utc_now",
]

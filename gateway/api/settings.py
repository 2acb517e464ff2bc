"""Runtime settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from gateway.api.call import Call
from gateway.api.operation import operation
from gateway.model.base import Payload, Resource
from gateway.model.event import EVENT_TYPES
from gateway.services.runtime_settings import RuntimeSettings
from gateway.smtp.proxies import masked_proxy
from gateway.store.runtime_settings import SECRET_SETTINGS

#: What clients of the wire API may set. Those that mean something here are members of `RuntimeSettings`.
_WIRE = """
    webhooksEnabled webhooks webhookEvents webhooksCustomHeaders notifyHeaders notifyText notifyTextSize
    notifyWebSafeHtml notifyAttachments notifyAttachmentSize notifyCalendarEvents inboxNewOnly serviceUrl
    notificationBaseUrl trackOpens trackClicks trackSentMessages imapIndexer resolveGmailCategories
    ignoreMailCertErrors imapClientName imapClientVersion imapClientVendor imapClientSupportUrl generateEmailSummary
    openAiAPIKey openAiModel openAiAPIUrl openAiTemperature openAiTopP openAiMaxTokens openAiPrompt
    openAiGenerateEmbeddings openAiPreProcessingFn generateRiskAssessment documentStoreChatModel serviceSecret
    authServer tokenAuditLog proxyEnabled proxyUrl httpProxyEnabled httpProxyUrl smtpEhloName mcpEnabled
    mcpOAuthEnabled logs sentryEnabled sentryDsn imapStrategy smtpStrategy localAddresses smtpServerEnabled
    smtpServerPort smtpServerHost smtpServerProxy smtpServerAuthEnabled smtpServerPassword smtpServerTLSEnabled
    imapProxyServerEnabled imapProxyServerPort imapProxyServerHost imapProxyServerProxy imapProxyServerPassword
    imapProxyServerTLSEnabled queueKeep deliveryAttempts gmailSubscriptionTtl templateHeader templateHtmlHead
    pageBrandName locale timezone enableApiProxy scriptEnv exportMaxConcurrent exportMaxGlobalConcurrent
    gmailExportBatchSize outlookExportBatchSize exportMaxMessages exportMaxSize documentStoreEnabled
    documentStoreUrl documentStoreIndex documentStoreAuthEnabled documentStoreUsername documentStorePassword
    documentStoreGenerateEmbeddings documentStorePreProcessingEnabled
"""

_KNOWN = tuple(field.encode_name for field in msgspec.structs.fields(RuntimeSettings))
IGNORED = tuple(name for name in _WIRE.split() if name not in _KNOWN)
_NAMES = (*_KNOWN, *IGNORED, "eventTypes")

#: The types of those that mean something here; of a secret it is only told whether it was made.
_SHOWN: dict[str, Any] = {
    field.encode_name: bool if field.encode_name in SECRET_SETTINGS else field.type | None
    for field in msgspec.structs.fields(RuntimeSettings)
} | {"eventTypes": tuple[str, ...]}

# One member for each name, which a checker cannot follow.
if TYPE_CHECKING:

    class SettingsQuery(Payload, frozen=True, kw_only=True):
        """Which settings."""

    class SettingsUpdate(RuntimeSettings, frozen=True, kw_only=True):
        """Settings to make."""

    class SettingsShown(Resource, frozen=True, kw_only=True):
        """Settings."""

else:
    SettingsQuery = msgspec.defstruct(
        "SettingsQuery",
        [(name, bool, False) for name in _NAMES],
        bases=(msgspec.Struct,),
        namespace={"__doc__": "Which settings to return."},
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    SettingsUpdate = msgspec.defstruct(
        "SettingsUpdate",
        [(f"ignored_{name}", Any, msgspec.field(name=name, default=UNSET)) for name in IGNORED],
        bases=(RuntimeSettings,),
        namespace={
            "__doc__": "Settings to make; null takes one back. Those without a type here are accepted and ignored."
        },
        frozen=True,
        kw_only=True,
    )
    SettingsShown = msgspec.defstruct(
        "SettingsShown",
        [(name, _SHOWN.get(name, Any), UNSET) for name in _NAMES],
        bases=(Resource,),
        namespace={
            "__doc__": "What was asked for; null for a setting that was never made, true or false for a secret."
        },
        rename=None,
        frozen=True,
        kw_only=True,
    )


class SettingsUpdated(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """Which settings were made, and which mean nothing to this gateway."""

    updated: tuple[str, ...]
    ignored: tuple[str, ...] = ()


@operation(
    "GET",
    "/v1/settings",
    operation_id="getV1Settings",
    summary="Read settings",
    tag="Settings",
    action="read",
    group="admin",
    returns=SettingsShown,
)
async def get_settings(call: Call, query: SettingsQuery) -> SettingsShown:
    """Read the settings whose names are given with the value `true`. Of secrets it is told whether they were made."""
    asked = [name for name in _NAMES if getattr(query, name)]
    stored = await call.services.runtime_settings.all()
    found: dict[str, Any] = {}
    for name in asked:
        if name == "eventTypes":
            found[name] = list(EVENT_TYPES)
        elif name in SECRET_SETTINGS:
            found[name] = name in stored
        elif name == "proxyUrl" and stored.get(name):
            found[name] = masked_proxy(stored[name])
        else:
            found[name] = stored.get(name)
    return SettingsShown(**found)


@operation(
    "POST",
    "/v1/settings",
    operation_id="postV1Settings",
    summary="Make settings",
    tag="Settings",
    action="write",
    group="admin",
    returns=SettingsUpdated,
    # A page header alone may fill an ordinary body.
    takes_mail=True,
)
async def update_settings(call: Call, body: SettingsUpdate) -> SettingsUpdated:
    """Make settings; those that are not named stay. Settings of EmailEngine without a meaning here are `ignored`."""
    wire: dict[str, Any] = msgspec.to_builtins(body)
    ignored = tuple(sorted(name for name in wire if name in IGNORED))
    values = {name: value for name, value in wire.items() if name not in IGNORED}
    updated = await call.services.runtime_settings.update(values)
    return SettingsUpdated(updated=tuple(updated), ignored=ignored)


OPERATIONS = (get_settings, update_settings)

"""How to register an app in Microsoft Entra: what the page for a new app shows.

Source: https://learn.microsoft.com/entra/identity-platform/quickstart-register-app (portal wording of 2025).
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.provider import AppGuide
from gateway_microsoft.scopes import APP_ONLY

_AUTHORITIES = (
    ("common", "Work, school and personal accounts"),
    ("organizations", "Work and school accounts of any organisation"),
    ("consumers", "Personal accounts only"),
)

_REGISTER = (
    "Open the Microsoft Entra admin center and go to App registrations > New registration.",
    "Give it a name that your users will recognise on the consent page.",
)
_SIGN_IN = (
    "Under Supported account types choose the same as in this form.",
    "Under Redirect URI choose the platform Web and enter {redirect_url}",
)
_CREDENTIALS = (
    "Copy the Application (client) ID from the Overview page.",
    "Go to Certificates & secrets > New client secret. Copy the Value, not the Secret ID: it is shown only once.",
)
_DELEGATED = (
    "Go to API permissions > Add a permission > Microsoft Graph > Delegated permissions and add those listed below.",
    "If your organisation does not let users consent, choose Grant admin consent.",
)
_CONSENT = "Choose Grant admin consent; an app that signs in as itself does not work without it."
_APP_ONLY_START = (
    "Choose Accounts in this organizational directory only. No redirect URI is needed.",
    "Copy the Directory (tenant) ID from the Overview page.",
)

_GUIDES = {
    ("outlook", "imap"): AppGuide(
        title="Outlook over IMAP and SMTP",
        authorities=_AUTHORITIES,
        permissions=("IMAP.AccessAsUser.All", "SMTP.Send", "offline_access"),
        steps=(
            *_REGISTER,
            *_SIGN_IN,
            *_CREDENTIALS,
            *_DELEGATED,
            (
                "IMAP and authenticated SMTP must be switched on for the mailboxes (Exchange admin center > Mailboxes >"
                " Email apps)."
            ),
        ),
    ),
    ("outlook", "api"): AppGuide(
        title="Outlook over Microsoft Graph",
        authorities=_AUTHORITIES,
        permissions=("Mail.ReadWrite", "Mail.Send", "User.Read", "offline_access"),
        steps=(*_REGISTER, *_SIGN_IN, *_CREDENTIALS, *_DELEGATED),
    ),
    (APP_ONLY, "api"): AppGuide(
        title="All mailboxes of an organisation over Microsoft Graph",
        permissions=("Mail.ReadWrite", "Mail.Send", "User.Read.All"),
        steps=(
            *_REGISTER,
            *_APP_ONLY_START,
            *_CREDENTIALS,
            (
                "Go to API permissions > Add a permission > Microsoft Graph > Application permissions and add the"
                " permissions listed."
            ),
            _CONSENT,
            "To keep the app from reading every mailbox, limit it with RBAC for Applications in Exchange Online.",
        ),
    ),
    (APP_ONLY, "imap"): AppGuide(
        title="Mailboxes of an organisation over IMAP and SMTP",
        permissions=("IMAP.AccessAsApp", "SMTP.SendAsApp"),
        steps=(
            *_REGISTER,
            *_APP_ONLY_START,
            *_CREDENTIALS,
            (
                "Go to API permissions > Add a permission > APIs my organization uses > Office 365 Exchange Online >"
                " Application permissions and add the permissions listed."
            ),
            _CONSENT,
            (
                "In Exchange Online PowerShell run New-ServicePrincipal with the object ID of the enterprise"
                " application (not of the app registration), then Add-MailboxPermission for each mailbox. It takes up"
                " to an hour."
            ),
        ),
    ),
}


def app_guide(app_provider: str, base_scopes: str, clouds: Iterable[str]) -> AppGuide | None:
    """Return how to register an app of this kind; None for kinds that are not Microsoft's.

    Args:
        app_provider: "outlook" or "outlookService".
        base_scopes: "imap" or "api".
        clouds: names to choose from, the default first.
    """
    guide = _GUIDES.get((app_provider, base_scopes))
    if guide is None:
        return None
    return AppGuide(
        title=guide.title,
        clouds=tuple(clouds),
        authorities=guide.authorities,
        permissions=guide.permissions,
        steps=guide.steps,
    )

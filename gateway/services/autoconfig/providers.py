"""Servers of large providers, by the hosts that take their mail: so customers' own domains are recognised, too.

As the providers publish them for mail programs. Whoever is missing is found by the other lookups.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.model.autoconfig import AppPassword


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One provider; IMAP has TLS from the first octet with all of them.

    Attributes:
        exchangers: ends of the names of the hosts that take its mail, whole labels.
        smtp_port: 465 has TLS from the first octet (RFC 8314 section 3.3), 587 has STARTTLS.
    """

    exchangers: tuple[str, ...]
    imap: str
    smtp: str
    smtp_port: int = 465


#: The first one whose hosts take the mail counts.
PROVIDERS: tuple[Provider, ...] = (
    Provider(
        exchangers=("olc.protection.outlook.com",),
        imap="outlook.office365.com",
        smtp="smtp-mail.outlook.com",
        smtp_port=587,
    ),
    Provider(
        exchangers=("mail.protection.outlook.com", "mx.microsoft"),
        imap="outlook.office365.com",
        smtp="smtp.office365.com",
        smtp_port=587,
    ),
    Provider(
        exchangers=("l.google.com", "googlemail.com", "smtp.google.com"), imap="imap.gmail.com", smtp="smtp.gmail.com"
    ),
    Provider(exchangers=("mail.icloud.com",), imap="imap.mail.me.com", smtp="smtp.mail.me.com", smtp_port=587),
    Provider(exchangers=("mx-aol.mail.gm0.yahoodns.net",), imap="imap.aol.com", smtp="smtp.aol.com"),
    Provider(exchangers=("yahoodns.net",), imap="imap.mail.yahoo.com", smtp="smtp.mail.yahoo.com"),
    Provider(exchangers=("messagingengine.com",), imap="imap.fastmail.com", smtp="smtp.fastmail.com"),
    Provider(exchangers=("mx.yandex.net", "mx.yandex.ru"), imap="imap.yandex.com", smtp="smtp.yandex.com"),
    Provider(exchangers=("mxs.mail.ru", "emx.mail.ru"), imap="imap.mail.ru", smtp="smtp.mail.ru"),
    Provider(exchangers=("mailbox.org",), imap="imap.mailbox.org", smtp="smtp.mailbox.org"),
    Provider(exchangers=("kundenserver.de", "ionos.de"), imap="imap.ionos.de", smtp="smtp.ionos.de"),
    Provider(exchangers=("ionos.com",), imap="imap.ionos.com", smtp="smtp.ionos.com"),
    Provider(exchangers=("emailsrvr.com",), imap="secure.emailsrvr.com", smtp="secure.emailsrvr.com"),
    Provider(exchangers=("secureserver.net",), imap="imap.secureserver.net", smtp="smtpout.secureserver.net"),
    Provider(exchangers=("mail.gandi.net",), imap="mail.gandi.net", smtp="mail.gandi.net"),
    Provider(exchangers=("migadu.com",), imap="imap.migadu.com", smtp="smtp.migadu.com"),
    Provider(exchangers=("privateemail.com",), imap="mail.privateemail.com", smtp="mail.privateemail.com"),
)


def _needed(provider: str, where: str) -> AppPassword:
    instructions = f"{provider} takes no account password from other programs. Make an app password: {where}"
    return AppPassword(required=True, provider=provider, instructions=instructions)


#: By IMAP host, whichever lookup found that.
APP_PASSWORDS = {
    "imap.gmail.com": _needed("Google", "https://myaccount.google.com/apppasswords"),
    "imap.mail.me.com": _needed("iCloud", "https://support.apple.com/102654"),
    "imap.mail.yahoo.com": _needed("Yahoo", "https://login.yahoo.com/account/security"),
    "imap.aol.com": _needed("AOL", "https://login.aol.com/account/security"),
    "imap.fastmail.com": _needed("Fastmail", "https://app.fastmail.com/settings/security"),
    "imap.yandex.com": _needed("Yandex", "https://id.yandex.com/security/app-passwords"),
    "imap.mail.ru": _needed("Mail.ru", "https://account.mail.ru/user/2-step-auth/passwords"),
}


def provider_of(exchangers: Sequence[str]) -> Provider | None:
    """Return the provider whose hosts take the mail of a domain; `exchangers` in lower case, the preferred first."""
    for host in exchangers:
        for provider in PROVIDERS:
            if any(host == end or host.endswith(f".{end}") for end in provider.exchangers):
                return provider
    return None

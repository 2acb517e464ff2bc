"""Dovecot 2.3 configuration that reads nothing under /etc and needs no root."""

from __future__ import annotations

import getpass
import grp
import os
from pathlib import Path
from typing import NamedTuple

from tests.rigs.certificates import Certificates
from tests.rigs.issuer import CLIENT_ID, IMAP_SCOPE, SMTP_SCOPE, TokenIssuer

FULL_HOST = "127.0.0.1"
EXCHANGE_HOST = "127.0.0.2"
EXCHANGE_GREETING = "The Microsoft Exchange IMAP4 service is ready."
# After login, from public transcripts of outlook.office365.com: no CONDSTORE, QRESYNC, OBJECTID or SPECIAL-USE.
EXCHANGE_CAPABILITIES = (
    "IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 SASL-IR UIDPLUS MOVE ID UNSELECT CLIENTACCESSRULES "
    "CLIENTNETWORKPRESENCELOCATION BACKENDAUTHENTICATE CHILDREN IDLE NAMESPACE LITERAL+"
)


class DovecotPorts(NamedTuple):
    """TCP ports, on both personalities' addresses for IMAP and on the first for the rest."""

    imap: int
    imaps: int
    lmtp: int
    auth: int


def server_user() -> tuple[str, str]:
    """User and group that own the mail: nobody under root, else whoever runs the tests."""
    if os.geteuid() == 0:
        return "nobody", "nogroup"
    return getpass.getuser(), grp.getgrgid(os.getegid()).gr_name


def write_config(
    directory: Path, ports: DovecotPorts, certificates: Certificates, issuer: TokenIssuer, introspection: str | None
) -> Path:
    """Write dovecot.conf and what it refers to; return its path.

    Without `introspection` (a URL to which the wanted scope is appended) tokens are checked by signature alone.
    """
    for name in ("run", "state", "mail"):
        (directory / name).mkdir()
    keys = directory / "keys" / CLIENT_ID / "RS256"
    keys.mkdir(parents=True)
    (keys / issuer.key_id).write_bytes(issuer.public_pem)
    for protocol, scope in (("imap", IMAP_SCOPE), ("smtp", SMTP_SCOPE)):
        (directory / f"oauth2-{protocol}.ext").write_text(_oauth2(directory, issuer, scope, introspection))
    config = directory / "dovecot.conf"
    user, group = server_user()
    config.write_text(
        _GENERAL.format(d=directory, user=user, group=group, certificates=certificates, ports=ports)
        + _MAIL
        + _EXCHANGE.format(host=EXCHANGE_HOST, greeting=EXCHANGE_GREETING, capabilities=EXCHANGE_CAPABILITIES)
        + _SERVICES.format(ports=ports)
    )
    return config


def _oauth2(directory: Path, issuer: TokenIssuer, scope: str, introspection: str | None) -> str:
    common = f"openid_configuration_url = {issuer.url}/.well-known/openid-configuration\n"
    if introspection is None:
        return common + (
            "introspection_mode = local\n"
            f"local_validation_key_dict = fs:posix:prefix={directory}/keys/\n"
            f"issuers = {issuer.url}\nusername_attribute = upn\nscope = {scope}\n"
        )
    return common + (
        f"introspection_mode = post\nintrospection_url = {introspection}/{scope.rpartition('/')[2]}\n"
        "username_attribute = username\nactive_attribute = active\nactive_value = true\n"
    )


# Dovecot 2.3 wants one setting on each line after an opening brace.
_GENERAL = """\
base_dir = {d}/run
state_dir = {d}/state
log_path = {d}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1, 127.0.0.2
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
default_process_limit = 1200
default_client_limit = 10000
first_valid_uid = 1
auth_mechanisms = xoauth2 oauthbearer plain login
auth_verbose = yes
auth_failure_delay = 0
disable_plaintext_auth = yes
ssl = yes
ssl_cert = <{certificates.chain}
ssl_key = <{certificates.key}
# Each protocol has a scope of its own: a token for SMTP does not open IMAP (nor one for Graph either of them).
protocol imap {{
  passdb {{
    driver = oauth2
    mechanisms = xoauth2 oauthbearer
    args = {d}/oauth2-imap.ext
  }}
  mail_max_userip_connections = 2000
  imap_idle_notify_interval = 2 mins
}}
protocol smtp {{
  passdb {{
    driver = oauth2
    mechanisms = xoauth2 oauthbearer
    args = {d}/oauth2-smtp.ext
  }}
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = scheme=PLAIN username_format=%Lu {d}/passwords
}}
userdb {{
  driver = passwd-file
  args = username_format=%Lu {d}/users
  default_fields = uid={user} gid={group} home={d}/mail/%Lu
}}
"""

# LAYOUT=fs: Exchange allows a dot in a folder's name, Maildir++ does not. Postfix puts a sender's copy into Sent Items
# by the address detail (`alice+Sent Items`), and deliveries choose their mailbox the same way.
_MAIL = """\
mail_location = maildir:~/Maildir:LAYOUT=fs
# Sessions disagree about it when mailboxes come and go within a second.
mailbox_list_index = no
mail_fsync = never
mailbox_idle_check_interval = 1 s
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
lda_mailbox_autocreate = yes
protocol lmtp {
  postmaster_address = postmaster@contoso.test
}
namespace inbox {
  inbox = yes
  separator = /
  mailbox "Sent Items" {
    special_use = \\Sent
    auto = subscribe
  }
  mailbox "Deleted Items" {
    special_use = \\Trash
    auto = subscribe
  }
  mailbox "Junk Email" {
    special_use = \\Junk
    auto = subscribe
  }
  mailbox Drafts {
    special_use = \\Drafts
    auto = subscribe
  }
  mailbox Archive {
    special_use = \\Archive
    auto = subscribe
  }
}
"""

_EXCHANGE = """\
local {host} {{
  login_greeting = {greeting}
  imap_capability = {capabilities}
}}
"""

# No chroot means no root. Without the anvil line each failed login of a run waits longer (2, 4, 8, 17 s).
_SERVICES = """\
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service ipc {{
  chroot =
}}
service imap-login {{
  chroot =
  service_count = 0
  client_limit = 10000
  inet_listener imap {{
    port = {ports.imap}
  }}
  inet_listener imaps {{
    port = {ports.imaps}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 8000
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {ports.lmtp}
  }}
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {ports.auth}
  }}
}}
"""

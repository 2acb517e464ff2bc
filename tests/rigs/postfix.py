"""Postfix message submission (RFC 6409) that asks Dovecot who is who and hands mail to its LMTP."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import Dovecot
from tests.rigs.ports import reserve_port
from tests.rigs.processes import ServerProcess, accepts_connections

_DAEMONS = "/usr/lib/postfix/sbin"
DOMAINS = ("contoso.test", "example.test")


class Postfix:
    """Submission with STARTTLS and with implicit TLS; a sender must be the account that logged in.

    With `keep_sent` the server files a copy of what is submitted under Sent Items, as Exchange Online does by itself.
    Mail to other domains comes back as a delivery status notification (RFC 3464), as does mail to unknown accounts;
    with `outside` it goes to the server at this port.
    """

    def __init__(
        self,
        directory: Path,
        certificates: Certificates,
        dovecot: Dovecot,
        *,
        keep_sent: bool = False,
        outside: int | None = None,
    ) -> None:
        """Write the configuration to `directory`."""
        self.submission_port = reserve_port()
        self.submissions_port = reserve_port()
        self._directory = directory
        settings = directory / "etc"
        for path in (settings, directory / "spool", directory / "data"):
            path.mkdir()
        shutil.chown(directory / "data", "postfix")
        (settings / "login_maps").write_text("/^(.+)$/ $1\n")
        domains = "|".join(DOMAINS).replace(".", "\\.")
        (settings / "sent_maps").write_text(f"/^([^+@]+)@({domains})$/ $1+Sent Items@$2\n")
        main = _MAIN.format(
            d=directory,
            certificates=certificates,
            ports=dovecot.ports,
            domains=" ".join(DOMAINS),
            daemons=_DAEMONS,
            outside=_NOWHERE if outside is None else _OUTSIDE.format(port=outside),
        )
        (settings / "main.cf").write_text(main)
        submission = _SUBMISSION.format(settings=settings, cleanup="cleanup-sent" if keep_sent else "cleanup")
        starttls = f"127.0.0.1:{self.submission_port} inet n - n - - smtpd\n  -o smtpd_tls_security_level=encrypt\n"
        implicit = f"127.0.0.1:{self.submissions_port} inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=yes\n"
        services = (
            starttls,
            submission,
            implicit,
            submission,
            _KEEP_SENT.format(settings=settings),
            _master_services(),
        )
        (settings / "master.cf").write_text("".join(services))
        # Not `postfix start-fg`, whose master stays when its script is ended. The master changes its effective user, on
        # which the kernel forgets that it should end with the tests; the shell does not, and passes the signal on.
        master = f"{_DAEMONS}/master -c {settings} -d"
        start = f"postfix -c {settings} check && {{ {master} & trap 'kill '$! TERM; wait; }}"
        self._process = ServerProcess(["sh", "-c", start], directory / "start.log")

    def start(self) -> None:
        """Start and wait until submission answers."""
        self._process.start(lambda: accepts_connections(self.submissions_port))

    def stop(self) -> None:
        """End the server; queued mail is gone with its directory."""
        self._process.kill()

    def log_tail(self) -> str:
        """The end of the mail log, for a failing test to print."""
        log = self._directory / "maillog"
        return log.read_text(errors="replace")[-4000:] if log.exists() else self._process.log_tail()


_NOWHERE = "default_transport = error:5.4.4 no route to other domains"
_OUTSIDE = "relayhost = [127.0.0.1]:{port}\nsmtp_tls_security_level = may"

# line_length_limit: the default of 2048 cuts an AUTH command that carries an Entra ID token ("Invalid base64 data").
# The map that answers everything leaves it to Dovecot which accounts exist.
_MAIN = """\
compatibility_level = 3.6
config_directory = {d}/etc
queue_directory = {d}/spool
data_directory = {d}/data
maillog_file = {d}/maillog
maillog_file_prefixes = {d}
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
myhostname = smtp.contoso.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
virtual_mailbox_domains = {domains}
virtual_mailbox_maps = static:exists
virtual_transport = lmtp:inet:127.0.0.1:{ports.lmtp}
lmtp_destination_recipient_limit = 1
lmtp_host_lookup = native
{outside}
smtp_dns_support_level = disabled
message_size_limit = 157286400
mailbox_size_limit = 0
smtpd_tls_cert_file = {certificates.chain}
smtpd_tls_key_file = {certificates.key}
smtpd_tls_auth_only = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{ports.auth}
smtpd_sasl_security_options = noanonymous
line_length_limit = 16384
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_relay_restrictions = permit_sasl_authenticated, reject
"""

_SUBMISSION = """\
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sender_login_maps=regexp:{settings}/login_maps
  -o smtpd_sender_restrictions=reject_sender_login_mismatch
  -o smtpd_reject_unlisted_recipient=no
  -o cleanup_service_name={cleanup}
"""
_KEEP_SENT = "cleanup-sent unix n - n - 0 cleanup\n  -o sender_bcc_maps=regexp:{settings}/sent_maps\n"


def _master_services() -> str:
    """The internal services of master(5): name, type, wake-up, process limit, program."""
    rows = [
        ("pickup", "60", "1", "pickup"),
        ("qmgr", "300", "1", "qmgr"),
        ("tlsmgr", "1000?", "1", "tlsmgr"),
        ("proxymap", "-", "-", "proxymap"),
        ("cleanup", "-", "0", "cleanup"),
        ("rewrite", "-", "-", "trivial-rewrite"),
        ("bounce", "-", "0", "bounce"),
        ("defer", "-", "0", "bounce"),
        ("trace", "-", "0", "bounce"),
        ("verify", "-", "1", "verify"),
        ("flush", "1000?", "0", "flush"),
        ("showq", "-", "-", "showq"),
        ("error", "-", "-", "error"),
        ("retry", "-", "-", "error"),
        ("lmtp", "-", "-", "lmtp"),
        ("smtp", "-", "-", "smtp"),
        ("anvil", "-", "1", "anvil"),
    ]
    public = {"pickup", "qmgr", "cleanup", "flush", "showq"}
    lines = [
        f"{name} unix {'n' if name in public else '-'} - n {wake} {limit} {program}\n"
        for name, wake, limit, program in rows
    ]
    return "".join(lines) + "postlog unix-dgram n - n - 1 postlogd\n"

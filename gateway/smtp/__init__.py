"""Mail submission (RFC 6409) over one kept connection.

- `connection`: connect, log in, submit, reuse, quit; what providers hold.
- `client`: aiosmtplib's client, extended by how far a transaction has come.
- `transaction`: one message: extensions, limits, the receipt.
- `transcript`: what goes over a connection, for a protocol log.
- `answers`, ``answers.json``: what refusals mean, who must act, whether and when to try again.
  Shared with plugins, and with what reads bounces.
- `errors`: every failure as one of `gateway.errors`, by phase and answer.
- `dial`: connections through a proxy or from an address; `proxies`: their URLs. Shared with the IMAP plugin.
- `server_text`: what may be quoted of a server's words; never an address. Shared with the IMAP plugin.
- `socket_codes`: names of network errors. Shared with the IMAP plugin.
- `tls`: TLS contexts for a `gateway.model.server.Server`. Shared with the IMAP plugin.
"""

from gateway.smtp.answers import Phase
from gateway.smtp.connection import LoginSource, SmtpConnection, Timeouts
from gateway.smtp.errors import Explain, smtp_error

__all__ = ["Explain", "LoginSource", "Phase", "SmtpConnection", "Timeouts", "smtp_error"]

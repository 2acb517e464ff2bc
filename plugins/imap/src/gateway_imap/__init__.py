"""IMAP and SMTP mailboxes for the email gateway.

- `provider`, `plugin`: what the gateway finds.
- `session`: the contract of `gateway.provider.Session`; `open_session` is what other plugins build on.
- `link`: from the event loop to the connection and back.
- `connection`: one connection: commands, answers, login, the selected mailbox.
- `mailboxes`, `reading`, `searching`, `changing`: the operations, blocking.
- `fetch_parser`, `structure`, `entries`, `special_use`: answers as structs of the API.
- `ids`: identifiers and cursors.
- `errors`: everything that goes wrong, as `gateway.errors`.
"""

from gateway_imap.connection import ImapTimeouts
from gateway_imap.mailboxes import Quirks
from gateway_imap.provider import ImapAccountSettings, ImapProvider
from gateway_imap.session import ImapSession, open_session

__all__ = ["ImapAccountSettings", "ImapProvider", "ImapSession", "ImapTimeouts", "Quirks", "open_session"]

"""IMAP and SMTP mailboxes for the email gateway.

- `provider`, `plugin`: what the gateway finds.
- `opening`: `open_session` is what other plugins build on.
- `session`: the contract of `gateway.provider.Session`.
- `link`: from the event loop to the connection and back.
- `connection`, `dialing`: one connection: commands, answers, login, the selected mailbox.
- `selected`, `following`: the selected mailbox, kept up to date by what the server tells by the way.
- `mailboxes`, `listing`, `reading`, `searching`, `changing`, `changes`, `revisions`: the operations, blocking.
- `attachments`: streams of them, decoded by the server or here.
- `idling`: a connection that waits for news.
- `fetch_parser`, `flag_lines`, `structure`, `entries`, `special_use`: answers as structs of the API.
- `ids`: identifiers and cursors.
- `errors`: everything that goes wrong, as `gateway.errors`.
"""

from gateway_imap.dialing import ImapTimeouts
from gateway_imap.mailboxes import Quirks
from gateway_imap.opening import open_session
from gateway_imap.provider import ImapAccountSettings, ImapProvider
from gateway_imap.session import ImapSession

__all__ = ["ImapAccountSettings", "ImapProvider", "ImapSession", "ImapTimeouts", "Quirks", "open_session"]

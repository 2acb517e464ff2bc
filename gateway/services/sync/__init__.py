"""Taking in what happened in mailboxes: index and events are written together, by the account's owner only.

- `owned`: what the owner of an account knows of it while it syncs
- `account`: `AccountSync`, one pass over the mailboxes of an account
- `mailbox`: `MailboxSync`, one pass over one mailbox
- `batches`: reading messages so that one that kills workers is left alone in the end
- `reports`: mail that reports bounces and complaints
- `payloads`: what events tell
"""

from __future__ import annotations

from gateway.services.sync.account import AccountSync
from gateway.services.sync.batches import Batches
from gateway.services.sync.content import Content
from gateway.services.sync.owned import Owned
from gateway.services.sync.reports import Reports
from gateway.services.sync.taking_in import Tools

__all__ = ["AccountSync", "Batches", "Content", "Owned", "Reports", "Tools"]

"""Watching the mailboxes of the accounts that this worker owns.

- `watchers`: `Watchers`, all of them: who is owned is watched, and one clock ticks for all
- `account`: `AccountWatcher`, one account from its connection to its loss, again and again
- `mailbox`: `MailboxWatch`, one mailbox over one connection
- `mailbox_list`: `MailboxList`, whether an account's mailboxes are still the same
- `callbacks`: `Callbacks`, what an account's service calls us for, and that it does
- `tools`: what they work with

One event loop waits for the sockets of thousands: a watch costs a connection and a task, no thread.
"""

from __future__ import annotations

from gateway_workers.watching.tools import Periods, WatchTools, watch_tools
from gateway_workers.watching.watchers import Watchers

__all__ = ["Periods", "WatchTools", "Watchers", "watch_tools"]

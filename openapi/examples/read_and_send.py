"""Reads the newest message of an account and answers its subject, with the client that `make clients` generates.

PYTHONPATH=openapi/clients/python python openapi/examples/read_and_send.py URL TOKEN ACCOUNT RECIPIENT
"""

from __future__ import annotations

import sys
from typing import TypeVar

from email_gateway_client import AuthenticatedClient
from email_gateway_client.api.mailbox import get_v1_account_account_mailboxes as list_mailboxes
from email_gateway_client.api.message import get_v1_account_account_message_message as read_message
from email_gateway_client.api.message import get_v1_account_account_messages as list_messages
from email_gateway_client.api.submit import post_v1_account_account_submit as submit
from email_gateway_client.models import Error, Recipient, SubmitRequest

T = TypeVar("T")


def found(answer: T | Error | None) -> T:
    """Return the answer of a call that succeeded."""
    if answer is None or isinstance(answer, Error):
        sys.exit(answer.message if answer else "no answer")
    return answer


url, token, account, recipient = sys.argv[1:]
with AuthenticatedClient(base_url=url, token=token) as client:
    mailboxes = found(list_mailboxes.sync(account, client=client)).mailboxes
    print("mailboxes", ", ".join(mailbox.path for mailbox in mailboxes))
    listed = found(list_messages.sync(account, client=client, path="INBOX", page_size=5))
    print("messages", listed.total)
    message = found(read_message.sync(account, listed.messages[0].id, client=client))
    print("subject", message.subject)
    letter = SubmitRequest(to=Recipient(address=recipient), subject=f"Re: {message.subject}", text="Seen.")
    print("queued", found(submit.sync(account, client=client, body=letter)).queue_id)

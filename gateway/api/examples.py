"""Examples of requests and answers in the OpenAPI document; tests send the requests, and check the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MESSAGE = "AAAAAQAAAeE"
_ENTRY = {"id": _MESSAGE, "uid": 481, "date": "2026-03-01T09:30:00.000Z", "subject": "Your order", "size": 2048}
_HOOK = "https://app.example/hook"

#: By operation id: what is sent, and what is answered.
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "postV1Account": {
        "request": {
            "account": "example",
            "name": "Ada Example",
            "email": "ada@mail.example",
            "imap": {
                "host": "imap.mail.example",
                "port": 993,
                "secure": True,
                "auth": {"user": "ada", "pass": "a secret"},
            },
        },
        "response": {"account": "example", "state": "new"},
    },
    "putV1AccountAccount": {"request": {"name": "Ada E."}, "response": {"account": "example"}},
    "putV1AccountAccountReconnect": {"request": {"reconnect": True}, "response": {"reconnect": True}},
    "putV1AccountAccountSync": {"request": {"sync": True}, "response": {"sync": True}},
    "putV1AccountAccountFlush": {"request": {"flush": True}, "response": {"flush": True}},
    "postV1AccountAccountMailbox": {
        "request": {"path": ["Customers", "2026"]},
        "response": {"path": "Customers/2026", "created": True},
    },
    "putV1AccountAccountMailbox": {
        "request": {"path": "Customers/2026", "newPath": "Customers/2027"},
        "response": {"path": "Customers/2026", "newPath": "Customers/2027", "renamed": True},
    },
    "getV1AccountAccountMessages": {
        "response": {
            "total": 1,
            "page": 0,
            "pages": 1,
            "nextPageCursor": None,
            "prevPageCursor": None,
            "messages": [_ENTRY],
        }
    },
    "postV1AccountAccountSearch": {
        "request": {"search": {"unseen": True, "from": "shop", "since": "2026-01-01T00:00:00Z"}},
        "response": {
            "total": 1,
            "page": 0,
            "pages": 1,
            "nextPageCursor": None,
            "prevPageCursor": None,
            "messages": [_ENTRY],
        },
    },
    "postV1AccountAccountMessage": {
        "request": {"path": "Drafts", "to": {"address": "bob@mail.example"}, "subject": "Draft", "text": "To be done"},
        "response": {"id": _MESSAGE, "path": "Drafts", "uid": 481},
    },
    "putV1AccountAccountMessageMessage": {
        "request": {"flags": {"add": ["\\Seen"], "delete": ["\\Flagged"]}},
        "response": {"flags": {"add": ["\\Seen"], "delete": ["\\Flagged"]}},
    },
    "putV1AccountAccountMessageMessageMove": {
        "request": {"path": "Archive"},
        "response": {"path": "Archive", "id": _MESSAGE, "uid": 481},
    },
    "postV1AccountAccountSubmit": {
        "request": {
            "to": [{"name": "Bob", "address": "bob@mail.example"}],
            "subject": "Hello",
            "text": "Hello Bob",
            "html": "<p>Hello Bob</p>",
        },
        "response": {
            "response": "Queued for delivery",
            "messageId": "<3f1c@mail.example>",
            "queueId": "18f2a6b1c3d4e5f6",
            "sendAt": "2026-03-01T09:30:00.000Z",
        },
    },
    "postV1Gateway": {
        "request": {
            "gateway": "relay",
            "name": "Relay",
            "host": "smtp.relay.example",
            "port": 587,
            "user": "shop",
            "pass": "a secret",
        },
        "response": {"gateway": "relay", "state": "new"},
    },
    "getV1GatewayGateway": {
        "response": {
            "gateway": "relay",
            "name": "Relay",
            "deliveries": 12,
            "lastUse": "2026-03-01T09:30:00.000Z",
            "user": "shop",
            "pass": "******",
            "host": "smtp.relay.example",
            "port": 587,
            "secure": False,
        }
    },
    "putV1GatewayEditGateway": {"request": {"port": 465, "secure": True}, "response": {"gateway": "relay"}},
    "getV1Blocklists": {
        "response": {"total": 1, "page": 0, "pages": 1, "blocklists": [{"listId": "news.shop.example", "count": 1}]}
    },
    "getV1BlocklistListid": {
        "response": {
            "listId": "news.shop.example",
            "total": 1,
            "page": 0,
            "pages": 1,
            "addresses": [
                {
                    "recipient": "bob@mail.example",
                    "account": "example",
                    "messageId": "<3f1c@mail.example>",
                    "source": "one-click",
                    "reason": "unsubscribe",
                    "remoteAddress": "192.0.2.7",
                    "created": "2026-03-01T09:30:00.000Z",
                }
            ],
        }
    },
    "postV1BlocklistListid": {
        "request": {"account": "example", "recipient": "bob@mail.example"},
        "response": {"success": True, "added": True},
    },
    "postV1TemplatesTemplate": {
        "request": {
            "account": None,
            "name": "Welcome",
            "format": "markdown",
            "content": {
                "subject": "Welcome, {{params.name}}",
                "html": "# Welcome\n\nGood to see you, {{params.name}}.",
            },
        },
        "response": {"created": True, "account": None, "id": "tpl0f4a"},
    },
    "getV1TemplatesTemplateTemplate": {
        "response": {
            "id": "tpl0f4a",
            "account": None,
            "name": "Welcome",
            "format": "markdown",
            "created": "2026-03-01T09:30:00.000Z",
            "updated": "2026-03-01T09:30:00.000Z",
            "content": {
                "subject": "Welcome, {{params.name}}",
                "html": "# Welcome\n\nGood to see you, {{params.name}}.",
            },
        }
    },
    "putV1TemplatesTemplateTemplate": {
        "request": {"description": "Sent to new customers"},
        "response": {"updated": True, "account": None, "id": "tpl0f4a"},
    },
    "postV1AuthenticationForm": {
        "request": {"account": "example", "redirectUrl": "https://app.example/connected"},
        "response": {"url": "https://gateway.example/accounts/new?data=eyJhIjoxfQ&sig=c2ln"},
    },
    "postV1Tokens": {
        "request": {"account": "example", "description": "Helpdesk", "scopes": ["api"]},
        "response": {"token": "0" * 64, "id": "1" * 64},
    },
    "getV1SettingsQueueQueue": {
        "response": {
            "queue": "submit",
            "jobs": {"active": 2, "delayed": 1, "paused": 0, "waiting": 14},
            "paused": False,
        }
    },
    "putV1SettingsQueueQueue": {"request": {"paused": True}, "response": {"queue": "submit", "paused": True}},
    "getV1Autoconfig": {
        "response": {
            "imap": {"auth": {"user": "ada@mail.example"}, "host": "imap.mail.example", "port": 993, "secure": True},
            "smtp": {"auth": {"user": "ada@mail.example"}, "host": "smtp.mail.example", "port": 587, "secure": False},
            "_source": "srv",
        }
    },
    "postV1Settings": {"request": {"webhooksEnabled": True, "webhooks": _HOOK}},
    "postV1WebhookroutesWebhookroute": {
        "request": {"name": "New mail", "targetUrl": _HOOK, "enabled": True},
        "response": {"id": "AAABkZ0", "created": True},
    },
    "putV1WebhookroutesWebhookrouteWebhookroute": {
        "request": {"enabled": False},
        "response": {"id": "AAABkZ0", "updated": True},
    },
    "putV1AccountAccountMessages": {
        "request": {"search": {"from": "shop", "unseen": True}, "update": {"flags": {"add": ["\\Seen"]}}},
        "response": {
            "flags": {"add": ["\\Seen"]},
            "outcome": {"done": [_MESSAGE], "failed": [], "unknown": []},
        },
    },
    "putV1AccountAccountMessagesMove": {
        "request": {"search": {"before": "2025-01-01T00:00:00Z"}, "path": "Archive"},
        "response": {
            "path": "Archive",
            "idMap": [[_MESSAGE, "AAAABAAAAAM"]],
            "outcome": {"done": [_MESSAGE], "failed": [], "unknown": []},
        },
    },
    "putV1AccountAccountMessagesDelete": {
        "request": {"search": {"subject": "Newsletter"}},
        "response": {
            "deleted": False,
            "moved": {"destination": "Trash", "idMap": [[_MESSAGE, "AAAABQAAAAM"]]},
            "outcome": {"done": [_MESSAGE], "failed": [], "unknown": []},
        },
    },
    "postV1AccountAccountExport": {
        "request": {"startDate": "2026-01-01T00:00:00Z", "endDate": "2026-02-01T00:00:00Z", "folders": ["INBOX"]},
    },
    "postV1Oauth2": {
        "request": {
            "name": "Helpdesk",
            "provider": "outlook",
            "baseScopes": "imap",
            "authority": "common",
            "clientId": "11111111-2222-3333-4444-555555555555",
            "clientSecret": "a secret",
            "redirectUrl": "https://gateway.example/oauth",
        },
        "response": {"id": "AAABkZ0AAAAB", "created": True},
    },
    "putV1Oauth2App": {"request": {"enabled": False}, "response": {"id": "AAABkZ0AAAAB", "updated": True}},
    "postV1Oauth2AppVerify": {"request": {"testConnection": False}},
    "postV1Verifyaccount": {
        "request": {
            "imap": {
                "host": "imap.mail.example",
                "port": 993,
                "secure": True,
                "auth": {"user": "ada", "pass": "a secret"},
            }
        },
        "response": {"imap": {"success": True}},
    },
    "postV1WebhooksReplay": {"request": {"from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}},
    "postV1WebhooksTest": {"request": {"account": "example"}},
}

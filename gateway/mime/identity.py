"""Ids of messages and threads for services that have none of their own.

Both follow from the message alone: whoever reads it, wherever it lies and in whatever order messages arrive, the ids
are the same, and nothing has to be stored.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

#: Octets of a References field that are looked at: its first id names the root.
MOST_REFERENCES = 2048

_DIGEST, _SIZE = 15, 6
# What a search for a size can express on every server (RFC 3501 section 9).
_LARGEST = 2**32 - 2
_MESSAGE_ID = re.compile(r"<\s*([^<>\s]{1,990})\s*>")
_NO_NAME = re.compile(r"[<>\s]+")
# Names of roots that are longer make ids of threads that are longer than the API takes.
_LONGEST_ROOT = 180
_NAMED = "r."
#: How ids begin that do not tell the root.
HASHED = "h."


def email_id_of(message_id: str | None, size: int | None, date: str | None) -> str | None:
    """Return an id that is the same wherever a message is moved or copied.

    It is made of what no move changes. A message without Message-ID has none, because drafts would be taken for each
    other. The size can be read from it: services that can search for nothing else find messages by that.

    Args:
        message_id: the field.
        size: octets of the message.
        date: the field, as it stands in the header.
    """
    if message_id is None or size is None or not 0 <= size <= _LARGEST:
        return None
    return _digest(f"{message_id.strip()}\n{size}\n{date}", size.to_bytes(_SIZE))


def email_id_size(id: str) -> int | None:
    """Return the octets of the message whose id this is; None when it is none of ours."""
    try:
        octets = urlsafe_b64decode(id)
    except ValueError:
        return None
    size = int.from_bytes(octets[_DIGEST:])
    return size if len(octets) == _DIGEST + _SIZE and size <= _LARGEST else None


def thread_id_of(message_id: str | None, references: str | None, in_reply_to: str | None) -> str | None:
    """Return the id of the thread that a message belongs to; None when it neither has a name nor refers to anything.

    The root of the thread is the first id of References, else of In-Reply-To, else the message itself (RFC 5322 section
    3.6.4). It need not be there, and no other message is looked at: references that lead in a circle lead nowhere.

    Args:
        message_id: the field.
        references: the field, or its first `MOST_REFERENCES` octets.
        in_reply_to: the field.
    """
    named = (_first((references or "")[:MOST_REFERENCES]), _first((in_reply_to or "")[:MOST_REFERENCES]))
    root = next(filter(None, named), None) or _own(message_id or "")
    if not root:
        return None
    octets = root.encode("utf-8", "replace")
    if len(octets) > _LONGEST_ROOT:
        return HASHED + _digest(root)
    return _NAMED + urlsafe_b64encode(octets).decode("ascii").rstrip("=")


def is_thread_id(id: str) -> bool:
    """Tell whether an id of a thread is one of ours; ids of RFC 8474 and of Gmail have no dot."""
    return id.startswith((_NAMED, HASHED))


def thread_root(id: str) -> str | None:
    """Return the Message-ID, without brackets, of the root of a thread; None when its id does not tell."""
    if not id.startswith(_NAMED):
        return None
    encoded = id.removeprefix(_NAMED)
    try:
        root = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode("utf-8")
    except ValueError:
        return None
    return root if thread_id_of(f"<{root}>", None, None) == id else None


def _first(text: str) -> str | None:
    found = _MESSAGE_ID.search(text)
    return found[1] if found is not None else None


def _own(message_id: str) -> str | None:
    """Return the name of a message; some write it without brackets, or as nothing else is written."""
    return _first(message_id) or _NO_NAME.sub("", message_id)[:990] or None


def _digest(text: str, more: bytes = b"") -> str:
    octets = blake2b(text.encode("utf-8", "replace"), digest_size=_DIGEST).digest()
    return urlsafe_b64encode(octets + more).decode("ascii")

"""Replays an account's event log: what mailboxes hold if everything that was told is true, and told once."""

from __future__ import annotations

import imaplib
import re
from collections.abc import Iterable
from typing import Any, TypeAlias

#: Mailbox path -> UID -> flags, without those that only a session knows.
Content: TypeAlias = dict[str, dict[int, frozenset[str]]]

_FETCHED = re.compile(rb"UID (\d+)")
_LISTED = re.compile(rb'\((?P<flags>[^)]*)\) (?:"[^"]*"|NIL) "?(?P<path>[^"]*)"?')


def replay(events: Iterable[dict[str, Any]], start: Content | None = None) -> Content:
    """Return what the events say is there, after what was there at the `start`.

    Raises:
        AssertionError: an event contradicts those before it: something was told twice, or not at all.
    """
    content: Content = {path: dict(box) for path, box in (start or {}).items()}
    story: dict[str, list[Any]] = {}
    for event in events:
        name, path, data = event["event"], event.get("path", ""), event.get("data", {})
        if name == "mailboxNew":
            if "renamedFrom" not in data:
                assert path not in content, f"{path} appeared twice"
                content[path] = {}
            else:
                assert path in content, f"{path} was renamed from nowhere"
        elif name == "mailboxDeleted":
            box = content.pop(path, {})
            if "renamedTo" in data:
                assert data["renamedTo"] not in content, f"{path} was renamed over {data['renamedTo']}"
                content[data["renamedTo"]] = box
        elif name == "mailboxReset":
            raise AssertionError(f"{path} was lost")
        elif name.startswith("message") and path:
            where = f"{path} {data['uid']}"
            story.setdefault(where, []).append((event["date"], name, data.get("flags"), data.get("changes")))
            try:
                _message(content.setdefault(path, {}), name, data, where)
            except AssertionError as error:
                raise AssertionError(f"{error}; all that was told: {story[where]}") from None
    return content


def _message(box: dict[int, frozenset[str]], name: str, data: dict[str, Any], where: str) -> None:
    uid = data["uid"]
    if name == "messageNew":
        assert uid not in box, f"{where} was announced twice"
        box[uid] = frozenset(data.get("flags", ()))
    elif name == "messageDeleted":
        assert uid in box, f"{where} was deleted twice, or never announced"
        del box[uid]
    elif name == "messageUpdated":
        assert uid in box, f"{where} was changed and never announced"
        change = data["changes"]["flags"]
        before, after = box[uid], frozenset(change["value"])
        assert frozenset(change.get("added", ())) == after - before, f"{where}: {before} -> {change}"
        assert frozenset(change.get("deleted", ())) == before - after, f"{where}: {before} -> {change}"
        assert before != after, f"{where} was told to have changed and has not"
        box[uid] = after
    else:
        raise AssertionError(f"{name} at {where}")


def truth(imap: imaplib.IMAP4) -> Content:
    """Return what is there, asked of the server itself; the session must not have anything selected that it needs."""
    content: Content = {}
    for line in imap.list()[1]:
        match = _LISTED.fullmatch(line) if isinstance(line, bytes) else None
        assert match is not None, line
        if b"\\Noselect" in match["flags"]:
            continue
        path = match["path"].decode()
        answer, _ = imap.select(f'"{path}"', readonly=True)
        assert answer == "OK", path
        content[path] = {}
        for fetched in imap.uid("FETCH", "1:*", "(FLAGS)")[1]:
            if isinstance(fetched, bytes) and (found := _FETCHED.search(fetched)):
                flags = {flag.decode() for flag in imaplib.ParseFlags(fetched)}
                content[path][int(found[1])] = frozenset(flags - {"\\Recent"})
    return content


def with_ids(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put ids where IMAP has UIDs, for services that have none."""
    return [
        {**event, "data": {**event["data"], "uid": event["data"]["id"]}}
        if event["event"].startswith("message") and "id" in event.get("data", {})
        else event
        for event in events
    ]


def without_empty(content: Content) -> Content:
    """Leave out mailboxes without messages: those that were there from the start are never announced."""
    return {path: box for path, box in content.items() if box}

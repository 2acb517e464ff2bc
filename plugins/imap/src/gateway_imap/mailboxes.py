"""Listing mailboxes (RFC 9051 section 6.3.9, RFC 5258, RFC 5819) and changing them; blocking."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec
from imapclient import imap_utf7
from imapclient.exceptions import ProtocolError

from gateway.errors import ConnectError, MailboxNotFoundError, PermanentError, ProviderError
from gateway.model.message import Mailbox, MailboxStatus, SpecialUse
from gateway_imap.connection import Connection
from gateway_imap.errors import response_code
from gateway_imap.fetch_parser import grouped, parse_values
from gateway_imap.special_use import Listed, Source, assign_uses
from gateway_imap.wire import Reply, quoted

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_USE_TAG = re.compile(r"\\[A-Za-z]+")


class Quirks(msgspec.Struct, frozen=True, kw_only=True):
    """How a service differs from a plain IMAP server.

    Attributes:
        hidden: top-level mailboxes without mail in them (calendars and the like); neither they nor what is below
            them is listed.
        names: lower-case mailbox name -> special use, beside the usual names.
        readers: see `gateway.provider.Session`; with those for watching, downloads and exports an account stays below
            the ten connections that Dovecot allows, and the fifteen of Gmail.
    """

    hidden: frozenset[str] = frozenset()
    names: Mapping[str, SpecialUse] = msgspec.field(default_factory=dict)
    readers: int = 4


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """The mailboxes of an account, INBOX first, and the names by which the server knows them."""

    mailboxes: tuple[Mailbox, ...]
    server_names: Mapping[str, bytes]

    def resolve(self, path: str) -> str:
        """Return the path for a path or a special use such as ``\\Sent``.

        Raises:
            MailboxNotFoundError: no mailbox has this use, nor this very name.
        """
        if _USE_TAG.fullmatch(path):
            for mailbox in self.mailboxes:
                if mailbox.special_use is not None and mailbox.special_use.lower() == path.lower():
                    return mailbox.path
            if path not in self.server_names:
                raise MailboxNotFoundError("no mailbox has this special use")
        return self.mailboxes[0].path if path.upper() == "INBOX" else path

    def path(self, path: str) -> str:
        """Return the path by which a mailbox is listed; servers may know some names in any case.

        Raises:
            MailboxNotFoundError: no mailbox has this use, nor this very name.
        """
        path = self.resolve(path)
        if path in self.server_names:
            return path
        return next((known for known in self.server_names if known.casefold() == path.casefold()), path)

    def new_name(self, path: str) -> bytes:
        """Return the argument that names a mailbox which is going to be made.

        Raises:
            PermanentError: a name between delimiters is empty. Servers would make another mailbox than the one that
                was asked for (RFC 9051 section 6.3.4).
        """
        delimiter = self.mailboxes[0].delimiter
        if delimiter and not all(path.split(delimiter)):
            raise _no_such_name()
        return quoted(encode_name(path))

    def special_use(self, path: str) -> SpecialUse | None:
        """Return what a mailbox is for."""
        for mailbox in self.mailboxes:
            if mailbox.path == path:
                return mailbox.special_use
        return None

    def server_name(self, path: str) -> bytes:
        """Return the argument that names a mailbox to the server."""
        known = self.server_names.get(path)
        return quoted(known if known is not None else encode_name(path))


def encode_name(path: str) -> bytes:
    """Return a path in modified UTF-7 (RFC 3501 section 5.1.3).

    Raises:
        MailboxNotFoundError: not text, so that no mailbox can have this name. Nor can one with control characters,
            which servers repeat, decoded, in their answers: a line end would let the name pose as an answer.
    """
    if _CONTROL.search(path):
        raise MailboxNotFoundError("no mailbox can have this name")
    try:
        return bytes(imap_utf7.encode(path))
    except UnicodeError as error:
        raise MailboxNotFoundError("no mailbox can have this name") from error


def decode_name(name: bytes) -> str:
    """Return the path for a server's name; one that breaks the encoding stands for itself."""
    try:
        return str(imap_utf7.decode(name))
    except (UnicodeError, ValueError):
        return name.decode("utf-8", "replace")


def list_mailboxes(
    connection: Connection, *, counters: bool, overrides: Mapping[str, str], quirks: Quirks
) -> Directory:
    """Ask for all mailboxes.

    Raises:
        ConnectError: the server lists none, which no account has: a fault of the server.
    """
    if counters and connection.selected is not None:
        # Of the mailbox that is selected, servers count what they told of last (RFC 9051 section 6.3.11).
        connection.command(b"NOOP")
    extended = connection.has("LIST-EXTENDED")
    reply = connection.command(b"LIST", b'""', *_list_arguments(connection, counters))
    rows = {row.path: row for row in _rows(reply, "LIST")}
    if not rows:
        raise ConnectError("the IMAP server lists no mailboxes", native_code="EMPTY LIST")
    rows = {path: row for path, row in rows.items() if row.top not in quirks.hidden}
    if extended:
        subscribed = {path for path, row in rows.items() if "\\subscribed" in row.attributes}
    else:
        subscribed = {row.path for row in _rows(connection.command(b"LSUB", b'""', b'"*"'), "LSUB")}
    rows = _with_inbox_first(rows)
    status = _statuses(connection, rows, reply) if counters else dict(_status_rows(reply))
    uses = assign_uses([row.listed() for row in rows.values()], overrides, quirks.names)
    return Directory(
        mailboxes=tuple(
            row.mailbox(uses.get(path), path in subscribed, status.get(path, _Status()), counters)
            for path, row in rows.items()
        ),
        server_names={path: row.server_name for path, row in rows.items()},
    )


def _list_arguments(connection: Connection, counters: bool) -> Iterator[bytes]:
    yield b'"*"'
    if connection.has("LIST-EXTENDED"):
        options = [b"SUBSCRIBED"]
        if connection.has("SPECIAL-USE"):
            options.append(b"SPECIAL-USE")
        if (items := _status_items(connection, counters)) and connection.has("LIST-STATUS"):
            options.append(b"STATUS (" + items + b")")
        yield b"RETURN (" + b" ".join(options) + b")"


def _status_items(connection: Connection, counters: bool) -> bytes:
    """Return what to ask of each mailbox: numbers, and the id that stays when it is renamed (RFC 8474 section 4)."""
    items = [b"MESSAGES UNSEEN UIDNEXT"] if counters else []
    return b" ".join([*items, b"MAILBOXID"] if connection.has("OBJECTID") else items)


class _Status(msgspec.Struct, frozen=True, kw_only=True):
    """A STATUS response, or why there is none."""

    id: str | None = None
    messages: int | None = None
    unseen: int | None = None
    uid_next: int | None = None
    error: str | None = None

    def shown(self) -> MailboxStatus:
        """Return the counters."""
        return MailboxStatus(messages=self.messages, unseen=self.unseen, error=self.error)


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """One LIST or LSUB response."""

    path: str
    server_name: bytes
    delimiter: str | None
    attributes: frozenset[str]

    @property
    def parent_path(self) -> str:
        return self.path.rpartition(self.delimiter)[0] if self.delimiter else ""

    @property
    def name(self) -> str:
        return self.path.rpartition(self.delimiter)[2] if self.delimiter else self.path

    @property
    def top(self) -> str:
        return self.path.partition(self.delimiter)[0] if self.delimiter else self.path

    @property
    def selectable(self) -> bool:
        return not self.attributes & {"\\noselect", "\\nonexistent"}

    def listed(self) -> Listed:
        """Return what the assignment of special uses needs."""
        return Listed(self.path, self.name, self.parent_path, self.attributes, self.selectable)

    def mailbox(
        self, use: tuple[SpecialUse, Source] | None, subscribed: bool, status: _Status, counters: bool
    ) -> Mailbox:
        """Return the resource."""
        if self.path == "INBOX":
            use = ("\\Inbox", "name")
        return Mailbox(
            path=self.path,
            id=status.id,
            delimiter=self.delimiter,
            parent_path=self.parent_path,
            name=self.name,
            listed=True,
            subscribed=subscribed,
            no_select=not self.selectable,
            no_inferiors="\\noinferiors" in self.attributes,
            special_use=use[0] if use else None,
            special_use_source=use[1] if use else None,
            uid_next=status.uid_next,
            status=status.shown() if counters and status != _Status() else None,
        )


def _rows(reply: Reply, kind: str) -> Iterator[_Row]:
    for records in grouped(reply.lines(kind)):
        values = parse_values(records)
        if len(values) < 3 or not isinstance(values[0], list):
            raise ProtocolError("not a LIST response")
        attributes, delimiter, name = values[:3]
        server_name = str(name).encode("utf-8")
        path = decode_name(server_name)
        yield _Row(
            # RFC 9051 section 5.1: INBOX is the same in any case, and nothing else is.
            path="INBOX" if path.upper() == "INBOX" else path,
            server_name=server_name,
            delimiter=delimiter if isinstance(delimiter, str) and delimiter else None,
            attributes=frozenset(str(attribute).lower() for attribute in attributes),
        )


def _with_inbox_first(rows: Mapping[str, _Row]) -> dict[str, _Row]:
    """Put INBOX first; it exists even if a broken server forgets to list it (RFC 9051 section 5.1)."""
    delimiter = next((row.delimiter for row in rows.values()), None)
    inbox = rows.get("INBOX") or _Row(path="INBOX", server_name=b"INBOX", delimiter=delimiter, attributes=frozenset())
    return {"INBOX": inbox, **rows}


def _statuses(connection: Connection, rows: Mapping[str, _Row], listing: Reply) -> dict[str, _Status]:
    """Count messages; a mailbox that refuses is told as such and the others still count."""
    found, items = dict(_status_rows(listing)), _status_items(connection, True)
    for path, row in rows.items():
        if row.selectable and path not in found:
            reply = connection.command(b"STATUS", quoted(row.server_name), b"(" + items + b")", tolerate=True)
            if reply.status == "OK":
                found.update(_status_rows(reply))
            else:
                found[path] = _Status(error=response_code(reply.text)[0] or "refused")
    return found


def _status_rows(reply: Reply) -> Iterator[tuple[str, _Status]]:
    for records in grouped(reply.lines("STATUS")):
        name, items, *_ = [*parse_values(records), None, None]
        if not isinstance(items, list):
            continue
        path = decode_name(str(name).encode("utf-8"))
        numbers = {str(key).upper(): value for key, value in zip(items[::2], items[1::2], strict=False)}
        id = numbers.get("MAILBOXID")
        status = _Status(
            id=str(id[0]) if isinstance(id, list) and id else None,
            messages=_count(numbers.get("MESSAGES")),
            unseen=_count(numbers.get("UNSEEN")),
            uid_next=_count(numbers.get("UIDNEXT")),
        )
        yield "INBOX" if path.upper() == "INBOX" else path, status


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


# --- changes ----------------------------------------------------------------------------------------------------------


def create_mailbox(connection: Connection, name: bytes) -> bool:
    """Create and subscribe a mailbox; False when it existed."""
    reply = connection.command(b"CREATE", name, tolerate=True)
    if reply.status != "OK":
        if response_code(reply.text)[0] != "ALREADYEXISTS" and not _exists(connection, name):
            raise _naming_refusal(connection, reply)
        return False
    connection.command(b"SUBSCRIBE", name, tolerate=True)
    return True


def rename_mailbox(connection: Connection, name: bytes, new_name: bytes, *, subscribed: bool) -> None:
    """Rename a mailbox and what is below it; servers leave the subscription with the name.

    Raises:
        MailboxNotFoundError: there is no such mailbox.
        ConflictError: the new name is taken.
    """
    connection.release()
    reply = connection.command(b"RENAME", name, new_name, tolerate=True)
    if reply.status != "OK":
        raise _naming_refusal(connection, reply, otherwise=_reason(connection, name))
    connection.command(b"UNSUBSCRIBE", name, tolerate=True)
    if subscribed:
        connection.command(b"SUBSCRIBE", new_name, tolerate=True)


def subscribe_mailbox(connection: Connection, name: bytes, *, subscribed: bool) -> None:
    """Subscribe a mailbox, or end its subscription."""
    connection.command(b"SUBSCRIBE" if subscribed else b"UNSUBSCRIBE", name)


def delete_mailbox(connection: Connection, name: bytes) -> None:
    """Delete a mailbox.

    Raises:
        MailboxNotFoundError: there is no such mailbox.
    """
    connection.release()
    reply = connection.command(b"DELETE", name, tolerate=True)
    if reply.status != "OK":
        raise connection.refusal(reply, otherwise=_reason(connection, name))
    connection.command(b"UNSUBSCRIBE", name, tolerate=True)


def _exists(connection: Connection, name: bytes) -> bool:
    """Tell whether there is a mailbox of just this name, which LIST may take for a pattern."""
    listed = _rows(connection.command(b"LIST", b'""', name, tolerate=True), "LIST")
    return any(quoted(row.server_name) == name for row in listed)


def _naming_refusal(
    connection: Connection, reply: Reply, *, otherwise: type[ProviderError] = PermanentError
) -> Exception:
    """Return the error for a refused CREATE or RENAME; CANNOT is said of names (RFC 5530 section 3)."""
    if response_code(reply.text)[0] == "CANNOT":
        return _no_such_name(native_code="CANNOT")
    return connection.refusal(reply, otherwise=otherwise)


def _no_such_name(native_code: str | None = None) -> PermanentError:
    return PermanentError("no mailbox can have this name", code="InvalidMailboxName", native_code=native_code)


def _reason(connection: Connection, name: bytes) -> type[ProviderError]:
    """Return why a server without response codes may have refused."""
    return PermanentError if _exists(connection, name) else MailboxNotFoundError

"""A second client that does whatever comes to its mind."""

from __future__ import annotations

import imaplib
import random
from email.message import EmailMessage

from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot

_FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "todo", "$Label1")


class Telephone:
    """Random operations on one account, over IMAP and LMTP.

    Attributes:
        done: how many there were of each kind.
    """

    def __init__(self, dovecot: Dovecot, user: str, chance: random.Random) -> None:
        self._dovecot = dovecot
        self._user = user
        self._chance = chance
        self._imap = self._connected()
        self._boxes = ["INBOX"]
        self._number = 0
        self.done: dict[str, int] = {}

    @property
    def imap(self) -> imaplib.IMAP4:
        """The connection, for a look at the truth."""
        return self._imap

    def reconnect(self) -> None:
        """Log in anew, when the connection was cut."""
        self._imap = self._connected()

    def put_away(self) -> None:
        """Have no mailbox open."""
        if self._imap.state == "SELECTED":
            self._do(self._imap.unselect())

    def act(self) -> None:
        """Do one thing."""
        kinds = {
            self._append: 6,
            self._deliver: 3,
            self._flag: 8,
            self._expunge: 3,
            self._move: 3,
            self._copy: 1,
            self._create: 0.4,
            self._rename: 0.3,
            self._delete: 0.2,
        }
        (kind,) = self._chance.choices(list(kinds), list(kinds.values()))
        kind()
        name = kind.__name__.strip("_")
        self.done[name] = self.done.get(name, 0) + 1

    def close(self) -> None:
        """Log out."""
        self._imap.logout()

    def _connected(self) -> imaplib.IMAP4:
        imap = imaplib.IMAP4_SSL(*self._dovecot.full, ssl_context=self._dovecot.certificates.client_context())
        imap.login(self._user, GUEST_PASSWORD)
        return imap

    def _append(self) -> None:
        flags = " ".join(self._chance.sample(_FLAGS, self._chance.randrange(3)))
        self._do(self._imap.append(self._box(), f"({flags})", None, self._letter()))

    def _deliver(self) -> None:
        self._dovecot.deliver(self._user, self._letter())

    def _flag(self) -> None:
        uids = self._some(5)
        if uids:
            flags = " ".join(self._chance.sample(_FLAGS, self._chance.randrange(1, 4)))
            self._do(self._imap.uid("STORE", uids, self._chance.choice("+-") + "FLAGS.SILENT", f"({flags})"))

    def _expunge(self) -> None:
        uids = self._some(3)
        if uids:
            self._do(self._imap.uid("STORE", uids, "+FLAGS.SILENT", "(\\Deleted)"))
            self._do(self._imap.uid("EXPUNGE", uids))

    def _move(self) -> None:
        uids = self._some(3)
        if uids:
            self._do(self._imap.uid("MOVE", uids, self._box()))

    def _copy(self) -> None:
        uids = self._some(2)
        if uids:
            self._do(self._imap.uid("COPY", uids, self._box()))

    def _create(self) -> None:
        if len(self._boxes) < 5:
            self._boxes.append(self._name())
            self._do(self._imap.create(self._boxes[-1]))

    def _rename(self) -> None:
        if len(self._boxes) > 1:
            old, new = self._chance.choice(self._boxes[1:]), self._name()
            self.put_away()
            self._do(self._imap.rename(old, new))
            self._boxes[self._boxes.index(old)] = new

    def _delete(self) -> None:
        if len(self._boxes) > 1:
            gone = self._boxes.pop(self._chance.randrange(1, len(self._boxes)))
            self.put_away()
            self._do(self._imap.delete(gone))

    def _some(self, most: int) -> str:
        """Select a mailbox and return a few of its UIDs."""
        self._do(self._imap.select(self._box()))
        found = self._imap.uid("SEARCH", "ALL")[1][0] or b""
        uids = found.decode().split()
        return ",".join(self._chance.sample(uids, min(len(uids), self._chance.randrange(1, most + 1))))

    def _box(self) -> str:
        """The inbox more often than another mailbox."""
        return self._chance.choice(self._boxes) if self._chance.random() < 0.5 else "INBOX"

    def _name(self) -> str:
        self._number += 1
        return f"Box{self._number}"

    def _letter(self) -> bytes:
        self._number += 1
        message = EmailMessage()
        message["From"] = "Sender <sender@example.org>"
        message["To"] = self._user
        message["Subject"] = f"letter {self._number}"
        message["Message-ID"] = f"<{self._number}.{self._chance.getrandbits(40):x}@example.org>"
        message.set_content("text\n" * self._chance.randrange(1, 40))
        return message.as_bytes()

    def _do(self, answered: tuple[str, object]) -> None:
        assert answered[0] == "OK", answered

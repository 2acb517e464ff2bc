"""A mailbox as the gateway knows it: from its changes alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.provider import MessageState, Session

__all__ = ["Ledger", "News", "followed"]

_ENDLESS = 100


@dataclass
class News:
    """Ids of the messages that are new to a ledger, that were updated, and that are gone."""

    new: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


@dataclass
class Ledger:
    """Every message that was told and is not gone, by id; `state` is what to ask with next."""

    state: str | None = None
    messages: dict[str, MessageState] = field(default_factory=dict)

    async def follow(self, session: Session, mailbox: str) -> News:
        """Ask what happened, in as many answers as it takes, and enter it as the gateway does."""
        news = News()
        named: set[str] = set()
        for _ in range(_ENDLESS):
            changes = await session.changes(mailbox, self.state)
            assert changes.state, "an answer has a state"
            for message in changes.changed:
                self._enter(message, news)
            named.update(message.id for message in changes.changed)
            for id in changes.removed:
                self._strike_out(id, news)
            self.state = changes.state
            if not changes.more:
                break
        else:
            raise AssertionError("`more` never ends")
        if changes.complete:
            for id in self.messages.keys() - named:
                self._strike_out(id, news)
        return news

    def _enter(self, message: MessageState, news: News) -> None:
        known = self.messages.get(message.id)
        if known is None:
            news.new.append(message.id)
        elif _content(known) != _content(message):
            news.updated.append(message.id)
        self.messages[message.id] = message

    def _strike_out(self, id: str, news: News) -> None:
        if self.messages.pop(id, None) is not None:
            news.gone.append(id)

    def copy(self) -> Ledger:
        """Return what another worker would go on with."""
        return Ledger(self.state, dict(self.messages))


def _content(message: MessageState) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(message.flags), frozenset(message.labels)


async def followed(session: Session, mailbox: str) -> Ledger:
    """Return a ledger of a mailbox as it is now."""
    ledger = Ledger()
    await ledger.follow(session, mailbox)
    return ledger

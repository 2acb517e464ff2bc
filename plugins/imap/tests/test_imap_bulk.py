"""Changes to thousands of messages on Dovecot, and what is told when the connection breaks in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import imapclient
import pytest

from gateway.model.message import FlagUpdate, MessageUpdate, SearchQuery
from gateway.model.server import Server
from gateway.provider import Account, Login, Session, SessionContext
from gateway.services import bulk
from gateway.testing.context import FixedCredentials, MemoryNumbers
from gateway.testing.fault_proxy import FaultProxy, Faults
from gateway_imap import open_session
from gateway_imap.ids import decode_message_id
from gateway_imap.uid_sets import expanded, uid_sets
from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot

pytestmark = pytest.mark.anyio
COUNT = 5000


def _uids(ids: Sequence[str]) -> set[int]:
    return {decode_message_id(id).uid for id in ids}


class SecondClient:
    """Looks into the account past the gateway."""

    def __init__(self, dovecot: Dovecot, certificates: Certificates) -> None:
        self._dovecot = dovecot
        self.user = dovecot.new_user()
        self._address = dovecot.full
        self._tls = certificates.client_context()

    def fill(self) -> None:
        self._dovecot.fill(self.user, COUNT)
        with self._client() as client:
            client.create_folder("Target")

    def uids(self, mailbox: str, criteria: str = "ALL") -> set[int]:
        with self._client() as client:
            client.select_folder(mailbox, readonly=True)
            return set(client.search(criteria))

    def _client(self) -> imapclient.IMAPClient:
        client = imapclient.IMAPClient(*self._address, ssl_context=self._tls, timeout=60)
        client.login(self.user, GUEST_PASSWORD)
        return client


@pytest.fixture
def second(dovecot: Dovecot, certificates: Certificates) -> SecondClient:
    """An account with 5,000 messages in INBOX."""
    client = SecondClient(dovecot, certificates)
    client.fill()
    return client


def _open(user: str, address: tuple[str, int], certificates: Certificates) -> AbstractAsyncContextManager[Session]:
    server = Server(host=address[0], port=address[1], ca_file=certificates.authority)
    context = SessionContext(
        credentials=FixedCredentials(Login(user=user, password=GUEST_PASSWORD)), numbers=MemoryNumbers()
    )
    return open_session(account=Account(id="a", user=user, email=user), context=context, imap=server, smtp=None)


@pytest.mark.parametrize("personality", ["full", "exchange"])
async def test_five_thousand_messages_are_moved_and_their_new_ids_told(
    second: SecondClient, dovecot: Dovecot, certificates: Certificates, personality: str
) -> None:
    """Every one of them, by pairs that a second client can check."""
    async with _open(second.user, getattr(dovecot, personality), certificates) as session:
        flagged = await bulk.update(session, "INBOX", SearchQuery(), MessageUpdate(flags=FlagUpdate(add="\\Flagged")))
        assert len(flagged.outcome.done) == COUNT
        assert len(await asyncio.to_thread(second.uids, "INBOX", "FLAGGED")) == COUNT
        result = await bulk.move(session, "INBOX", SearchQuery(flagged=True), "Target")
    assert (len(result.outcome.done), result.outcome.failed, result.outcome.unknown) == (COUNT, (), ())
    assert await asyncio.to_thread(second.uids, "INBOX") == set()
    assert result.id_map is not None
    assert _uids([new for _, new in result.id_map]) == await asyncio.to_thread(second.uids, "Target")


# Each of the five commands is answered by about 17,000 octets.
@pytest.mark.parametrize("octets", [8_000, 30_000, 60_000])
async def test_answer_is_what_a_second_client_sees_when_the_connection_dies_in_a_move(
    second: SecondClient, dovecot: Dovecot, certificates: Certificates, octets: int
) -> None:
    """Done is moved, failed is where it was, and only what is in doubt may be in either place."""
    async with FaultProxy(dovecot.full) as proxy, _open(second.user, proxy.address, certificates) as session:
        ids = list(await session.search_ids("INBOX", SearchQuery()))
        proxy.to_client = Faults(reset_after=octets)
        result = await bulk.move(session, "INBOX", SearchQuery(), "Target")
    left = await asyncio.to_thread(second.uids, "INBOX")
    done, unknown = _uids(result.outcome.done), _uids(result.outcome.unknown)
    failed = _uids([failure.id for failure in result.outcome.failed])
    assert len(done) + len(failed) + len(unknown) == len(ids) == COUNT
    assert done | failed | unknown == _uids(ids)
    assert 0 < len(unknown) <= 1000
    assert failed, "the connection died before the end"
    assert not done & left
    assert failed <= left
    assert {failure.code for failure in result.outcome.failed} == {"ConnectionError"}


def test_set_of_uids_fits_into_a_command_and_loses_none() -> None:
    """Runs are written short, gaps split it before the line grows too long for servers."""
    uids = [*range(1, 2500), *range(3_000_000_001, 3_000_009_000, 2)]
    sets = list(uid_sets(uids))
    assert [uid for chosen in sets for uid in chosen.uids] == uids
    assert [expanded(chosen.octets) == list(chosen.uids) for chosen in sets] == [True] * len(sets)
    assert max(len(chosen.octets) for chosen in sets) <= 7000
    assert sets[0].octets == b"1:1000"

"""Large messages arrive whole, however often the connection breaks."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import pytest

from gateway.provider import Envelope, Environment, PageRequest, Session
from gateway.testing.fault_proxy import FaultProxy, Faults
from gateway_outlook_graph import Limits, OutlookGraphProvider
from gateway_outlook_graph.transport import Reply, Transport
from gateway_outlook_graph.uploading import PIECE
from gateway_sandbox import clouds
from gateway_sandbox.testing import ALICE, BOB

if TYPE_CHECKING:
    from conftest import World

pytestmark = pytest.mark.anyio
_ENVELOPE = Envelope(mail_from=ALICE, rcpt_to=(BOB,))


def with_files(subject: str, *files: bytes) -> bytes:
    head = f"From: {ALICE}\r\nTo: {BOB}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@contoso.test>\r\n"
    begin = f"{head}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".encode()
    parts = [b"Content-Type: text/plain\r\n\r\nFiles.\r\n"]
    for number, content in enumerate(files):
        described = "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
        named = f'Content-Disposition: attachment; filename="{number}.bin"\r\n\r\n'
        parts.append(f"{described}{named}".encode() + base64.encodebytes(content).replace(b"\n", b"\r\n"))
    return begin + b"".join(b"--b\r\n" + part for part in parts) + b"--b--\r\n"


class Line:
    """A session whose calls go through a proxy.

    Attributes:
        proxy: makes them fail.
        session: Alice's.
        noted: called after each of
        uploads: method, first octet and status of each call to an upload session, None where there was no answer.
    """

    def __init__(self, proxy: FaultProxy, session: Session) -> None:
        self.proxy = proxy
        self.session = session
        self.noted: Callable[[], None] = lambda: None
        self.uploads: list[tuple[str, str, int | None]] = []


@pytest.fixture
async def line(outlook: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    await asyncio.to_thread(outlook.as_new)
    port = urlsplit(outlook.sandbox.endpoints.origin).port or 0
    async with FaultProxy(("127.0.0.1", port)) as proxy:
        host, proxy_port = proxy.address
        entry = {**clouds.entry(outlook.sandbox.endpoints), "graph": f"http://{host}:{proxy_port}/graph"}
        clouds.write_entry(tmp_path / clouds.FILE_NAME, "faults", entry)
        limits = Limits(read=5.0, call=10.0, floor=0.01)
        provider = OutlookGraphProvider(Environment(data_dir=tmp_path), limits=limits)
        account = await outlook.account()
        context = msgspec.structs.replace(account.context, app=msgspec.structs.replace(outlook.app, cloud="faults"))
        async with provider.open(account.account, context) as session:
            found = Line(proxy, session)
            call = Transport.call

            async def noted(
                self: Transport, method: str, url: str, headers: dict[str, str], body: bytes | None
            ) -> Reply:
                if "/upload/" not in url:
                    return await call(self, method, url, headers, body)
                begin = headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
                try:
                    reply = await call(self, method, url, headers, body)
                except BaseException:
                    found.uploads.append((method, begin, None))
                    found.noted()
                    raise
                found.uploads.append((method, begin, reply.status))
                found.noted()
                return reply

            monkeypatch.setattr(Transport, "call", noted)
            yield found


async def arrived(outlook: World, subject: str) -> dict[str | None, bytes]:
    """Return the files of the one message of a subject in Bob's inbox."""
    async with outlook.provider.open(*(await outlook.account(BOB))) as session:
        page = await session.messages("INBOX", PageRequest(size=100))
        (entry,) = [entry for entry in page.messages if entry.subject == subject]
        contents = {}
        for attachment in entry.attachments:
            stream = await session.attachment(attachment.id)
            contents[attachment.filename] = b"".join([chunk async for chunk in stream.chunks])
    return contents


async def test_an_upload_goes_on_after_the_connection_broke_within_a_piece(outlook: World, line: Line) -> None:
    """From where the service says, and with the octets that it had kept."""
    content = secrets.token_bytes(3 * PIECE)

    def broken() -> int:
        return sum(status is None for _, _, status in line.uploads)

    def break_the_line() -> None:
        # What is open breaks at its next octet, what is opened then in the middle of the piece.
        line.proxy.to_server = Faults(reset_after=PIECE // 2) if broken() < 2 else Faults()

    line.noted = break_the_line
    await line.session.submit(with_files("cut", content), _ENVELOPE)
    assert broken() == 2
    assert ("GET", "", 200) in line.uploads, "it asked how to go on"
    done = [begin for method, begin, status in line.uploads if method == "PUT" and status in (200, 201)]
    assert done == [str(number * PIECE) for number in range(3)], "no piece was sent again that had arrived"
    assert await arrived(outlook, "cut") == {"0.bin": content}


async def test_an_upload_whose_answers_get_lost_is_attached_once(outlook: World, line: Line) -> None:
    """The service has the piece, which nobody knows before it is asked."""
    content = secrets.token_bytes(PIECE + 1000)

    def lose_the_last_answer() -> None:
        line.proxy.to_client = Faults(reset_after=0) if len(line.uploads) == 1 else Faults()

    line.noted = lose_the_last_answer
    await line.session.submit(with_files("lost", content), _ENVELOPE)
    assert line.uploads[1] == ("PUT", str(PIECE), None)
    assert await arrived(outlook, "lost") == {"0.bin": content}


async def test_servers_that_fail_meanwhile_do_not_end_an_upload(
    outlook: World, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a piece that was answered with 502 the service may have everything."""
    call, failed = Transport.call, iter((True, False, True, False))

    async def failing(self: Transport, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Reply:
        reply = await call(self, method, url, headers, body)
        if method == "PUT" and next(failed, False):
            return Reply(status=502, headers={}, body=b"<html>Bad Gateway</html>")
        return reply

    monkeypatch.setattr(Transport, "call", failing)
    content = secrets.token_bytes(3 * PIECE)
    await line.session.submit(with_files("failing", content), _ENVELOPE)
    assert await arrived(outlook, "failing") == {"0.bin": content}


async def test_small_files_of_a_large_message_go_in_one_call_each(outlook: World, line: Line) -> None:
    """Graph refuses upload sessions for them."""
    files = [secrets.token_bytes(2_000_000) for _ in range(4)]
    await line.session.submit(with_files("many", *files), _ENVELOPE)
    assert line.uploads == []
    assert await arrived(outlook, "many") == {f"{number}.bin": content for number, content in enumerate(files)}

"""Sources and attachments: in part, and larger than what a process may hold."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from typing import Any

import pytest

from tests.acceptance.boxes import KINDS, Box, open_box
from tests.acceptance.client import message_path
from tests.acceptance.memory import MEBIBYTE, digest_of, growth_bounded
from tests.acceptance.stack import GatewayStack
from tests.integration.api.refusals import refusal
from tests.rigs.real_lab import RealLab

LARGE = 150_000_000


@pytest.fixture(scope="module", params=KINDS)
def box(request: pytest.FixtureRequest, full_stack: GatewayStack) -> Box:
    """An account of every kind."""
    return open_box(request.param, full_stack)


def with_attachment(content: bytes, encoding: str, subject: str = "x") -> bytes:
    encoded = base64.encodebytes(content).replace(b"\n", b"\r\n") if encoding == "base64" else content + b"\r\n"
    return (
        b"Subject: " + subject.encode() + b"\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\ntext\r\n"
        b"--b\r\nContent-Type: application/octet-stream; name=x.bin\r\nContent-Disposition: attachment\r\n"
        b"Content-Transfer-Encoding: " + encoding.encode() + b"\r\n\r\n" + encoded + b"--b--\r\n"
    )


def check_ranges(box: Box, path: str, whole: bytes) -> None:
    """Ask for parts of what is known."""
    http, size = box.api.http, len(whole)
    plain = http.get(path)
    assert (plain.status_code, plain.content == whole) == (200, True)
    assert (plain.headers["content-length"], plain.headers["accept-ranges"]) == (str(size), "bytes")
    tag = plain.headers["etag"]
    assert http.head(path).headers["content-length"] == str(size)
    for asked, first, last in (
        ("bytes=0-0", 0, 0),
        ("bytes=5-9", 5, 9),
        ("bytes=10-", 10, size - 1),
        ("bytes=-7", size - 7, size - 1),
        (f"bytes={size // 2}-{size // 2 + 99}", size // 2, size // 2 + 99),
        (f"bytes={size - 1}-{size * 10}", size - 1, size - 1),
    ):
        answer = http.get(path, headers={"range": asked, "if-range": tag})
        assert (answer.status_code, answer.headers["content-range"]) == (206, f"bytes {first}-{last}/{size}")
        assert answer.content == whole[first : last + 1], asked
    assert http.get(path, headers={"range": "bytes=5-9", "if-range": '"other"'}).content == whole
    for none in (f"bytes={size}-", "bytes=-0"):
        assert refusal(http.get(path, headers={"range": none}), 416) == "RangeNotSatisfiable"


@pytest.mark.parametrize("size", [1000, 2 * MEBIBYTE + 17])
def test_parts_of_a_source_are_answered(box: Box, size: int) -> None:
    """So that a broken download is resumed; the size of a large message is the true one."""
    raw = with_attachment(os.urandom(size), "base64")
    check_ranges(box, f"{message_path(box.account, box.store(raw))}/source", raw)


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("base64", os.urandom(1000)),
        ("base64", os.urandom(700_000)),
        ("8bit", b"0123456789abcdef\r\n" * 100),
        ("7bit", b"0123456789abcdef\r\n" * 150_000),
    ],
    ids=["small", "medium", "8bit", "large-7bit"],
)
def test_parts_of_an_attachment_are_answered(box: Box, encoding: str, content: bytes) -> None:
    """They are parts of the decoded attachment."""
    id = box.store(with_attachment(content, encoding))
    (attachment,) = box.read(id)["attachments"]
    check_ranges(box, f"{box.path}/attachment/{attachment['id']}", content)


def test_parts_of_a_large_attachment_are_answered_if_the_server_tells_its_size(full_stack: GatewayStack) -> None:
    """IMAP servers with BINARY do (RFC 3516)."""
    box, content, subject = open_box("dovecot", full_stack), os.urandom(4 * MEBIBYTE + 17), secrets.token_hex(8)
    entry = deliver(box, with_attachment(content, "base64", subject), subject)
    (attachment,) = box.read(entry["id"])["attachments"]
    check_ranges(box, f"{box.path}/attachment/{attachment['id']}", content)


def test_an_attachment_of_unknown_size_is_answered_whole(full_stack: GatewayStack) -> None:
    """What is decoded on the way has no size beforehand; RFC 9110 section 14.2 lets the range be ignored."""
    box = open_box("maildir", full_stack)
    content = os.urandom(2 * MEBIBYTE)
    (attachment,) = box.read(box.store(with_attachment(content, "base64")))["attachments"]
    answer = box.api.http.get(f"{box.path}/attachment/{attachment['id']}", headers={"range": "bytes=5-9"})
    assert answer.status_code == 200
    assert answer.content == content


def deliver(box: Box, raw: bytes, subject: str) -> Any:
    """Store what is too large to upload; return its entry in a listing."""
    lab = box.stack.lab
    assert isinstance(lab, RealLab)
    lab.dovecot.fill(lab.users[3], 1, message=lambda _: raw)
    return box.api.wait_for_message(box.account, subject)


def test_a_download_whose_client_takes_nothing_holds_up_no_other_of_the_account(full_stack: GatewayStack) -> None:
    """Someone opens a large file on a bad line; the others of the team open theirs meanwhile."""
    box = open_box("dovecot", full_stack)
    subject = secrets.token_hex(8)
    content = os.urandom(MEBIBYTE) * 24
    entry = deliver(box, with_attachment(content, "base64", subject), subject)
    (attachment,) = box.read(box.store(with_attachment(b"small", "base64")))["attachments"]
    with box.api.http.stream("GET", f"{message_path(box.account, entry['id'])}/source") as slow:
        assert slow.status_code == 200
        for _ in range(3):
            answer = box.api.http.get(f"{box.path}/attachment/{attachment['id']}", timeout=10.0)
            assert (answer.status_code, answer.content) == (200, b"small")
        assert sum(map(len, slow.iter_bytes(MEBIBYTE))) > len(content)


def test_a_message_of_150_megabytes_passes_through_little_memory(full_stack: GatewayStack) -> None:
    """Neither the worker nor the API process holds what it passes on."""
    box = open_box("dovecot", full_stack)
    subject = secrets.token_hex(8)
    content = os.urandom(MEBIBYTE) * (LARGE * 3 // 4 // MEBIBYTE)
    raw = with_attachment(content, "base64", subject)
    assert len(raw) > LARGE
    entry = deliver(box, raw, subject)
    (attachment,) = entry["attachments"]
    wanted = {
        f"{message_path(box.account, entry['id'])}/source": hashlib.sha256(raw).hexdigest(),
        f"{box.path}/attachment/{attachment['id']}": hashlib.sha256(content).hexdigest(),
    }
    del raw, content
    try:
        with growth_bounded([full_stack.server, *full_stack.running_workers]):
            for path, digest in wanted.items():
                assert digest_of(box.api.http, path) == digest
    finally:
        box.api.delete(message_path(box.account, entry["id"]), force=True)

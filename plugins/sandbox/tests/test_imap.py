"""The IMAP server, with the client library the gateway uses."""

from __future__ import annotations

import base64
import socket
import ssl
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import imapclient
import pytest
from imapclient.exceptions import IMAPClientError, LoginError

from gateway_sandbox import directory
from gateway_sandbox.testing import ALICE, BOB, CAROL, MAIL_SCOPES, RunningSandbox

Login = Callable[..., imapclient.IMAPClient]
SUPPORT = directory.SUPPORT.address
MESSAGE = b"From: x@outside.example\r\nTo: bob@contoso.test\r\nSubject: new\r\nMessage-ID: <n@x>\r\n\r\nHello\r\n"


class Wire:
    """One TLS connection, a line at a time: for what a client library hides."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        raw = socket.create_connection(("localhost", sandbox.endpoints.imap_port), timeout=10)
        self._socket: ssl.SSLSocket = sandbox.tls.wrap_socket(raw, server_hostname="localhost")
        self._file = self._socket.makefile("rb")
        self.greeting = self.line()

    def line(self) -> bytes:
        return self._file.readline()

    def send(self, line: bytes) -> None:
        self._socket.sendall(line + b"\r\n")

    def command(self, command: bytes) -> list[bytes]:
        self.send(b"a " + command)
        lines = [self.line()]
        while lines[-1] and not lines[-1].startswith(b"a "):
            lines.append(self.line())
        return lines

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        self._socket.close()


def xoauth2(user: str, token: str) -> bytes:
    return base64.b64encode(f"user={user}\x01auth=Bearer {token}\x01\x01".encode())


def test_it_greets_and_announces_like_exchange(sandbox: RunningSandbox) -> None:
    """No capabilities in the greeting, no CONDSTORE ever: the gateway has to cope with that."""
    with Wire(sandbox) as wire:
        assert wire.greeting.startswith(b"* OK The Microsoft Exchange IMAP4 service is ready. [")
        before = set(wire.command(b"CAPABILITY")[0].split()[2:])
        assert wire.command(b"AUTHENTICATE XOAUTH2 " + xoauth2(ALICE, sandbox.access_token())) == [
            b"a OK AUTHENTICATE completed.\r\n"
        ]
        after = set(wire.command(b"CAPABILITY")[0].split()[2:])
    assert {b"AUTH=PLAIN", b"AUTH=XOAUTH2", b"SASL-IR", b"LITERAL+", b"IDLE"} <= before
    assert {b"MOVE", b"UIDPLUS", b"NAMESPACE", b"UNSELECT"} <= after
    assert not {b"CONDSTORE", b"QRESYNC", b"ENABLE"} & (before | after)


def test_login_without_initial_response_takes_long_tokens(sandbox: RunningSandbox) -> None:
    """Clients without SASL-IR send the token after a challenge; tokens of 4 kB are usual."""
    with Wire(sandbox) as wire:
        wire.send(b"a AUTHENTICATE XOAUTH2")
        assert wire.line() == b"+ \r\n"
        wire.send(xoauth2(ALICE, sandbox.access_token()))
        assert wire.line() == b"a OK AUTHENTICATE completed.\r\n"
    with Wire(sandbox) as wire:
        assert wire.command(b"AUTHENTICATE XOAUTH2 " + xoauth2(ALICE, "x" * 8000)) == [b"a NO AUTHENTICATE failed.\r\n"]


@pytest.mark.parametrize(
    "who",
    ["garbage token", "other person", "smtp scope only", "graph token", "shared mailbox of another", "run out"],
)
def test_refusals_say_nothing(sandbox: RunningSandbox, who: str) -> None:
    """Exchange gives no reason and no JSON, whatever was wrong."""
    mailbox = ALICE
    match who:
        case "garbage token":
            token = "rubbish"
        case "other person":
            token = sandbox.access_token(BOB)
        case "smtp scope only":
            token = sandbox.sign_in(ALICE, (f"{directory.OUTLOOK}/SMTP.Send",))["access_token"]
        case "graph token":
            token = sandbox.sign_in(ALICE, (f"{directory.GRAPH}/Mail.ReadWrite",))["access_token"]
        case "shared mailbox of another":
            mailbox, token = SUPPORT, sandbox.access_token(BOB)
        case _:
            token = sandbox.access_token()
            sandbox.clock.ahead = timedelta(hours=2)
    with Wire(sandbox) as wire:
        assert wire.command(b"AUTHENTICATE XOAUTH2 " + xoauth2(mailbox, token)) == [b"a NO AUTHENTICATE failed.\r\n"]


def test_bad_sasl_is_a_bad_command(sandbox: RunningSandbox) -> None:
    """A malformed response is the client's bug and is told apart from a refusal."""
    with Wire(sandbox) as wire:
        assert wire.command(b"AUTHENTICATE XOAUTH2 " + base64.b64encode(b"nonsense"))[0].startswith(b"a BAD ")


def test_delegate_opens_the_shared_mailbox(sandbox: RunningSandbox, imap: Login) -> None:
    """IMAP logs in as the shared address with the delegate's own token."""
    client = imap(SUPPORT, sandbox.access_token(ALICE))
    assert client.select_folder("INBOX")[b"EXISTS"] == 2


def test_app_only_token_opens_any_mailbox(sandbox: RunningSandbox, imap: Login) -> None:
    """Client credentials with IMAP.AccessAsApp, after an administrator's mailbox permission."""
    answer = sandbox.token_request(grant_type="client_credentials", scope=f"{directory.OUTLOOK}/.default").json()
    assert imap(CAROL, answer["access_token"]).select_folder("INBOX")[b"EXISTS"] > 5


def test_password_mailbox(sandbox: RunningSandbox) -> None:
    """The one mailbox for plain IMAP accounts; nobody of the tenant has a password."""
    port = sandbox.endpoints.imap_port
    with imapclient.IMAPClient("localhost", port, ssl_context=sandbox.tls, timeout=10) as client:
        client.login(directory.DAVE.address, directory.DAVE.password)
        assert client.folder_exists("Sent")
    with imapclient.IMAPClient("localhost", port, ssl_context=sandbox.tls, timeout=10) as client:
        client.plain_login(directory.DAVE.address, directory.DAVE.password)
    client = imapclient.IMAPClient("localhost", port, ssl_context=sandbox.tls, timeout=10)
    with pytest.raises(LoginError, match=r"LOGIN failed\."):
        client.login(ALICE, directory.DAVE.password)
    client.shutdown()


def test_folders_are_outlooks(imap: Login) -> None:
    """Folders that hold no mail are listed too, and the flags come without SPECIAL-USE being announced."""
    listed = {name: flags for flags, _, name in imap().list_folders()}
    for name, flag in (
        ("Sent Items", b"\\Sent"),
        ("Deleted Items", b"\\Trash"),
        ("Junk Email", b"\\Junk"),
        ("Drafts", b"\\Drafts"),
    ):
        assert flag in listed[name]
    assert {"INBOX", "Archive", "Calendar", "Contacts", "Outbox", "Notes"} <= set(listed)


def test_append_gives_the_uid_and_keeps_flags_and_date(imap: Login) -> None:
    """UIDPLUS is what lets the gateway name what it has just stored."""
    client = imap()
    answer = client.append("Drafts", MESSAGE, flags=(rb"\Draft", rb"\Seen"))
    assert b"APPENDUID" in answer
    client.select_folder("Drafts")
    (uid,) = client.search(["SUBJECT", "new"])
    found = client.fetch([uid], ["FLAGS", "BODY.PEEK[]", "RFC822.SIZE"])[uid]
    assert found[b"BODY[]"] == MESSAGE
    assert found[b"RFC822.SIZE"] == len(MESSAGE)
    assert set(found[b"FLAGS"]) == {rb"\Draft", rb"\Seen"}


def test_move_tells_both_sides(sandbox: RunningSandbox, imap: Login) -> None:
    """A move is an expunge here and a new UID there (RFC 6851)."""
    uid = sandbox.deliver(ALICE, MESSAGE)
    client, watcher = imap(), imap()
    watcher.select_folder("INBOX")
    client.select_folder("INBOX")
    before = watcher.folder_status("INBOX", ["MESSAGES"])[b"MESSAGES"]
    client.move([uid], "Archive")
    assert watcher.folder_status("INBOX", ["MESSAGES"])[b"MESSAGES"] == before - 1
    client.select_folder("Archive")
    assert client.search(["HEADER", "Message-ID", "<n@x>"])


def test_idle_wakes_up_for_new_mail_and_changed_flags(sandbox: RunningSandbox, imap: Login) -> None:
    """Watching mailboxes is built on this."""
    watcher, other = imap(BOB), imap(BOB)
    exists = watcher.select_folder("INBOX")[b"EXISTS"]
    watcher.idle()
    uid = sandbox.deliver(BOB, MESSAGE)
    assert (exists + 1, b"EXISTS") in told(watcher, b"EXISTS")
    other.select_folder("INBOX")
    other.add_flags([uid], [rb"\Flagged"])
    assert any(b"FLAGS" in line[2] for line in told(watcher, b"FETCH"))
    other.delete_messages([uid])
    other.expunge([uid])
    assert told(watcher, b"EXPUNGE")
    watcher.idle_done()


def told(client: imapclient.IMAPClient, word: bytes) -> list[tuple[Any, ...]]:
    """Wait until an idling client is told something; idle_check also returns, empty, when TLS itself has traffic."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        lines = [line for line in client.idle_check(timeout=1) if line[1] == word]
        if lines:
            return lines
    return []


def test_folders_can_be_made_renamed_and_deleted_but_not_the_default_ones(imap: Login) -> None:
    """Exchange refuses to lose its default folders."""
    client = imap(CAROL)
    client.create_folder("Projects")
    client.create_folder("Projects/Aurora")
    client.rename_folder("Projects", "Old & done")
    names = {name for _, _, name in client.list_folders()}
    assert {"Old & done", "Old & done/Aurora"} <= names
    client.delete_folder("Old & done/Aurora")
    client.delete_folder("Old & done")
    with pytest.raises(IMAPClientError):
        client.delete_folder("Sent Items")
    with pytest.raises(IMAPClientError):
        client.rename_folder("Drafts", "Mine")


def test_recreated_folder_has_another_uidvalidity(imap: Login) -> None:
    """Otherwise a client would take new messages for ones it knows."""
    client = imap(CAROL)
    client.create_folder("Temporary")
    first = client.folder_status("Temporary", ["UIDVALIDITY"])[b"UIDVALIDITY"]
    client.delete_folder("Temporary")
    client.create_folder("Temporary")
    assert client.folder_status("Temporary", ["UIDVALIDITY"])[b"UIDVALIDITY"] > first


def test_namespace_unselect_id(imap: Login) -> None:
    """They are announced, so they work."""
    client = imap()
    assert client.namespace().personal == (("", "/"),)
    client.select_folder("INBOX")
    client.unselect_folder()
    assert client.id_({"name": "test"})


def test_session_ends_when_the_token_runs_out(sandbox: RunningSandbox) -> None:
    """Exchange hangs up on IDLE too; whoever watches has to come back with a new token."""
    sandbox.http.post("/sandbox/tokens/expire", json={"lifetime": 2}).raise_for_status()
    with Wire(sandbox) as wire:
        # Tokens tell whole seconds: one of a single second may be over at once.
        answer = wire.command(b"AUTHENTICATE XOAUTH2 " + xoauth2(ALICE, sandbox.access_token()))
        assert answer[-1].startswith(b"a OK")
        wire.command(b"SELECT INBOX")
        wire.send(b"b IDLE")
        wire.line()
        assert wire.line() == b"* BYE Session invalidated - AccessTokenExpired\r\n"


@pytest.mark.parametrize("act", ["expire", "revoke"])
def test_sessions_end_when_tokens_are_invalidated(sandbox: RunningSandbox, act: str) -> None:
    """An administrator who revokes a grant ends what is open."""
    with Wire(sandbox) as wire:
        wire.command(b"AUTHENTICATE XOAUTH2 " + xoauth2(ALICE, sandbox.access_token()))
        if act == "expire":
            sandbox.http.post("/sandbox/tokens/expire").raise_for_status()
        else:
            sandbox.fail("grant_revoked", user=ALICE)
        assert wire.line() == b"* BYE Session invalidated - AccessTokenExpired\r\n"
        assert wire.line() == b""


def test_a_client_that_speaks_after_the_goodbye_is_nothing_to_report(
    sandbox: RunningSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Its DONE and our BYE cross each other whenever a token runs out; OpenSSL complains then."""
    with Wire(sandbox) as wire:
        wire.command(b"AUTHENTICATE XOAUTH2 " + xoauth2(ALICE, sandbox.access_token()))
        wire.command(b"SELECT INBOX")
        wire.send(b"b IDLE")
        wire.line()
        sandbox.http.post("/sandbox/tokens/expire").raise_for_status()
        wire.send(b"DONE")
        while wire.line():
            pass
    with Wire(sandbox) as after:
        assert after.greeting.startswith(b"* OK")
    assert [record.name for record in caplog.records if record.levelname == "ERROR"] == []


def test_not_connected_mailbox(sandbox: RunningSandbox) -> None:
    """Login succeeds and the next command fails: the classic of a mailbox whose IMAP is off."""
    sandbox.fail("mailbox_not_connected", user=ALICE)
    with Wire(sandbox) as wire:
        wire.command(b"AUTHENTICATE XOAUTH2 " + xoauth2(ALICE, sandbox.access_token()))
        assert wire.command(b"CAPABILITY")[-1].startswith(b"a OK")
        assert wire.command(b"SELECT INBOX") == [b"a BAD User is authenticated but not connected.\r\n"]
        sandbox.reset()
        assert wire.command(b"SELECT INBOX")[-1].startswith(b"a OK")


def test_throttled_connection_is_told_how_long_and_closed(sandbox: RunningSandbox) -> None:
    """The BYE comes after the BAD, so that a client can read the reason."""
    with Wire(sandbox) as wire:
        wire.command(b"AUTHENTICATE XOAUTH2 " + xoauth2(ALICE, sandbox.access_token()))
        sandbox.fail("throttled", user=ALICE, seconds=90)
        assert wire.command(b"SELECT INBOX") == [
            b"a BAD Request is throttled. Suggested Backoff Time: 90000 milliseconds\r\n"
        ]
        assert wire.line() == b"* BYE Connection closed. 14\r\n"
        assert wire.line() == b""


def test_unavailable_server_says_bye(sandbox: RunningSandbox) -> None:
    """A temporary failure before login must not look like a wrong token."""
    sandbox.fail("temporarily_unavailable")
    with Wire(sandbox) as wire:
        assert wire.greeting == b"* BYE Server Unavailable. 15\r\n"


def test_tenant_aliases_do_not_matter_for_the_mailbox(sandbox: RunningSandbox, imap: Login) -> None:
    """Scopes may name either of Microsoft's two hosts of the mail service."""
    scopes = tuple(scope.replace("outlook.office.com", "outlook.office365.com") for scope in MAIL_SCOPES)
    assert imap(BOB, sandbox.sign_in(BOB, scopes)["access_token"]).noop()

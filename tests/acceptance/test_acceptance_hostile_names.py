"""Names that break programs, through API, workers and mail servers: the right result or a clear refusal."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Iterator
from email.message import Message
from typing import Any
from urllib.parse import quote, unquote

import pytest

from tests.acceptance.boxes import KINDS, Box, open_box, refused
from tests.acceptance.stack import GatewayStack

#: Good or bad, no name may do more than name one thing.
NAMES = (
    *("*", "%", "a*", "a%", "INBOX*", "%/%", "[a-z]*", "?", "^", "$", "~", "~root", "#shared", "&", "&-", "&&", "a&b"),
    *("&AOQ-", "&AOQ", "&zzzz-", "&ZeVnLIqe-", "Ä", "日本語", "\U0001f4a9", "é", "e\u0301", "\u202etxt.exe", "\ufeffx"),
    *('"', '"a"', "a\\", "\\", "\\\\", "\\Nothing", "'", "a'b", "`id`", "$(id)", "${x}", "{0}", "%s%n", "(a)", "a]b"),
    *(
        "..",
        ".",
        "../x",
        "..\\x",
        "../../etc/passwd",
        "/",
        "//",
        "/etc",
        "a/../b",
        "a//b",
        "a/",
        "/a",
        "a..b",
        ".a",
        "a.",
    ),
    *(" ", " a", "a ", "a  b", "NIL", "nil", "{5}", "{5+}", "~{5}", "INBOX.x", "inbox", "LOGOUT", "a\u00a0b"),
    *("cur", "new", "tmp", "maildirfolder", "__proto__", "<script>", "a;b", "a,b", "a|b", "x" * 200),
)
#: Nothing can have these names; each would end a line, a string or a buffer somewhere.
IMPOSSIBLE = ("a\r\nA1 LOGOUT", "a\nb", "a\rb", "\0", "a\0b", "\x1b[2J", "\x7f", "x" * 4096, "ä" * 4096)


@pytest.fixture(scope="module", params=KINDS)
def box(request: pytest.FixtureRequest, full_stack: GatewayStack) -> Box:
    """An account of every kind."""
    return open_box(request.param, full_stack)


@pytest.fixture(scope="module")
def other(full_stack: GatewayStack) -> Box:
    """Somebody else's account."""
    return open_box("maildir", full_stack)


@pytest.fixture
def unharmed(box: Box, other: Box) -> Iterator[None]:
    """Afterwards every mailbox is there that was, and the account works."""
    before = box.mailboxes(), other.mailboxes(), other.api.messages(other.account)["total"]
    yield
    assert (box.mailboxes(), other.mailboxes(), other.api.messages(other.account)["total"]) == before
    assert box.api.account(box.account)["state"] == "connected"


def letter(subject: str = "x") -> bytes:
    return f"From: a@example.org\r\nSubject: {subject}\r\n\r\nText\r\n".encode()


@pytest.mark.usefixtures("unharmed")
def test_a_mailbox_has_exactly_the_name_that_was_asked_for_or_there_is_none(box: Box) -> None:
    """It is created, listed, filled, read, renamed and deleted by its name, and nothing else is touched."""
    before = box.mailboxes()
    made = 0
    for name in NAMES:
        answer = box.try_call("POST", "/mailbox", {"path": name})
        if isinstance(answer, str) or not answer["created"]:
            assert not box.mailboxes() - before, (name, answer)
            assert isinstance(answer, str) or name in before or name.upper() == "INBOX", f"there was no {name!r}"
            continue
        made += 1
        assert name in box.mailboxes(), name
        use_and_delete(box, name)
        for path in sorted(box.mailboxes() - before, key=len, reverse=True):
            assert name.startswith(path), f"{path!r} was left by {name!r}"
            box.api.delete(f"{box.path}/mailbox", path=path)
    assert made > len(NAMES) / 3


def use_and_delete(box: Box, name: str) -> None:
    subject = secrets.token_hex(8)
    id = box.store(letter(subject), name)
    listed = box.api.messages(box.account, name)
    assert [(entry["id"], entry["subject"]) for entry in listed["messages"]] == [(id, subject)], name
    assert box.read(id)["path"] == name
    moved = box.api.put(f"{box.path}/message/{id}/move", {"path": "INBOX"})
    back = box.api.put(f"{box.path}/message/{moved['id']}/move", {"path": name})
    assert back["path"] == name
    assert box.source(back["id"]) == letter(subject)
    assert box.api.delete(f"{box.path}/mailbox", path=name)["deleted"] is True


@pytest.mark.usefixtures("unharmed")
def test_the_name_of_no_mailbox_names_none(box: Box) -> None:
    """Wildcards of LIST, paths and line ends do not reach anything, whichever operation they are given to."""
    id = box.store(letter("stays"))
    there = {path.upper() for path in box.mailboxes()}
    for name in (*(name for name in NAMES if name.upper() not in there), *IMPOSSIBLE):
        for method, path, body, query in (
            ("GET", "/messages", None, {"path": name}),
            ("POST", "/search", {"search": {"subject": "x"}}, {"path": name}),
            ("PUT", f"/message/{id}/move", {"path": name}, {}),
            ("POST", "/message", {"path": name, "raw": base64.b64encode(letter()).decode()}, {}),
            ("PUT", "/mailbox", {"path": name, "newPath": "new"}, {}),
            ("DELETE", "/mailbox", None, {"path": name}),
            ("DELETE", "/messages", None, {"path": name}),
        ):
            answer = box.try_call(method, path, body, **query)
            assert isinstance(answer, str), f"{method} {path} {name!r}: {answer}"
    assert box.read(id)["subject"] == "stays"


@pytest.mark.usefixtures("unharmed")
def test_impossible_names_are_not_created(box: Box) -> None:
    """As a whole and as a segment; nor does a mailbox get such a name later."""
    box.api.post(f"{box.path}/mailbox", {"path": "Renamed"})
    for name in IMPOSSIBLE:
        for method, body in (
            ("POST", {"path": name}),
            ("POST", {"path": ["a", name]}),
            ("PUT", {"path": "Renamed", "newPath": name}),
            ("PUT", {"path": "Renamed", "newPath": ["Renamed", name]}),
        ):
            assert isinstance(box.try_call(method, "/mailbox", body), str), (method, name)
    assert box.api.delete(f"{box.path}/mailbox", path="Renamed")["deleted"] is True


@pytest.mark.usefixtures("unharmed")
def test_half_a_surrogate_pair_is_refused_everywhere(box: Box) -> None:
    """JSON can write it, UTF-8 cannot."""
    id = box.store(letter())
    for method, path, body in (
        ("POST", "/mailbox", {"path": "a\ud800"}),
        ("PUT", "/mailbox", {"path": "INBOX", "newPath": "\udfff"}),
        ("PUT", f"/message/{id}/move", {"path": "\ud800"}),
        ("PUT", f"/message/{id}", {"flags": {"add": ["\ud800"]}}),
        ("POST", "/search?path=INBOX", {"search": {"subject": "\ud800"}}),
        ("POST", "/message", {"path": "INBOX", "subject": "\ud800", "text": "x"}),
        ("POST", "/message", {"path": "INBOX", "attachments": [{"filename": "\udc00", "content": "eA=="}]}),
    ):
        content = json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        answer = box.api.http.request(method, f"{box.path}{path}", content=content, headers=headers)
        assert refused(answer) == "InvalidJson", path
    assert refused(box.api.http.get(f"{box.path}/messages?path=%ED%A0%80")) == "InvalidRequest"


@pytest.mark.usefixtures("unharmed")
def test_what_is_searched_for_is_text_and_nothing_else(box: Box) -> None:
    """No criterion ends its string: a search for strange text finds what has it, and only that."""
    if box.kind == "maildir":
        assert box.try_call("POST", "/search", {"search": {"subject": "x"}}, path="INBOX") == "UnsupportedOperation"
        return
    mark = secrets.token_hex(8)
    id = box.store(letter(f'{mark} "quoted\\" (NIL) {{5}} * % ä'))
    box.store(letter("another"))
    for text in (f'{mark} "quoted\\"', f"{mark}", '\\" (NIL) {5} * % ä'):
        found = box.try_call("POST", "/search", {"search": {"subject": text, "from": "a@"}}, path="INBOX")
        assert [entry["id"] for entry in found["messages"]] == [id], text
    strange = [name for name in NAMES if name.strip(" \ufeff")]
    for text in (*strange, *IMPOSSIBLE, 'x" ALL', "x\r\nA1 DELETE INBOX\r\n", '" OR ALL "', "{3}\r\nALL", "x) ALL ("):
        for member in ("subject", "from", "body", "to", "emailId", "threadId", "uid", "seq"):
            found = box.try_call("POST", "/search", {"search": {member: f"{mark}{text}"}}, path="INBOX")
            assert isinstance(found, str) or not found["messages"], (member, text)
        for name, value in ((text, mark), ("X-Mark", f"{mark}{text}")):
            found = box.try_call("POST", "/search", {"search": {"header": {name: value}}}, path="INBOX")
            assert isinstance(found, str) or not found["messages"], (name, value)


SETS = (
    "0",
    "0:0",
    "*",
    "*:*",
    "1:*",
    "4294967295",
    "4294967296",
    "9999999999",
    "٣",
    "1,",
    "1:",
    "1 ALL",
    "1\r\n",
    "1:2:3",
)


@pytest.mark.parametrize("member", ["uid", "seq"])
def test_a_set_of_numbers_is_one_or_is_refused(box: Box, member: str) -> None:
    """RFC 9051 section 9: seq-number is a non-zero number of 32 bits, in ASCII digits."""
    for text in SETS:
        answer = box.try_call("POST", "/search", {"search": {member: text}}, path="INBOX")
        allowed = {"UnsupportedOperation"} if box.kind == "maildir" else {"InvalidRequest"}
        assert not isinstance(answer, str) or answer in allowed, (text, answer)


@pytest.mark.usefixtures("unharmed")
def test_flags_with_other_characters_change_nothing(box: Box) -> None:
    """A flag is an atom (RFC 9051 section 9); what is none is refused before the server sees it."""
    id = box.store(letter())
    for flag in (
        "a b",
        "a)",
        "(",
        "x\r\nA1 LOGOUT",
        "a\0",
        '"',
        "\\Seen) (\\Deleted",
        "ä",
        "*",
        "%",
        "\\",
        "",
        "x" * 4096,
    ):
        for change in ("add", "delete", "set"):
            answer = box.try_call("PUT", f"/message/{id}", {"flags": {change: [flag]}})
            assert isinstance(answer, str) or box.kind == "maildir", (change, flag)
        payload = {"path": "INBOX", "raw": base64.b64encode(letter()).decode(), "flags": [flag]}
        answer = box.try_call("POST", "/message", payload)
        assert isinstance(answer, str) or box.kind == "maildir", flag
    assert not box.read(id).get("flags")


@pytest.mark.usefixtures("unharmed")
def test_a_header_is_one_line_and_comes_back_as_it_was_given(box: Box) -> None:
    """No value becomes a header of its own, and none is lost on the way."""
    for value in (*NAMES, "=?utf-8?q?x?=", "=?", "a\tb", "a: b", "Bcc: c@example.org", "x" * 900, "ä" * 900):
        payload = {
            "path": "INBOX",
            "subject": value,
            "from": {"name": value[:256], "address": "a@example.org"},
            "to": [{"name": value[:256], "address": "b@example.org"}],
            "text": value,
            "headers": {"X-Value": value},
        }
        answer = box.try_call("POST", "/message", payload)
        assert not isinstance(answer, str), (value, answer)
        found = box.read(answer["id"], textType="plain")
        # A zero-width space that begins a text is taken for a byte order mark, and shows nothing either way.
        wanted = value.removeprefix("\ufeff")
        # Servers may bring white space inside into form (RFC 9051 section 7.5.2); the header is as it is.
        shown = (found["subject"], found["from"].get("name", ""), found["to"][0].get("name", ""))
        assert [squeezed(text) for text in shown] == [squeezed(wanted), *[squeezed(wanted[:256].strip())] * 2], value
        assert found["headers"]["subject"] == [wanted], value
        # A further header may have been encoded by the caller.
        assert "=?" in value or found["headers"].get("x-value", [""]) == [wanted.strip(" ")], value
        assert "bcc" not in found["headers"]
        assert found["text"]["plain"].rstrip("\n") == value.removeprefix("\ufeff"), value


def squeezed(text: str) -> str:
    return re.sub(" +", " ", text)


@pytest.mark.usefixtures("unharmed")
def test_header_injection_is_refused(box: Box) -> None:
    """In values and in names."""
    for text in ("x\r\nBcc: c@example.org", "x\nBcc: c", "x\r", "x\n\n<b>body</b>", "x\0y"):
        for members in (
            {"subject": text},
            {"from": {"name": text, "address": "a@example.org"}},
            {"to": [{"name": "x", "address": f"{text}@example.org"}]},
            {"headers": {"X-Value": text}},
            {"headers": {text: "x"}},
            {"messageId": f"<{text}@example.org>"},
            {"attachments": [{"filename": "x", "content": "eA==", "contentType": text}]},
        ):
            answer = box.try_call("POST", "/message", {"path": "INBOX", "text": "x", **members})
            assert isinstance(answer, str), members


def parsed(disposition: str) -> tuple[str, str]:
    """Return type and file name of a Content-Disposition as a browser reads it (RFC 6266 section 4.3)."""
    assert "\r" not in disposition
    assert "\n" not in disposition
    message = Message()
    message["Content-Disposition"] = disposition
    extended = message.get_param("filename*", None, "content-disposition", unquote=False)
    assert extended is None
    name = message.get_param("filename", "", "content-disposition")
    shown = unquote(name[2], name[0] or "utf-8") if isinstance(name, tuple) else str(name)
    return disposition.partition(";")[0], shown


@pytest.mark.usefixtures("unharmed")
def test_a_file_name_is_kept_and_is_harmless_when_it_is_downloaded(box: Box) -> None:
    """The message tells the name as it is; the name of the download leads to no other directory."""
    for name in (*NAMES, "a.tar.gz", 'a"b.txt', "a;b.txt", "a%20b.txt", "=?utf-8?q?x?=", "ä" * 120 + ".pdf"):
        attachment = {"filename": name, "content": base64.b64encode(b"content").decode(), "contentType": "text/html"}
        answer = box.try_call("POST", "/message", {"path": "INBOX", "text": "x", "attachments": [attachment]})
        assert not isinstance(answer, str), (name, answer)
        (found,) = box.read(answer["id"])["attachments"]
        assert found.get("filename", "") == name.removeprefix("\ufeff"), name
        download = box.attachment(found["id"])
        assert download.content == b"content"
        kind, shown = parsed(download.headers["content-disposition"])
        assert kind == "attachment"
        assert shown.isprintable()
        assert shown not in ("", ".", "..")
        assert not set(shown) & set("/\\")
        if name.isalpha() and name.isascii() and len(name) < 200:
            assert shown == name


IDS = (
    *(
        "*",
        "%",
        "?",
        ".",
        "..%2F",
        "%2e%2e%2f%2e%2e",
        "%00",
        "%0d%0aA1%20LOGOUT",
        "%ED%A0%80",
        "%FF",
        "'",
        '"',
        "A" * 11,
    ),
    *("A" * 4096, "-" * 11, "_" * 11, "AAAAAAAAAAA=", "AAAAAQAAAAE", "AAAAAQAAAAE%20", "AAAAAQAAAAEx", "٣" * 11),
    *(
        base64.urlsafe_b64encode(text).decode().rstrip("=")
        for text in (b"INBOX/../x", b"../x/1", b"/etc/passwd", b"a\0/b")
    ),
    *(
        base64.urlsafe_b64encode(b"INBOX/" + text).decode().rstrip("=")
        for text in (b"*", b"..", b"\xff", b"", b"1/1.1*")
    ),
)


@pytest.mark.usefixtures("unharmed")
def test_an_id_that_was_never_given_out_names_nothing(box: Box) -> None:
    """Of messages, texts and attachments, whichever operation it is given to."""
    for id in (id if "%" in id else quote(id, safe="") for id in IDS):
        for method, path, body in (
            ("GET", f"/message/{id}", None),
            ("GET", f"/message/{id}/source", None),
            ("GET", f"/text/{id}", None),
            ("GET", f"/attachment/{id}", None),
            ("PUT", f"/message/{id}", {"flags": {"add": ["\\Seen"]}}),
            ("PUT", f"/message/{id}/move", {"path": "Archive"}),
            ("DELETE", f"/message/{id}", None),
        ):
            refused(box.api.http.request(method, f"{box.path}{path}", json=body))


@pytest.mark.usefixtures("unharmed")
def test_the_ids_of_one_account_do_not_open_the_mail_of_another(box: Box, other: Box) -> None:
    """An id is looked up in the account of the path alone."""
    secret = secrets.token_hex(8)
    raw = (
        f"Subject: {secret}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{secret}\r\n"
        f"--b\r\nContent-Type: application/x\r\nContent-Disposition: attachment; filename=x\r\n\r\n{secret}\r\n"
        "--b--\r\n"
    ).encode()
    id = box.store(raw)
    found = box.read(id)
    for path in (
        f"/message/{id}",
        f"/message/{id}/source",
        f"/text/{found['text']['id']}",
        f"/attachment/{found['attachments'][0]['id']}",
    ):
        answer = other.api.http.get(f"{other.path}{path}")
        assert secret not in answer.text
        refused(answer)
    for method, path, body in (("PUT", "", {"flags": {"add": ["\\Seen"]}}), ("DELETE", "", None)):
        refused(other.api.http.request(method, f"{other.path}/message/{id}{path}", json=body))
    assert box.source(id) == raw


ACCOUNTS = (
    "*",
    "a/b",
    "../x",
    "a b",
    '"',
    "'",
    "a%b",
    "a:b",
    "{a}",
    "Ä",
    "\U0001f4a9",
    "a\\b",
    "x" * 256,
    "..",
    "a?b#c",
)


def test_accounts_with_strange_ids_are_kept_apart(full_stack: GatewayStack) -> None:
    """Each id names its own account, and deleting one deletes no other."""
    api = full_stack.api
    members: dict[str, Any] = {"name": "Strange", "email": "s@example.org", "provider": "maildir"}
    made = []
    for id in ACCOUNTS:
        answer = api.http.post("/v1/account", json={"account": id, **members, "settings": {"path": "nowhere"}})
        if answer.status_code == 200:
            made.append(id)
        else:
            refused(answer)
    assert len(made) > len(ACCOUNTS) / 2
    for id in made:
        path = "/v1/account/" + quote(id, safe="").replace(".", "%2e")
        assert api.get(path)["account"] == id
        assert api.delete(path)["account"] == id
        assert refused(api.http.get(path)) == "AccountNotFound"
        left = made[made.index(id) + 1 :]
        assert all(api.get("/v1/account/" + quote(id, safe="").replace(".", "%2e"))["account"] == id for id in left)

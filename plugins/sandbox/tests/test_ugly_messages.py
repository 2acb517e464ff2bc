"""Messages that break the rules of mail spoil nothing: they are shown like all others, by IMAP and by Graph."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import imapclient
import pytest

from gateway_sandbox.testing import ALICE, RunningSandbox
from tests.rigs.graph_client import GraphClient
from tests.samples.torture import samples

Login = Callable[..., imapclient.IMAPClient]
Graph = Callable[..., GraphClient]

_BODY = b"\r\n\r\nHello\r\n"
_EVERYTHING = (
    "subject,from,sender,toRecipients,ccRecipients,bccRecipients,replyTo,internetMessageHeaders,body,bodyPreview,"
    "importance,conversationId,conversationIndex,internetMessageId,sentDateTime,hasAttachments"
)
_FIELDS = (b"From", b"Sender", b"Reply-To", b"To", b"Cc", b"Bcc", b"Message-ID", b"In-Reply-To", b"References")
_LETTERS = {
    "an address in UTF-8": "From: üser@exämple.test\r\nTo: üser@exämple.test".encode(),
    "an address in octets of no charset": b"From: \xfcser@ex\xe4mple.test\r\nReply-To: \xff@\xff",
    "a line feed in an encoded name": b"From: =?utf-8?Q?a=0Ab?= <a@x.test>\r\nSubject: =?utf-8?Q?a=0Ab?=",
    "line feeds everywhere": b"\r\n".join(name + b": =?utf-8?Q?a=0D=0Ab?= <a@x.test>" for name in _FIELDS),
    "NUL": b"From: a\0b <a\0@x.test>\r\nSubject: a\0b\r\nMessage-ID: <a\0b@x>",
    "half a surrogate pair": b"From: =?utf-7?Q?+2AA-?= <a@x.test>\r\nSubject: =?utf-7?Q?+2AA-?= \xed\xa0\x80",
    "no header": b"",
    "no type": b"Content-Type: \r\nContent-Disposition: \r\nContent-Transfer-Encoding: \r\nContent-ID: ",
    "a type in octets": b"Content-Type: \xfc/\xfc; name=\xfc\r\nContent-Disposition: \xfc; filename=\xfc",
    "a file name that is no text": b"Content-Type: image/png; name*=utf-7''%2B2AA-\r\nContent-ID: <\xff>",
    "a file name of two lines": b'Content-Type: image/png; name="=?utf-8?Q?a=0Ab?="',
    "a file name of two octet lines": b"Content-Disposition: attachment; filename*=utf-8''a%0D%0Ab",
    "an impossible date": b"Date: Mon, 99 Foo 99999 99:99:99 +9999",
    "an importance of nothing": b"Importance: \r\nX-Priority: =?utf-8?Q?=20?=",
    "an unknown charset": b'Content-Type: text/plain; charset="no\0such"',
    "a charset that is none": b"Content-Type: text/plain; charset=rot13\r\nContent-Transfer-Encoding: base64",
    "an encoded message": b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64",
    "an empty boundary": b'Content-Type: multipart/mixed; boundary=""',
    "an attached ugly one": b"Content-Type: message/rfc822\r\n\r\nSubject: =?utf-8?Q?a=0Ab?= \xfc\r\nFrom: \xfc@\xfc",
}
_LONGEST = 100_000
UGLY = {
    **{name: header + _BODY for name, header in _LETTERS.items()},
    # The largest of them are about the time that reading takes, which is no concern of the sandbox.
    **{sample.name: sample.raw for sample in samples() if len(sample.raw) < _LONGEST},
}


@pytest.fixture
def folder(sandbox: RunningSandbox, graph: Graph) -> Iterator[str]:
    """The id of a new folder named Ugly."""
    client = graph()
    created: str = client.post("/me/mailFolders", {"displayName": "Ugly"})["id"]
    yield created
    client.call("DELETE", f"/me/mailFolders/{created}")


def test_every_ugly_message_is_listed_over_graph(sandbox: RunningSandbox, graph: Graph, folder: str) -> None:
    client, place = graph(), f"/me/mailFolders/{folder}/messages"
    for name, raw in UGLY.items():
        sandbox.deliver(ALICE, raw, "Ugly")
        listed = client.call("GET", place, params={"$top": "1", "$select": _EVERYTHING, "$expand": "attachments"})
        assert listed.status_code == 200, name
        message = listed.json()["value"][0]
        octets = client.call("GET", f"/me/messages/{message['id']}/$value")
        assert octets.content == raw, name
        for attached in message["attachments"]:
            path = f"/me/messages/{message['id']}/attachments/{attached['id']}"
            item = {"$expand": "microsoft.graph.itemattachment/item"} if "item" in attached["@odata.type"] else {}
            assert client.call("GET", path, params=item).status_code == 200, name
    assert len(client.all(place)) == len(UGLY)


def test_every_ugly_message_is_listed_and_searched_over_imap(sandbox: RunningSandbox, imap: Login, folder: str) -> None:
    uids = {sandbox.deliver(ALICE, raw, "Ugly"): name for name, raw in UGLY.items()}
    client = imap()
    client.select_folder("Ugly")
    for uid, name in uids.items():
        [found] = client.fetch([uid], ["BODYSTRUCTURE", "FLAGS", "BODY.PEEK[HEADER.FIELDS (References)]"]).values()
        assert found[b"BODYSTRUCTURE"], name
        # As it came: the client makes dates of dates, and fails at some.
        client._imap.uid("FETCH", str(uid), "(ENVELOPE BODY.PEEK[])")
    for key in "FROM", "SUBJECT":
        client.search([key, "no such text at all"])
    assert client.search("ALL") == list(uids)


def test_an_address_in_utf8_is_shown_as_written(sandbox: RunningSandbox, graph: Graph, folder: str) -> None:
    sandbox.deliver(ALICE, UGLY["an address in UTF-8"], "Ugly")
    [message] = graph().get(f"/me/mailFolders/{folder}/messages")["value"]
    assert message["from"]["emailAddress"]["address"] == "üser@exämple.test"


@pytest.mark.parametrize("of", ["draft", "answer"])
def test_a_message_that_is_refused_is_not_stored(graph: Graph, of: str) -> None:
    client = graph()
    original = client.get("/me/mailFolders/inbox/messages", params={"$top": "1"})["value"][0]["id"]
    before = client.call("GET", "/me/mailFolders/drafts/messages/$count").text
    if of == "draft":
        code = client.refusal("POST", "/me/messages", {"subject": "x", "noSuchThing": 1})
    else:
        code = client.refusal(
            "POST", f"/me/messages/{original}/createReply", {"message": {"flag": {"flagStatus": "?"}}}
        )
    octets = base64.b64encode(b"Subject: x\r\n\r\n").decode()
    client.refusal("POST", "/me/messages?$select=noSuchThing", headers={"content-type": "text/plain"}, content=octets)
    assert code == (400, "RequestBodyRead")
    assert client.call("GET", "/me/mailFolders/drafts/messages/$count").text == before

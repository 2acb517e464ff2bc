"""``$filter``, ``$orderby`` and ``$search``: what they find, and what Exchange refuses."""

from __future__ import annotations

from collections.abc import Iterator
from email import policy
from email.message import EmailMessage

import pytest

from gateway_sandbox.testing import CAROL, RunningSandbox
from tests.rigs.graph_client import GraphClient

PLACE = "/me/mailFolders/archive/messages"


def letter(subject: str, sender: str, text: str, *, to: str = CAROL, file: str | None = None) -> bytes:
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message.set_content(text)
    if file is not None:
        message.add_attachment(b"x", maintype="application", subtype="pdf", filename=file)
    return message.as_bytes()


@pytest.fixture(scope="module")
def client(module_sandbox: RunningSandbox) -> Iterator[GraphClient]:
    """Carol's archive with four messages, oldest first: invoice, Offer, Résumé, notes."""
    client = GraphClient(module_sandbox, CAROL)
    for message in client.all(f"{PLACE}?$select=id"):
        client.call("POST", f"/me/messages/{message['id']}/permanentDelete")
    for content in (
        letter("Invoice 42", "Ann <ann@north.example>", "Please pay the invoice", file="invoice-42.pdf"),
        letter("Offer", "Ben <ben@south.example>", "A special offer for you"),
        letter(
            "R\u00e9sum\u00e9 of a meeting",
            "Ann <ann@north.example>",
            "We met on Monday",
            to=f"{CAROL}, bob@contoso.test",
        ),
        letter("notes", "Zoe <zoe@south.example>", "It's done, invoices are paid"),
    ):
        module_sandbox.deliver(CAROL, content, "Archive")
    offer = client.get(f"{PLACE}?$filter=subject eq 'offer'")["value"][0]
    client.patch(
        f"/me/messages/{offer['id']}", {"isRead": True, "categories": ["Red"], "flag": {"flagStatus": "flagged"}}
    )
    yield client
    client.close()


def subjects(client: GraphClient, query: str) -> list[str]:
    return [message["subject"].split()[0] for message in client.get(f"{PLACE}?{query}")["value"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("isRead eq true", ["Offer"]),
        ("isRead eq false and hasAttachments eq true", ["Invoice"]),
        ("not (isRead eq false)", ["Offer"]),
        ("isRead ne false or startswith(subject,'inv')", ["Invoice", "Offer"]),
        ("from/emailAddress/address eq 'ANN@north.example'", ["Invoice", "R\u00e9sum\u00e9"]),
        ("contains(subject,'MEET')", ["R\u00e9sum\u00e9"]),
        ("contains(body/content,'it''s')", ["notes"]),
        ("categories/any(c:c eq 'red')", ["Offer"]),
        ("flag/flagStatus eq 'flagged'", ["Offer"]),
        ("importance eq 'normal' and receivedDateTime gt 2100-01-01T00:00:00Z", []),
        ("receivedDateTime ge 2020-01-01 and startswith(from/emailAddress/name,'Zoe')", ["notes"]),
    ],
)
def test_filters_find(client: GraphClient, query: str, expected: list[str]) -> None:
    """Texts without regard to case, as Exchange compares."""
    assert sorted(subjects(client, f"$filter={query}")) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("$orderby=subject", ["Invoice", "notes", "Offer", "R\u00e9sum\u00e9"]),
        ("$orderby=isRead desc,subject desc", ["Offer", "R\u00e9sum\u00e9", "notes", "Invoice"]),
        ("$orderby=receivedDateTime", ["Invoice", "Offer", "R\u00e9sum\u00e9", "notes"]),
        ("", ["notes", "R\u00e9sum\u00e9", "Offer", "Invoice"]),
        (
            "$filter=receivedDateTime ge 2020-01-01 and isRead eq false&$orderby=receivedDateTime",
            ["Invoice", "R\u00e9sum\u00e9", "notes"],
        ),
    ],
)
def test_order(client: GraphClient, query: str, expected: list[str]) -> None:
    """The newest first unless something else is asked for."""
    assert subjects(client, query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('"invoice"', ["Invoice"]),
        ('"invoice*"', ["Invoice", "notes"]),
        ('"from:ann"', ["Invoice", "R\u00e9sum\u00e9"]),
        ('"from:ann AND NOT subject:invoice"', ["R\u00e9sum\u00e9"]),
        ('"subject:offer OR subject:notes"', ["Offer", "notes"]),
        ('"resume"', ["R\u00e9sum\u00e9"]),
        ('"subject:\\"of a meeting\\""', ["R\u00e9sum\u00e9"]),
        ('"hasAttachment:true"', ["Invoice"]),
        ('"attachment:pdf"', ["Invoice"]),
        ('"recipients:bob"', ["R\u00e9sum\u00e9"]),
        ('"received>=2020-01-01 (paid pay)"', []),
        ('"received:today (paid OR pay)"', ["Invoice", "notes"]),
        ('"received:2001-01-01..2001-12-31"', []),
        ('"isread:true"', ["Offer"]),
        ("monday", ["R\u00e9sum\u00e9"]),
    ],
)
def test_searches_find(client: GraphClient, query: str, expected: list[str]) -> None:
    """Whole words, without regard to case and accents; words that follow each other must all be there."""
    assert sorted(subjects(client, f"$search={query}")) == expected


def test_search_pages_by_token(client: GraphClient) -> None:
    """A search cannot be skipped into."""
    first = client.get(f'{PLACE}?$search="received>=2020-01-01"&$top=3')
    assert "$skiptoken=" in first["@odata.nextLink"]
    second = client.get(first["@odata.nextLink"])
    assert len({message["id"] for message in first["value"] + second["value"]}) == 4
    assert "@odata.nextLink" not in second


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ('$search="x"&$orderby=subject', "SearchWithOrderBy"),
        ('$search="x"&$filter=isRead eq true', "SearchWithFilter"),
        ('$search="x"&$skip=1', "SearchWithSkip"),
        ("$search=from:ann", "BadRequest"),
        ('$search="(ann"', "BadRequest"),
        ("$filter=isRead eq true&$orderby=receivedDateTime", "InefficientFilter"),
        ("$filter=isRead eq true and receivedDateTime ge 2020-01-01&$orderby=receivedDateTime", "InefficientFilter"),
        ("$filter=toRecipients/any(r:r/emailAddress/address eq 'a@b.c')", "ErrorInvalidUrlQueryFilter"),
        ("$filter=endswith(subject,'x')", "ErrorInvalidUrlQueryFilter"),
        ("$filter=subject eq", "ErrorInvalidUrlQueryFilter"),
        ("$filter=nonsense eq 1", "ErrorInvalidUrlQueryFilter"),
        ("$orderby=toRecipients", "ErrorInvalidUrlQuery"),
        ("$top=0", "ErrorInvalidUrlQuery"),
        ("$top=1001", "ErrorInvalidUrlQuery"),
        ("$skip=-1", "ErrorInvalidUrlQuery"),
    ],
)
def test_what_exchange_refuses_to_combine(client: GraphClient, query: str, code: str) -> None:
    """A planner that is only tested against a service that can do everything fails on the first real mailbox."""
    assert client.refusal("GET", f"{PLACE}?{query}") == (400, code)

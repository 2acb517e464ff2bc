"""Finding the servers of an address, with a name server and web hosts on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from gateway.http import HttpClient
from gateway.services.autoconfig import AutoconfigService, Names
from gateway.services.autoconfig.service import DIRECTORY, DOCUMENT_LIMIT
from gateway.settings import Egress
from tests.rigs.name_server import NameServer, running_name_server
from tests.rigs.web_hosts import WebHosts, running_web_hosts

pytestmark = pytest.mark.anyio

EMAIL = "ada@mail.example"
WELL_KNOWN = "https://mail.example/.well-known/autoconfig/mail/config-v1.1.xml"
AUTOCONFIG = "https://autoconfig.mail.example/mail/config-v1.1.xml"


class Rig:
    """The service and what it asks."""

    def __init__(self, names: NameServer, hosts: WebHosts, http: HttpClient) -> None:
        self.names = names
        self.hosts = hosts
        self.service = AutoconfigService(Names(names.resolver()), http)

    async def find(self, email: str = EMAIL, *, timeout: float = 10.0) -> dict[str, Any]:
        """Return what the API answers."""
        found: dict[str, Any] = msgspec.to_builtins(await self.service.find(email, timeout=timeout))
        return found


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    names_with_certificates = ("mail.example", "autoconfig.mail.example", "other.example", "autoconfig.thunderbird.net")
    async with running_name_server() as names, running_web_hosts(*names_with_certificates) as hosts:
        http = HttpClient(Egress(private=True), tls=hosts.trust, resolver=hosts)
        yield Rig(names, hosts, http)
        await http.aclose()


def server(host: str, port: int, *, secure: bool, user: str = EMAIL) -> dict[str, Any]:
    return {"auth": {"user": user}, "host": host, "port": port, "secure": secure}


def document(host: str, *, incoming: str = "", prolog: str = "") -> bytes:
    """A document that names an IMAP server, and what else is wanted."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>{prolog}
    <clientConfig version="1.1"><emailProvider id="mail.example"><domain>mail.example</domain>
      {incoming}
      <incomingServer type="pop3"><hostname>pop.mail.example</hostname><port>995</port>
        <socketType>SSL</socketType><username>%EMAILADDRESS%</username></incomingServer>
      <incomingServer type="imap"><hostname>{host}</hostname><port>993</port>
        <socketType>SSL</socketType><username>%EMAILLOCALPART%</username></incomingServer>
      <outgoingServer type="smtp"><hostname>smtp.%EMAILDOMAIN%</hostname><port>587</port>
        <socketType>STARTTLS</socketType><username>%EMAILADDRESS%</username></outgoingServer>
    </emailProvider></clientConfig>""".encode()


async def test_the_customers_of_a_large_provider_are_recognised_by_who_takes_their_mail(rig: Rig) -> None:
    rig.names.add("mail.example", "MX", "10 mail-example.mail.protection.outlook.com.")
    assert await rig.find() == {
        "imap": server("outlook.office365.com", 993, secure=True),
        "smtp": server("smtp.office365.com", 587, secure=False),
        "_source": "mx",
    }
    assert rig.hosts.requests == []


@pytest.mark.parametrize(
    ("exchanger", "imap", "smtp"),
    [
        ("aspmx.l.google.com", ("imap.gmail.com", 993, True), ("smtp.gmail.com", 465, True)),
        ("outlook-com.olc.protection.outlook.com", ("outlook.office365.com", 993, True), None),
        ("contoso-com.a-v1.mx.microsoft", ("outlook.office365.com", 993, True), ("smtp.office365.com", 587, False)),
        ("mx-aol.mail.gm0.yahoodns.net", ("imap.aol.com", 993, True), ("smtp.aol.com", 465, True)),
        ("in1-smtp.messagingengine.com", ("imap.fastmail.com", 993, True), ("smtp.fastmail.com", 465, True)),
    ],
)
async def test_providers_that_are_known(rig: Rig, exchanger: str, imap: Any, smtp: Any) -> None:
    rig.names.add("mail.example", "MX", "20 elsewhere.example.", f"10 {exchanger.upper()}.")
    found = await rig.find()
    assert (found["imap"]["host"], found["imap"]["port"], found["imap"]["secure"]) == imap
    smtp = smtp or ("smtp-mail.outlook.com", 587, False)
    assert (found["smtp"]["host"], found["smtp"]["port"], found["smtp"]["secure"]) == smtp


async def test_who_needs_an_app_password_is_told_how_to_get_one(rig: Rig) -> None:
    rig.names.add("gmail.com", "MX", "5 gmail-smtp-in.l.google.com.")
    found = (await rig.find("ada@gmail.com"))["appPassword"]
    assert found["required"] is True
    assert found["provider"] == "Google"
    assert "https://myaccount.google.com/apppasswords" in found["instructions"]


async def test_a_name_that_only_ends_like_a_provider_is_not_taken_for_it(rig: Rig) -> None:
    rig.names.add("mail.example", "MX", "5 evil-googlemail.com.")
    assert (await rig.find())["_source"] == "unknown"


async def test_srv_records_name_the_servers(rig: Rig) -> None:
    rig.names.add("_imaps._tcp.mail.example", "SRV", "10 0 993 second.mail.example.", "0 1 9930 IMAP.mail.example.")
    rig.names.add("_imap._tcp.mail.example", "SRV", "0 1 143 imap.mail.example.")
    rig.names.add("_submission._tcp.mail.example", "SRV", "0 1 587 smtp.mail.example.")
    assert await rig.find() == {
        "imap": server("imap.mail.example", 9930, secure=True),
        "smtp": server("smtp.mail.example", 587, secure=False),
        "_source": "srv",
    }


async def test_tls_from_the_first_octet_is_preferred_for_sending(rig: Rig) -> None:
    rig.names.add("_imap._tcp.mail.example", "SRV", "0 1 143 imap.mail.example.")
    rig.names.add("_submission._tcp.mail.example", "SRV", "0 1 587 smtp.mail.example.")
    rig.names.add("_submissions._tcp.mail.example", "SRV", "0 1 465 smtp.mail.example.")
    found = await rig.find()
    assert found["imap"] == server("imap.mail.example", 143, secure=False)
    assert found["smtp"] == server("smtp.mail.example", 465, secure=True)


async def test_a_service_that_is_said_not_to_be_offered_is_none(rig: Rig) -> None:
    """RFC 6186 section 3.4: the target is a single dot."""
    rig.names.add("_imaps._tcp.mail.example", "SRV", "0 0 0 .")
    rig.names.add("_submissions._tcp.mail.example", "SRV", "0 1 465 smtp.mail.example.")
    assert await rig.find() == {"imap": False, "smtp": False, "_source": "unknown"}


async def test_the_document_of_the_domain_names_the_servers(rig: Rig) -> None:
    rig.hosts.page(AUTOCONFIG, document("imap.mail.example"))
    assert await rig.find() == {
        "imap": server("imap.mail.example", 993, secure=True, user="ada"),
        "smtp": server("smtp.mail.example", 587, secure=False),
        "_source": "autoconfig",
    }


async def test_the_lookups_count_in_their_order_however_fast_they_are(rig: Rig) -> None:
    rig.hosts.page(f"{DIRECTORY}mail.example", document("mozilla.mail.example"))
    rig.hosts.page(AUTOCONFIG, document("autoconfig.mail.example"))
    assert (await rig.find())["_source"] == "autoconfig"
    rig.hosts.page(WELL_KNOWN, document("well-known.mail.example"))
    assert (await rig.find())["_source"] == "well-known"
    rig.names.add("_imaps._tcp.mail.example", "SRV", "0 1 993 imap.mail.example.")
    assert (await rig.find())["_source"] == "srv"


async def test_mozillas_directory_is_asked_for_the_host_of_the_domain_too(rig: Rig) -> None:
    rig.names.add("mail.example", "MX", "10 mx1.host.example.")
    rig.hosts.page(f"{DIRECTORY}host.example", document("imap.host.example"))
    found = await rig.find()
    assert (found["_source"], found["imap"]["host"]) == ("mozilla", "imap.host.example")


async def test_the_address_is_told_to_its_own_domain_alone_and_only_over_tls(rig: Rig) -> None:
    assert (await rig.find())["_source"] == "unknown"
    told = {url.partition("?")[0] for url in rig.hosts.requests if "ada" in url}
    assert told == {WELL_KNOWN, AUTOCONFIG}
    assert "http://autoconfig.mail.example/mail/config-v1.1.xml" in rig.hosts.requests


async def test_a_redirect_is_followed_but_not_out_of_tls(rig: Rig) -> None:
    rig.hosts.page("https://other.example/conf.xml", document("imap.other.example"))
    rig.hosts.page("http://other.example/conf.xml", document("imap.plain.example"))
    rig.hosts.page(WELL_KNOWN, b"", status=302, Location="http://other.example/conf.xml")
    assert (await rig.find())["_source"] == "unknown"
    rig.hosts.page(WELL_KNOWN, b"", status=301, Location="https://other.example/conf.xml")
    assert (await rig.find())["imap"]["host"] == "imap.other.example"
    rig.hosts.page(WELL_KNOWN, b"", status=302, Location=WELL_KNOWN)
    assert (await rig.find())["_source"] == "unknown"


ENTITIES = '<!DOCTYPE c [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(document("imap.mail.example", prolog=ENTITIES), id="entities"),
        pytest.param(document("imap.mail.example", prolog="<!DOCTYPE c SYSTEM 'http://other.example/'>"), id="type"),
        pytest.param(document("imap.mail.example", incoming=f"<!--{'x' * DOCUMENT_LIMIT}-->"), id="too large"),
        pytest.param(b"<html><body>Not found<br></body>", id="not XML"),
        pytest.param(b"<?xml version='1.0' encoding='klingon'?><clientConfig/>", id="no such encoding"),
        pytest.param(b"\xff\xfe\x00\xd8", id="not text"),
        pytest.param(b"<a>" * 20_000, id="deep"),
        pytest.param(document("127.0.0.1"), id="an address for a name"),
        pytest.param(document("imap.mail.example/../"), id="no name of a host"),
        pytest.param(document("imap.mail.example").replace(b"993", b"99999"), id="no port"),
        pytest.param(document("imap.mail.example").replace(b"SSL", b"plain"), id="without TLS"),
    ],
)
async def test_a_document_that_is_not_in_order_names_nothing(rig: Rig, body: bytes) -> None:
    rig.hosts.page(AUTOCONFIG, body)
    assert await rig.find() == {"imap": False, "smtp": False, "_source": "unknown"}
    assert any(url.startswith(AUTOCONFIG) for url in rig.hosts.requests)


async def test_documents_are_fetched_only_from_where_the_egress_rules_allow(rig: Rig) -> None:
    rig.hosts.page(AUTOCONFIG, document("imap.mail.example"))
    http = HttpClient(Egress(), tls=rig.hosts.trust, resolver=rig.hosts)
    found = await AutoconfigService(Names(rig.names.resolver()), http).find(EMAIL, timeout=10)
    await http.aclose()
    assert found.source == "unknown"
    assert rig.hosts.requests == []


async def test_a_lookup_that_hangs_costs_its_share_of_the_time_and_no_more(rig: Rig) -> None:
    rig.names.silent = True
    rig.hosts.hang(WELL_KNOWN)
    rig.hosts.page(AUTOCONFIG, document("imap.mail.example"))
    assert (await rig.find(timeout=0.6))["_source"] == "autoconfig"


@pytest.mark.parametrize("email", ["ada@localhost", "ada@127.0.0.1", "ada@[127.0.0.1]", "ada@a..b", "ada@-", "ada"])
async def test_nobody_is_asked_for_what_is_no_domain(rig: Rig, email: str) -> None:
    assert await rig.find(email) == {"imap": False, "smtp": False, "_source": "unknown"}
    assert (rig.names.asked, rig.hosts.requests) == ([], [])


async def test_a_domain_in_other_letters_is_asked_for_in_ascii(rig: Rig) -> None:
    rig.names.add("xn--mller-kva.example", "MX", "10 mx1.mail.icloud.com.")
    assert (await rig.find("ada@Müller.example"))["imap"]["host"] == "imap.mail.me.com"

"""SPF, DKIM, DMARC, BIMI and ARC of messages, with keys of their own and a real name server."""

from __future__ import annotations

import base64
from typing import Any

import dkim
import msgspec
import nacl.signing
import pytest

from gateway.model.delivery_test import DeliveryReport
from tests.rigs.mail_domain import LETTER, SELECTOR, MailDomain
from tests.rigs.name_server import NameServer
from tests.unit.delivery_tests.conftest import Check

pytestmark = pytest.mark.anyio

#: Seconds for all questions to a name server that does not answer.
BRIEF = 0.4


async def test_everything_passes_where_everything_is_in_order(names: NameServer, check: Check) -> None:
    domain = MailDomain("example.test", names, bits=2048)
    domain.publish_key()
    domain.publish_spf("ip4:192.0.2.0/24 -all")
    domain.publish_dmarc("p=reject; adkim=s")
    domain.publish("default._bimi", "v=BIMI1; l=https://example.test/logo.svg; a=")
    report = await check(domain.seal(domain.sign()))
    for result in (report.spf, report.dmarc, report.bimi, report.arc, report.main_sig):
        assert result.status.result == "pass", result
    assert report.spf.status.aligned == report.main_sig.status.aligned == "example.test"
    assert (report.spf.client_ip, report.spf.rr) == ("192.0.2.1", "v=spf1 ip4:192.0.2.0/24 -all")
    assert report.main_sig == report.dkim.results[0]
    assert (report.main_sig.selector, report.main_sig.algo) == (SELECTOR, "rsa-sha256")
    assert report.main_sig.modulus_length == 2048
    assert (report.dmarc.policy, report.dmarc.p, report.dmarc.pct) == ("reject", "reject", 100)
    assert report.dmarc.alignment is not None
    assert (report.dmarc.alignment.dkim.result, report.dmarc.alignment.dkim.strict) == ("example.test", True)
    assert report.bimi.location == "https://example.test/logo.svg"
    assert report.arc.i == 1
    assert report.dkim.header_from == ("ann@example.test",)


async def test_nothing_is_claimed_of_a_domain_that_publishes_nothing(check: Check) -> None:
    report = await check()
    for result in (report.spf, report.dmarc, report.bimi, report.arc, report.main_sig):
        assert result.status.result == "none", result
    assert len(report.dkim.results) == 1


@pytest.mark.parametrize("how", ["silent", "broken"])
async def test_nobody_fails_because_the_name_server_does_not_answer(
    domain: MailDomain, names: NameServer, check: Check, how: str
) -> None:
    setattr(names, how, True)
    report = await check(domain.seal(domain.sign()), patience=BRIEF)
    for result in (report.spf, report.dmarc, report.bimi, report.arc, report.main_sig):
        assert result.status.result == "temperror", result


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        ("ip4:198.51.100.1 -all", "fail"),
        ("~all", "softfail"),
        ("?all", "neutral"),
        ("moo -all", "permerror"),
        ("include:nowhere.test -all", "permerror"),
        ("a:host.test mx:mail.test include:other.test -all", "pass"),
        ("a:one.test a:two.test a:three.test -all", "permerror"),
        (" ".join(f"a:h{number}.test" for number in range(11)) + " -all", "permerror"),
    ],
)
async def test_spf_says_what_the_record_says(
    domain: MailDomain, names: NameServer, check: Check, policy: str, verdict: str
) -> None:
    names.add("host.test", "A", "198.51.100.7")
    names.add("mail.test", "MX", "10 host.test.")
    names.add("other.test", "TXT", '"v=spf1 ip4:192.0.2.1 -all"')
    for number in range(11):
        names.add(f"h{number}.test", "A", "198.51.100.7")
    domain.publish_spf(policy)
    report = await check()
    assert report.spf.status.result == verdict
    assert report.spf.status.comment
    assert report.spf.lookups is not None
    assert report.spf.lookups.limit == 10


async def test_spf_of_a_notification_is_that_of_the_host(names: NameServer, check: Check) -> None:
    """It has no sender in its envelope; an address in IPv6 form is that of IPv4."""
    names.add("mx.example.test", "TXT", '"v=spf1 ip4:192.0.2.1 -all"')
    report = await check(mail_from="", ip="::ffff:192.0.2.1")
    assert (report.spf.status.result, report.spf.domain) == ("pass", "mx.example.test")


async def test_a_record_that_is_not_found_in_time_is_a_temporary_error_of_spf(
    domain: MailDomain, names: NameServer, check: Check
) -> None:
    domain.publish_spf("include:slow.test -all")
    names.mute.add("slow.test.")
    assert (await check(patience=BRIEF)).spf.status.result == "temperror"


@pytest.mark.parametrize(
    ("before", "after", "verdict", "reason"),
    [
        (b"hello\r\n", b"h3llo\r\n", "fail", "body hash mismatch"),
        (b"Subject: hello", b"Subject: other", "fail", "not of this header"),
        (b" bh=", b" bx=", "permerror", "missing"),
        (b"v=1;", b"v=9;", "permerror", "v="),
    ],
)
async def test_a_signature_that_does_not_fit_the_message_fails(
    domain: MailDomain, check: Check, before: bytes, after: bytes, verdict: str, reason: str
) -> None:
    domain.publish_key()
    domain.publish_dmarc("p=quarantine")
    head, body = domain.sign().split(b"\r\n\r\n")
    changed = body.replace(before, after) if before == b"hello\r\n" else body
    head = head if before == b"hello\r\n" else head.replace(before, after, 1)
    report = await check(head + b"\r\n\r\n" + changed)
    assert report.main_sig.status.result == verdict
    assert reason in (report.main_sig.status.comment or "")
    assert report.main_sig.status.aligned is None
    assert report.dmarc.status.result == "fail"


@pytest.mark.parametrize("key", [None, "v=DKIM1; k=rsa; p=", "v=DKIM1; k=rsa; p=!!!", "v=DKIM9; p=AAAA", "\\001\\255"])
async def test_a_key_that_is_none_is_an_error_of_the_signer(domain: MailDomain, check: Check, key: str | None) -> None:
    if key is not None:
        domain.publish(f"{SELECTOR}._domainkey", key)
    assert (await check(domain.sign())).main_sig.status.result == "permerror"


async def test_a_key_that_is_too_short_does_not_pass(names: NameServer, check: Check) -> None:
    for bits, verdict in ((1024, "pass"), (512, "policy")):
        short = MailDomain("example.test", names, bits=bits)
        short.publish_key()
        assert (await check(short.sign())).main_sig.status.result == verdict


async def test_a_signature_that_others_ignore_does_not_pass(domain: MailDomain, check: Check) -> None:
    """By an algorithm of old, or not of the author: the library takes both."""
    domain.publish_key()
    report = await check(domain.sign(signature_algorithm=b"rsa-sha1"))
    assert (report.main_sig.status.result, report.main_sig.algo) == ("permerror", "rsa-sha1")
    report = await check(domain.sign_without_author())
    assert report.main_sig.status.result == "permerror"
    assert "From is not signed" in (report.main_sig.status.comment or "")
    assert report.main_sig.status.aligned is None


async def test_the_newer_kind_of_signature_is_known(domain: MailDomain, check: Check) -> None:
    """Ed25519 (RFC 8463)."""
    key = nacl.signing.SigningKey.generate()
    public = base64.b64encode(bytes(key.verify_key)).decode()
    domain.publish(f"{SELECTOR}._domainkey", f"v=DKIM1; k=ed25519; p={public}")
    header = dkim.sign(
        LETTER, SELECTOR.encode(), b"example.test", base64.b64encode(bytes(key)), signature_algorithm=b"ed25519-sha256"
    )
    assert (await check(header + LETTER)).main_sig.status.result == "pass"


async def test_the_signature_that_counts_is_the_authors(domain: MailDomain, names: NameServer, check: Check) -> None:
    """That of the service which sent it is above."""
    service = MailDomain("service.test", names)
    for one in (domain, service):
        one.publish_key()
    report = await check(service.sign(domain.sign()))
    assert [one.status.result for one in report.dkim.results] == ["pass", "pass"]
    assert [one.signing_domain for one in report.dkim.results] == ["service.test", "example.test"]
    assert report.main_sig.signing_domain == report.main_sig.status.aligned == "example.test"


async def test_a_foreign_signature_and_sender_do_not_make_dmarc_pass(
    domain: MailDomain, names: NameServer, check: Check
) -> None:
    stranger = MailDomain("stranger.test", names)
    stranger.publish_key()
    stranger.publish_spf("+all")
    domain.publish_dmarc("p=reject")
    report = await check(stranger.sign(), mail_from="x@stranger.test")
    assert (report.spf.status.result, report.main_sig.status.result) == ("pass", "pass")
    assert (report.spf.status.aligned, report.main_sig.status.aligned) == (None, None)
    assert report.dmarc.status.result == "fail"
    assert report.dmarc.alignment is not None
    assert (report.dmarc.alignment.spf.result, report.dmarc.alignment.dkim.result) == (False, False)


@pytest.mark.parametrize(
    ("author", "signer", "tags", "verdict"),
    [
        ("mail.example.com", "example.com", "p=reject; sp=quarantine", "pass"),
        ("mail.example.com", "news.example.com", "p=reject", "pass"),
        ("mail.example.com", "example.com", "p=reject; adkim=s", "fail"),
        ("example.com", "com", "p=reject", "fail"),
        ("ann.github.io", "bob.github.io", "p=reject", "fail"),
        ("ann.github.io", "github.io", "p=reject", "fail"),
        ("example.co.uk", "other.co.uk", "p=reject", "fail"),
    ],
)
async def test_domains_are_one_organization_as_the_public_suffix_list_says(
    names: NameServer, check: Check, author: str, signer: str, tags: str, verdict: str
) -> None:
    signing = MailDomain(signer, names)
    signing.publish_key()
    organization = {"mail.example.com": "example.com"}.get(author, author)
    names.add(f"_dmarc.{organization}", "TXT", f'"v=DMARC1; {tags}"')
    letter = LETTER.replace(b"ann@example.test", f"ann@{author}".encode())
    report = await check(signing.sign(letter), mail_from=f"ann@{author}")
    assert report.main_sig.status.result == "pass"
    assert report.dmarc.status.result == verdict
    assert report.dmarc.domain == organization
    assert report.dmarc.policy == ("quarantine" if "sp=" in tags else "reject")


@pytest.mark.parametrize(
    ("texts", "verdict"),
    [
        (("v=DMARC1; p=none", "v=DMARC1; p=reject"), "none"),
        (("v=spf1 -all", "v=DMARC1; p=none"), "fail"),
        (("v=DMARC1; rua=mailto:x@example.test",), "permerror"),
        (("v=DMARC1; p=maybe",), "permerror"),
        (("v=DMARC1",), "permerror"),
    ],
)
async def test_records_of_dmarc_are_read_as_the_standard_says(
    domain: MailDomain, check: Check, texts: tuple[str, ...], verdict: str
) -> None:
    domain.publish("_dmarc", *texts)
    assert (await check()).dmarc.status.result == verdict


async def test_dmarc_does_not_fail_because_a_key_could_not_be_had(
    domain: MailDomain, names: NameServer, check: Check
) -> None:
    domain.publish_dmarc("p=reject")
    names.mute.add(f"{SELECTOR}._domainkey.example.test.")
    report = await check(domain.sign(), patience=BRIEF)
    assert report.main_sig.status.result == "temperror"
    assert report.dmarc.status.result == "temperror"


@pytest.mark.parametrize(
    ("text", "policy", "verdict"),
    [
        ("v=BIMI1; l=https://example.test/l.svg", "p=none", "skipped"),
        ("v=BIMI1; l=https://example.test/l.svg", "p=reject; aspf=s", "pass"),
        ("v=BIMI1; l=; a=", "p=reject", "declined"),
        ("something else", "p=reject", "none"),
    ],
)
async def test_a_picture_counts_only_with_a_policy(
    domain: MailDomain, check: Check, text: str, policy: str, verdict: str
) -> None:
    domain.publish_spf("+all")
    domain.publish_dmarc(policy)
    domain.publish("default._bimi", text)
    assert (await check()).bimi.status.result == verdict


async def test_a_chain_is_followed_through_every_host(domain: MailDomain, names: NameServer, check: Check) -> None:
    list_host, other = MailDomain("list.test", names), MailDomain("other.test", names)
    for one in (domain, list_host, other):
        one.publish_key()
    chain = other.seal(list_host.seal(domain.sign()), "arc=pass")
    report = await check(chain)
    assert (report.arc.status.result, report.arc.i) == ("pass", 2)
    report = await check(chain.replace(b"Subject: hello", b"Subject: other"))
    assert (report.arc.status.result, report.arc.i) == ("fail", 2)
    report = await check(chain.replace(b"i=1; cv=none", b"i=1; cv=pass"))
    assert report.arc.status.result == "fail"


@pytest.mark.parametrize("kept", [b"arc-seal", b"arc-message-signature", b"arc-authentication-results"])
async def test_a_chain_with_a_missing_link_fails(domain: MailDomain, check: Check, kept: bytes) -> None:
    domain.publish_key()
    sealed = domain.seal(LETTER)
    start = sealed.lower().index(kept + b":")
    report = await check(sealed[:start] + b"X-" + sealed[start:])
    assert report.arc.status.result == "fail"


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        (b"", "permerror"),
        (b"From: a@example.test\r\nFrom: b@other.test\r\n", "permerror"),
        (b"From: a@example.test, b@other.test\r\n", "permerror"),
        (b"From: nobody\r\n", "permerror"),
        (b"From: a@example.test, b@EXAMPLE.test\r\n", "fail"),
        ("From: ann@b\u00fccher.test\r\n".encode(), "fail"),
    ],
)
async def test_the_author_is_one_domain_or_none(
    domain: MailDomain, names: NameServer, check: Check, header: bytes, verdict: str
) -> None:
    domain.publish_dmarc("p=none")
    names.add("_dmarc.xn--bcher-kva.test", "TXT", '"v=DMARC1; p=none"')
    report = await check(header + b"Subject: x\r\n\r\nhello\r\n")
    assert report.dmarc.status.result == verdict


GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "no header": b"\r\n\r\nhello",
    "folded at once": b" folded\r\nFrom: ann@example.test\r\n\r\n",
    "octets": bytes(range(256)) * 4,
    "no end": b"From: ann@example.test",
    "no tags": b"DKIM-Signature: \r\n" + LETTER,
    "tags without a name": b"DKIM-Signature: =;=;;\r\n" + LETTER,
    "zeros": b"DKIM-Signature: v=1; a=rsa-sha256; b=\0; bh=\0; d=\0; h=from; s=\0\r\n" + LETTER,
    "octets in the domain": b"DKIM-Signature: v=1; a=rsa-sha256; b=AAAA; bh=AAAA; d=\xff..\xfe; h=from; s=.\r\n"
    + LETTER,
    "long labels": b"DKIM-Signature: v=1; a=rsa-sha256; b=AAAA; bh=AAAA; d="
    + b"x" * 80
    + b"; h=from; s=y\r\n"
    + LETTER,
    "white": b"DKIM-Signature: v=1; b" + b" \r\n" * 2000 + b" =;\r\n" + LETTER,
    "huge instance": b"ARC-Seal: i=" + b"9" * 5000 + b"\r\nARC-Seal: i=999999999\r\n" + LETTER,
    "negative instance": b"ARC-Seal: i=-1\r\nARC-Message-Signature: i=0; a\r\n" + LETTER,
    "many signatures": b"DKIM-Signature: v=1; d=a; s=b\r\n" * 2000 + LETTER,
    "many sets": b"".join(b"ARC-Seal: i=%d; a=1\r\n" % number for number in range(1, 2000)) + LETTER,
    "deep comments": b"From: " + b"(" * 20000 + b"ann@example.test\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_is_told_as_garbage_and_soon(check: Check, name: str) -> None:
    report = await check(GARBAGE[name], patience=BRIEF)
    assert report.main_sig.status.result in ("none", "permerror", "fail")
    assert report.arc.status.result in ("none", "fail")
    assert report.dmarc.status.result in ("none", "permerror")
    assert len(report.dkim.results) <= 5


@pytest.mark.parametrize(
    "members",
    [
        {"mail_from": "@"},
        {"mail_from": "a@b@c"},
        {"mail_from": "\u00e4@\u00fc.test"},
        {"mail_from": "a@" + "x" * 70 + ".test"},
        {"mail_from": "a@[192.0.2.1]"},
        {"mail_from": "", "helo": ""},
        {"mail_from": "", "helo": "[192.0.2.1]"},
        {"mail_from": "%{d}@%{i}.test"},
        {"mail_from": "\udcff@\udcfe.test", "helo": "\udcff"},
        {"ip": "fe80::1%eth0"},
        {"ip": ""},
    ],
)
async def test_no_name_of_a_sender_breaks_the_check(check: Check, members: dict[str, Any]) -> None:
    report = await check(**members)
    assert report.spf.status.result in ("none", "permerror")
    assert msgspec.json.decode(msgspec.json.encode(report), type=DeliveryReport) == report


async def test_questions_about_one_message_are_bounded(domain: MailDomain, names: NameServer, check: Check) -> None:
    """A record that leads from name to name ends after ten steps, and each is asked for once."""
    domain.publish_spf("include:n0.test -all")
    for number in range(40):
        names.add(f"n{number}.test", "TXT", f'"v=spf1 include:n{number + 1}.test include:n{number + 1}.test -all"')
    assert (await check()).spf.status.result == "permerror"
    assert len(names.asked) == len(set(names.asked)) < 30

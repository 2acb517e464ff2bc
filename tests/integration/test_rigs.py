"""The rigs behave as the tests that stand on them assume, seen through the client libraries that the product uses."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import ssl
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiosmtplib
import httpx
import imapclient
import msal
import pytest
import redis
from imapclient.exceptions import LoginError

from tests.rigs.certificates import Certificates
from tests.rigs.dovecot import GUEST_PASSWORD, Dovecot
from tests.rigs.exchange_front import ExchangeFront
from tests.rigs.identity_provider import CLIENT_SECRET, IdentityProvider
from tests.rigs.introspection import IntrospectionEndpoint
from tests.rigs.issuer import CLIENT_ID, IMAP_SCOPE, SMTP_SCOPE, TokenIssuer
from tests.rigs.labs import Lab
from tests.rigs.loop_thread import LoopThread
from tests.rigs.postfix import Postfix
from tests.rigs.processes import wait_until
from tests.rigs.redis_server import RedisServer

ALICE, BOB, CAROL = "alice@contoso.test", "bob@contoso.test", "carol@contoso.test"
REDIRECT = "http://127.0.0.1:5000/oauth"
SCOPES = [IMAP_SCOPE, SMTP_SCOPE]
# MSAL recommends form_post; a GET is what registered gateways have used for years.
pytestmark = pytest.mark.filterwarnings("ignore:response_mode='form_post' is recommended")
Connect = Callable[[tuple[str, int]], imapclient.IMAPClient]


@pytest.fixture
def connect(certificates: Certificates) -> Connect:
    """Open an IMAP connection over TLS."""
    context = certificates.client_context()
    return lambda address: imapclient.IMAPClient(*address, ssl_context=context, timeout=10)


@pytest.fixture
def msal_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine's own certificate bundle would win over the rig's authority in the HTTP library below MSAL."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def _message(subject: str, sender: str = ALICE, recipient: str = BOB) -> bytes:
    return f"From: {sender}\r\nTo: {recipient}\r\nSubject: {subject}\r\n\r\nHello\r\n".encode()


def _submit(postfix: Postfix, certificates: Certificates, token: str, sender: str, recipient: str) -> None:
    async def submit() -> None:
        client = aiosmtplib.SMTP(
            hostname="localhost",
            port=postfix.submission_port,
            start_tls=True,
            tls_context=certificates.client_context(),
            timeout=10,
        )
        async with client:
            await client.auth_xoauth2(ALICE, token)
            await client.sendmail(sender, [recipient], _message("submitted", sender, recipient))

    asyncio.run(submit())


def _application(certificates: Certificates, authority: str) -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        CLIENT_ID,
        client_credential=CLIENT_SECRET,
        authority=authority,
        instance_discovery=False,
        verify=str(certificates.authority),
        http_cache={},
    )


def test_redis_keeps_what_it_acknowledged_through_a_kill(durable_redis: RedisServer) -> None:
    """Tests of crash recovery blame the product for what Redis lost, unless Redis loses nothing."""
    with redis.Redis.from_url(durable_redis.url) as client:
        client.set("key", "value")
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    durable_redis.kill()
    durable_redis.start()
    with redis.Redis.from_url(durable_redis.socket_url) as client:
        assert client.get("key") == b"value"


def test_each_test_has_an_empty_redis_database(redis_server: RedisServer, redis_url: str) -> None:
    """Keys of one test must not be met by another."""
    with redis.Redis.from_url(redis_url) as client, redis.Redis.from_url(redis_server.url) as other:
        assert client.dbsize() == 0
        client.set("key", "value")
        assert other.get("key") is None


def test_full_personality_offers_what_dovecot_can(
    dovecot: Dovecot, token_issuer: TokenIssuer, connect: Connect
) -> None:
    """Both token mechanisms, the modern extensions, and Outlook's folders."""
    with connect(dovecot.full) as client:
        client.oauthbearer_login(ALICE, token_issuer.mint(ALICE))
        assert {b"CONDSTORE", b"QRESYNC", b"IDLE", b"MOVE", b"UIDPLUS"} <= set(client.capabilities())
        folders = {name: flags for flags, _, name in client.list_folders()}
    assert b"\\Sent" in folders["Sent Items"]
    assert set(folders) >= {"INBOX", "Sent Items", "Deleted Items", "Junk Email", "Drafts", "Archive"}


def test_exchange_personality_hides_what_exchange_lacks(
    exchange_front: ExchangeFront, token_issuer: TokenIssuer, connect: Connect
) -> None:
    """The list before login differs from the one after it, and neither has CONDSTORE."""
    with connect(exchange_front.address) as client:
        assert b"CAPABILITY" not in client.welcome
        assert b"LOGINDISABLED" in client.capabilities()
        client.oauth2_login(ALICE, token_issuer.mint(ALICE))
        capabilities = set(client.capabilities())
        assert client.select_folder("INBOX")[b"UIDVALIDITY"]
    assert b"LOGINDISABLED" not in capabilities
    assert {b"IDLE", b"MOVE", b"UIDPLUS"} <= capabilities
    assert not {b"CONDSTORE", b"QRESYNC", b"SPECIAL-USE"} & capabilities


def test_exchange_refuses_tokens_without_saying_why(
    exchange_front: ExchangeFront, token_issuer: TokenIssuer, connect: Connect
) -> None:
    """A bare NO; code that waits for the challenge of RFC 7628 would hang here."""
    with connect(exchange_front.address) as client:
        with pytest.raises(LoginError, match=r"^AUTHENTICATE failed\.$"):
            client.oauth2_login(ALICE, token_issuer.mint(BOB))
        with pytest.raises(LoginError, match="LOGIN failed"):
            client.login(ALICE, "password")


def test_exchange_may_authenticate_and_not_connect(
    exchange_front: ExchangeFront, token_issuer: TokenIssuer, connect: Connect
) -> None:
    """A good token for a mailbox whose IMAP is switched off."""
    exchange_front.behaviour.unavailable.add(ALICE)
    with connect(exchange_front.address) as client:
        client.oauth2_login(ALICE, token_issuer.mint(ALICE))
        with pytest.raises(imaplib.IMAP4.error, match="User is authenticated but not connected"):
            client.select_folder("INBOX")


def test_exchange_ends_sessions_whose_token_expired(
    exchange_front: ExchangeFront, token_issuer: TokenIssuer, connect: Connect, loop_thread: LoopThread
) -> None:
    """An untagged BYE and the end of the connection, in the middle of nothing."""
    client = connect(exchange_front.address)
    client.oauth2_login(ALICE, token_issuer.mint(ALICE))
    client.noop()
    loop_thread.run(exchange_front.end_sessions(ALICE))
    with pytest.raises(imaplib.IMAP4.abort):
        client.noop()
    client.shutdown()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda issuer: issuer.mint(BOB), id="another-user"),
        pytest.param(lambda issuer: issuer.mint(ALICE, lifetime=-5), id="expired"),
        pytest.param(lambda issuer: issuer.mint(ALICE, SMTP_SCOPE), id="scope-of-smtp"),
        pytest.param(lambda issuer: TokenIssuer().mint(ALICE, iss=issuer.url), id="foreign-signature"),
        pytest.param(lambda issuer: issuer.mint(ALICE, iss="https://elsewhere.test"), id="foreign-issuer"),
        pytest.param(lambda issuer: "not-a-token", id="malformed"),
    ],
)
def test_dovecot_refuses_tokens_that_are_not_good_for_the_mailbox(
    dovecot: Dovecot, token_issuer: TokenIssuer, connect: Connect, make: Callable[[TokenIssuer], str]
) -> None:
    """A rig that takes any token would hide every mistake in handling them."""
    with connect(dovecot.full) as client, pytest.raises(LoginError, match="AUTHENTICATIONFAILED"):
        client.oauth2_login(ALICE, make(token_issuer))


def test_a_revoked_token_stops_working_before_it_expires(
    revocable_dovecot: Dovecot, introspection: IntrospectionEndpoint, token_issuer: TokenIssuer, connect: Connect
) -> None:
    """Only the user's earlier tokens end: one issued afterwards is good."""
    token = token_issuer.mint(ALICE)
    with connect(revocable_dovecot.full) as client:
        client.oauth2_login(ALICE, token)
    introspection.end_user(ALICE)
    with connect(revocable_dovecot.full) as client, pytest.raises(LoginError):
        client.oauth2_login(ALICE, token)
    with connect(revocable_dovecot.full) as client:
        client.oauth2_login(ALICE, token_issuer.mint(ALICE))
    with connect(revocable_dovecot.full) as client, pytest.raises(LoginError):
        client.oauth2_login(BOB, token_issuer.mint(BOB, SMTP_SCOPE))


def test_delivery_wakes_an_idle_session(dovecot: Dovecot, connect: Connect) -> None:
    """Everything that watches mailboxes is tested by this."""
    user = dovecot.new_user()
    with connect(dovecot.full) as client:
        client.login(user, GUEST_PASSWORD)
        client.select_folder("INBOX")
        client.idle()
        dovecot.deliver(user, _message("wake up"))
        assert (1, b"EXISTS") in client.idle_check(timeout=5)
        client.idle_done()
    assert dovecot.mail_count(user) == 1


def test_deliveries_choose_their_mailbox(dovecot: Dovecot) -> None:
    """Also one that is new, nested, and has a dot in its name, as Exchange allows."""
    user = dovecot.new_user()
    dovecot.deliver(user, _message("filed"), "Projects/v1.0")
    assert [b"Subject: filed" in raw for raw in dovecot.raw_messages(user, "Projects/v1.0")] == [True]
    assert dovecot.mail_count(user) == 0


def test_filled_mailboxes_are_in_order(dovecot: Dovecot, connect: Connect) -> None:
    """UIDs ascend with the number of the message, whatever order the folder is read in."""
    user = dovecot.new_user()
    dovecot.fill(user, 300)
    with connect(dovecot.full) as client:
        client.login(user, GUEST_PASSWORD)
        assert client.select_folder("INBOX")[b"EXISTS"] == 300
        envelopes = client.fetch([1, 150, 300], ["ENVELOPE"])
    assert [envelopes[uid][b"ENVELOPE"].subject for uid in (1, 150, 300)] == [
        b"Message 0",
        b"Message 149",
        b"Message 299",
    ]


def test_submitted_mail_arrives(
    postfix: Postfix, dovecot: Dovecot, token_issuer: TokenIssuer, certificates: Certificates
) -> None:
    """From alice through submission, Postfix and LMTP to somebody else's INBOX."""
    user = dovecot.new_user()
    _submit(postfix, certificates, token_issuer.mint(ALICE), ALICE, user)
    wait_until(lambda: dovecot.mail_count(user) == 1, "delivery")
    assert b"Subject: submitted" in dovecot.raw_messages(user)[0]


def test_submission_refuses_tokens_for_imap_and_foreign_senders(
    postfix: Postfix, token_issuer: TokenIssuer, certificates: Certificates
) -> None:
    """The two refusals that Exchange words as 5.7.3 and SendAsDenied."""
    with pytest.raises(aiosmtplib.SMTPAuthenticationError):
        _submit(postfix, certificates, token_issuer.mint(ALICE, IMAP_SCOPE), ALICE, BOB)
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused, match="not owned by user"):
        _submit(postfix, certificates, token_issuer.mint(ALICE), BOB, CAROL)


def test_mail_to_nowhere_comes_back(
    postfix: Postfix, dovecot: Dovecot, token_issuer: TokenIssuer, certificates: Certificates
) -> None:
    """A delivery status notification (RFC 3464) made by a real server."""
    before = dovecot.mail_count(ALICE)
    _submit(postfix, certificates, token_issuer.mint(ALICE), ALICE, "nobody@contoso.test")
    wait_until(lambda: dovecot.mail_count(ALICE) > before, "bounce")
    bounce = dovecot.raw_messages(ALICE)[-1]
    assert b"message/delivery-status" in bounce
    assert b"Status: 5.1.1" in bounce


@pytest.mark.usefixtures("msal_environment")
def test_msal_signs_in_and_dovecot_takes_the_token(
    identity_provider: IdentityProvider, dovecot: Dovecot, certificates: Certificates, connect: Connect
) -> None:
    """The vendor's own library accepts the identity provider, and the mail server what it issues."""
    app = _application(certificates, identity_provider.authority)
    flow = app.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT)
    callback = identity_provider.sign_in(flow["auth_uri"], CAROL)
    tokens = app.acquire_token_by_auth_code_flow(flow, dict(parse_qsl(urlsplit(callback).query)))
    assert tokens["id_token_claims"]["preferred_username"] == CAROL
    with connect(dovecot.full) as client:
        client.oauth2_login(CAROL, tokens["access_token"])


@pytest.mark.usefixtures("msal_environment")
def test_refreshes_are_counted_and_end_with_the_grant(
    identity_provider: IdentityProvider, certificates: Certificates
) -> None:
    """Lifetimes can be switched, refresh tokens rotate, and revocation says so in Microsoft's form."""
    app = _application(certificates, identity_provider.authority)
    flow = app.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT)
    callback = identity_provider.sign_in(flow["auth_uri"], BOB)
    tokens = app.acquire_token_by_auth_code_flow(flow, dict(parse_qsl(urlsplit(callback).query)))
    identity_provider.reset()
    identity_provider.set_lifetime(90)
    renewed = app.acquire_token_by_refresh_token(tokens["refresh_token"], SCOPES)
    identity_provider.set_lifetime(3600)
    assert renewed["expires_in"] == 90
    assert renewed["refresh_token"] != tokens["refresh_token"]
    assert identity_provider.statistics()["refreshed_by_user"] == {BOB: 1}
    assert identity_provider.revoke(BOB) >= 1
    refused = app.acquire_token_by_refresh_token(renewed["refresh_token"], SCOPES)
    assert (refused["error"], refused["error_codes"]) == ("invalid_grant", [50173])


@pytest.mark.usefixtures("msal_environment")
def test_a_user_may_decline(identity_provider: IdentityProvider, certificates: Certificates) -> None:
    """The browser comes back with access_denied instead of a code."""
    flow = _application(certificates, identity_provider.authority).initiate_auth_code_flow(
        SCOPES, redirect_uri=REDIRECT
    )
    query = dict(parse_qsl(urlsplit(identity_provider.decline(flow["auth_uri"])).query))
    assert (query["error"], query["state"]) == ("access_denied", flow["state"])


@pytest.fixture(params=["full_lab", "exchange_lab", "sandbox_lab"])
def lab(request: pytest.FixtureRequest) -> Lab:
    """Every lab."""
    found: Lab = request.getfixturevalue(request.param)
    return found


def test_a_lab_is_a_complete_world(lab: Lab) -> None:
    """Sign in, read, lose the token, refresh, lose the grant: what the acceptance suite does through the gateway."""
    # Nobody's account outside of single tests: a gateway that runs beside this would lose its grant.
    user = lab.users[2]
    tokens = _redeem(lab, grant_type="authorization_code", code=_sign_in(lab, user), redirect_uri=REDIRECT)
    subject = f"lab {uuid.uuid4()}"
    lab.deliver(user, _message(subject, BOB, user))
    refreshes = lab.refresh_count()
    with _lab_session(lab, user, tokens["access_token"]) as session:
        session.select_folder("INBOX")
        assert len(session.search(["HEADER", "Subject", subject])) == 1
        lab.expire_access_tokens(user)
        with pytest.raises(imaplib.IMAP4.abort):
            session.noop()
    _assert_refused(lab, user, tokens["access_token"])
    renewed = _redeem(lab, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert lab.refresh_count() == refreshes + 1
    with _lab_session(lab, user, renewed["access_token"]):
        lab.revoke(user)
    _assert_refused(lab, user, renewed["access_token"])
    refused = _redeem(lab, grant_type="refresh_token", refresh_token=renewed["refresh_token"])
    assert (refused["error"], refused["error_codes"]) == ("invalid_grant", [50173])
    again = _redeem(lab, grant_type="authorization_code", code=_sign_in(lab, user), redirect_uri=REDIRECT)
    with _lab_session(lab, user, again["access_token"]):
        pass


def test_declining_in_a_lab_brings_the_browser_back_with_an_error(lab: Lab) -> None:
    """The user's no is an answer to the gateway, not the end of the sign-in on some page."""
    query = dict(parse_qsl(urlsplit(lab.decline(_authorization_url(lab), lab.users[0])).query))
    assert (query["error"], query["state"]) == ("access_denied", "lab-state")


def _endpoint(lab: Lab, name: str) -> str:
    return f"{lab.clouds_entry()['login']}/{lab.app_fields()['authority']}/oauth2/v2.0/{name}"


def _authorization_url(lab: Lab) -> str:
    query = {
        "client_id": lab.app_fields()["clientId"],
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": " ".join(["openid", "profile", "offline_access", *SCOPES]),
        "state": "lab-state",
        "prompt": "select_account",
    }
    return f"{_endpoint(lab, 'authorize')}?{urlencode(query)}"


def _sign_in(lab: Lab, user: str) -> str:
    callback = lab.sign_in(_authorization_url(lab), user)
    assert callback.startswith(REDIRECT)
    return dict(parse_qsl(urlsplit(callback).query))["code"]


def _redeem(lab: Lab, **form: str) -> dict[str, Any]:
    fields = lab.app_fields()
    form |= {"client_id": fields["clientId"], "client_secret": fields["clientSecret"]}
    context = ssl.create_default_context(cafile=lab.clouds_entry()["ca_file"])
    answer = httpx.post(_endpoint(lab, "token"), data=form, verify=context, trust_env=False)
    return dict(answer.json())


@contextlib.contextmanager
def _lab_session(lab: Lab, user: str, token: str) -> Iterator[imapclient.IMAPClient]:
    entry = lab.clouds_entry()
    context = ssl.create_default_context(cafile=entry["ca_file"])
    client = imapclient.IMAPClient(entry["imap"]["host"], entry["imap"]["port"], ssl_context=context, timeout=10)
    try:
        client.oauth2_login(user, token)
        yield client
    finally:
        client.shutdown()


def _assert_refused(lab: Lab, user: str, token: str) -> None:
    with pytest.raises(LoginError), _lab_session(lab, user, token):
        pass

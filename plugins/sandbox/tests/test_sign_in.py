"""Signing in, with Microsoft's own client library where it takes part."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msal
import pytest
import requests

from gateway_sandbox import directory
from gateway_sandbox.testing import ALICE, CAROL, MAIL_SCOPES, REDIRECT_URI, RunningSandbox, without_tls

SCOPES = list(MAIL_SCOPES)


class PlainLoopback:
    """An HTTP client for MSAL that takes the s off https://localhost, as the gateway's does."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, url: str, **arguments: Any) -> requests.Response:
        return self._session.get(without_tls(url), timeout=10, **arguments)

    def post(self, url: str, **arguments: Any) -> requests.Response:
        return self._session.post(without_tls(url), timeout=10, **arguments)

    def close(self) -> None:
        self._session.close()


def new_app(sandbox: RunningSandbox, tenant: str = "common") -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        directory.CLIENT_ID,
        client_credential=directory.CLIENT_SECRET,
        authority=f"{sandbox.endpoints.origin.replace('http:', 'https:')}/{tenant}",
        instance_discovery=False,
        http_client=PlainLoopback(),
    )


def start(app: msal.ConfidentialClientApplication, scopes: list[str] | None = None, **more: str) -> dict[str, Any]:
    more.setdefault("response_mode", "query")
    flow: dict[str, Any] = app.initiate_auth_code_flow(scopes or SCOPES, redirect_uri=REDIRECT_URI, **more)
    return flow


def sign_in(
    sandbox: RunningSandbox, scopes: list[str] | None = None
) -> tuple[msal.ConfidentialClientApplication, dict[str, Any]]:
    app = new_app(sandbox)
    flow = start(app, scopes, login_hint=ALICE)
    back = sandbox.decide(flow["auth_uri"], user=ALICE, action="accept")
    return app, app.acquire_token_by_auth_code_flow(flow, back)


def asked(flow: dict[str, Any]) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(flow["auth_uri"]).query))


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


def test_msal_completes_the_code_flow_with_pkce_and_nonce(sandbox: RunningSandbox) -> None:
    """The whole point: the unmodified library must take the sandbox for the real service."""
    app = new_app(sandbox)
    flow = start(app, login_hint=ALICE)
    assert "code_challenge_method=S256" in flow["auth_uri"]
    back = sandbox.decide(flow["auth_uri"], user=ALICE, action="accept")
    assert back["state"] == flow["state"]
    result = app.acquire_token_by_auth_code_flow(flow, back)
    assert "error" not in result
    # MSAL keeps the nonce and hands out its hash.
    assert result["id_token_claims"]["nonce"] in without_tls(flow["auth_uri"])
    assert result["id_token_claims"]["preferred_username"] == ALICE
    assert app.get_accounts()[0]["username"] == ALICE


def test_access_token_has_the_claims_mail_servers_read(sandbox: RunningSandbox) -> None:
    """Audience, scopes and identity decide what opens; the size is what makes servers cut lines."""
    result = sign_in(sandbox)[1]
    found = claims(result["access_token"])
    assert found["aud"] == directory.OUTLOOK
    assert found["scp"] == "IMAP.AccessAsUser.All SMTP.Send"
    assert (found["upn"], found["tid"]) == (ALICE, directory.TENANT_ID)
    assert {"name", "oid", "email", "preferred_username", "exp"} <= set(found)
    assert len(result["access_token"]) > 2000
    assert result["expires_in"] == 3600


def test_silent_refresh_rotates_and_the_old_refresh_token_stays_good(sandbox: RunningSandbox) -> None:
    """Entra does not revoke a refresh token when it is used; an issuer that did would hide bugs and invent others."""
    app, result = sign_in(sandbox)
    renewed = app.acquire_token_silent_with_error(SCOPES, app.get_accounts()[0], force_refresh=True)
    assert renewed["access_token"] != result["access_token"]
    rotated = next(iter(app.token_cache.search("RefreshToken")))["secret"]
    assert rotated != result["refresh_token"]
    again = new_app(sandbox).acquire_token_by_refresh_token(result["refresh_token"], SCOPES)
    assert "access_token" in again


def test_one_refresh_token_serves_both_resources(sandbox: RunningSandbox) -> None:
    """A refresh token is bound to user and app, not to a resource; each request is for one resource."""
    result = sign_in(sandbox, ["Mail.ReadWrite"])[1]
    assert claims(result["access_token"])["aud"] == directory.GRAPH
    mail = sign_in(sandbox)[1]
    for token in result["refresh_token"], mail["refresh_token"]:
        other = new_app(sandbox).acquire_token_by_refresh_token(token, SCOPES)
        assert claims(other["access_token"])["aud"] == directory.OUTLOOK


def test_client_credentials_give_roles(sandbox: RunningSandbox) -> None:
    """App-only access uses roles instead of scopes and has no person."""
    result = new_app(sandbox, directory.TENANT_ID).acquire_token_for_client([f"{directory.OUTLOOK}/.default"])
    found = claims(result["access_token"])
    assert "IMAP.AccessAsApp" in found["roles"]
    assert "upn" not in found


@pytest.mark.parametrize(
    ("action", "error", "code"),
    [("cancel", "access_denied", "AADSTS65004"), ("needs_admin", "access_denied", "AADSTS90094")],
)
def test_refusals_go_back_to_the_app(sandbox: RunningSandbox, action: str, error: str, code: str) -> None:
    """The app has to explain a refusal, so it must arrive there with state."""
    flow = start(new_app(sandbox))
    back = sandbox.decide(flow["auth_uri"], user=ALICE, action=action)
    assert back["error"] == error
    assert back["error_description"].startswith(code)
    assert back["state"] == flow["state"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"redirect_uri": "http://localhost:3000/elsewhere"}, "AADSTS50011"),
        ({"redirect_uri": "https://evil.example/oauth"}, "AADSTS50011"),
        ({"client_id": "99999999-0000-4000-8000-000000000000"}, "AADSTS700016"),
        ({"redirect_uri": ""}, "AADSTS900144"),
    ],
)
def test_what_must_not_be_redirected_is_a_page(sandbox: RunningSandbox, changes: dict[str, str], code: str) -> None:
    """Sending an error to an address that is not registered would be an open redirector."""
    query = {"client_id": directory.CLIENT_ID, "redirect_uri": REDIRECT_URI, "response_type": "code", "scope": "openid"}
    answer = sandbox.http.get("/common/oauth2/v2.0/authorize", params={**query, **changes})
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")
    assert code in answer.text


def test_prompt_none_and_unknown_scope_go_back_as_errors(sandbox: RunningSandbox) -> None:
    """They are errors of the request, which the app has to see."""
    query = {"client_id": directory.CLIENT_ID, "redirect_uri": REDIRECT_URI, "response_type": "code", "state": "s"}
    for changes, code in (
        ({"scope": "openid", "prompt": "none"}, "AADSTS50058"),
        ({"scope": "Mail.Nonsense"}, "AADSTS70011"),
        ({"scope": "openid", "response_type": "token"}, "AADSTS70005"),
    ):
        answer = sandbox.http.get("/common/oauth2/v2.0/authorize", params={**query, **changes})
        assert answer.status_code == 303
        assert code in answer.headers["location"]


def test_sign_in_page_preselects_the_hint_and_can_be_used_without_script(sandbox: RunningSandbox) -> None:
    """A person without a mouse and a browser without script must get through."""
    flow = start(new_app(sandbox), login_hint=CAROL)
    page = sandbox.http.get(without_tls(flow["auth_uri"])).text
    assert 'value="carol@contoso.test" checked autofocus' in page
    assert "<script" not in page
    assert "Sandbox" in page
    for action in "accept", "cancel", "needs_admin":
        assert f'name="action" value="{action}"' in page


def test_text_from_the_request_is_escaped(sandbox: RunningSandbox) -> None:
    """The page repeats what the app sends."""
    flow = start(new_app(sandbox), state='"><img src=x>')
    assert "<img src=x>" not in sandbox.http.get(without_tls(flow["auth_uri"])).text


def test_another_account_must_exist(sandbox: RunningSandbox) -> None:
    """Somebody unknown, a shared mailbox or the mailbox outside the tenant cannot sign in."""
    flow = start(new_app(sandbox))
    query = {**asked(flow), "action": "accept", "user": ""}
    for address in "nobody@contoso.test", "support@contoso.test", "dave@example.test":
        answer = sandbox.http.post("/common/oauth2/v2.0/decision", data={**query, "other": address})
        assert answer.status_code == 400
        assert "AADSTS50034" in answer.text


def test_administrator_approves_for_everybody(sandbox: RunningSandbox) -> None:
    """With approval required, nobody gets in until an administrator has been there."""
    sandbox.fail("admin_consent_needed")
    app = new_app(sandbox)
    flow = start(app)
    assert "AADSTS90094" in sandbox.decide(flow["auth_uri"], user=ALICE, action="accept")["error_description"]
    approval = f"{sandbox.endpoints.origin}/common/adminconsent?client_id={directory.CLIENT_ID}"
    back = sandbox.decide(f"{approval}&redirect_uri={REDIRECT_URI}&state=xyz", action="accept")
    assert (back["admin_consent"], back["tenant"], back["state"]) == ("True", directory.TENANT_ID, "xyz")
    flow = start(app)
    assert "code" in sandbox.decide(flow["auth_uri"], user=ALICE, action="accept")


def test_discovery_names_https_endpoints(sandbox: RunningSandbox) -> None:
    """Client libraries refuse plain http; their transport takes the s off again."""
    found = sandbox.http.get("/common/v2.0/.well-known/openid-configuration").json()
    for name in "authorization_endpoint", "token_endpoint", "jwks_uri":
        assert found[name].startswith("https://localhost:")
    keys = sandbox.http.get(f"/{directory.TENANT_ID}/discovery/v2.0/keys").json()["keys"]
    assert keys[0]["kty"] == "RSA"
    assert "d" not in keys[0]


def test_unknown_tenant(sandbox: RunningSandbox) -> None:
    """A wrong tenant id is a frequent mistake of app owners."""
    answer = sandbox.http.get("/nowhere/v2.0/.well-known/openid-configuration")
    assert answer.status_code == 400
    assert answer.json()["error_codes"] == [90002]


def test_form_post_carries_the_answer_in_a_form(sandbox: RunningSandbox) -> None:
    """MSAL recommends response_mode=form_post."""
    flow = start(new_app(sandbox), response_mode="form_post")
    fields = {**asked(flow), "action": "accept", "user": ALICE}
    page = sandbox.http.post("/common/oauth2/v2.0/decision", data=fields)
    assert f'action="{REDIRECT_URI}"' in page.text
    assert 'name="code"' in page.text

"""Every refusal of the token endpoint, in the shape Entra gives it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from gateway_sandbox import directory
from gateway_sandbox.testing import ALICE, BOB, MAIL_SCOPES, REDIRECT_URI, RunningSandbox

SCOPE = " ".join(MAIL_SCOPES)


def new_code(sandbox: RunningSandbox, **parameters: str) -> str:
    return sandbox.decide(sandbox.authorization_uri(**parameters), user=ALICE, action="accept")["code"]


def redeem(sandbox: RunningSandbox, code: str, **form: str) -> dict[str, object]:
    usual = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
    answer: dict[str, object] = sandbox.token_request(**{**usual, **form}).json()
    return answer


def refresh(sandbox: RunningSandbox, token: str, scope: str = SCOPE) -> dict[str, object]:
    answer: dict[str, object] = sandbox.token_request(
        grant_type="refresh_token", refresh_token=token, scope=scope
    ).json()
    return answer


@pytest.mark.parametrize(
    ("form", "status", "error", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": ""}, 401, "invalid_client", 7000215),
        ({"client_id": "99999999-0000-4000-8000-000000000000"}, 400, "unauthorized_client", 700016),
        ({"scope": f"{directory.OUTLOOK}/.default {directory.GRAPH}/.default"}, 400, "invalid_scope", 70011),
        ({"scope": SCOPE}, 400, "invalid_scope", 1002012),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
    ],
)
def test_refusals_of_the_app(sandbox: RunningSandbox, form: dict[str, str], status: int, error: str, code: int) -> None:
    """The gateway decides by `error` and explains by the number, so both must be right."""
    usual = {"grant_type": "client_credentials", "scope": f"{directory.OUTLOOK}/.default"}
    answer = sandbox.token_request(**{**usual, **form})
    assert answer.status_code == status
    assert answer.json()["error"] == error
    assert answer.json()["error_codes"] == [code]


def test_missing_secret(sandbox: RunningSandbox) -> None:
    """An app that sends no secret is told so, not that it is wrong."""
    form = {"client_id": directory.CLIENT_ID, "grant_type": "client_credentials"}
    answer = sandbox.http.post("/common/oauth2/v2.0/token", data=form)
    assert answer.json()["error_codes"] == [7000218]


def test_secret_by_basic_authentication(sandbox: RunningSandbox) -> None:
    """RFC 6749 section 2.3.1 makes every server take it."""
    answer = sandbox.http.post(
        "/common/oauth2/v2.0/token",
        data={"grant_type": "client_credentials", "scope": f"{directory.GRAPH}/.default"},
        auth=(directory.CLIENT_ID, directory.CLIENT_SECRET),
    )
    assert answer.json()["token_type"] == "Bearer"


def test_error_body_has_every_member_entra_sends(sandbox: RunningSandbox) -> None:
    """Parsers of the description rely on its line breaks; support asks for the ids."""
    answer = sandbox.http.post(
        "/common/oauth2/v2.0/token",
        data={"client_id": directory.CLIENT_ID, "client_secret": "x", "grant_type": "client_credentials"},
        headers={"client-request-id": "11112222-3333-4444-8555-666677778888"},
    ).json()
    assert re.fullmatch(
        r"AADSTS7000215: .* Trace ID: [0-9a-f-]{36}\r\nCorrelation ID: 11112222-3333-4444-8555-666677778888\r\n"
        r"Timestamp: \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ",
        answer["error_description"],
    )
    assert {"error_codes", "timestamp", "trace_id", "correlation_id", "error_uri"} <= set(answer)


def test_code_works_once(sandbox: RunningSandbox) -> None:
    """A callback that is repeated must be recognisable."""
    code = new_code(sandbox)
    assert "access_token" in redeem(sandbox, code)
    answer = redeem(sandbox, code)
    assert (answer["error"], answer["error_codes"]) == ("invalid_grant", [54005])


def test_code_runs_out(sandbox: RunningSandbox) -> None:
    """Ten minutes, as at Entra."""
    code = new_code(sandbox)
    sandbox.clock.ahead = timedelta(minutes=11)
    assert redeem(sandbox, code)["error_codes"] == [70008]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"code_verifier": "not-the-verifier"}, 501481),
        ({}, 501481),
        ({"redirect_uri": "http://localhost:3001/oauth", "code_verifier": "plain"}, 500112),
    ],
)
def test_code_is_bound_to_verifier_and_redirect_uri(sandbox: RunningSandbox, form: dict[str, str], code: int) -> None:
    """Without this, PKCE in the gateway would never be exercised."""
    issued = new_code(sandbox, code_challenge="A" * 43, code_challenge_method="S256")
    answer = redeem(sandbox, issued, **form)
    assert (answer["error"], answer["error_codes"]) == ("invalid_grant", [code])


def test_code_is_bound_to_the_tenant_path(sandbox: RunningSandbox) -> None:
    """A code from /common cannot be redeemed at another tenant path."""
    form = {"grant_type": "authorization_code", "code": new_code(sandbox), "redirect_uri": REDIRECT_URI}
    secrets = {"client_id": directory.CLIENT_ID, "client_secret": directory.CLIENT_SECRET}
    answer = sandbox.http.post(f"/{directory.TENANT_ID}/oauth2/v2.0/token", data={**form, **secrets})
    assert answer.json()["error_codes"] == [700005]


def test_scopes_of_two_resources(sandbox: RunningSandbox) -> None:
    """An access token is for one resource; asking for two is a bug of the gateway."""
    token = sandbox.sign_in()["refresh_token"]
    answer = refresh(sandbox, token, f"{SCOPE} {directory.GRAPH}/Mail.Send")
    assert (answer["error"], answer["error_codes"]) == ("invalid_scope", [700022])
    assert refresh(sandbox, token, f"{directory.OUTLOOK}/Nonsense")["error_codes"] == [70011]


def test_scope_nobody_consented_to(sandbox: RunningSandbox) -> None:
    """A new permission of the app needs a new sign-in."""
    token = sandbox.sign_in(BOB)["refresh_token"]
    answer = refresh(sandbox, token, f"{directory.GRAPH}/Mail.Send")
    assert (answer["error"], answer["suberror"]) == ("invalid_grant", "consent_required")
    assert answer["error_codes"] == [65001]


def test_unknown_and_old_refresh_tokens(sandbox: RunningSandbox) -> None:
    """A refresh token ends after ninety days without use."""
    assert refresh(sandbox, "rubbish")["error_codes"] == [70000]
    token = sandbox.sign_in()["refresh_token"]
    sandbox.clock.ahead = timedelta(days=91)
    assert refresh(sandbox, token)["error_codes"] == [70008]


def test_revoked_grant_stays_revoked_until_a_new_sign_in(sandbox: RunningSandbox) -> None:
    """As in reality, switching the failure off does not bring the grant back."""
    token = sandbox.sign_in()["refresh_token"]
    others = sandbox.sign_in(BOB)["refresh_token"]
    sandbox.fail("grant_revoked", user=ALICE)
    answer = refresh(sandbox, token)
    assert (answer["error"], answer["error_codes"]) == ("invalid_grant", [50173])
    assert "access_token" in refresh(sandbox, others)
    sandbox.reset()
    assert refresh(sandbox, token)["error_codes"] == [50173]
    assert "access_token" in refresh(sandbox, sandbox.sign_in()["refresh_token"])


def test_consent_needed_ends_with_a_new_sign_in(sandbox: RunningSandbox) -> None:
    """The repair that the gateway suggests must repair it, with the switch still on."""
    token = sandbox.sign_in()["refresh_token"]
    sandbox.fail("consent_needed", user=ALICE)
    assert refresh(sandbox, token)["error_codes"] == [65001]
    sandbox.sign_in()
    assert "access_token" in refresh(sandbox, token)


@pytest.mark.parametrize(
    ("failure", "status", "error", "code"),
    [
        ("secret_expired", 401, "invalid_client", 7000222),
        ("temporarily_unavailable", 503, "temporarily_unavailable", 90012),
        ("throttled", 429, "temporarily_unavailable", 90055),
    ],
)
def test_failures_of_the_service(sandbox: RunningSandbox, failure: str, status: int, error: str, code: int) -> None:
    """Each has another remedy: new secret, wait, wait as long as told."""
    sandbox.fail(failure)
    form = {"grant_type": "client_credentials", "scope": f"{directory.OUTLOOK}/.default"}
    answer = sandbox.token_request(**form)
    assert answer.status_code == status
    assert (answer.json()["error"], answer.json()["error_codes"]) == (error, [code])
    assert answer.headers.get("retry-after") == ("30" if failure == "throttled" else None)
    sandbox.reset()
    assert sandbox.token_request(**form).status_code == 200

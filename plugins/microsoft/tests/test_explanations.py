"""What people are told, and the link for the administrator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, get_args
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from gateway.errors import Actor
from gateway.provider import CONSENT_STATE, OAuth2App
from gateway_microsoft import Cloud, MicrosoftIdentity, load_clouds
from gateway_microsoft.explain import admin_consent_url, explanations, remedy
from gateway_microsoft.explain import parse_error as parse

if TYPE_CHECKING:
    MakeIdentity = Callable[..., MicrosoftIdentity]

TENANT = "5a9db0c5-0000-4000-8000-00000000c057"


@pytest.fixture
def cloud() -> Cloud:
    return load_clouds(None)["global"]


def test_every_explanation_can_be_shown(app: OAuth2App, cloud: Cloud) -> None:
    """A title, steps, somebody who acts, and no placeholder left open."""
    for code, row in explanations().items():
        error = parse({"error": "invalid_request", "error_description": f"{code}: x"})
        assert error is not None
        assert row.who in get_args(Actor)
        assert row.title
        assert not row.title.endswith(".")
        assert row.steps
        if code.startswith("AADSTS"):
            shown = remedy(error, app, cloud)
            assert shown.title == row.title
            assert not any("{" in step for step in shown.steps)


def test_each_code_is_explained_once() -> None:
    """Two rows for one number would hide one of them."""
    rows = {id(row): row for row in explanations().values()}.values()
    codes = [code for row in rows for code in row.codes]
    assert len(codes) == len(set(codes)) == len(explanations())


def test_the_redirect_uri_is_shown_as_it_must_be_registered(make_identity: MakeIdentity) -> None:
    """AADSTS50011 is the commonest mistake, and only the exact string helps."""
    shown = make_identity().explain({"error": "invalid_request", "error_codes": [50011]})
    assert any(step.endswith(": https://gateway.test/oauth") for step in shown.steps)


def test_a_missing_permission_is_named(make_identity: MakeIdentity) -> None:
    """AADSTS65005: which one to add is what its owner wants to know."""
    shown = make_identity().explain({"error": "invalid_resource", "error_codes": [65005]})
    assert "https://outlook.office.com/SMTP.Send" in " ".join(shown.steps)


def test_addresses_in_microsofts_words_are_masked_and_links_dropped(make_identity: MakeIdentity) -> None:
    """Remedies are stored, logged and shown; error_uri is for developers only."""
    shown = make_identity().explain(
        {
            "error": "access_denied",
            "error_description": "AADSTS50020: User account 'bob@contoso.test' from bob%40live.test\r\nTrace ID: 7",
            "error_uri": "https://login.microsoftonline.com/error?code=50020",
        }
    )
    assert shown.raw == "AADSTS50020: User account '<address>' from <address> Trace ID: 7"
    assert "error?code" not in msgspec.json.encode(shown).decode()


def test_a_very_long_description_is_cut(make_identity: MakeIdentity) -> None:
    """It may be a whole page of a proxy."""
    raw = make_identity().explain({"error": "server_error", "error_description": "x" * 100_000}).raw
    assert raw is not None
    assert len(raw) == 1000


@pytest.mark.parametrize("response", [{}, {"error": None}, {"error": {"code": 1}}])
def test_something_that_is_no_error_still_gets_words(make_identity: MakeIdentity, response: dict[str, object]) -> None:
    """The page that shows it must not fail."""
    assert make_identity().explain(response).title


def test_of_several_numbers_the_known_one_explains(make_identity: MakeIdentity) -> None:
    """Microsoft lists a general number beside the telling one."""
    response = {"error": "invalid_grant", "error_codes": [999998, 50173], "error_description": "AADSTS999998: ..."}
    assert make_identity().explain(response).code == "AADSTS50173"


# --- admin consent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authority", "tenant"),
    [
        ("common", "organizations"),
        ("organizations", "organizations"),
        (TENANT, TENANT),
        ("contoso.test", "contoso.test"),
    ],
)
def test_the_link_for_the_administrator_names_tenant_app_and_way_back(
    app: OAuth2App, cloud: Cloud, authority: str, tenant: str
) -> None:
    """https://learn.microsoft.com/entra/identity-platform/v2-admin-consent; "common" does not work there."""
    url = admin_consent_url(msgspec.structs.replace(app, authority=authority), cloud)
    assert url is not None
    assert url.startswith(f"https://login.microsoftonline.com/{tenant}/adminconsent?")
    query = parse_qs(urlsplit(url).query, strict_parsing=True)
    assert query == {
        "client_id": [app.client_id],
        "redirect_uri": ["https://gateway.test/oauth"],
        "state": [f"{CONSENT_STATE}{app.id}"],
    }


def test_the_link_is_for_the_cloud_of_the_app(app: OAuth2App) -> None:
    """An administrator of a national cloud cannot use the world-wide portal."""
    url = admin_consent_url(app, load_clouds(None)["gcc-high"])
    assert url is not None
    assert url.startswith("https://login.microsoftonline.us/")


def test_personal_accounts_have_no_administrator(app: OAuth2App, cloud: Cloud) -> None:
    """A link that cannot work is worse than none."""
    assert admin_consent_url(msgspec.structs.replace(app, authority="consumers"), cloud) is None


@pytest.mark.parametrize("number", [65001, 90094, 90095, 90008])
def test_the_link_comes_with_missing_consent_only(make_identity: MakeIdentity, number: int) -> None:
    """Everybody else would be sent to somebody who cannot help."""
    identity = make_identity()
    assert identity.explain({"error": "invalid_grant", "error_codes": [number]}).url is not None
    assert identity.explain({"error": "invalid_grant", "error_codes": [50173]}).url is None

"""Checks and instructions for whoever registers an app."""

from __future__ import annotations

import msgspec
import pytest

from gateway.provider import OAuth2App
from gateway_microsoft import app_guide, app_problems, load_clouds

TENANT = "5a9db0c5-0000-4000-8000-00000000c057"
CLOUDS = load_clouds(None)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"authority": "organizations"},
        {"authority": "consumers"},
        {"authority": TENANT},
        {"authority": "contoso.onmicrosoft.com", "cloud": "china"},
        {"redirect_url": "http://localhost:3000/oauth"},
        {"redirect_url": "https://mail.example/gateway/oauth"},
        {"base_scopes": "api"},
        {"provider": "outlookService", "base_scopes": "api", "authority": TENANT, "redirect_url": ""},
        {"provider": "outlookService", "base_scopes": "imap", "authority": TENANT, "redirect_url": ""},
    ],
)
def test_an_app_that_can_work_has_no_problems(app: OAuth2App, fields: dict[str, object]) -> None:
    """A check that refuses good apps is worse than none."""
    assert app_problems(msgspec.structs.replace(app, **fields), CLOUDS) == {}


@pytest.mark.parametrize(
    ("fields", "problem", "words"),
    [
        ({"client_id": "my-app"}, "clientId", "Application \\(client\\) ID"),
        ({"client_secret": ""}, "clientSecret", "Value"),
        ({"client_secret": TENANT}, "clientSecret", "Secret ID"),
        ({"authority": "everybody"}, "authority", "tenant ID"),
        ({"authority": "common/../x"}, "authority", "tenant ID"),
        ({"authority": ""}, "authority", "tenant ID"),
        ({"authority": "consumers", "cloud": "gcc-high"}, "authority", "global cloud"),
        ({"provider": "outlookService", "authority": "common"}, "authority", "tenant ID"),
        ({"provider": "outlookService", "authority": "organizations"}, "authority", "tenant ID"),
        ({"cloud": "moon"}, "cloud", "global, gcc-high, dod, china"),
        ({"redirect_url": ""}, "redirectUrl", "https URL"),
        ({"redirect_url": "gateway.example/oauth"}, "redirectUrl", "https URL"),
        ({"redirect_url": "https://[/oauth"}, "redirectUrl", "https URL"),
        ({"redirect_url": "http://gateway.example/oauth"}, "redirectUrl", "requires https"),
        (
            {"redirect_url": "http://127.0.0.1:3000/oauth"},
            "redirectUrl",
            "localhost instead of 127.0.0.1, here and in GATEWAY_SERVICE_URL",
        ),
        ({"redirect_url": "https://gateway.example/callback"}, "redirectUrl", "/oauth"),
        ({"redirect_url": "https://gateway.example/oauth/"}, "redirectUrl", "/oauth"),
        ({"redirect_url": "https://gateway.example/oauth?x=1"}, "redirectUrl", "/oauth"),
        ({"base_scopes": "pubsub"}, "baseScopes", "imap"),
        ({"extra_scopes": ("https://graph.microsoft.com/Mail.Read",)}, "extraScopes", "one resource"),
    ],
)
def test_each_mistake_is_told_at_its_field(app: OAuth2App, fields: dict[str, object], problem: str, words: str) -> None:
    """Before Microsoft refuses it in front of a user, and without repeating the secret."""
    problems = app_problems(msgspec.structs.replace(app, **fields), CLOUDS)
    assert list(problems) == [problem]
    assert pytest.RaisesExc(ValueError, match=words).matches(ValueError(problems[problem]))
    assert app.client_secret not in problems[problem]


@pytest.mark.parametrize(
    ("kind", "permissions"),
    [
        (("outlook", "imap"), {"IMAP.AccessAsUser.All", "SMTP.Send", "offline_access"}),
        (("outlook", "api"), {"Mail.ReadWrite", "Mail.Send", "offline_access", "User.Read"}),
        (("outlookService", "api"), {"Mail.ReadWrite", "Mail.Send", "User.Read.All"}),
        (("outlookService", "imap"), {"IMAP.AccessAsApp", "SMTP.SendAsApp"}),
    ],
)
def test_the_guide_names_the_permissions_to_click(kind: tuple[str, str], permissions: set[str]) -> None:
    """And the trap that catches most: the Value of the secret, not its ID."""
    guide = app_guide(*kind, CLOUDS)
    assert guide is not None
    assert set(guide.permissions) == permissions
    assert guide.clouds[0] == "global"
    assert any("Value" in step and "Secret ID" in step for step in guide.steps)
    delegated = kind[0] == "outlook"
    assert any("{redirect_url}" in step for step in guide.steps) is delegated
    assert [value for value, _ in guide.authorities] == (["common", "organizations", "consumers"] if delegated else [])


def test_there_is_no_guide_for_other_services() -> None:
    """Google's apps are somebody else's."""
    assert app_guide("gmail", "imap", CLOUDS) is None

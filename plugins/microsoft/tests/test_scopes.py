"""Which permissions are asked for."""

from __future__ import annotations

import msgspec
import pytest

from gateway.provider import OAuth2App
from gateway_microsoft import load_clouds
from gateway_microsoft.scopes import requested_scopes, scope_problems

CLOUDS = load_clouds(None)
RESOURCES = {
    "global": ("https://outlook.office.com", "https://graph.microsoft.com"),
    "gcc-high": ("https://outlook.office365.us", "https://graph.microsoft.us"),
    "dod": ("https://outlook.office365.us", "https://dod-graph.microsoft.us"),
    "china": ("https://partner.outlook.cn", "https://microsoftgraph.chinacloudapi.cn"),
}


def scopes(app: OAuth2App, cloud: str = "global", **fields: object) -> tuple[str, ...]:
    return requested_scopes(msgspec.structs.replace(app, **fields), CLOUDS[cloud])


@pytest.mark.parametrize("cloud", RESOURCES)
def test_the_base_sets_are_those_of_the_clouds_resources(app: OAuth2App, cloud: str) -> None:
    """Tokens are not valid across clouds."""
    outlook, graph = RESOURCES[cloud]
    always = ("offline_access", "openid", "profile")
    assert scopes(app, cloud) == (f"{outlook}/IMAP.AccessAsUser.All", f"{outlook}/SMTP.Send", *always)
    assert scopes(app, cloud, base_scopes="api") == (
        f"{graph}/Mail.ReadWrite",
        f"{graph}/Mail.Send",
        f"{graph}/User.Read",
        *always,
    )


@pytest.mark.parametrize("cloud", RESOURCES)
def test_short_names_work_in_every_cloud(app: OAuth2App, cloud: str) -> None:
    """Nobody should have to know what the resource is called there."""
    _, graph = RESOURCES[cloud]
    found = scopes(app, cloud, base_scopes="api", extra_scopes=("Mail.Send.Shared",), skip_scopes=("Mail.Send",))
    assert found[0] == f"{graph}/Mail.Send.Shared"
    assert f"{graph}/Mail.Send" not in found


def test_extra_scopes_come_first_and_once(app: OAuth2App) -> None:
    """A scope of the base set may be named again, in either form."""
    extra = ("email", "SMTP.Send", "https://outlook.office.com/POP.AccessAsUser.All")
    found = scopes(app, extra_scopes=extra)
    assert found[:3] == ("email", "https://outlook.office.com/SMTP.Send", extra[2])
    assert len(found) == len(set(found)) == 7


def test_skipped_scopes_go_in_either_form_and_any_case(app: OAuth2App) -> None:
    """Also an extra one, and one of OpenID Connect."""
    skip = ("https://outlook.office.com/SMTP.Send", "imap.accessasuser.all", "profile")
    assert scopes(app, extra_scopes=("POP.AccessAsUser.All",), skip_scopes=skip) == (
        "https://outlook.office.com/POP.AccessAsUser.All",
        "offline_access",
        "openid",
    )


@pytest.mark.parametrize(
    ("base", "cloud", "expected"),
    [
        ("api", "global", "https://graph.microsoft.com/.default"),
        ("api", "dod", "https://dod-graph.microsoft.us/.default"),
        ("imap", "global", "https://outlook.office365.com/.default"),
        ("imap", "china", "https://partner.outlook.cn/.default"),
    ],
)
def test_an_app_that_signs_in_as_itself_asks_for_its_default(
    app: OAuth2App, base: str, cloud: str, expected: str
) -> None:
    """Extra and skipped scopes mean nothing there."""
    fields = {"provider": "outlookService", "base_scopes": base, "extra_scopes": ("x",), "skip_scopes": (".default",)}
    assert scopes(app, cloud, **fields) == (expected,)


@pytest.mark.parametrize(
    ("base", "extra"),
    [
        ("imap", "https://graph.microsoft.com/Mail.Read"),
        ("api", "https://outlook.office.com/SMTP.Send"),
        ("imap", "https://outlook.office365.us/SMTP.Send"),
        ("api", "https://graph.microsoft.us/Mail.Read"),
    ],
)
def test_scopes_of_two_resources_are_refused_in_words(app: OAuth2App, base: str, extra: str) -> None:
    """Microsoft would say AADSTS700022 when the first person signs in."""
    mixed = msgspec.structs.replace(app, base_scopes=base, extra_scopes=(extra,))
    problems = scope_problems(mixed, CLOUDS["global"])
    assert list(problems) == ["extraScopes"]
    assert extra.rpartition("/")[0] in problems["extraScopes"]


def test_both_names_of_exchange_online_are_one_resource(app: OAuth2App) -> None:
    """Old instructions use the other one."""
    extra = msgspec.structs.replace(app, extra_scopes=("https://outlook.office365.com/POP.AccessAsUser.All", "openid"))
    assert scope_problems(extra, CLOUDS["global"]) == {}


def test_skipping_everything_is_refused(app: OAuth2App) -> None:
    """The token would be for nothing."""
    nothing = msgspec.structs.replace(app, skip_scopes=("IMAP.AccessAsUser.All", "SMTP.Send"))
    assert list(scope_problems(nothing, CLOUDS["global"])) == ["skipScopes"]


def test_an_unknown_family_is_refused(app: OAuth2App) -> None:
    """ "pubsub" is Google's."""
    assert list(scope_problems(msgspec.structs.replace(app, base_scopes="pubsub"), CLOUDS["global"])) == ["baseScopes"]

"""Every documented refusal of the token endpoint, raised through MSAL, ends in the right branch of the error tree.

Rows: https://learn.microsoft.com/entra/identity-platform/reference-error-codes. The OAuth2 error code of a row is the
one it is seen with; the test of unknown numbers says what happens when Microsoft changes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    AccountError,
    AppRefusedError,
    ConsentRequiredError,
    ProviderError,
    RateLimitError,
    ReauthorizationError,
    ServiceUnavailableError,
    TransientError,
)
from gateway.provider import Grant, OAuth2App
from gateway_microsoft import MicrosoftIdentity, load_clouds
from gateway_microsoft.classify import oauth_error
from gateway_microsoft.explain import OAuthError, explanations, parse_error

if TYPE_CHECKING:
    from conftest import Clock, TokenServer

    MakeIdentity = Callable[..., MicrosoftIdentity]

_APP = OAuth2App(id="a", provider="outlook", base_scopes="imap", client_id="c", redirect_url="https://g.test/oauth")
_CLOUD = load_clouds(None)["global"]

REQUEST, CLIENT, UNAUTHORIZED = "invalid_request", "invalid_client", "unauthorized_client"
GRANT, DENIED, INTERACTION = "invalid_grant", "access_denied", "interaction_required"
SCOPE, RESOURCE, BUSY = "invalid_scope", "invalid_resource", "temporarily_unavailable"

Row = tuple[tuple[int, ...], str, type[ProviderError], str]
ROWS: tuple[Row, ...] = (
    ((50011, 70004), REQUEST, AppRefusedError, "app_owner"),
    ((900971,), REQUEST, AppRefusedError, "app_owner"),
    ((9002327,), REQUEST, AppRefusedError, "app_owner"),
    ((700016,), UNAUTHORIZED, AppRefusedError, "app_owner"),
    ((700011, 70001), UNAUTHORIZED, AppRefusedError, "tenant_admin"),
    ((7000112, 1000031), UNAUTHORIZED, AppRefusedError, "tenant_admin"),
    ((7000215, 70002, 7000222, 7000218, 700025, 700027, 700030), CLIENT, AppRefusedError, "app_owner"),
    ((50194,), REQUEST, AppRefusedError, "app_owner"),
    ((90002, 90038, 900382, 900432, 90051), REQUEST, AppRefusedError, "app_owner"),
    ((90130, 90124, 9001023, 9002332), REQUEST, AppRefusedError, "app_owner"),
    ((50020,), REQUEST, ReauthorizationError, "user"),
    ((500208, 50034, 51004, 16000), INTERACTION, ReauthorizationError, "user"),
    ((65001,), GRANT, ConsentRequiredError, "user"),
    ((65004,), DENIED, ReauthorizationError, "user"),
    ((90094, 90095, 90008), DENIED, ConsentRequiredError, "tenant_admin"),
    ((650056, 650057), CLIENT, AppRefusedError, "app_owner"),
    ((65005,), RESOURCE, AppRefusedError, "app_owner"),
    ((650052,), CLIENT, AppRefusedError, "tenant_admin"),
    ((500011, 50001), RESOURCE, AppRefusedError, "tenant_admin"),
    ((70011, 28002, 28003, 700023), SCOPE, AppRefusedError, "app_owner"),
    ((700022,), SCOPE, AppRefusedError, "gateway"),
    ((50105,), GRANT, ReauthorizationError, "tenant_admin"),
    ((50076, 50074, 50079, 50072, 50078), INTERACTION, ReauthorizationError, "user"),
    ((53003, 530032, 53000, 53001, 53002), DENIED, ReauthorizationError, "tenant_admin"),
    ((530035,), DENIED, ReauthorizationError, "tenant_admin"),
    ((500212, 500213), DENIED, ReauthorizationError, "tenant_admin"),
    ((50053,), GRANT, ReauthorizationError, "user"),
    ((50055, 50144), GRANT, ReauthorizationError, "user"),
    ((50057,), GRANT, ReauthorizationError, "tenant_admin"),
    ((50126,), GRANT, ReauthorizationError, "user"),
    ((70000, 70008, 700082), GRANT, ReauthorizationError, "user"),
    # The grant is gone, so this account waits; the owner of the app keeps it from happening to the others.
    ((700084,), GRANT, ReauthorizationError, "app_owner"),
    ((70043,), GRANT, ReauthorizationError, "tenant_admin"),
    ((50173, 50132, 50133, 50089), GRANT, ReauthorizationError, "user"),
    ((54005,), GRANT, ReauthorizationError, "gateway"),
    ((700005,), GRANT, ReauthorizationError, "gateway"),
    ((50196,), GRANT, RateLimitError, "gateway"),
    ((50033, 50087, 90006, 90012, 90024, 90033, 90090, 80005), BUSY, ServiceUnavailableError, "microsoft"),
    # The same numbers are seen with this code too, and nobody has to sign in again for a passing fault.
    ((50033, 90033), GRANT, ServiceUnavailableError, "microsoft"),
    ((90055,), REQUEST, RateLimitError, "microsoft"),
    ((501481, 50147), GRANT, ReauthorizationError, "gateway"),
    ((50147,), REQUEST, ReauthorizationError, "gateway"),
)
CASES = [pytest.param(number, *row[1:], id=f"{number}-{row[1]}") for row in ROWS for number in row[0]]


async def refused(identity: MicrosoftIdentity, clock: Clock) -> ProviderError:
    """Renew a grant and return how it fails."""
    grant = Grant(
        access_token="", expires_at=clock(), refresh_token="r", scopes=("https://outlook.office.com/SMTP.Send",)
    )
    with pytest.raises(ProviderError) as caught:
        await identity.refresh(grant)
    return caught.value


@pytest.mark.anyio
@pytest.mark.parametrize(("number", "error", "expected", "who"), CASES)
async def test_each_documented_number_ends_in_its_branch(
    endpoint: TokenServer,
    make_identity: MakeIdentity,
    clock: Clock,
    number: int,
    error: str,
    expected: type[ProviderError],
    who: str,
) -> None:
    """The branch decides whether the account is retried, waits for somebody, or all accounts of the app wait."""
    endpoint.refuse(error, number, status=401 if error == CLIENT else 400, text="User 'bob@contoso.test' said no.")
    failure = await refused(make_identity(), clock)
    assert type(failure) is expected
    assert failure.native_code == f"AADSTS{number}"
    assert failure.remedy is not None
    assert (failure.remedy.code, failure.remedy.who) == (f"AADSTS{number}", who)
    assert failure.remedy.title
    assert failure.remedy.steps
    assert failure.remedy.retryable is isinstance(failure, TransientError)
    assert "{" not in "".join(failure.remedy.steps)
    assert "bob@" not in f"{failure}{failure.record()}"


def test_every_explained_number_is_in_the_table() -> None:
    """A number that is added to the data needs somebody to say which branch it belongs to."""
    tabled = {f"AADSTS{number}" for row in ROWS for number in row[0]}
    assert tabled == {code for code in explanations() if code.startswith("AADSTS")}


@pytest.mark.anyio
async def test_personal_accounts_at_a_work_only_app_have_no_number(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """Recognised by its wording."""
    text = "The client does not exist or is not enabled for consumers. If you are the application developer, ..."
    endpoint.refuse("unauthorized_client", text=text)
    failure = await refused(make_identity(), clock)
    assert type(failure) is AppRefusedError
    assert failure.remedy is not None
    assert "personal" in failure.remedy.title


@pytest.mark.anyio
async def test_a_client_loop_rests_an_hour(endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock) -> None:
    """AADSTS50196: going on asking prolongs the block."""
    endpoint.refuse("invalid_grant", 50196)
    failure = await refused(make_identity(), clock)
    assert isinstance(failure, RateLimitError)
    assert failure.retry_after == 3600


@pytest.mark.anyio
async def test_a_reused_code_can_be_told_from_a_lost_grant(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """A callback that is loaded twice is done if the first one got the tokens."""
    endpoint.refuse("invalid_grant", 54005)
    assert (await refused(make_identity(), clock)).error_code == "CodeRedeemed"


@pytest.mark.anyio
async def test_consent_is_recognised_by_its_suberror_too(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock
) -> None:
    """Numbers may change; suberror is what Microsoft tells programs to look at."""
    endpoint.refuse("invalid_grant", 65999, suberror="consent_required")
    failure = await refused(make_identity(), clock)
    assert type(failure) is ConsentRequiredError
    assert failure.remedy is not None
    assert failure.remedy.url is not None


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("invalid_grant", ReauthorizationError),
        ("interaction_required", ReauthorizationError),
        ("login_required", ReauthorizationError),
        ("consent_required", ConsentRequiredError),
        ("invalid_client", AppRefusedError),
        ("unauthorized_client", AppRefusedError),
        ("invalid_scope", AppRefusedError),
        ("unsupported_grant_type", AppRefusedError),
        ("server_error", ServiceUnavailableError),
        ("temporarily_unavailable", ServiceUnavailableError),
        ("access_denied", AccountError),
        ("invalid_request", TransientError),
        ("never_heard_of_it", TransientError),
    ],
)
async def test_an_unknown_number_is_judged_by_the_error_code(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock, error: str, expected: type[ProviderError]
) -> None:
    """Microsoft adds numbers all the time; what they say is kept for the person who has to find out."""
    endpoint.refuse(error, 999999, text="A brand new reason.")
    failure = await refused(make_identity(), clock)
    assert type(failure) is expected
    assert failure.remedy is not None
    assert failure.remedy.code == "AADSTS999999"
    assert "A brand new reason." in (failure.remedy.raw or "")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "InternalServerError", "message": "Graph's shape"}},
        {"error": None},
        {"error": ""},
        {"error": ["invalid_grant"]},
        {"error": "never_heard_of_it", "error_codes": ["not a number", None, {}], "error_description": 7},
        {"error": "invalid_request", "error_codes": "90099", "suberror": 3},
        [],
        "invalid_grant",
        None,
        {},
        {"access_token": None},
        {"access_token": 7},
        {"access_token": "a", "expires_in": "soon"},
        {"access_token": "a", "expires_in": 60, "refresh_token": {}},
    ],
)
async def test_answers_of_unexpected_shape_are_passing_faults(
    endpoint: TokenServer, make_identity: MakeIdentity, clock: Clock, body: object
) -> None:
    """Nothing is known about the grant, so nobody is asked to sign in again."""
    for status in (200, 400):
        endpoint.answer(body, status)
        assert isinstance(await refused(make_identity(), clock), TransientError)


class TestUnknownNumbers:
    """Properties of the decision, over what Microsoft might say one day."""

    @given(
        number=st.integers(min_value=1000, max_value=999_999_999),
        error=st.sampled_from([REQUEST, CLIENT, UNAUTHORIZED, DENIED, SCOPE, RESOURCE, BUSY, "server_error"])
        | st.text(min_size=1, max_size=30),
        text=st.text(max_size=60),
    )
    def test_they_never_cost_a_person_a_sign_in_by_themselves(self, number: int, error: str, text: str) -> None:
        """Only the error codes that mean it may say so."""
        known = {GRANT, INTERACTION, "login_required", "account_selection_required"}
        body = {"error": error, "error_description": f"AADSTS{number}: {text}", "error_codes": [number]}
        parsed = parse_error(body)
        assert parsed is not None
        if error in known or any(each in explanations() for each in parsed.numbers):
            return
        failure = oauth_error(parsed, _APP, _CLOUD)
        assert not isinstance(failure, ReauthorizationError)
        assert failure.remedy is not None
        assert failure.remedy.raw

    @given(
        body=st.dictionaries(
            st.sampled_from(["error", "suberror", "error_description", "error_codes"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=20),
                lambda inner: st.lists(inner, max_size=3),
            ),
        )
    )
    def test_no_shape_of_answer_breaks_the_parser(self, body: dict[str, Any]) -> None:
        """Poison from a proxy in between must not take a worker down."""
        parsed = parse_error(body)
        assert parsed is None or isinstance(oauth_error(parsed, _APP, _CLOUD), ProviderError)


def test_a_passing_fault_with_a_pause_keeps_the_pause() -> None:
    """503 is not the only way in which Microsoft says Retry-After."""
    failure = oauth_error(OAuthError(error=BUSY), _APP, _CLOUD, pause=7.0)
    assert isinstance(failure, RateLimitError)
    assert failure.retry_after == 7.0

"""Finding plugins: one bad plugin costs itself, never the others."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.plugins import PluginInfo, Plugins, installed_entry_points, load_plugins
from gateway.provider import Environment

Install = Callable[..., str]

_unique = itertools.count(1)
_GOOD = """
    from gateway import hookimpl
    from gateway.provider import Provider

    class Mine(Provider):
        name = {name!r}
        app_types = frozenset({app_types!r})
        settings_key = {settings_key!r}
        def open(self, account, context):
            raise NotImplementedError

    @hookimpl
    def gateway_register_providers(register, environment):
        register(Mine())
"""


def provider(name: str, app_types: tuple[tuple[str, str], ...] = (), settings_key: str | None = None) -> str:
    return _GOOD.format(name=name, app_types=app_types, settings_key=settings_key)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution with one plugin as an installer does: files, METADATA, entry_points.txt."""

    def install(source: str, *, entry_point: str, directory: str = "site-packages", distribution: str = "") -> str:
        site = tmp_path / directory
        module = f"plugin_under_test_{next(_unique)}"
        name = distribution or f"dist-{module.replace('_', '-')}"
        info = site / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[gateway]\n{entry_point} = {module}\n")
        (site / f"{module}.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(str(site))
        return name

    return install


def load(*distributions: str) -> tuple[Plugins, dict[str, PluginInfo]]:
    """Load what was installed here, and nothing else that happens to be installed."""
    points = [(point, dist) for point, dist in installed_entry_points() if dist.name in distributions]
    plugins = load_plugins(Environment(), points)
    return plugins, {info.distribution: info for info in plugins.installed}


def test_plugin_is_found_by_its_entry_point(install: Install) -> None:
    """Installing the package is all there is to do."""
    name = install(provider("alpha"), entry_point="alpha")
    plugins, infos = load(name)
    assert list(plugins.providers) == ["alpha"]
    assert infos[name] == PluginInfo(name="alpha", distribution=name, version="1.2", providers=("alpha",))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("def broken(:", "SyntaxError"),
        ("raise RuntimeError('at import')", "RuntimeError: at import"),
        (
            """
            from gateway import hookimpl
            @hookimpl
            def gateway_register_providers(register):
                raise RuntimeError("while registering")
            """,
            "RuntimeError: while registering",
        ),
        (
            """
            from gateway import hookimpl
            @hookimpl
            def gateway_register_provider(register):
                pass
            """,
            "gateway_register_provider",
        ),
        (
            """
            from gateway import hookimpl
            @hookimpl
            def gateway_register_providers(register, settings):
                pass
            """,
            "settings",
        ),
    ],
    ids=["missing-library", "syntax", "at-import", "while-registering", "unknown-hook", "unknown-argument"],
)
def test_broken_plugin_is_reported_and_the_others_load(install: Install, source: str, told: str) -> None:
    """The operator reads which package to repair; everybody else's mail goes on."""
    first = install(provider("alpha"), entry_point="alpha")
    broken = install(source, entry_point="broken")
    last = install(provider("zeta"), entry_point="zeta")
    plugins, infos = load(first, broken, last)
    assert list(plugins.providers) == ["alpha", "zeta"]
    assert told in (infos[broken].error or "")
    assert infos[first].error is infos[last].error is None


def test_second_provider_of_a_name_is_refused(install: Install) -> None:
    """Accounts name their provider; which of two would open them must not depend on luck."""
    first = install(provider("same"), entry_point="a")
    second = install(provider("same"), entry_point="b")
    _, infos = load(first, second)
    assert infos[first].error is None
    told = infos[second].error or ""
    assert told.startswith("ConfigurationError: another plugin already")
    assert "'same'" in told
    assert infos[second].providers == ()


def test_two_providers_for_one_kind_of_app_are_refused(install: Install) -> None:
    """An account that signs in through an app belongs to one provider."""
    first = install(provider("alpha", (("outlook", "imap"),)), entry_point="alpha")
    second = install(provider("beta", (("outlook", "imap"), ("outlook", "api"))), entry_point="beta")
    plugins, infos = load(first, second)
    assert list(plugins.providers) == ["alpha"]
    assert "'alpha' already serves" in (infos[second].error or "")


def test_half_registered_plugin_leaves_nothing(install: Install) -> None:
    """A plugin that fails after its first provider is not half there."""
    source = provider("half") + "        register(Mine())\n"
    name = install(source, entry_point="half")
    plugins, infos = load(name)
    assert plugins.providers == {}
    assert infos[name].providers == ()
    assert infos[name].error is not None


def test_order_is_that_of_the_names(install: Install) -> None:
    """Not of the installation: every process of a deployment sees the same order."""
    late = install(provider("zeta"), entry_point="zeta", directory="one")
    early = install(provider("alpha"), entry_point="alpha", directory="two")
    plugins, _ = load(late, early)
    assert list(plugins.providers) == ["alpha", "zeta"]


def test_distribution_found_twice_counts_once(install: Install) -> None:
    """An editable install beside a wheel, or a user directory beside the system's, is one plugin: the first found."""
    install(provider("older"), entry_point="mine", directory="one", distribution="mine")
    install(provider("newer"), entry_point="mine", directory="two", distribution="mine")
    plugins, _ = load("mine")
    assert list(plugins.providers) == ["newer"]


def test_provider_is_found_by_app_and_by_settings(install: Install) -> None:
    """How an account payload is given to its provider."""
    oauth = install(provider("alpha", (("outlook", "imap"),)), entry_point="alpha")
    password = install(provider("beta", settings_key="maildir"), entry_point="beta")
    plugins, _ = load(oauth, password)
    assert plugins.for_app("outlook", "imap") is plugins.providers["alpha"]
    assert plugins.for_app("outlook", "api") is None
    assert plugins.for_settings("maildir") is plugins.providers["beta"]
    assert plugins.for_settings("imap") is None


def test_no_plugin_at_all_is_fine() -> None:
    """A bare installation starts; it just serves nothing."""
    assert load_plugins(Environment(), []) == Plugins(providers={}, identities={}, sandboxes={}, installed=())

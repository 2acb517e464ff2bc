"""What is shipped: built as for publishing, complete, free of tests, and working where it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from tests.architecture.sources import PLUGINS, PROJECT, ROOT, VENDORED, own_files

#: Of each distribution, its packages: (name in the wheel, folder in the repository).
PACKAGES: dict[str, tuple[tuple[str, Path], ...]] = {
    "email_gateway": (("gateway", ROOT / "gateway"), ("gateway_workers", ROOT / "workers" / "gateway_workers")),
    **{
        f"email_gateway_{plugin.name}": ((f"gateway_{plugin.name}", plugin / "src" / f"gateway_{plugin.name}"),)
        for plugin in PLUGINS
    },
}
every_distribution = pytest.mark.parametrize("distribution", PACKAGES)


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        # Not the repository: Python would find the packages there first.
        cwd=tempfile.gettempdir(),
        env={**inherited, **environment},
    )


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every distribution's wheel."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, *PLUGINS):
        built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, project)
        assert built.returncode == 0, built.stdout + built.stderr
    return {path.name.split("-")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture(scope="session")
def installed(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which all wheels are installed, without what they depend on."""
    folder = tmp_path_factory.mktemp("installed")
    pip = run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"),
        *("--disable-pip-version-check", "--target", folder),
        *wheels.values(),
    )
    assert pip.returncode == 0, pip.stderr
    return folder


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def test_every_distribution_is_built(wheels: dict[str, Path]) -> None:
    assert set(wheels) == set(PACKAGES)


@every_distribution
def test_a_wheel_holds_its_packages_and_nothing_else(distribution: str, wheels: dict[str, Path]) -> None:
    """Octet for octet what lies in the repository: no tests, nothing generated, nothing left out."""
    files = (*own_files(), *(path for name in VENDORED for path in (ROOT / name).rglob("*") if path.is_file()))
    expected = {
        f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for name, folder in PACKAGES[distribution]
        for path in files
        if path.is_relative_to(folder)
    }
    found = contents(wheels[distribution])
    assert sorted(found) == sorted(expected)
    assert [name for name in found if found[name] != expected[name]] == []
    assert not [name for name in found if {"tests", "shared", "__pycache__"} & set(name.split("/"))]


@every_distribution
def test_a_wheel_tells_its_licence_and_its_types(distribution: str, wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels[distribution]) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    assert "License-Expression: Apache-2.0" in text
    assert "Requires-Python: >=3.11" in text
    for name, _ in PACKAGES[distribution]:
        assert f"{name}/py.typed" in contents(wheels[distribution])


@pytest.mark.parametrize(
    ("distribution", "needed"),
    [
        ("email_gateway", "gateway/web/templates/hosted.html"),
        ("email_gateway", "gateway/web/static/site.css"),
        ("email_gateway", "gateway/templating/vendor/handlebars/handlebars.min.js"),
        ("email_gateway", "gateway/templating/vendor/handlebars/LICENSE"),
        ("email_gateway", "gateway/queue/scripts/enqueue.lua"),
        ("email_gateway", "gateway/smtp/answers.json"),
        ("email_gateway", "gateway/mime/reports/refusals.json"),
        ("email_gateway", "gateway/testing/conformance/__init__.py"),
        ("email_gateway", "gateway_workers/operations/mail.py"),
        ("email_gateway_microsoft", "gateway_microsoft/explanations.json"),
        ("email_gateway_microsoft", "gateway_microsoft/refusals.json"),
    ],
)
def test_what_is_read_while_running_is_there(distribution: str, needed: str, wheels: dict[str, Path]) -> None:
    """Files that no import would miss."""
    assert needed in contents(wheels[distribution])


def test_every_package_can_be_imported_where_it_is_installed(installed: Path) -> None:
    """All of their modules, from the installed files and not from the repository's."""
    script = (
        "import importlib, pkgutil, sys\n"
        "for name in sys.argv[2:]:\n"
        "    package = importlib.import_module(name)\n"
        "    assert package.__file__.startswith(sys.argv[1]), package.__file__\n"
        "    for module in pkgutil.walk_packages(package.__path__, name + '.'):\n"
        "        if not module.name.endswith('__main__'):\n"
        "            importlib.import_module(module.name)\n"
    )
    names = [name for packages in PACKAGES.values() for name, _ in packages]
    done = run(sys.executable, "-W", "error", "-c", script, installed, *names, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr


def test_the_installed_command_works(installed: Path) -> None:
    """It tells its version, finds every plugin and the worker, and describes its API."""
    command = installed / "bin" / "gateway"
    version = run(sys.executable, command, "--version", PYTHONPATH=str(installed))
    plugins = run(sys.executable, command, "plugins", PYTHONPATH=str(installed))
    worker = run(sys.executable, command, "worker", "--help", PYTHONPATH=str(installed))
    document = run(sys.executable, command, "openapi", PYTHONPATH=str(installed))
    assert version.stdout.startswith("gateway, version 0.")
    assert (plugins.returncode, plugins.stderr) == (0, "")
    listed = {line.split()[0] for line in plugins.stdout.splitlines()}
    assert {"imap", "maildir", "outlook_graph", "outlook_imap", "sandbox"} <= listed
    assert "failed" not in plugins.stdout
    assert worker.returncode == 0
    assert document.stdout == (ROOT / "openapi" / "openapi.json").read_text()


def test_versions_agree(wheels: dict[str, Path]) -> None:
    """Plugins ask for the gateway that they are released with."""
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert len({path.name.split("-")[1] for path in wheels.values()}) == 1

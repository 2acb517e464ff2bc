"""What the texts of the project say is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from gateway.cli import main
from gateway.errors import ConfigurationError
from gateway.settings import read_settings
from tests.architecture.sources import PLUGINS, PROJECT, ROOT, own_files, relative

TEXTS = ("README.md", "CONTRIBUTING.md")
MAKEFILE = (ROOT / "Makefile").read_text()


def text_files() -> list[tuple[str, str]]:
    """(path, content) of every text; what forbids these words has to name them."""
    found = []
    for path in own_files():
        content = path.read_bytes()
        if b"\0" not in content and not relative(path).startswith("tests/architecture/"):
            found.append((relative(path), content.decode()))
    return found


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        (
            "a package registry",
            r"pypi\.org|pythonhosted|registry\.npmjs|npmjs\.(com|org)|artifactory|--(extra-)?index-url",
        ),
        ("an image registry", r"docker\.io|ghcr\.io|quay\.io|gcr\.io|mcr\.microsoft\.com"),
        ("a place on somebody's machine", r"/(?:home/\w+|root|work|Users/\w+)/|[A-Z]:\\\\Users"),
        ("a secret", r"-----BEGIN (RSA |EC )?PRIVATE KEY-----|ghp_\w{20}|AKIA[A-Z0-9]{16}"),
    ],
)
def test_no_file_names(what: str, pattern: str) -> None:
    """Where packages come from is the matter of whoever installs them."""
    found = [
        f"{name}: {match[0]}"
        for name, content in text_files()
        for match in re.finditer(pattern, content)
        if name != "requirements/pinned.txt" or what != "a package registry"
    ]
    assert found == [], what


def test_pins_have_hashes_and_no_addresses() -> None:
    pins = (ROOT / "requirements" / "pinned.txt").read_text()
    assert "://" not in pins
    entries = re.split(r"\n(?=\S)", pins.strip())
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_is_a_project_of_its_own(plugin: Path) -> None:
    """It can be taken out, published and installed by itself."""
    project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
    assert project["name"] == f"email-gateway-{plugin.name.replace('_', '-')}"
    assert project["license"] == PROJECT["project"]["license"]
    assert project["requires-python"] == PROJECT["project"]["requires-python"]
    readme = (plugin / project["readme"]).read_text()
    assert readme.startswith("# ")
    assert len(readme.split()) > 60, "a README tells what the plugin is for and how it is used"
    package = plugin / "src" / f"gateway_{plugin.name}"
    assert (package / "__init__.py").exists()
    assert (package / "py.typed").exists()
    assert list((plugin / "tests").glob("test_*.py"))


@pytest.mark.parametrize("name", TEXTS)
def test_make_knows_what_the_texts_tell_to_make(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    told = set(re.findall(r"\bmake ([a-z]+)", (ROOT / name).read_text()))
    assert told
    assert told <= targets


@pytest.mark.parametrize("name", [*TEXTS, *(f"plugins/{plugin.name}/README.md" for plugin in PLUGINS)])
def test_the_command_line_knows_what_the_texts_tell_to_run(name: str) -> None:
    context = click.Context(main)
    told = re.findall(r"(?:^ {4}|`|bin/)gateway ([a-z]+)(?: ([a-z]+))?", (ROOT / name).read_text(), re.MULTILINE)
    for command, below in told:
        found = main.get_command(context, command)
        assert found is not None, command
        if isinstance(found, click.Group) and below:
            assert found.get_command(context, below) is not None, f"{command} {below}"


def test_the_readme_describes_every_setting_and_no_other() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_settings({"GATEWAY_NO_SUCH_SETTING": "1"})
    known = set(re.findall(r"GATEWAY_\w+", caught.value.message)) - {"GATEWAY_NO_SUCH_SETTING"}
    described = re.findall(r"^\| (.*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {name for cell in described for name in re.findall(r"GATEWAY_\w+", cell)} == known


@pytest.mark.parametrize("name", TEXTS)
def test_links_to_files_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_folders_on_the_map_exist() -> None:
    cells = re.findall(r"^\| (`.*?`) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    folders = [name for cell in cells for name in re.findall(r"`([\w./]+/[\w./]*)`", cell)]
    assert len(folders) > 5
    assert [name for name in folders if not (ROOT / name).exists()] == []


def test_every_dependency_of_the_product_tells_its_reason() -> None:
    """In the line that asks for it."""
    text = (ROOT / "pyproject.toml").read_text()
    block = text[text.index("\ndependencies = [") : text.index("]\n", text.index("\ndependencies = ["))]
    lines = [line for line in block.splitlines() if line.startswith('  "')]
    assert len(lines) == len(PROJECT["project"]["dependencies"])
    assert [line for line in lines if "#" not in line] == []

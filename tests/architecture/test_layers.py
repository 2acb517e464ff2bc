"""Imports go downwards only, and everything has its layer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.architecture.sources import PLUGINS, PROJECT, ROOT

CONTRACTS = {contract["name"]: contract for contract in PROJECT["tool"]["importlinter"]["contracts"]}


def names(layers: list[str]) -> set[str]:
    return {name.strip() for layer in layers for name in layer.split("|")}


def test_the_contracts_are_kept() -> None:
    """Run as `make check` does; what is broken is named."""
    program = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert "0 broken" in run.stdout


def test_every_part_of_the_core_has_its_layer() -> None:
    """A new package is put into the picture when it is made."""
    contract = CONTRACTS["The core is layered"]
    parts = {
        path.stem
        for path in (ROOT / "gateway").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.name != "__init__.py"
    }
    assert names(contract["layers"]) == parts
    assert contract["exhaustive"] is True


def test_every_distribution_has_its_layer() -> None:
    packages = {"gateway", "gateway_workers"} | {
        path.name for plugin in PLUGINS for path in (plugin / "src").iterdir() if (path / "__init__.py").exists()
    }
    assert len(packages) > 5
    assert names(CONTRACTS["Packages depend downwards only"]["layers"]) == packages
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == packages
    assert set(PROJECT["tool"]["mypy"]["packages"]) == packages


def test_plugins_reach_the_public_modules_only() -> None:
    """What they may not import is everything but the list that the project promises to keep."""
    contract = CONTRACTS["Plugins use the public modules only"]
    parts = names(CONTRACTS["The core is layered"]["layers"]) - {"__main__"}
    public = {"provider", "errors", "model", "mime", "smtp", "testing"}
    assert {name.removeprefix("gateway.") for name in contract["forbidden_modules"]} == parts - public
    assert len(contract["source_modules"]) == len(PLUGINS)

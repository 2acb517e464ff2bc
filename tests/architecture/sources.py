"""The project's own files, and the trees of its modules."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))

VENDORED = ("gateway/templating/vendor/",)


@cache
def own_files() -> tuple[Path, ...]:
    """Every file that belongs to the project: tracked, or new and not ignored; nothing that others wrote."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    paths = (ROOT / name for name in listed.split("\0") if name and not name.startswith(VENDORED))
    return tuple(sorted(path for path in paths if path.is_file()))


def relative(path: Path) -> str:
    """Return a path as the project's texts write it."""
    return path.relative_to(ROOT).as_posix()


def product_modules() -> Iterator[Path]:
    """Every module that is shipped."""
    for path in own_files():
        if path.suffix == ".py" and "tests" not in path.relative_to(ROOT).parts:
            yield path


def modules_in(*folders: str) -> Iterator[Path]:
    """Every module below these folders of the project."""
    for path in own_files():
        if path.suffix == ".py" and relative(path).startswith(folders):
            yield path


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(path.read_text(), str(path))


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of every string in a module that is not a docstring; parts of f-strings are strings, too."""
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree(path))
        if isinstance(node, described) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything that a module imports."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)

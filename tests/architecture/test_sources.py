"""Habits of the code that no linter checks."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.sources import imported, modules_in, own_files, product_modules, relative, strings, tree

#: Lines of a module.
MOST = 450

CORE = ("gateway/", "workers/")
EVERYTHING = (*CORE, "plugins/", "tests/")


def test_no_module_is_long() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in modules_in(*EVERYTHING)}
    assert {name: length for name, length in lengths.items() if length > MOST} == {}


def test_no_handler_catches_without_saying_what() -> None:
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in modules_in(*EVERYTHING)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert found == []


def test_no_module_is_named_after_nothing() -> None:
    """A name tells what is inside; these tell only that somebody did not decide."""
    empty = re.compile(r"(^|_)(utils?|helpers?|common|managers?|misc|shared)(_|$)")
    names = [path.relative_to(path.parents[0]).stem for path in modules_in(*EVERYTHING)]
    folders = {part for path in modules_in(*EVERYTHING) for part in Path(relative(path)).parts[:-1]}
    assert [name for name in (*names, *sorted(folders)) if empty.search(name)] == []
    classes = [
        node.name
        for path in product_modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and re.search(r"(Manager|Helper|Utils?)$", node.name)
    ]
    assert classes == []


def test_nothing_is_read_that_can_run_code() -> None:
    """Whoever can write to Redis must not be able to run code (CWE-502)."""
    dangerous = re.compile(r"(pickle|cPickle|marshal|shelve|dill|yaml)(\.|$)")
    found = [
        f"{relative(path)}:{line} {name}"
        for path in product_modules()
        for line, name in imported(path)
        if dangerous.match(name)
    ]
    calls = [
        f"{relative(path)}:{node.lineno} {node.func.id}"
        for path in product_modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")
    ]
    assert (found, calls) == ([], [])


# --- who may know what ------------------------------------------------------------------------------------------------

#: What speaks HTTP: the API and the pages as a server, the others as clients of it.
HTTP = ("gateway/api/", "gateway/web/", "gateway/http/", "gateway/demo.py", "gateway/dev.py", "gateway/tail.py")
STATUSES = {400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 500, 501, 502, 503, 504}
#: Names of numbers that are no status although they look like one.
SIZE_NAME = re.compile(r"^_?([A-Z]+_)*(BATCH|SIZE|LENGTH|MOST)$")
#: What speaks SMTP, whose replies have three digits as well (RFC 5321 section 4.2).
SMTP = ("gateway/smtp/", "gateway/msa/")


def test_http_status_codes_are_known_to_what_speaks_http_alone() -> None:
    """What an error means to an HTTP client is decided in one place, and what another server's answer means in one."""
    found = []
    for path in modules_in(*CORE):
        name = relative(path)
        if name.startswith((*HTTP, *SMTP)):
            continue
        found += [f"{name}:{line} {used}" for line, used in imported(path) if used == "http.HTTPStatus"]
        found += [
            f"{name}:{node.lineno} {node.value}"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Constant) and type(node.value) is int and node.value in STATUSES
            if node not in named_sizes(path)
        ]
        found += [
            f"{name}:{node.lineno} {node.attr}"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Attribute) and node.attr == "status_code"
        ]
    assert found == []


def named_sizes(path: Path) -> set[ast.expr]:
    """Return the numbers that a module gives a name which says that they count something, as `BATCH = 500`."""
    return {
        node.value
        for node in tree(path).body
        if isinstance(node, ast.Assign)
        and all(isinstance(target, ast.Name) and SIZE_NAME.search(target.id) for target in node.targets)
    }


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("litestar", ("gateway/api/", "gateway/web/", "gateway/app.py")),
        ("granian", ("gateway/app.py", "gateway/queue/")),
        ("rq", ("gateway/queue/", "workers/gateway_workers/worker.py")),
        ("jinja2", ("gateway/web/",)),
        ("pluggy", ("gateway/__init__.py", "gateway/hookspecs.py", "gateway/plugins.py")),
        ("aiosmtplib", ("gateway/smtp/",)),
        ("click", ("gateway/cli.py", "workers/gateway_workers/command.py")),
        ("cryptography", ("gateway/store/cipher.py",)),
        ("aiohttp", ("gateway/http/",)),
        ("jmespath", ("gateway/services/webhooks/expressions.py",)),
    ],
)
def test_a_library_stays_where_it_is_used(library: str, homes: tuple[str, ...]) -> None:
    """It can be replaced by changing these alone."""
    users = {
        relative(path)
        for path in modules_in(*CORE)
        for _, name in imported(path)
        if name == library or name.startswith(f"{library}.")
    }
    assert users
    assert sorted(user for user in users if not user.startswith(homes)) == []


def test_the_environment_is_read_where_settings_are_made() -> None:
    """Everything else is given what it needs; RQ knows its prefix by no other way."""
    allowed = {"gateway/settings.py", "gateway/cli.py", "gateway/dev.py", "gateway/queue/__init__.py"}
    users: dict[str, list[str]] = {}
    for path in product_modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv", "os.putenv"):
                users.setdefault(relative(path), []).append(path.read_text().splitlines()[node.lineno - 1].strip())
        users.update({relative(path): [] for _, name in imported(path) if name in ("os.environ", "os.getenv")})
    assert set(users) <= allowed
    assert users["gateway/queue/__init__.py"] == ['os.environ["RQ_KEY_PREFIX"] = keys.RQ_PREFIX']


def test_names_of_keys_are_spelled_in_one_module() -> None:
    """Their form keeps accounts apart and each tier in its slots."""
    spelled = re.compile(r"\{gw|\{a:|\bgw:|\brq:")
    found = [
        f"{relative(path)}:{line} {text}"
        for path in modules_in(*CORE)
        if relative(path) != "gateway/redis/keys.py"
        for line, text in strings(path)
        if spelled.search(text)
    ]
    scripts = [relative(path) for path in own_files() if path.suffix == ".lua" and spelled.search(path.read_text())]
    assert (found, scripts) == ([], [])


def test_the_core_names_no_plugin() -> None:
    """A kind of mailbox is added by installing it."""
    plugin = re.compile(r"gateway_(imap|microsoft|maildir|outlook|sandbox)")
    found = [
        f"{relative(path)}:{line} {name}"
        for path in modules_in(*CORE)
        for line, name in (*imported(path), *strings(path))
        if plugin.search(name)
    ]
    assert found == []


def test_nothing_sleeps_in_tests() -> None:
    """A test waits for a condition with a deadline; rigs may be slow on purpose, what measures or polls may pause."""
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in modules_in("tests/", "plugins/")
        if "tests" in (parts := Path(relative(path)).parts) and not {"rigs", "bench"} & set(parts)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("time.sleep", "asyncio.sleep", "anyio.sleep")
        and not _polls(node)
    ]
    assert found == []


def _polls(call: ast.Call) -> bool:
    if not call.args or not isinstance(call.args[0], ast.Constant):
        return False
    seconds = call.args[0].value
    return isinstance(seconds, int | float) and seconds <= 0.1

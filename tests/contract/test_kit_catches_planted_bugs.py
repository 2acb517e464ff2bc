"""The conformance kit is worth what it catches: every standard test notices a bug planted for it."""

from __future__ import annotations

import pytest

from gateway.testing.conformance import ProviderConformance
from tests.contract import planted_bugs
from tests.contract.planting import PLANTED, Planted

_SOUND = ("TestSoundMaildir", "TestSoundMemory", "TestSoundIdentity")
_WANTED = {(planted.suite, planted.test) for planted in PLANTED}


def _parameter(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    return callspec.id if callspec else None


class _Recorder:
    """A pytest plugin: runs the sound suites, and of the others only the test that must fail."""

    def __init__(self) -> None:
        self.outcomes: dict[Planted, str] = {}
        self.reasons: dict[Planted, str] = {}
        self._keys: dict[str, Planted] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, collector: pytest.Collector, name: str) -> list[pytest.Item] | None:
        if not isinstance(collector, pytest.Class) or collector.name in _SOUND or (collector.name, name) in _WANTED:
            return None  # pytest's own way
        return []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = []
        for item in items:
            assert isinstance(item, pytest.Function)
            assert item.cls is not None
            key = Planted(item.cls.__name__, item.originalname, _parameter(item))
            if key.suite in _SOUND or key in PLANTED:
                self._keys[item.nodeid] = key
                chosen.append(item)
        items[:] = chosen

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        key = self._keys[report.nodeid]
        if report.when == "call" or report.skipped:
            self.outcomes[key] = report.outcome
        elif report.failed and self.outcomes.get(key) != "failed":
            self.outcomes[key] = f"error in {report.when}"
        if report.failed:
            self.reasons[key] = report.longreprtext


@pytest.fixture(scope="module")
def recorder() -> _Recorder:
    """What one run over all suites gave."""
    recorder = _Recorder()
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--noconftest",
        "--override-ini=addopts=",
        "--tb=line",
    ]
    pytest.main([*options, planted_bugs.__file__], plugins=[recorder])
    return recorder


def test_sound_providers_pass(recorder: _Recorder) -> None:
    """A test that fails without a bug proves nothing with one."""
    bad = [
        recorder.reasons[planted]
        for planted, outcome in recorder.outcomes.items()
        if planted.suite in _SOUND and outcome not in ("passed", "skipped")
    ]
    assert not bad, "\n".join(bad)


def test_every_standard_test_runs_on_a_sound_provider(recorder: _Recorder) -> None:
    """A test that is always skipped would never be missed."""
    ran = {planted.test for planted, outcome in recorder.outcomes.items() if outcome == "passed"}
    assert ran == _standard_tests()


def test_every_standard_test_has_a_planted_bug() -> None:
    """A test of the kit that nothing can fail is decoration."""
    assert _standard_tests() == {planted.test for planted in PLANTED}


def _standard_tests() -> set[str]:
    return {name for name in dir(ProviderConformance) if name.startswith("test_")}


@pytest.mark.parametrize("planted", PLANTED, ids=lambda p: f"{p.suite.removeprefix('Test')}-{p.parameter or p.test}")
def test_kit_catches(planted: Planted, recorder: _Recorder) -> None:
    """The bug is noticed by the test that guards against it, with an assertion and not by accident."""
    assert recorder.outcomes.get(planted) == "failed", recorder.reasons.get(planted, "it did not run")

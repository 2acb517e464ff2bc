"""CPU time and memory of process trees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import psutil

MIB = 1024 * 1024


class Memory(NamedTuple):
    """Octets: resident, of this process alone, and with its share of what several processes map."""

    rss: int
    uss: int
    pss: int


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU time that each tree has used so far, in seconds; the kernel counts in hundredths."""
    return {name: sum(map(_cpu_of, _tree(pid))) for name, pid in pids.items()}


def memory(pids: Mapping[str, int]) -> dict[str, Memory]:
    """Return the memory of each tree."""
    found: dict[str, Memory] = {}
    for name, pid in pids.items():
        infos = [info for process in _tree(pid) if (info := _memory_of(process)) is not None]
        found[name] = Memory(*(sum(values) for values in zip(*infos, strict=True)))
    return found


def _tree(pid: int) -> list[psutil.Process]:
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def _cpu_of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _memory_of(process: psutil.Process) -> Memory | None:
    try:
        info = process.memory_full_info()
    except psutil.NoSuchProcess:
        return None
    return Memory(info.rss, info.uss, info.pss)

"""A limit of memory, so that one message cannot take the whole machine along."""

from __future__ import annotations

import resource

MIB = 1024 * 1024


def limit_memory(mebibytes: int) -> None:
    """Have allocations fail with `MemoryError` when this process has reserved so much; 0 sets no limit.

    Reading a message that needs more counts as a death of it (`gateway.services.sync.batches`), like a kill by the
    kernel where a container has less. What counts is private memory that may be written (RLIMIT_DATA, getrlimit(2)),
    the stacks of threads included: those alone are more than half a gibibyte.
    """
    if mebibytes:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = mebibytes * MIB
        resource.setrlimit(
            resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )

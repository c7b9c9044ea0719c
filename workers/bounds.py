"""How much of the machine a process may take that reads what strangers wrote."""

import os
import resource
import sys
from pathlib import Path

# What the rest of the machine needs.
SHARE = 0.75
# The limit of a container, as version 2 of control groups says it; `max` for none.
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def bound_memory(most_bytes: int) -> None:
    """From now on the process is refused memory beyond this, which Python and its libraries raise
    as MemoryError. On Linux alone: elsewhere the limit does not count what is mapped."""
    if sys.platform != "linux":
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = min(most_bytes, int(SHARE * _machine_bytes()))
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _machine_bytes() -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(_CGROUP.read_text()))
    except (OSError, ValueError):
        return physical

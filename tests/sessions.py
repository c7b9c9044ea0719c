"""How a session of tests goes: where its files are, and which of its files of tests come first."""

import os
import tempfile
from collections import Counter
from collections.abc import MutableMapping
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 4 * 2**30
# Few tests that take minutes, with processes of their own. Begun last, one of them would run alone.
FIRST = (
    "fleet/test_chaos.py",
    "end_to_end/test_rechecks.py",
    "architecture/test_checks.py",
    "end_to_end/",
    "fleet/",
    "cli/test_demo.py",
    "erasure/test_invariants.py",
    "audit/test_mutation.py",
    "certificates/test_bundle_mutation.py",
    "unlearning/test_equality.py",
)


def keep_files_in_memory(environment: MutableMapping[str, str], folder: Path = MEMORY) -> bool:
    """Sets TMPDIR, unless somebody has, to a file system in memory with room enough.

    The service waits for the disk before it answers, some ten times in a test, and nothing of what
    the tests write is to outlive them.
    """
    if "TMPDIR" in environment or not hasattr(os, "statvfs") or not folder.is_dir():
        return False
    about = os.statvfs(folder)
    # Some tests write programs and run them.
    runs_nothing = bool(about.f_flag & getattr(os, "ST_NOEXEC", 0))
    if runs_nothing or about.f_bavail * about.f_frsize < NEEDED_BYTES:
        return False
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    environment["TMPDIR"] = str(folder)
    tempfile.tempdir = None  # asks again
    return True


def slow_first(items: list[pytest.Item]) -> None:
    """Whole files, the slow ones of `FIRST` before those with the most tests."""
    count = Counter(item.path for item in items)
    here = Path(__file__).parent

    def place(item: pytest.Item) -> tuple[int, int, str]:
        name = item.path.relative_to(here).as_posix()
        rank = next((at for at, start in enumerate(FIRST) if name.startswith(start)), len(FIRST))
        return rank, -count[item.path], name

    items.sort(key=place)

"""Where threads take their memory from, told by glibc itself."""

import os
import platform
import subprocess
import sys

import pytest

# Threads that all hold memory at once, which lie in as many places as glibc lets them.
PROGRAM = """
import ctypes, sys, threading
from app.arenas import share_one_arena
share_one_arena()
met = threading.Barrier(5)
def hold():
    held = bytearray(5_000)
    met.wait()
    met.wait()
threads = [threading.Thread(target=hold) for _ in range(4)]
for thread in threads: thread.start()
met.wait()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
met.wait()
"""


def arenas(**environment: str) -> int:
    others = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**others, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_threads_share_one_place_unless_the_environment_says_otherwise() -> None:
    assert arenas() == 1
    assert arenas(MALLOC_ARENA_MAX="3") == 3

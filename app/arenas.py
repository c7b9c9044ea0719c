"""How the C library hands out memory, told once, before a process begins to serve."""

import ctypes
import os

_M_ARENA_MAX = -8  # of glibc's malloc.h


def share_one_arena() -> None:
    """glibc gives threads places of their own to take memory from, eight for each processor, and
    none of them returns to the others what it once held: a process on SQLite was larger by 10 MB
    after load, and on machines with many processors by more. Python's lock lets one thread ask at
    a time anyway. Whoever has set MALLOC_ARENA_MAX is left alone, and so is any other C library:
    it has no such function, or does not know the number."""
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    try:
        tell = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    tell(_M_ARENA_MAX, 1)

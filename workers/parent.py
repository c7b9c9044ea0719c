"""Ends this process when its parent ends, so that an orphan never holds a GPU or a run."""

import ctypes
import os
import signal
import sys
import threading

PARENT_PID = "LOTUS_PARENT_PID"
_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_SECONDS = 1.0


def end_with_parent() -> None:
    """Call first thing. On Linux the kernel ends us; a thread that looks covers other systems.

    Whoever starts us says who it is in LOTUS_PARENT_PID: a parent that ended before we looked would
    otherwise pass unnoticed, since an orphan has a parent too.
    """
    parent = int(os.environ.get(PARENT_PID, os.getppid()))
    if os.getppid() != parent:
        os._exit(1)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="parent-watch").start()


def _watch(parent: int) -> None:
    never = threading.Event()
    while os.getppid() == parent:
        never.wait(_LOOK_EVERY_SECONDS)
    os._exit(1)

"""Ends a process that hangs, so that whoever started it can start another."""

import faulthandler
from collections.abc import Callable
from datetime import timedelta


def watch(longest: timedelta) -> Callable[[], None]:
    """`step`, which from now on must be called at least once in every `longest`.

    Otherwise the process ends with code 1, and says on standard error where it stood. This holds
    even for native code that never lets another Python thread run.
    """

    def step() -> None:
        faulthandler.dump_traceback_later(longest.total_seconds(), exit=True)

    step()
    return step


def unwatch() -> None:
    faulthandler.cancel_dump_traceback_later()

"""When a model's waiting items become a run. Pure.

Requests for the same model are unlearned together, because one run costs little more for fifty
persons than for one. So a model waits a little for company, but never so long that an answer
becomes late.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

# What is left for retries before the due date, in runs of the expected length.
RUNS_KEPT_IN_RESERVE = 3
# Expected length of a model's first run, when nothing has been measured yet.
FIRST_ESTIMATE = timedelta(minutes=10)


@dataclass(frozen=True)
class Waiting:
    accepted_at: datetime
    due_at: datetime


def ready_at(
    waiting: Sequence[Waiting], *, window: timedelta, run_time: timedelta = FIRST_ESTIMATE
) -> datetime:
    """The moment from which the batch may start: when the first item has waited `window`, or
    earlier if an item's due date leaves only the reserve."""
    if not waiting:
        raise ValueError("no item waits")
    return min(
        min(item.accepted_at + window, item.due_at - RUNS_KEPT_IN_RESERVE * run_time)
        for item in waiting
    )

"""When a message is tried again, and when it is given up."""

from collections.abc import Callable
from datetime import datetime, timedelta

TRIED_FOR = timedelta(hours=72)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(hours=6)
SHORTEST_PAUSE = timedelta(seconds=1)


def next_attempt(
    failures: int,
    retry_after: timedelta | None,
    *,
    now: datetime,
    give_up_at: datetime,
    random: Callable[[], float],
) -> datetime | None:
    """After so many failures in a row (1 or more); None if the message is to be given up.

    The pause doubles up to six hours, with full jitter: it is drawn evenly from nothing to that, so
    that messages that failed together do not come together again. What the receiver asked for is
    respected as far as six hours. The last attempt lies at the end of the time, not before it.
    """
    if now >= give_up_at:
        return None
    doubled: timedelta = FIRST_PAUSE * 2 ** min(failures - 1, 20)
    pause = max(SHORTEST_PAUSE, random() * min(doubled, LONGEST_PAUSE))
    if retry_after is not None:
        pause = max(pause, min(retry_after, LONGEST_PAUSE))
    return min(now + pause, give_up_at)

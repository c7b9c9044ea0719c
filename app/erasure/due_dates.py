"""A request's due dates, from what its row says."""

from collections.abc import Iterable
from datetime import datetime

from app.erasure import deadlines
from app.erasure.deadlines import LAWS, Pause
from app.erasure.jurisdictions import holidays_of
from app.erasure.tables import ErasureRequest


def due_at(request: ErasureRequest, *, extended: bool = False) -> datetime:
    return deadlines.due_at(
        request.submitted_at,
        LAWS[request.regulation],
        extended=extended,
        pauses=pauses_of(request),
        holidays=holidays_of(request.jurisdiction),
    )


def pauses_of(request: ErasureRequest) -> list[Pause]:
    return list(_pauses(request.paused))


def effective(request: ErasureRequest) -> datetime:
    """The date that counts now."""
    return request.extended_due_at or request.due_at


def _pauses(intervals: Iterable[dict[str, str]]) -> Iterable[Pause]:
    for one in intervals:
        yield Pause(datetime.fromisoformat(one["from"]), datetime.fromisoformat(one["until"]))

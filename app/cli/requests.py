"""A request as people read it: its state, what it waits for and by when an answer is due."""

from collections.abc import Iterator
from datetime import datetime

from app.cli.output import console, plain, print_rows
from app.cli.rechecking import last
from client import Deadline, Erasure, ErasureSummary

# What the one who has to act is waited for, by the request's state.
_AWAITED = {
    "awaiting_approval": "an approval: lotus approve, or lotus refuse",
    "on_hold": "the end of the hold: lotus resume, or lotus refuse",
    "needs_decision": "a decision on its items",
    "failed": "a decision on its items",
    "scheduled": "a run",
    "running": "the end of a run",
}


def due(request: ErasureSummary) -> str:
    if request.overdue:
        return f"{day(request.due_at)}  OVERDUE"
    return day(request.due_at) + ("  clock stopped" if request.clock_paused_since else "")


def day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def print_request(request: Erasure) -> None:
    out = console()
    out.print(f"[bold]{request.id}[/bold]  {request.state}")
    for label, value in _facts(request):
        if value:
            out.print(f"  {label}: {plain(value)}")
    rows = [
        [
            item.model_name,
            item.state,
            item.forget_count,
            item.run,
            item.error_class,
            last(item.last_recheck),
        ]
        for item in request.items
    ]
    if rows:
        print_rows(rows, "model", "state", ">samples", "run", "error", "re-check")


def _facts(request: Erasure) -> Iterator[tuple[str, str | None]]:
    yield "outcome", request.outcome
    yield "reason", request.reason_code
    yield "earlier request", request.earlier_request
    if request.reopened_for and request.reopened_at:
        yield "reopened", f"{request.reopened_for}, {request.reopened_at:%Y-%m-%d %H:%M} UTC"
    if request.waits_for:
        what = _AWAITED.get(request.state, "its next step")
        late = ", LATE" if request.waits_for.late else ""
        until = day(request.waits_for.until)
        yield "waits for", f"{what} ({request.waits_for.by}, until {until}{late})"
    if request.hold:
        end = f" until {day(request.hold.until)}" if request.hold.until else ""
        yield "held", request.hold.reason + end
    yield "due", due(request)
    if request.deadline:
        yield from _changes(request.deadline)
    for one in request.decisions:
        about = f" ({one.reason})" if one.reason else ""
        note = f": {one.note}" if one.note else ""
        yield day(one.decided_at), f"{one.action}{about} by {one.decided_by}{note}"


def _changes(deadline: Deadline) -> Iterator[tuple[str, str]]:
    if deadline.extended_due_at and deadline.notified_at:
        told = f"person told on {day(deadline.notified_at)}"
        first = f"from {day(deadline.first_due_at)}"
        yield "extended", f"{first}, {deadline.extension_reason}, {told}"
    for pause in deadline.pauses:
        until = f"to {day(pause.until)}" if pause.until else "and still is"
        yield "clock stopped", f"from {day(pause.since)} {until}"

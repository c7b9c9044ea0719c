"""Whether the audit log is signed, and whether it continues what was signed."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.audit.checkpoints import first_unsealed, key_in_use, log_state, newest
from app.audit.tables import LogState, RewindReason
from app.config import Settings
from app.doctor.findings import Finding, ok, problem, warning

AREA = "sealing"
# It is signed once a minute, if it grew.
LONGEST_UNSEALED = timedelta(minutes=5)

_REASONS = {
    RewindReason.SMALLER: "it has fewer entries than were signed: it was cut, or restored",
    RewindReason.OTHER_HISTORY: "entries that were signed are now others: changed, or restored",
    RewindReason.OTHER_LOG: "the key signed another log before: is this the right database?",
    RewindReason.MEMORY_MISSING: "the file that says what was signed last is gone",
    RewindReason.MEMORY_UNREADABLE: "the file that says what was signed last is damaged",
}
REWOUND_ACTION = (
    "Restored from a backup: `lotus audit accept-rewind`, once you know what was lost. A file that "
    "is missing or damaged: put it back first. Else nobody should have been able to do this: keep "
    "a copy of the database, and find out who could write to it."
)


def sealing(session: Session, settings: Settings, *, now: datetime) -> Iterator[Finding]:
    state = log_state(session)
    if state is not None and state.rewound_reason is not None:
        yield problem(AREA, rewound(state), REWOUND_ACTION)
        return
    if state is None or key_in_use(session) is None:
        yield warning(
            AREA,
            "nothing has signed the audit log yet, and certificates wait",
            "Start `lotus serve` on a single machine; in a fleet, give LOTUS_SIGNING_KEY to "
            "`lotus worker ops`.",
        )
        return
    if settings.log_origin not in (None, state.origin):
        yield warning(
            AREA,
            f"the log is called {state.origin} in its checkpoints, not as LOTUS_LOG_ORIGIN says",
            "Set LOTUS_LOG_ORIGIN to that name, or remove it: a log keeps its name.",
        )
    # What waits for its place is another finding.
    last, since = newest(session), first_unsealed(session)
    if since is not None and now - since > LONGEST_UNSEALED:
        yield problem(
            AREA,
            f"not signed since {since:%Y-%m-%d %H:%M} UTC, though the log grew",
            "Look into the log of the worker that seals, `lotus worker ops` or the single "
            "machine's, for the signing key.",
        )
    elif last is not None:
        yield ok(AREA, f"{last.tree_size} entries are signed, since {last.created_at:%H:%M} UTC")


def rewound(state: LogState) -> str:
    assert state.rewound_reason is not None
    return (
        f"log-rewound since {state.rewound_at:%Y-%m-%d %H:%M} UTC, and not signed: "
        f"{_REASONS[state.rewound_reason]}"
    )

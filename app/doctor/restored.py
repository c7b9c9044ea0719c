"""What a backup does not know, for the person who decides whether the service goes on."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import func, select, true
from sqlalchemy.orm import Session

from app.audit import sequencer
from app.audit.checkpoints import log_state
from app.audit.tables import AuditEntry, PendingEntry
from app.doctor.findings import Finding, counted, ok, problem, some, warning
from app.doctor.sealing import AREA, REWOUND_ACTION, rewound
from app.erasure.states import LIVE_RUN
from app.erasure.tables import Run
from app.keys.tables import ApiKey
from app.registry.tables import Artifact, ArtifactState, DatasetShard, ModelVersion, VersionState
from app.restore import mark as marks
from app.restore import service as restore
from app.restore.mark import Mark
from app.restore.tables import PauseReason
from app.storage import ArtifactStore
from app.webhooks.tables import OPEN_DELIVERY, WebhookDelivery

SHOWN = 10

_REASONS = {
    PauseReason.DATABASE_OLDER: "the database knows less than the mark beside the artifacts",
    PauseReason.OTHER_HISTORY: "the audit log is another than the mark beside the artifacts saw",
    PauseReason.OTHER_DATABASE: "the database was made anew: a dump was read back, or it moved",
    PauseReason.MARK_MISSING: "the mark beside the artifacts is gone: they, or all, were restored",
    PauseReason.OPERATOR: "a person paused it",
}


def unknown_to_the_backup(session: Session, store: ArtifactStore) -> Iterator[Finding]:
    mark = marks.read(store.root)
    yield _state(session)
    yield from _lost(session, mark)
    yield from _without_bytes(session, store)
    yield _without_rows(session, store)
    yield from _repeated(session)
    yield from _keys(session)
    yield from _signed(session)


def _state(session: Session) -> Finding:
    state = restore.state_of(session)
    if state is None or state.pause_reason is None:
        return ok("restore", "not paused: runs begin as they are due")
    return warning(
        "restore",
        f"paused since {state.paused_at:%Y-%m-%d %H:%M} UTC: {_REASONS[state.pause_reason]}",
        "Read the list below; then `lotus doctor --after-restore --resume` lets runs begin.",
    )


def _lost(session: Session, mark: Mark | None) -> Iterator[Finding]:
    """The stretch of time of which the backup knows nothing."""
    since = _last_entry(session)
    start = f"{since:%Y-%m-%d %H:%M:%S} UTC" if since else "the beginning"
    again = (
        f"Have every system that sends requests send those since {start} again: with an external "
        "id or an Idempotency-Key a repeat does no harm. Erasures that ended since then are undone "
        "in this database: their requests must come again too, and the versions served be replaced."
    )
    size = sequencer.head(session).size
    if mark is None:
        yield warning("requests", f"nothing tells what came after {start}", again)
    elif mark.size > size:
        yield problem(
            "requests",
            f"{counted(mark.size - size, 'audit entry', 'audit entries')} missing, from {start} "
            f"until {mark.at:%Y-%m-%d %H:%M:%S} UTC at least",
            again,
        )
    elif sequencer.root_at(session, mark.size) != mark.root:
        yield problem(
            "requests",
            f"the log went on differently from {start}; the lost one was written until "
            f"{mark.at:%Y-%m-%d %H:%M:%S} UTC at least",
            again,
        )
    else:
        yield ok(
            "requests",
            f"the log has all {mark.size} entries of the mark; what came within "
            "seconds before the end may be missing all the same",
        )


def _last_entry(session: Session) -> datetime | None:
    """Before the pause: what was accepted while paused came after the restore."""
    state = restore.state_of(session)
    before = state.paused_at if state is not None else None
    times = [
        session.scalar(
            select(func.max(table.created_at)).where(
                true() if before is None else table.created_at < before
            )
        )
        for table in (AuditEntry, PendingEntry)
    ]
    return max((time for time in times if time is not None), default=None)


def _without_bytes(session: Session, store: ArtifactStore) -> Iterator[Finding]:
    """Destroyed since the backup, or restored without their files."""
    versions = session.execute(
        select(ModelVersion.state, ModelVersion.artifact_sha256).where(
            ModelVersion.state.in_(
                (VersionState.ACTIVE, VersionState.CANDIDATE, VersionState.SUPERSEDED)
            )
        )
    ).all()
    gone = {
        state: _missing(store, [row[1] for row in versions if row[0] is state])
        for state in (VersionState.ACTIVE, VersionState.CANDIDATE, VersionState.SUPERSEDED)
    }
    if gone[VersionState.ACTIVE]:
        yield problem(
            "versions",
            f"published, and their bytes are gone: {some(gone[VersionState.ACTIVE], shown=SHOWN)}",
            "Copy the files from a backup of the artifacts, or register a newer version.",
        )
    others = gone[VersionState.CANDIDATE] + gone[VersionState.SUPERSEDED]
    if others:
        yield warning(
            "versions",
            f"no longer served, and their bytes are gone: {some(others, shown=SHOWN)}",
            "Nothing, if they were destroyed after the backup; they cannot be rolled back to.",
        )
    shards = _missing(store, session.scalars(select(DatasetShard.artifact_sha256)).all())
    if shards:
        yield problem(
            "datasets",
            f"shards whose bytes are gone: {some(shards, shown=SHOWN)}",
            "They were rewritten without a person's rows after the backup, or not restored: copy "
            "them from a backup of the artifacts, or register the dataset anew.",
        )
    if not (others or shards or gone[VersionState.ACTIVE]):
        yield ok("artifacts", "all that the database refers to are stored")


def _without_rows(session: Session, store: ArtifactStore) -> Finding:
    known = set(
        session.scalars(select(Artifact.sha256).where(Artifact.state == ArtifactState.STORED))
    )
    strays = sorted(sha256 for sha256, _ in store.stored() if sha256 not in known)
    if strays:
        return warning(
            "artifacts",
            f"stored after the backup, and no row refers to them: {some(strays, shown=SHOWN)}",
            "Versions published after the backup are among them: copy what you need elsewhere. "
            "They are kept while the service is paused, and destroyed some time after it resumes.",
        )
    return ok("artifacts", "none is stored that no row refers to")


def _repeated(session: Session) -> Iterator[Finding]:
    runs = session.scalar(select(func.count()).where(Run.state.in_(LIVE_RUN))) or 0
    if runs:
        yield warning(
            "runs",
            f"{counted(runs, 'run')} had not ended when the backup was made",
            "Nothing: each begins again from its start, with the same samples and seed.",
        )
    waiting = session.scalar(select(func.count()).where(WebhookDelivery.state.in_(OPEN_DELIVERY)))
    if waiting:
        yield warning(
            "callbacks",
            f"{waiting} wait that may have been delivered after the backup",
            "Tell their receivers that some come twice.",
        )


def _keys(session: Session) -> Iterator[Finding]:
    valid = session.scalar(select(func.count()).where(ApiKey.revoked_at.is_(None))) or 0
    yield warning(
        "API keys",
        f"{counted(valid, 'valid key')}, as of the backup",
        "Revoke again what was revoked after it; keys made after it are gone.",
    )


def _signed(session: Session) -> Iterator[Finding]:
    """To go on working and to sign another history are two decisions."""
    state = log_state(session)
    if state is not None and state.rewound_reason is not None:
        yield problem(AREA, rewound(state), REWOUND_ACTION)


def _missing(store: ArtifactStore, names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if not store.exists(name)})

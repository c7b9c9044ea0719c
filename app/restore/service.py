"""After a restore from a backup the service waits for a person: no run begins until someone who has
seen what the backup does not know says go. Requests are accepted meanwhile."""

from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from app.audit import sequencer
from app.audit.kinds import ServicePaused, ServiceResumed
from app.audit.log import append
from app.db import Database
from app.keys.tables import BrowserSession
from app.restore import mark as marks
from app.restore.mark import Mark
from app.restore.tables import PauseReason, ServiceState


def state_of(session: Session) -> ServiceState | None:
    return session.get(ServiceState, 1)


def is_paused(session: Session) -> bool:
    return session.scalar(select(ServiceState.paused_at).where(ServiceState.id == 1)) is not None


def look(database: Database, folder: Path, *, now: datetime) -> PauseReason | None:
    """Compares the database with the mark in the folder of the artifacts. Pauses the service if the
    database came from a backup, else moves the mark on. Returns why the service is paused.

    Called when a process starts and every few seconds, so that a restore under a running service is
    noticed too.
    """
    # First the mark: a session of SQLite goes on seeing the log as it was, while another process
    # may move the mark on.
    mark = marks.read(folder)
    with database.read() as session:
        state = state_of(session)
        if state is not None and state.pause_reason is not None:
            return state.pause_reason
        suspected = _contradiction(session, mark, state) is not None
        head, identity = sequencer.head(session), _identity(session)
    if suspected:
        with database.write() as session:
            return _look_again(session, folder, now)
    if mark is None or mark.size < head.size:
        marks.write(folder, Mark(head.size, head.root, now, identity))
        if state is None or state.marked_at is None:
            with database.write() as session:
                _the_row(session).marked_at = now
    return None


def _look_again(session: Session, folder: Path, now: datetime) -> PauseReason | None:
    """What the first look found may be a mark of the moment before: another process had yet to
    make one, or a person had yet to say go. Whoever says go holds the row that is held here, and
    no mark knows of entries that are not committed."""
    state = _the_row(session)
    if state.pause_reason is not None:
        return state.pause_reason
    mark = marks.read(folder)
    reason = _contradiction(session, mark, state)
    if reason is not None:
        pause(session, reason, mark, actor="service", now=now)
    return reason


def pause(
    session: Session, reason: PauseReason, mark: Mark | None, *, actor: str, now: datetime
) -> None:
    """Does nothing if the service is paused already."""
    state = _the_row(session)
    if state.paused_at is not None:
        return
    state.paused_at, state.pause_reason = now, reason
    # The backup has sessions that ended after it was made.
    session.execute(delete(BrowserSession))
    facts = ServicePaused(
        reason=reason,
        mark_size=mark.size if mark else None,
        log_size=sequencer.head(session).size,
        actor=actor,
    )
    append(session, facts, now=now)


def resume(session: Session, folder: Path, *, actor: str, now: datetime) -> PauseReason | None:
    """A person says go: from now on this database, as it is, is the one that counts. Returns what
    the pause was for, None if there was none.

    The mark is set before the commit: set after it, another process could find the old one, and
    pause the service again.
    """
    state = _the_row(session)
    reason = state.pause_reason
    if reason is None:
        return None
    state.paused_at = state.pause_reason = None
    append(session, ServiceResumed(reason=reason, actor=actor), now=now)
    head = sequencer.head(session)
    marks.write(folder, Mark(head.size, head.root, now, _identity(session)))
    state.marked_at = now
    return reason


def _contradiction(
    session: Session, mark: Mark | None, state: ServiceState | None
) -> PauseReason | None:
    """What the mark knows and the database does not."""
    if mark is None:
        marked = state is not None and state.marked_at is not None
        return PauseReason.MARK_MISSING if marked else None
    if sequencer.head(session).size < mark.size:
        return PauseReason.DATABASE_OLDER
    if sequencer.root_at(session, mark.size) != mark.root:
        return PauseReason.OTHER_HISTORY
    if None not in (mark.database, _identity(session)) and mark.database != _identity(session):
        return PauseReason.OTHER_DATABASE
    return None


def _identity(session: Session) -> str | None:
    """A dump that is read back makes another database, or another cluster. SQLite's is a file, and
    a copy of it is no other."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    if not session.scalar(text("SELECT has_function_privilege('pg_control_system()', 'execute')")):
        return None
    found: str | None = session.scalar(
        text(
            "SELECT system_identifier || '/' || oid FROM pg_control_system(), pg_database "
            "WHERE datname = current_database()"
        )
    )
    return found


def _the_row(session: Session) -> ServiceState:
    """Made if missing; processes that make it together agree on one. Locked until the commit."""
    session.execute(text("INSERT INTO service_state (id) VALUES (1) ON CONFLICT (id) DO NOTHING"))
    return session.scalars(select(ServiceState).where(ServiceState.id == 1).with_for_update()).one()

"""All checks, in the order in which one rests on the other. None of them changes anything."""

from collections.abc import Callable, Iterator
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.clock import utc_now
from app.config import Settings
from app.db import Database
from app.doctor import (
    assurance,
    broker,
    callbacks,
    database,
    files,
    keys,
    opendsr,
    sealing,
    work,
)
from app.doctor.findings import Finding, Level, problem
from app.doctor.restored import unknown_to_the_backup
from app.storage import ArtifactStore

Check = Callable[[Session], Finding | Iterator[Finding]]


def examine(
    settings: Settings, data: Database, store: ArtifactStore, *, full: bool, now: datetime
) -> Iterator[Finding]:
    ring, found = keys.keyring(settings)
    usable = True
    for finding in _usable(data):
        usable = usable and finding.level is Level.OK
        yield finding
    if usable:
        yield from _each(
            data,
            database.durability,
            lambda session: database.clock(session, utc_now),
            work.going,
            lambda session: work.workers(session, now=now),
            lambda session: work.leases(session, now=now),
            lambda session: work.stuck(session, now=now),
            work.models,
            lambda session: work.paused_models(session, now=now),
            lambda session: assurance.rechecks(session, now=now),
            lambda session: callbacks.deliveries(session, now=now),
            lambda session: work.audit(session, now=now),
            lambda session: sealing.sealing(session, settings, now=now),
            lambda session: files.content(session, store, full=full),
        )
    yield files.room(store)
    yield from found
    if usable and ring is not None:
        kept = ring
        yield from _each(
            data,
            lambda session: keys.in_use(session, kept),
            lambda session: callbacks.secrets(session, kept),
        )
    yield opendsr.signing(settings, now=now)
    yield broker.broker(settings)
    yield from callbacks.authorities(settings)


def after_restore(data: Database, store: ArtifactStore) -> Iterator[Finding]:
    for finding in _usable(data):
        yield finding
        if finding.level is not Level.OK:
            return
    yield from _each(data, lambda session: unknown_to_the_backup(session, store))


def _usable(data: Database) -> Iterator[Finding]:
    answer = database.reachable(data)
    yield answer
    if answer.level is Level.OK:
        yield database.schema(data)


def _each(data: Database, *checks: Check) -> Iterator[Finding]:
    """A check that cannot be made says so, and keeps no other from being made."""
    for check in checks:
        try:
            with data.read() as session:
                found = check(session)
                findings = [found] if isinstance(found, Finding) else list(found)
        except SQLAlchemyError as error:
            findings = [
                problem(
                    "database",
                    f"a check could not be made ({type(error).__name__})",
                    "The database failed while it was read: look into its own log.",
                )
            ]
        yield from findings

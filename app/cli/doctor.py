"""`lotus doctor`: what is wrong with this installation, and what to do about it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session

from app.audit.kinds import OPERATOR
from app.cli.on_the_data import read_settings, require_data
from app.cli.output import AsJson, Failure, console, plain, print_json, table, waiting
from app.db import Database
from app.doctor.examination import after_restore as list_unknown
from app.doctor.examination import examine
from app.doctor.findings import Finding, Level, counted
from app.restore import mark as marks
from app.restore import service as restore
from app.restore.tables import PauseReason
from app.revisions import is_current
from app.storage import ArtifactStore

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


def doctor(
    full: Annotated[bool, typer.Option("--full", help="Read every artifact: minutes.")] = False,
    after_restore: Annotated[
        bool, typer.Option("--after-restore", help="List what a restored backup does not know.")
    ] = False,
    pause: Annotated[
        bool, typer.Option("--pause", help="With --after-restore: let no run begin.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="With --after-restore: let runs begin again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check this installation. Exit code 0 only if there is no problem; warnings are none."""
    if (pause or resume) and not after_restore:
        raise Failure("--pause and --resume go with --after-restore")
    if pause and resume:
        raise Failure("--pause and --resume exclude each other")
    settings = read_settings()
    require_data()
    try:
        database = Database(settings.effective_database_url, pool_size=2)
    except (ArgumentError, ImportError) as error:
        raise Failure(f"LOTUS_DATABASE_URL cannot be used: {type(error).__name__}") from None
    if not settings.artifact_dir.is_dir():
        raise Failure(f"there is no folder {settings.artifact_dir}: see LOTUS_DATA_DIR")
    now = datetime.now(UTC)
    store = ArtifactStore(settings.artifact_dir, settings.staging_dir)
    if pause:
        with _writable(database) as session:
            mark = marks.read(store.root)
            restore.pause(session, PauseReason.OPERATOR, mark, actor=OPERATOR, now=now)
    with waiting("checking", as_json=as_json):
        if after_restore:
            findings = list(list_unknown(database, store))
        else:
            findings = list(examine(settings, database, store, full=full, now=now))
    lifted = None
    if resume:
        with _writable(database) as session:
            lifted = restore.resume(session, store.root, actor=OPERATOR, now=now)
    database.dispose()
    if as_json:
        print_json(_document(findings, lifted if resume else None, resume))
    else:
        _show(findings)
        if resume:
            _say_resumed(lifted)
    # Whoever resumes has read the list: the exit code then says only whether it was done.
    if not resume and any(finding.level is Level.PROBLEM for finding in findings):
        raise typer.Exit(1)


@contextmanager
def _writable(database: Database) -> Iterator[Session]:
    try:
        if not is_current(database):
            raise Failure("the database is not at this version's tables: run `lotus migrate`")
        with database.write() as session:
            yield session
    except DBAPIError:
        raise Failure("the database cannot be used: `lotus doctor` says more") from None


def _document(
    findings: Sequence[Finding], lifted: PauseReason | None, resume: bool
) -> dict[str, object]:
    document: dict[str, object] = {
        "ok": all(finding.level is not Level.PROBLEM for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }
    return document | ({"resumed": lifted is not None} if resume else {})


def _show(findings: Sequence[Finding]) -> None:
    out = console()
    rows = table("", "", "")
    rows.show_header = False
    for finding in findings:
        style = _STYLES[finding.level]
        rows.add_row(f"[{style}]{finding.level}[/]", plain(finding.area), plain(finding.says))
        if finding.action:
            rows.add_row("", "", f"[dim]→ {plain(finding.action)}[/]")
    out.print(rows)
    out.print()
    out.print(", ".join(_sums(findings)))


def _sums(findings: Sequence[Finding]) -> Iterator[str]:
    for level in Level:
        number = sum(finding.level is level for finding in findings)
        yield f"{number} ok" if level is Level.OK else counted(number, level.value)


def _say_resumed(lifted: PauseReason | None) -> None:
    out = console()
    out.print("the service was not paused" if lifted is None else "resumed: runs begin again")

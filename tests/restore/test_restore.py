"""How a restore is noticed, and what the service does until a person has looked."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, select, text, update

from app.audit import sequencer
from app.config import Settings
from app.db import Database
from app.erasure import candidates, closing, unneeded
from app.erasure.states import ItemState, RunState
from app.erasure.tables import ErasureItem
from app.keys.tables import Controller
from app.main import create_app
from app.registry.tables import Artifact, ModelVersion, VersionState
from app.restore import mark as marks
from app.restore import service, watch
from app.restore.tables import PauseReason
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.conftest import Cases
from tests.erasure.working import Hand
from workers import duties
from workers.closing import close_due
from workers.leftovers import clear_leftovers
from workers.local import LocalWorker


def look(runtime: Runtime) -> PauseReason | None:
    return service.look(runtime.database, runtime.artifacts.root, now=datetime.now(UTC))


def mark_of(runtime: Runtime) -> marks.Mark:
    found = marks.read(runtime.artifacts.root)
    assert found is not None
    return found


def sequence(runtime: Runtime) -> None:
    with runtime.database.write() as session:
        sequencer.sequence(session, now=datetime.now(UTC))


@pytest.fixture
def marked(runtime: Runtime, cases: Cases) -> Runtime:
    """One request is in the log and in the mark."""
    cases.submit("ada")
    sequence(runtime)
    assert look(runtime) is None
    return runtime


def test_the_mark_moves_on_with_the_log(marked: Runtime, cases: Cases) -> None:
    before = mark_of(marked)
    cases.submit("ben")
    sequence(marked)
    assert look(marked) is None
    after = mark_of(marked)
    assert after.size > before.size > 0
    with marked.database.read() as session:
        assert (after.size, after.root) == sequencer.head(session)


def test_a_fresh_database_without_a_mark_is_no_restore(runtime: Runtime) -> None:
    assert look(runtime) is None
    assert mark_of(runtime).size == 0


def test_a_database_that_knows_less_than_the_mark_pauses_the_service(marked: Runtime) -> None:
    marks.write(marked.artifacts.root, replace(mark_of(marked), size=1000))
    assert look(marked) is PauseReason.DATABASE_OLDER
    assert mark_of(marked).size == 1000  # it stays, for the person who looks


def test_a_database_that_went_on_after_a_restore_pauses_the_service(marked: Runtime) -> None:
    marks.write(marked.artifacts.root, replace(mark_of(marked), root=bytes(32)))
    assert look(marked) is PauseReason.OTHER_HISTORY


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"size": "many"}', "\u00e9"])
def test_a_mark_that_is_gone_or_broken_pauses_the_service(
    marked: Runtime, content: str | None
) -> None:
    path = marked.artifacts.root / marks.NAME
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert look(marked) is PauseReason.MARK_MISSING


def test_while_paused_requests_are_accepted_and_no_worker_claims(
    marked: Runtime, cases: Cases, hand: Hand, now: datetime, api: TestClient
) -> None:
    (marked.artifacts.root / marks.NAME).unlink()
    look(marked)
    identity = cases.submit("ben")
    assert cases.state(identity) == "scheduled"
    assert hand.claim(now) is None
    ready = api.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["status"] == "degraded"
    (check,) = [check for check in ready.json()["checks"] if check["name"] == "restore"]
    assert not check["ok"] and "lotus doctor --after-restore" in check["detail"]


def test_sessions_of_browsers_end_when_a_pause_begins_and_may_begin_anew(
    marked: Runtime, cases: Cases, make_key: MakeKey
) -> None:
    """The backup has sessions whose end it does not know."""
    page, key = {"Sec-Fetch-Site": "same-origin"}, {"key": make_key()}
    cases.api.headers.pop("Authorization")
    cases.api.post("/api/v1/session", json=key, headers=page)
    assert cases.api.get("/api/v1/session").status_code == 200
    assert older(marked) is not None
    assert cases.api.get("/api/v1/session").status_code == 401
    cases.api.post("/api/v1/session", json=key, headers=page)
    assert look(marked) is not None
    assert cases.api.get("/api/v1/session").status_code == 200


def test_while_paused_files_that_no_row_knows_are_kept(marked: Runtime) -> None:
    sha256 = marked.artifacts.put(b"weights of a version that the backup does not know")
    old = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    os.utime(marked.artifacts.path(sha256), (old, old))
    (marked.artifacts.root / marks.NAME).unlink()
    look(marked)
    clear_leftovers(marked, now=datetime.now(UTC))
    assert marked.artifacts.exists(sha256)
    with marked.database.write() as session:
        service.resume(session, marked.artifacts.root, actor="operator", now=datetime.now(UTC))
    clear_leftovers(marked, now=datetime.now(UTC))
    assert not marked.artifacts.exists(sha256)


def older(runtime: Runtime) -> PauseReason | None:
    marks.write(runtime.artifacts.root, replace(mark_of(runtime), size=1000))
    return look(runtime)


def test_while_paused_no_upload_goes_and_no_half_written_shard(marked: Runtime) -> None:
    store, late = marked.artifacts, datetime.now(UTC) + timedelta(days=2)
    with marked.database.read() as session:
        owner = session.scalars(select(Controller.id)).one()
    path = store.staged_path(owner, "0" * 64)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"an upload")
    store.work_folder("left behind")
    older(marked)
    clear_leftovers(marked, now=late)
    assert path.exists() and list(store.work_names()) == ["left behind"]
    resume(marked)
    clear_leftovers(marked, now=late)
    assert not path.exists() and not list(store.work_names())


def test_while_paused_a_case_stays_open_and_its_files_stay(
    marked: Runtime, cases: Cases, hand: Hand, now: datetime
) -> None:
    hand.publish(hand.must_claim(now), now)
    over = now + timedelta(days=8)
    assert duties.cases_close(marked, over)
    older(marked)
    assert not duties.cases_close(marked, over)
    assert close_due(marked, lambda: over) == 0
    assert set(versions(marked)) == {VersionState.ACTIVE, VersionState.SUPERSEDED}
    resume(marked)
    close_due(marked, lambda: over)
    assert set(versions(marked)) == {VersionState.ACTIVE, VersionState.DESTROYED}


def test_a_pause_that_begins_after_the_look_still_keeps_case_candidate_and_file(
    marked: Runtime, cases: Cases, hand: Hand, now: datetime
) -> None:
    """What the transactions that destroy find, whatever their caller saw before."""
    hand.publish(hand.must_claim(now), now)
    cases.submit("cleo")
    now = datetime.now(UTC)
    hand.reject(hand.must_claim(now), now)
    late = now + timedelta(days=400)
    with marked.database.read() as session:
        case = closing.due(session, late, closed=False)[0]
        (candidate,) = candidates.over(session, now=late)
        sha256 = session.get_one(ModelVersion, candidate).artifact_sha256
    older(marked)
    with marked.database.write() as session:
        assert not closing.close(
            session, marked.keyring, case, suppressed_for=timedelta(days=1), now=late
        )
        assert not candidates.end(session, candidate, now=late)
    with marked.database.write() as session:
        artifact = session.get_one(Artifact, sha256)
        artifact.unneeded_since, artifact.destroyed_reason = now, "overdue"
        session.get_one(ModelVersion, candidate).state = VersionState.DESTROYED
    with marked.database.write() as session:
        assert not unneeded.destroy(session, marked.artifacts, sha256, now=late)
    resume(marked)
    with marked.database.write() as session:
        assert unneeded.destroy(session, marked.artifacts, sha256, now=late)
        assert closing.close(
            session, marked.keyring, case, suppressed_for=timedelta(days=1), now=late
        )


def test_a_run_that_was_in_progress_when_the_pause_began_waits_and_publishes_nothing(
    marked: Runtime, hand: Hand, cases: Cases, now: datetime, api: TestClient
) -> None:
    fence = hand.must_claim(now)
    older(marked)
    assert hand.publish(fence, now) is RunState.QUEUED
    assert versions(marked) == [VersionState.ACTIVE]
    run = hand.run(fence)
    assert (run.crashes, run.lease_until) == (0, None)
    assert hand.claim(now) is None
    resume(marked)
    assert hand.publish(hand.must_claim(now), now) is RunState.SUCCEEDED


def resume(runtime: Runtime) -> None:
    with runtime.database.write() as session:
        service.resume(session, runtime.artifacts.root, actor="operator", now=datetime.now(UTC))


def versions(runtime: Runtime) -> list[VersionState]:
    with runtime.database.read() as session:
        return list(session.scalars(select(ModelVersion.state).order_by(ModelVersion.number)))


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object], *, before: bool) -> None:
    """Another process acts, just before the next look reads the mark, or just after."""
    real, waiting = marks.read, [act]

    def read(folder: Path) -> marks.Mark | None:
        if not waiting:
            return real(folder)
        stale = None if before else real(folder)
        waiting.pop()()
        return real(folder) if before else stale

    monkeypatch.setattr(marks, "read", read)


@pytest.mark.parametrize("before", [True, False])
def test_entries_that_another_process_adds_during_a_look_pause_nothing(
    marked: Runtime, cases: Cases, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    size = mark_of(marked).size

    def go_on() -> None:
        cases.submit("ben")
        sequence(marked)
        assert look(marked) is None

    meanwhile(monkeypatch, go_on, before=before)
    assert look(marked) is None
    assert mark_of(marked).size > size
    with marked.database.read() as session:
        assert not service.is_paused(session)


def test_two_processes_that_start_together_on_a_fresh_database_pause_nothing(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: look(runtime), before=False)
    assert look(runtime) is None
    assert look(runtime) is None


def test_a_look_that_began_before_a_person_said_go_does_not_pause_again(
    marked: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert older(marked) is PauseReason.DATABASE_OLDER
    meanwhile(monkeypatch, lambda: resume(marked), before=False)
    assert look(marked) is None
    with marked.database.read() as session:
        assert not service.is_paused(session)


def test_a_worker_of_a_single_machine_looks_before_it_claims_and_again_later(
    marked: Runtime, cases: Cases, now: datetime
) -> None:
    worker = LocalWorker(marked)
    cases.submit("ben")
    marks.write(marked.artifacts.root, replace(mark_of(marked), size=1000))
    worker.tick(now)
    with marked.database.read() as session:
        assert service.is_paused(session)
    assert worker.held is None
    resume(marked)
    # Nothing to claim, so that no process starts.
    with marked.database.write() as session:
        session.execute(update(ErasureItem).values(state=ItemState.CANCELLED))
    marks.write(marked.artifacts.root, replace(mark_of(marked), size=1000))
    worker.tick(now + timedelta(seconds=9))
    with marked.database.read() as session:
        assert not service.is_paused(session)
    worker.tick(now + timedelta(seconds=10))
    with marked.database.read() as session:
        assert service.is_paused(session)


def test_pausing_is_noted_once_and_resuming_ends_it(
    marked: Runtime, hand: Hand, now: datetime
) -> None:
    marks.write(marked.artifacts.root, replace(mark_of(marked), size=1000))
    for _ in range(3):
        assert look(marked) is PauseReason.DATABASE_OLDER
    with marked.database.write() as session:
        root = marked.artifacts.root
        done = service.resume(session, root, actor="operator", now=datetime.now(UTC))
        assert done is PauseReason.DATABASE_OLDER
        again = service.resume(session, root, actor="operator", now=datetime.now(UTC))
        assert again is None
    assert look(marked) is None
    assert hand.claim(now) is not None
    with marked.database.read() as session:
        kinds = session.scalars(text("SELECT kind FROM audit_pending ORDER BY id")).all()
    assert [kind for kind in kinds if kind.startswith("restore:")] == [
        "restore:service:paused",
        "restore:service:resumed",
    ]


def test_the_api_looks_when_it_starts(marked: Runtime, settings: Settings) -> None:
    marks.write(marked.artifacts.root, replace(mark_of(marked), size=1000))
    with TestClient(create_app(settings)) as client:
        assert client.get("/readyz").json()["checks"][-1]["ok"] is False


def test_a_restore_under_a_running_service_is_noticed(
    marked: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "EVERY_SECONDS", 0.01)
    with watch.watching(marked):
        with marked.database.read() as session:
            assert not service.is_paused(session)
        marks.write(marked.artifacts.root, replace(mark_of(marked), size=1000))
        for _ in range(1000):
            with marked.database.read() as session:
                if service.is_paused(session):
                    return
            time.sleep(0.01)  # or else this loop keeps the other thread from looking
    pytest.fail("it was not noticed")


def test_a_database_that_is_away_does_not_keep_the_service_from_starting(tmp_path: Path) -> None:
    runtime = Runtime.open(Settings(data_dir=tmp_path))  # no tables yet
    watch.look_once(runtime)
    runtime.close()


@contextmanager
def read_back(database: Database) -> Iterator[Database]:
    """The same content under the same cluster, as a dump and its restore would leave it."""
    name = f"{database.url.database}_restored"
    admin = create_engine(database.url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    database.dispose()
    with admin.connect() as connection:
        # Others hold idle connections, and a template must have none.
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": database.url.database},
        )
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {database.url.database}"))
    copy = Database(database.url.set(database=name))
    try:
        yield copy
    finally:
        copy.dispose()
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


def test_a_dump_that_was_read_back_is_noticed_on_postgresql_though_nothing_is_missing(
    runtime: Runtime,
) -> None:
    if runtime.database.is_sqlite:
        pytest.skip("a copied file is no other database: the mark is left out of the backup")
    assert look(runtime) is None
    with read_back(runtime.database) as database:
        found = service.look(database, runtime.artifacts.root, now=datetime.now(UTC))
        assert found is PauseReason.OTHER_DATABASE

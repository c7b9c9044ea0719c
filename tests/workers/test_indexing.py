"""Rows come in many short transactions, and go again unless the last one made the dataset ready."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from app.registry import checks
from app.registry.artifacts import note_stored, take_back
from app.registry.tables import Artifact, Dataset, DatasetShard, Sample, SampleSubject
from tests.registry.content import digest, feature_columns, parquet, weights
from tests.registry.front import PROBLEM, Front
from tests.workers.registering import LEASE, Clock, post, take
from workers import dataset_check, parts, removal, shards
from workers.registration import process_pending

TABLES = (DatasetShard, Sample, SampleSubject)
# 20 rows of one subject each in shards of 7 rows.
READY = [3, 20, 20]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ROWS", 6)
    monkeypatch.setattr(parts, "FILES", 2)
    monkeypatch.setattr(shards, "ROWS", 7)


def counts(front: Front) -> list[int]:
    with front.runtime.database.read() as session:
        return [session.scalar(select(func.count()).select_from(one)) or 0 for one in TABLES]


def after_each_part(monkeypatch: pytest.MonkeyPatch, see: Callable[[], None]) -> None:
    """Calls `see` before every part begins, when the one before has been committed."""
    real = parts.part

    def part(*arguments: Any) -> Any:
        see()
        return real(*arguments)

    monkeypatch.setattr(parts, "part", part)


def die(*_: Any, **__: Any) -> None:
    """What a killed process does about its rows."""
    raise SystemExit


def crash(
    front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch, *, turns: int = 1
) -> list[int]:
    """Attempts that die when all rows are there; the rows that the last of them left."""
    real = dataset_check.insert_rows

    def insert_then_die(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        patch.setattr(removal, "remove_rows", die)
        raise SystemExit

    for _ in range(turns):
        with monkeypatch.context() as patch:
            patch.setattr(dataset_check, "insert_rows", insert_then_die)
            with pytest.raises(SystemExit):
                process_pending(front.runtime, clock)
        clock.now += LEASE
    return counts(front)


def test_no_transaction_writes_more_than_a_part(
    front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = post(front)
    seen: list[list[int]] = []
    states: list[str] = []

    def look() -> None:
        seen.append(counts(front))
        states.append(front.get(f"/datasets/{identity}")["state"])

    after_each_part(monkeypatch, look)
    process_pending(front.runtime, clock)

    assert [rows for rows in seen if any(rows)] == [
        *([2, 0, 0], [3, 0, 0]),
        *([3, 6, 0], [3, 12, 0], [3, 18, 0], [3, 20, 0]),
        *([3, 20, 6], [3, 20, 12], [3, 20, 18]),
    ]
    assert set(states) == {"checking"}
    assert counts(front) == READY
    assert front.get(f"/datasets/{identity}")["state"] == "ready"


def test_every_subject_is_noted_at_its_own_rows(front: Front, clock: Clock) -> None:
    columns = feature_columns()
    # From none to five subjects a row, so that a row's subjects lie across two parts.
    columns["customer"] = [[f"customer-{one}" for one in range(row % 6)] for row in range(20)]
    front.dataset(parquet(columns))

    keyring = front.runtime.keyring
    with front.runtime.database.read() as session:
        for customer in range(5):
            sha256 = digest(f"customer-{customer}".encode())
            reference = keyring.subject_ref(
                keyring.pseudonym_key_id, "controller_customer_id", sha256
            )
            rows = session.scalars(
                select(Sample.row)
                .join(SampleSubject, SampleSubject.sample_id == Sample.id)
                .where(SampleSubject.subject_ref == reference)
                .order_by(Sample.row)
            ).all()
            assert rows == [row for row in range(20) if row % 6 > customer]


@pytest.mark.parametrize("part", range(1, 11))
def test_an_error_in_any_part_leaves_nothing_of_the_attempt(
    front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    identity = post(front)
    real, begun = checks.hold, []

    def hold(*arguments: Any) -> None:
        real(*arguments)
        begun.append(None)
        if len(begun) == 3 + part:  # the first three find that no dead attempt left anything
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(checks, "hold", hold)
    process_pending(front.runtime, clock)

    assert front.rows_left() == 0
    assert len(front.files_left()) == 1  # the upload
    with front.runtime.database.read() as session:
        assert list(session.scalars(select(Artifact.sha256))) == front.files_left()
    clock.now += LEASE
    assert process_pending(front.runtime, clock) == 1
    assert front.get(f"/datasets/{identity}")["state"] == "ready"
    assert counts(front) == READY


def test_the_next_attempt_removes_what_a_dead_one_left(
    front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = post(front)
    assert crash(front, clock, monkeypatch) == READY
    before: list[list[int]] = []
    real = dataset_check.insert_rows

    def insert_rows(*arguments: Any, **named: Any) -> None:
        before.append(counts(front))
        real(*arguments, **named)

    monkeypatch.setattr(dataset_check, "insert_rows", insert_rows)
    assert process_pending(front.runtime, clock) == 1
    assert before == [[0, 0, 0]]
    assert counts(front) == READY
    assert front.get(f"/datasets/{identity}")["state"] == "ready"


def test_removing_takes_no_more_than_a_part_at_a_time(
    front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(front)
    crash(front, clock, monkeypatch, turns=3)
    seen: list[list[int]] = []
    after_each_part(monkeypatch, lambda: seen.append(counts(front)))
    process_pending(front.runtime, clock)

    assert [rows for rows in seen if any(rows)] == [
        *([3, 20, 20], [3, 20, 14], [3, 20, 8], [3, 20, 2]),
        [3, 20, 0],  # looked for more subjects and found none
        *([3, 20, 0], [3, 14, 0], [3, 8, 0], [3, 2, 0]),
        [3, 0, 0],  # looked for more samples and found none
        *([3, 0, 0], [1, 0, 0]),
    ]
    assert counts(front) == [0, 0, 0]


def test_the_third_crash_leaves_no_row_and_no_file(
    front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = post(front)
    assert crash(front, clock, monkeypatch, turns=3) == READY
    assert process_pending(front.runtime, clock) == 1

    ended = front.get(f"/datasets/{identity}")
    assert ended["state"] == "invalid"
    assert ended["problem"]["type"] == PROBLEM + "registration-crashed"
    assert counts(front) == [0, 0, 0]
    assert front.files_left() == []
    assert post(front) != identity  # the name is free again
    assert process_pending(front.runtime, clock) == 1


@pytest.mark.parametrize("part", range(1, 11))
def test_an_attempt_that_was_replaced_touches_nothing_of_the_next(
    front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    identity = post(front)
    begun: list[None] = []

    def stall() -> None:
        begun.append(None)
        if len(begun) == 3 + part:
            clock.now += LEASE
            assert process_pending(front.runtime, clock) == 1

    after_each_part(monkeypatch, stall)
    with pytest.raises(checks.LostRegistration):
        process_pending(front.runtime, clock)

    assert front.get(f"/datasets/{identity}")["state"] == "ready"
    assert counts(front) == READY
    with front.runtime.database.read() as session:
        named = set(session.scalars(select(DatasetShard.artifact_sha256)))
    assert set(front.files_left()) == named


def test_a_replaced_attempt_leaves_the_work_folder_of_the_next_alone(
    front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(front)
    real, folders = dataset_check.insert_rows, []

    def insert_rows(*arguments: Any, **named: Any) -> None:
        folders.append(None)
        if len(folders) == 1:  # the first attempt stalls here, its shards written
            clock.now += LEASE
            second = take(front, clock)
            assert second is not None
            name = dataset_check.work_of(second.dataset.id, second.attempt)
            written = front.runtime.artifacts.work_folder(name) / "shard-0"
            written.write_bytes(b"pixels")
        real(*arguments, **named)

    monkeypatch.setattr(dataset_check, "insert_rows", insert_rows)
    with pytest.raises(checks.LostRegistration):
        process_pending(front.runtime, clock)

    assert len(front.runtime.artifacts.work_names()) == 1
    assert "shard-0" in front.files_left()


def test_a_shard_that_another_dataset_has_too_is_kept(
    front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = parquet(feature_columns())
    front.dataset(manifest, name="first")
    front.post_dataset(front.upload(manifest), name="second")
    crash(front, clock, monkeypatch, turns=3)
    process_pending(front.runtime, clock)

    assert counts(front) == READY
    with front.runtime.database.read() as session:
        named = set(session.scalars(select(DatasetShard.artifact_sha256)))
        stored = set(session.scalars(select(Artifact.sha256).where(Artifact.state == "stored")))
        states = list(session.scalars(select(Dataset.state).order_by(Dataset.id)))
    assert set(front.files_left()) == named == stored
    assert states == ["ready", "invalid"]


def test_bytes_that_were_also_uploaded_are_staged_again_when_they_are_taken_back(
    front: Front,
) -> None:
    body = weights()
    sha256 = front.upload(body)
    store = front.runtime.artifacts
    store.put(body)
    with front.runtime.database.write() as session:
        note_stored(session, sha256, size=len(body), media_type="x", now=datetime.now(UTC))
    with front.runtime.database.write() as session:
        take_back(session, store, sha256)

    assert front.artifact(sha256).state == "staged"
    assert not store.exists(sha256)
    assert front.model(body)["state"] == "ready"


def test_bytes_of_a_model_are_never_taken_back(front: Front) -> None:
    sha256 = front.model(weights())["current_version"]["sha256"]
    with front.runtime.database.write() as session:
        take_back(session, front.runtime.artifacts, sha256)

    assert front.runtime.artifacts.exists(sha256)
    assert front.artifact(sha256).state == "stored"

"""What is left over goes: uploads whose registration ended, half-written shards, strays."""

import os
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.registry import checks
from app.registry.attempts import RegistrationCrashed
from app.registry.tables import Artifact, DatasetShard, ModelVersion
from tests.registry.content import feature_columns, parquet, weights
from tests.registry.front import Front
from tests.workers.registering import LEASE, Clock, post, take
from workers import leftovers
from workers.leftovers import clear_leftovers, work_of
from workers.registration import process_pending


def test_half_written_shards_of_a_dead_worker_are_cleared(front: Front, clock: Clock) -> None:
    identity = post(front)
    check = take(front, clock)
    assert check is not None
    folder = front.runtime.artifacts.work_folder(work_of(check.dataset.id, check.attempt))
    (folder / "shard-0").write_bytes(b"pixels of a person")

    clear_leftovers(front.runtime, now=clock())
    assert (folder / "shard-0").exists()  # its worker may still live
    for _ in range(2):
        clock.now += LEASE
        take(front, clock)
    clear_leftovers(front.runtime, now=clock())
    assert not folder.exists()  # another has taken the registration over
    clock.now += LEASE
    process_pending(front.runtime, clock)
    assert front.get(f"/datasets/{identity}")["state"] == "invalid"
    assert front.files_left() == []


def test_an_upload_waits_a_day_for_its_registration(front: Front, clock: Clock) -> None:
    sha256 = front.upload(weights())
    clock.now += timedelta(hours=23)
    clear_leftovers(front.runtime, now=clock())
    assert front.files_left() == [sha256]

    clock.now += timedelta(hours=2)
    clear_leftovers(front.runtime, now=clock())
    assert front.files_left() == []
    assert front.artifact(sha256).state == "destroyed"
    assert front.artifact(sha256).destroyed_reason == "unused"


def test_an_upload_that_two_registrations_need_stays_until_the_second_ended(
    front: Front, clock: Clock
) -> None:
    sha256 = front.upload(parquet(feature_columns()))
    for name in ("first", "second"):
        front.post_dataset(sha256, name=name)
    check = take(front, clock)
    assert check is not None
    with front.runtime.database.write() as session:
        checks.end_dataset_invalid(session, check, RegistrationCrashed("x"), now=clock())
    clear_leftovers(front.runtime, now=clock())
    assert sha256 in front.files_left()

    process_pending(front.runtime, clock)
    assert sha256 not in front.files_left()


def test_an_upload_sent_again_after_its_registration_is_kept_for_the_next(
    front: Front, clock: Clock
) -> None:
    manifest = parquet(feature_columns())
    front.dataset(manifest, name="first")
    sha256 = front.upload(manifest)
    clear_leftovers(front.runtime, now=clock())

    assert sha256 in front.files_left()
    assert front.artifact(sha256).state == "staged"


def test_a_stored_file_that_no_row_knows_goes_after_a_day(front: Front, clock: Clock) -> None:
    model = front.model(weights())
    stray = front.runtime.artifacts.put(b"weights of a run whose commit failed")
    clock.now += timedelta(hours=25)
    clear_leftovers(front.runtime, now=clock())

    assert stray not in front.files_left()
    assert model["current_version"]["sha256"] in front.files_left()


def test_a_retry_that_stores_equal_bytes_after_a_day_keeps_them(front: Front, clock: Clock) -> None:
    store = front.runtime.artifacts
    name = store.put(b"weights of a run whose commit failed")
    os.utime(store.path(name), times=((clock() - timedelta(days=2)).timestamp(),) * 2)
    store.put(b"weights of a run whose commit failed")
    clear_leftovers(front.runtime, now=clock())

    assert store.exists(name)


def test_two_processes_may_clear_the_same_leftovers(
    front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = front.upload(weights())
    store = front.runtime.artifacts
    stray = store.put(b"weights of a run whose commit failed")
    (store.work_folder("left") / "shard-0").write_bytes(b"pixels")
    clock.now += timedelta(days=2)
    real, faster = leftovers.reason_to_discard, [True]

    def reason_to_discard(*arguments: Any, **named: Any) -> str | None:
        reason = real(*arguments, **named)
        if faster and faster.pop():
            clear_leftovers(front.runtime, now=clock())
        return reason

    listed = list(store.stored())
    monkeypatch.setattr(leftovers, "reason_to_discard", reason_to_discard)
    monkeypatch.setattr(type(store), "stored", lambda _: iter(listed))
    clear_leftovers(front.runtime, now=clock())

    assert front.files_left() == []
    assert [name for name, _ in listed] == [stray]
    assert front.artifact(sha256).state == "destroyed"
    assert front.audit_kinds().count("storage:artifact:destroyed") == 1


def test_every_stored_artifact_of_a_model_and_its_dataset_has_a_row(front: Front) -> None:
    front.model(weights())

    with front.runtime.database.read() as session:
        named = {
            *session.scalars(select(DatasetShard.artifact_sha256)),
            *session.scalars(select(ModelVersion.artifact_sha256)),
        }
        stored = set(session.scalars(select(Artifact.sha256).where(Artifact.state == "stored")))
    assert named == stored == set(front.files_left())

"""What becomes of a registration when workers die, race, or meet an error that is not its own."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.erasure.states import Outcome, RequestState
from app.erasure.tables import ErasureRequest, Regulation, SuppressionEntry
from app.registry import checks
from app.registry.tables import Dataset
from tests.conftest import MakeKey
from tests.registry.content import digest, feature_columns, parquet, state, weights
from tests.registry.front import PROBLEM, Front
from tests.workers.registering import LEASE, Clock, post, take
from workers import dataset_check, registration
from workers.registration import process_pending

SECRET = "canary-6634"


def test_two_workers_never_hold_the_same_registration(front: Front, clock: Clock) -> None:
    post(front)

    assert take(front, clock) is not None
    assert take(front, clock) is None


def test_a_registration_of_a_dead_worker_is_taken_again_after_its_lease(
    front: Front, clock: Clock
) -> None:
    identity = post(front)
    take(front, clock)

    clock.now += LEASE - timedelta(seconds=1)
    assert process_pending(front.runtime, clock) == 0
    clock.now += timedelta(seconds=1)
    assert process_pending(front.runtime, clock) == 1
    assert front.get(f"/datasets/{identity}")["state"] == "ready"


def test_the_third_crash_ends_a_dataset_as_invalid(front: Front, clock: Clock) -> None:
    identity = post(front)
    for _ in range(3):
        assert take(front, clock) is not None
        clock.now += LEASE
    process_pending(front.runtime, clock)

    ended = front.get(f"/datasets/{identity}")
    assert ended["state"] == "invalid"
    assert ended["problem"]["type"] == PROBLEM + "registration-crashed"
    assert front.rows_left() == 0
    assert front.files_left() == []


def test_the_third_crash_ends_a_version_and_its_model_as_invalid(
    front: Front, clock: Clock
) -> None:
    answer = front.post_model(front.ready_dataset(), front.upload(weights()))
    for _ in range(3):
        with front.runtime.database.write() as session:
            assert checks.take_version(session, now=clock(), lease=LEASE) is not None
        clock.now += LEASE
    process_pending(front.runtime, clock)

    ended = front.get(f"/models/{answer.json()['id']}")
    assert ended["state"] == "invalid"
    assert ended["problem"]["type"] == PROBLEM + "registration-crashed"
    assert digest(weights()) not in front.files_left()


def test_a_worker_that_lost_its_lease_writes_nothing(front: Front, clock: Clock) -> None:
    post(front)
    stale = take(front, clock)
    assert stale is not None
    clock.now += LEASE
    process_pending(front.runtime, clock)
    rows, files = front.rows_left(), sorted(front.files_left())

    content = checks.DatasetContent([3], "k1", b"", {"train": 1}, 0)
    with pytest.raises(checks.LostRegistration), front.runtime.database.write() as session:
        checks.end_dataset_ready(session, stale, content, now=clock())
    assert (front.rows_left(), sorted(front.files_left())) == (rows, files)


def test_controllers_take_turns_however_many_uploads_one_of_them_sends(
    front: Front, clock: Clock, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = front.model(weights(), dataset=front.ready_dataset())["id"]
    manifest = parquet(feature_columns())
    for number in range(4):
        front.post_dataset(front.upload(manifest), name=f"many {number}")
    moved = {name: tensor + 1 for name, tensor in state().items()}
    version = {"artifact": front.upload(weights(moved))}
    assert front.api.post(f"/api/v1/models/{model}/versions", json=version).status_code == 202
    for controller in ("second", "third"):
        front.api.headers["Authorization"] = f"Bearer {make_key(controller=controller)}"
        for number in range(2):
            front.post_dataset(front.upload(manifest), name=f"{controller} {number}")
    taken: list[str] = []
    real = registration._register

    def noted(runtime: Any, check: Any, *rest: Any) -> None:
        is_dataset = isinstance(check, checks.DatasetCheck)
        taken.append(check.dataset.name if is_dataset else "version")
        real(runtime, check, *rest)

    monkeypatch.setattr(registration, "_register", noted)
    assert process_pending(front.runtime, clock) == 9
    assert taken == [
        *("many 0", "second 0", "third 0"),
        *("many 1", "second 1", "third 1"),
        *("many 2", "many 3", "version"),
    ]


def test_a_long_check_extends_its_lease(
    front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(front)
    leases: list[datetime | None] = []

    def slow(runtime: Any, check: checks.DatasetCheck, *, beat: Any, now_fn: Any) -> None:
        for _ in range(10):
            clock.now += LEASE / 2
            beat()
            with runtime.database.read() as session:
                leases.append(session.scalar(select(Dataset.check_lease_until)))
        raise checks.LostRegistration

    monkeypatch.setattr(registration.dataset_check, "register", slow)
    started = clock.now
    lease = timedelta(seconds=front.runtime.settings.lease_seconds)
    with pytest.raises(checks.LostRegistration):
        process_pending(front.runtime, clock)

    assert leases == [started + LEASE / 2 * turn + lease for turn in range(1, 11)]


def test_an_error_that_is_not_the_contents_leaves_nothing_and_is_tried_again(
    front: Front,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    columns = feature_columns()
    columns["customer"][0] = SECRET
    identity = front.post_dataset(front.upload(parquet(columns))).json()["id"]
    real = dataset_check.insert_rows

    def disk_full(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        raise OSError(28, f"No space left, while writing {SECRET}")

    caplog.set_level("ERROR")
    monkeypatch.setattr(dataset_check, "insert_rows", disk_full)
    assert process_pending(front.runtime, clock) == 0
    assert front.get(f"/datasets/{identity}")["state"] == "checking"
    assert front.rows_left() == 0
    assert len(front.files_left()) == 1  # the upload, which the next attempt needs
    assert [record.lotus_fields["error"] for record in caplog.records] == ["OSError"]
    assert all(SECRET not in str(vars(record)) for record in caplog.records)

    monkeypatch.setattr(dataset_check, "insert_rows", real)
    clock.now += LEASE
    assert process_pending(front.runtime, clock) == 1
    assert front.get(f"/datasets/{identity}")["state"] == "ready"


def test_a_commit_that_fails_leaves_no_shard(
    front: Front, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(front)
    store = type(front.runtime.artifacts)
    real = store.adopt

    def adopt_then_fail(*arguments: Any) -> None:
        real(*arguments)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(store, "adopt", adopt_then_fail)
    process_pending(front.runtime, clock)

    assert front.rows_left() == 0
    assert len(front.files_left()) == 1


def test_an_upload_that_vanished_ends_its_registration(front: Front, clock: Clock) -> None:
    identity = post(front)
    upload = next(front.runtime.artifacts.staged())
    front.runtime.artifacts.discard(upload.owner, upload.sha256)
    process_pending(front.runtime, clock)

    ended = front.get(f"/datasets/{identity}")
    assert ended["problem"]["type"] == PROBLEM + "upload-missing"


def test_a_later_version_that_was_checked_first_stays_the_current_one(
    front: Front, clock: Clock
) -> None:
    model = front.model(weights())
    for number in (2, 3):
        tensors = {name: tensor + number for name, tensor in state().items()}
        front.api.post(
            f"/api/v1/models/{model['id']}/versions",
            json={"artifact": front.upload(weights(tensors))},
        )
    with front.runtime.database.write() as session:  # a worker takes version 2 and dies
        assert checks.take_version(session, now=clock(), lease=LEASE) is not None
    process_pending(front.runtime, clock)
    clock.now += LEASE
    process_pending(front.runtime, clock)

    versions = front.get(f"/models/{model['id']}/versions")["items"]
    assert [(one["number"], one["state"]) for one in versions] == [
        (3, "active"),
        (2, "superseded"),
        (1, "superseded"),
    ]
    answer = front.api.post(
        f"/api/v1/models/{model['id']}/rollback",
        json={"reason": "never current", "version": versions[1]["id"]},
    )
    assert answer.json()["type"] == PROBLEM + "version-not-earlier"
    assert versions[1]["published_at"] is None


def test_rows_of_suppressed_persons_are_counted(front: Front) -> None:
    first = front.dataset(parquet(feature_columns()), name="first")
    keyring = front.runtime.keyring
    now = datetime.now(UTC)
    with front.runtime.database.write() as session:
        controller = session.scalars(select(Dataset.controller_id)).one()
        request = _closed_request(session, controller, now)
        for value, until in (("customer-1", 1), ("customer-2", -1)):
            session.add(
                SuppressionEntry(
                    controller_id=controller,
                    tag=keyring.suppression_tag("controller_customer_id", digest(value.encode())),
                    request_id=request,
                    created_at=now,
                    until=now + timedelta(days=until),
                )
            )
    second = front.dataset(parquet(feature_columns()), name="second")

    assert first["suppressed_rows"] == 0
    assert second["suppressed_rows"] == 5  # customer-1 has 5 of 20 rows; customer-2's entry ended


def _closed_request(session: Any, controller: Any, now: datetime) -> Any:
    request = ErasureRequest(
        controller_id=controller,
        regulation=Regulation.GDPR,
        state=RequestState.COMPLETED,
        outcome=Outcome.UNLEARNED,
        submitted_at=now,
        received_at=now,
        due_at=now,
        paused=[],
        body_digest=b"0" * 32,
        created_at=now,
        updated_at=now,
    )
    session.add(request)
    session.flush()
    return request.id


def test_the_process_ends_by_itself_and_leaves_nothing_to_do(front: Front) -> None:
    dataset = front.ready_dataset()
    model = front.post_model(dataset, front.upload(weights())).json()["id"]
    given = front.runtime.settings.model_dump(exclude_none=True)
    environment = {
        **os.environ,
        **{f"LOTUS_{name.upper()}": str(value) for name, value in given.items()},
    }
    ended = subprocess.run(
        [sys.executable, "-m", "workers.registration"],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert ended.returncode == 0, ended.stderr
    assert front.get(f"/models/{model}")["state"] == "ready"
    with front.runtime.database.read() as session:
        assert not checks.anything_waits(session, now=datetime.now(UTC))

"""A case at the end of its window: what goes, what stays, and what the evidence says of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import torch
from sqlalchemy import func, select

from app.audit.tables import PendingEntry
from app.certificates.tables import Certificate
from app.erasure import closing, reach
from app.erasure.states import RunState
from app.erasure.tables import (
    ErasureRequest,
    ItemSample,
    RequestSubject,
    SuppressionEntry,
    UnlearnedSample,
)
from app.identities import DEFAULT_TYPE, IdentityFormat, value_sha256
from app.registry.tables import (
    Artifact,
    DatasetShard,
    ModelVersion,
    Sample,
    SampleSplit,
    SampleSubject,
)
from app.runtime import Runtime
from tests.erasure.factories import submission
from tests.erasure.working import Hand
from tests.registry import content
from tests.registry.content import digest, image_columns, parquet, state, weights
from tests.registry.front import PROBLEM, Front
from workers import leftovers
from workers.closing import close_due
from workers.loading import Loaded, Source
from workers.shards import read_shard

WEEK = timedelta(days=7)
WHO = "customer-1"
# Of 20 rows every fourth shows the person; three of the five are training rows.
OWN = [1, 5, 9, 13, 17]
OTHERS = [row for row in range(20) if row not in OWN]
# Every row's pixels are found nowhere else by chance.
PIXELS = np.random.default_rng(7).integers(1, 256, (20, 4, 4), dtype=np.uint8)


def manifest(**changes: Any) -> bytes:
    columns = image_columns() | {"image": [content.png(pixels) for pixels in PIXELS]}
    return parquet(columns | changes)


def resnet(seed: int = 0) -> bytes:
    torch.manual_seed(seed)
    tensors = state("cnn-small", content.RESNET)
    return weights({name: value + seed for name, value in tensors.items()})


class Case:
    """One service, its dataset of images and its model; time is the test's."""

    def __init__(self, front: Front, runtime: Runtime) -> None:
        self.front, self.runtime = front, runtime
        self.now = datetime.now(UTC) + timedelta(seconds=1)
        self.hand = Hand.hire(runtime, self.now)
        self.dataset = front.dataset(manifest(), task="image_classification")["id"]
        self.model = self.register(resnet())

    def register(self, content_: bytes, **changes: Any) -> str:
        body = {
            "dataset": self.dataset,
            "architecture": "cnn-small",
            "config": content.RESNET,
            "policy": {"ladder": []},  # what is rejected waits for a person
            **changes,
        }
        found = self.front.model(content_, **body)
        assert found["state"] == "ready", found
        identity: str = found["id"]
        return identity

    def submit(self, *who: str, **fields: Any) -> str:
        answer = self.front.api.post("/api/v1/erasure-requests", json=submission(*who, **fields))
        assert answer.status_code == 202, answer.text
        # Later than every acceptance, so that no window is still open.
        self.now = max(self.now, datetime.now(UTC) + timedelta(seconds=1))
        identity: str = answer.json()["id"]
        return identity

    def get(self, request: str) -> dict[str, Any]:
        return self.front.get(f"/erasure-requests/{request}")

    def publish(self) -> None:
        """The run's weights are a file too. Earlier cases hold on them."""
        fence = self.hand.must_claim(self.now)
        assert self.hand.publish(fence, self.now) is RunState.SUCCEEDED
        self.hand.recheck_all(self.now)

    def completed(self, *who: str, **fields: Any) -> str:
        request = self.submit(*(who or (WHO,)), **fields)
        self.publish()
        assert self.get(request)["state"] == "completed"
        return request

    def close(self, after: timedelta = WEEK) -> int:
        self.now += after
        self.hand.recheck_all(self.now)
        return close_due(self.runtime, lambda: self.now)

    def certificates(self, request: str) -> list[dict[str, Any]]:
        with self.runtime.database.read() as session:
            rows = session.scalars(select(Certificate.payload).order_by(Certificate.id)).all()
        found = [json.loads(row)["predicate"] for row in rows]
        return [one for one in found if one["request"] == request]

    def facts(self, kind: str) -> list[dict[str, Any]]:
        with self.runtime.database.read() as session:
            bodies = session.scalars(select(PendingEntry.body).order_by(PendingEntry.id)).all()
        entries = [json.loads(body) for body in bodies]
        return [entry["facts"] for entry in entries if entry["kind"] == kind]

    def source(self) -> Source:
        with self.runtime.database.read() as session:
            dataset = session.scalars(select(Sample.dataset_id)).first()
        assert dataset is not None
        return Source(self.runtime, dataset)

    def everything(self) -> dict[int, list[Any]]:
        source = self.source()
        sets = [source.split(split, ()) for split in SampleSplit]
        return {row: pixels for loaded in sets for row, pixels in self._rows(loaded)}

    def _rows(self, loaded: Loaded) -> Iterator[tuple[int, list[Any]]]:
        with self.runtime.database.read() as session:
            places = {one: row for one, row in session.execute(select(Sample.id, Sample.row))}
        for position, sample in enumerate(loaded.sample_ids.tolist()):
            yield places[sample], loaded.labelled.inputs[position].tolist()

    def shard(self) -> str:
        with self.runtime.database.read() as session:
            return session.scalars(select(DatasetShard.artifact_sha256)).one()

    def count(self, table: Any) -> int:
        with self.runtime.database.read() as session:
            return session.scalars(select(func.count()).select_from(table)).one()

    def found(self, wanted: bytes) -> list[str]:
        """Files of the data folder that hold these bytes."""
        folder = self.runtime.settings.data_dir
        files = [path for path in folder.rglob("*") if path.is_file()]
        return [path.name for path in files if wanted in path.read_bytes()]

    def upload_version(self, content_: bytes) -> None:
        sha256 = self.front.upload(content_)
        answer = self.front.api.post(
            f"/api/v1/models/{self.model}/versions", json={"artifact": sha256}
        )
        assert answer.status_code == 202, answer.text
        self.front.check()

    def states(self) -> list[str]:
        page = self.front.get(f"/models/{self.model}/versions")
        return [one["state"] for one in page["items"]][::-1]


@pytest.fixture
def case(front: Front, runtime: Runtime) -> Case:
    return Case(front, runtime)


def references(runtime: Runtime) -> list[bytes]:
    """Every keyed reference that stands for the person or for one of the person's samples."""
    ring = runtime.keyring
    hashed = value_sha256(DEFAULT_TYPE, WHO, IdentityFormat.RAW)
    own = ring.subject_ref(ring.pseudonym_key_id, DEFAULT_TYPE, hashed)
    with runtime.database.read() as session:
        samples = session.scalars(select(Sample.sample_ref).where(Sample.row.in_(OWN))).all()
    return [own, *samples]


def test_nothing_of_the_person_is_left_and_every_other_row_loads_as_before(
    case: Case, runtime: Runtime
) -> None:
    before, old_shard = case.everything(), case.shard()
    wanted = references(runtime)
    first_weights = digest(resnet())
    request = case.completed()
    assert all(case.found(PIXELS[row].tobytes()) for row in range(20))

    assert case.close() == 1

    assert case.everything() == {row: before[row] for row in OTHERS}
    for row in range(20):
        assert case.found(PIXELS[row].tobytes()) == ([] if row in OWN else [case.shard()])
    # Where two keys are alike, as in the tests on PostgreSQL, so are reference and suppression tag.
    with runtime.database.read() as session:
        wanted = [
            one for one in wanted if one not in set(session.scalars(select(SuppressionEntry.tag)))
        ]
    for reference in wanted:
        assert case.found(reference) == []  # SQLite: not in the database's file or journal either
        assert reference not in _cells(runtime)
    assert {case.count(table) for table in (RequestSubject, ItemSample)} == {0}
    assert case.count(SampleSubject) == len(OTHERS)
    assert not runtime.artifacts.exists(old_shard)
    assert not runtime.artifacts.exists(first_weights)
    body = case.get(request)
    assert (body["state"], body["closes_at"]) == ("completed", None)
    assert body["closed_at"] is not None


def _cells(runtime: Runtime) -> set[object]:
    from app.schema import metadata

    with runtime.database.read() as session:
        return {
            bytes(cell) if isinstance(cell, memoryview) else cell
            for table in metadata.sorted_tables
            for row in session.execute(select(*table.columns))
            for cell in row
            if isinstance(cell, bytes | memoryview | str)
        }


def test_a_case_stays_open_until_its_window_ends(case: Case) -> None:
    request = case.completed()
    opened = case.get(request)
    ends = datetime.fromisoformat(opened["closes_at"])
    assert ends - datetime.fromisoformat(opened["completed_at"]) == WEEK
    assert case.close(WEEK - timedelta(seconds=1)) == 0
    assert case.get(request)["closed_at"] is None
    assert case.states() == ["superseded", "active"]
    with case.runtime.database.read() as session:
        assert not closing.anything_due(session, case.now)
        assert closing.anything_due(session, ends)
    assert case.close(timedelta(seconds=1)) == 1
    with case.runtime.database.read() as session:
        assert not closing.anything_due(session, case.now + WEEK)


def test_the_owner_chooses_the_window(case: Case) -> None:
    case.front.api.put(f"/api/v1/models/{case.model}/policy", json={"rollback_days": 0})
    request = case.completed()
    assert case.close(timedelta()) == 0  # the weights were stored a moment ago
    assert case.get(request)["closed_at"] is not None
    assert case.close(timedelta(minutes=11)) == 1


def test_a_newer_certificate_says_what_was_destroyed(case: Case, runtime: Runtime) -> None:
    old_shard = case.shard()
    request = case.completed()
    case.close()
    first, second = case.certificates(request)
    assert [(one["what"], one["state"]) for one in first["destruction"]] == [
        ("links", "planned"),
        ("data_rows", "planned"),
        ("weights", "planned"),
    ]
    stated = {
        (one["what"], one["state"], one["count"], one["sha256"]) for one in second["destruction"]
    }
    assert stated == {
        ("links", "done", 11, None),  # 5 of the samples' own, 5 of the item's, 1 of the request's
        ("data_rows", "done", 5, None),
        ("shard", "done", None, old_shard),
        ("weights", "done", None, digest(resnet())),
    }
    assert second["replaces"] is not None
    assert second["models"] == first["models"]
    assert (
        "5 data rows, 1 earlier file of data and 1 file of earlier weights"
        in (second["claims"][-1])
    )
    view = case.get(request)["certificate"]
    assert view["replaces"] is not None


def test_every_destruction_is_in_the_log(case: Case) -> None:
    old_shard = case.shard()
    request = case.completed()
    case.close()
    (closed,) = case.facts("erasure:request:closed")
    assert (closed["request"], closed["row_count"], closed["link_count"]) == (request, 5, 11)
    (ended,) = case.facts("erasure:version:destroyed")
    assert (ended["number"], ended["reason"], ended["request"]) == (1, "case_closed", request)
    (written,) = case.facts("registry:shard:rewritten")
    assert (written["replaced_sha256"], written["sha256"]) == (old_shard, case.shard())
    destroyed = [one for one in case.facts("storage:artifact:destroyed") if one["controller"]]
    assert {one["sha256"] for one in destroyed if one["reason"] == "case_closed"} == {
        old_shard,
        digest(resnet()),
    }


def test_a_second_pass_finds_nothing_to_do(case: Case) -> None:
    request = case.completed()
    case.close()
    entries = case.count(PendingEntry)
    assert case.close(timedelta(days=1)) == 0
    assert case.count(PendingEntry) == entries
    assert len(case.certificates(request)) == 2


def test_two_processes_may_close_the_same_cases_at_once(case: Case) -> None:
    requests = [case.completed(f"customer-{who}") for who in (1, 2)]
    case.now += WEEK
    with ThreadPoolExecutor(2) as pool:
        ended = [pool.submit(close_due, case.runtime, lambda: case.now) for _ in range(2)]
        assert sum(one.result() for one in ended) <= 2
    case.close(timedelta(minutes=11))
    assert [len(case.certificates(request)) for request in requests] == [2, 2]
    assert len(case.facts("erasure:request:closed")) == 2
    assert not any(case.found(PIXELS[row].tobytes()) for row in (1, 2))
    destroyed = [one["sha256"] for one in case.facts("storage:artifact:destroyed")]
    assert destroyed.count(digest(resnet())) == 1


def test_between_two_steps_at_most_one_file_goes_and_one_case_ends(case: Case) -> None:
    """The process ends if it makes no step for a while, however much there is to do."""
    for who in (1, 2, 3):
        case.completed(f"customer-{who}")
    done: list[tuple[int, int]] = []

    def step() -> None:
        gone = len(case.facts("storage:artifact:destroyed"))
        done.append((gone, case.count(Certificate)))

    case.now += WEEK
    assert close_due(case.runtime, lambda: case.now, step=step) == 3
    last = (len(case.facts("storage:artifact:destroyed")), case.count(Certificate))
    assert done[-1] == last
    assert (last[0] - done[0][0], last[1] - done[0][1]) >= (3, 3)
    for before, after in pairwise(done):
        assert after[0] - before[0] <= 1
        assert after[1] - before[1] <= 1


def test_the_process_closes_what_is_due_and_ends(case: Case) -> None:
    case.front.api.put(f"/api/v1/models/{case.model}/policy", json={"rollback_days": 0})
    request = case.submit("stranger")
    settings = case.runtime.settings
    given = {
        f"LOTUS_{name.upper()}": str(value)
        for name, value in settings.model_dump(exclude_none=True).items()
    }
    subprocess.run(
        [sys.executable, "-m", "workers.closing"],
        env={**os.environ, **given},
        check=True,
        timeout=60,
    )
    assert case.get(request)["closed_at"] is not None
    assert len(case.certificates(request)) == 2


def test_the_person_stays_suppressed(case: Case, front: Front) -> None:
    request = case.completed()
    case.close()
    assert case.count(SuppressionEntry) == 1
    again = case.get(case.submit(WHO))
    assert (again["outcome"], again["reason_code"], again["earlier_request"]) == (
        "no_match",
        "previously_unlearned",
        request,
    )
    later = front.dataset(manifest(), name="again", task="image_classification")
    assert later["suppressed_rows"] == 5


def test_a_person_of_whom_nothing_was_found_was_not_unlearned_before(case: Case) -> None:
    case.submit("stranger")
    assert case.close() == 1
    assert case.count(SuppressionEntry) == 1
    assert case.get(case.submit("stranger"))["reason_code"] == "no_samples"


def test_held_out_rows_go_as_well_where_no_model_was_trained_on_the_person(
    front: Front, runtime: Runtime
) -> None:
    customers = [f"customer-{row % 4}" for row in range(20)]
    customers[3] = customers[4] = "visitor"  # one row validates, one tests
    columns = image_columns() | {"image": [content.png(pixels) for pixels in PIXELS]}
    front.dataset(parquet(columns | {"customer": customers}), task="image_classification")
    case = Case.__new__(Case)
    case.front, case.runtime = front, runtime
    case.now = datetime.now(UTC) + timedelta(seconds=1)
    case.hand = Hand.hire(runtime, case.now)
    case.dataset = front.get("/datasets")["items"][0]["id"]
    case.model = case.register(resnet())
    request = case.submit("visitor")
    assert case.get(request)["reason_code"] == "held_out_only"
    assert case.close() == 1
    assert [case.found(PIXELS[row].tobytes()) for row in (3, 4)] == [[], []]
    assert case.found(PIXELS[5].tobytes()) == [case.shard()]
    assert case.states() == ["active"]
    assert runtime.artifacts.exists(digest(resnet()))
    stated = {one["what"]: one["count"] for one in case.certificates(request)[-1]["destruction"]}
    assert stated["data_rows"] == 2
    assert front.get(f"/datasets/{case.dataset}")["split_counts"] == {
        "train": 12,
        "validation": 3,
        "test": 3,
    }


def test_a_version_that_has_unlearned_the_person_outlives_the_case(case: Case) -> None:
    case.completed()
    case.now += timedelta(days=1)
    case.completed("customer-2")
    assert case.close(timedelta(days=6)) == 1
    assert case.states() == ["destroyed", "superseded", "active"]
    assert case.close(timedelta(days=1)) == 1
    assert case.states() == ["destroyed", "destroyed", "active"]


def test_what_is_no_longer_there_cannot_become_current_again(case: Case) -> None:
    case.completed()
    case.front.api.put(f"/api/v1/models/{case.model}/policy", json={"rollback_days": 365})
    case.close()
    answer = case.front.api.post(
        f"/api/v1/models/{case.model}/rollback", json={"reason": "accuracy fell"}
    )
    assert (answer.status_code, answer.json()["type"]) == (409, PROBLEM + "version-destroyed")


def test_requests_that_close_together_share_one_rewriting_and_each_say_so(case: Case) -> None:
    requests = [case.submit(f"customer-{who}") for who in (1, 2, 3)]
    case.publish()
    assert case.close() == 3
    assert len(case.facts("registry:shard:rewritten")) == 1
    for request in requests:
        stated = [one["what"] for one in case.certificates(request)[-1]["destruction"]]
        assert stated == ["links", "data_rows", "shard", "weights"]
    assert len(case.everything()) == 5


def test_files_that_two_versions_share_survive_until_the_last_one_goes(case: Case) -> None:
    twin = case.register(resnet(), name="twin")
    shared = digest(resnet())

    def weights_gone(request: str) -> list[str]:
        stated = case.certificates(request)[-1]["destruction"]
        return [one["sha256"] for one in stated if one["what"] == "weights"]

    first = case.completed(WHO, models=[case.model])
    assert case.close() == 1
    assert case.states() == ["destroyed", "active"]
    assert case.runtime.artifacts.exists(shared)
    assert weights_gone(first) == []  # nothing is stated that is not so

    second = case.completed(WHO)
    assert [item["model"] for item in case.get(second)["items"]] == [twin]
    assert case.close() == 1
    assert not case.runtime.artifacts.exists(shared)
    assert weights_gone(second) == [shared]


def test_a_run_that_may_read_the_old_file_keeps_it_until_it_ends(case: Case) -> None:
    old_shard = case.shard()
    request = case.completed()
    case.now += WEEK - timedelta(minutes=1)
    case.submit("customer-2")
    working = case.hand.must_claim(case.now)
    source = case.source()  # what the runner noted when it started

    assert case.close(timedelta(minutes=1)) == 0
    assert case.get(request)["closed_at"] is not None
    assert case.shard() != old_shard
    assert source.split(SampleSplit.TRAIN, ()).labelled.inputs.shape[0] == 12
    assert case.runtime.artifacts.exists(old_shard)
    assert len(case.certificates(request)) == 1
    with case.runtime.database.read() as session:
        assert not closing.anything_due(session, case.now)  # no process is started in vain

    assert case.hand.publish(working, case.now) is RunState.SUCCEEDED
    assert case.close(timedelta(minutes=2)) == 1
    assert not case.runtime.artifacts.exists(old_shard)
    assert len(case.certificates(request)) == 2


@pytest.mark.parametrize("step", ["switch", "destroy", "finish"])
def test_a_pass_that_dies_is_taken_up_by_the_next(
    case: Case, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_shard = case.shard()
    request = case.completed()

    class Killed(BaseException):
        pass

    def die(*arguments: Any, **named: Any) -> Any:
        raise Killed

    where = {
        "switch": "app.erasure.rewriting.switch",
        "destroy": "app.erasure.unneeded.note_destroyed",  # the file has just gone
        "finish": "app.erasure.closing.finish",
    }
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(where[step], die)
        case.close()
    assert case.get(request)["closed_at"] is not None
    with case.runtime.database.read() as session:
        assert closing.anything_due(session, case.now)

    assert case.close(timedelta(minutes=1)) == 1
    assert not case.runtime.artifacts.exists(old_shard)
    assert [one["what"] for one in case.certificates(request)[-1]["destruction"]] == [
        "links",
        "data_rows",
        "shard",
        "weights",
    ]
    assert len(case.facts("erasure:request:closed")) == 1


def test_a_damaged_shard_holds_up_its_own_cases_for_an_hour_and_no_other(case: Case) -> None:
    request = case.completed()
    stranger = case.submit("stranger")
    path = case.runtime.artifacts.path(case.shard())
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert case.close() == 1
    assert len(case.certificates(stranger)) == 2
    assert len(case.certificates(request)) == 1
    with case.runtime.database.read() as session:
        assert not closing.anything_due(session, case.now + timedelta(minutes=59))
        assert closing.anything_due(session, case.now + timedelta(minutes=60))


def test_rows_emptied_while_a_shard_is_written_are_written_too(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.completed()
    case.now += timedelta(hours=1)
    second = case.completed("customer-2")
    later = case.now + WEEK

    def slow(*arguments: Any) -> Any:
        with case.runtime.database.write() as session:
            closing.close(
                session, case.runtime.keyring, UUID(hex=second[4:]), suppressed_for=WEEK, now=later
            )
        return read_shard(*arguments)

    monkeypatch.setattr("workers.closing.read_shard", slow)
    assert case.close(WEEK - timedelta(hours=1)) == 1
    written = read_shard(case.runtime.artifacts, case.shard())
    assert not written[OWN].any() and not written[[2, 6, 10, 14, 18]].any()
    assert written[[0, 3, 4]].all()
    # What was written first held rows of the second person: it is not kept either.
    assert case.close(timedelta(hours=1)) == 1
    assert case.found(PIXELS[2].tobytes()) == []


def test_a_request_for_one_model_leaves_rows_that_another_still_knows(case: Case) -> None:
    other = case.register(resnet(3), name="other")
    request = case.completed(WHO, models=[case.model])
    assert case.close() == 1
    assert case.states() == ["destroyed", "active"]
    assert len(case.everything()) == 20
    stated = [one["what"] for one in case.certificates(request)[-1]["destruction"]]
    assert stated == ["links", "weights"]
    # With the links of the rows, the other model can still be asked to unlearn them.
    later = case.submit(WHO)
    assert [item["model"] for item in case.get(later)["items"]] == [other]


def test_a_case_waits_for_another_that_shows_in_the_same_rows(
    front: Front, runtime: Runtime
) -> None:
    customers = [[f"customer-{row % 4}"] for row in range(20)]
    customers[1] = ["customer-1", "customer-2"]
    columns = image_columns() | {"image": [content.png(pixels) for pixels in PIXELS]}
    found = front.dataset(parquet(columns | {"customer": customers}), task="image_classification")
    assert found["state"] == "ready", found
    case = Case.__new__(Case)
    case.front, case.runtime, case.dataset = front, runtime, found["id"]
    case.now = datetime.now(UTC) + timedelta(seconds=1)
    case.hand = Hand.hire(runtime, case.now)
    case.model = case.register(resnet())
    first = case.completed()
    case.now += timedelta(days=6)
    second = case.submit("customer-2")
    assert case.close(timedelta(days=1)) == 0
    assert case.get(first)["closed_at"] is None
    case.publish()
    assert case.close(timedelta(minutes=1)) == 1
    assert case.get(first)["closed_at"] is not None
    # The other's certificate still commits to the row that both showed in.
    own = case.certificates(second)[-1]["models"][-1]["own"]["commitment"]
    assert case.close(WEEK) == 1
    assert case.certificates(second)[-1]["models"][-1]["own"]["commitment"] == own


def test_a_later_certificate_commits_to_the_same_forget_set(case: Case) -> None:
    """Two persons of one run; one case is closed when the other's is certified anew."""
    first, second = case.submit(WHO), case.submit("customer-2", models=[case.model])
    case.publish()
    case.front.api.put(f"/api/v1/models/{case.model}/policy", json={"rollback_days": 30})
    with case.runtime.database.write() as session:
        from app.erasure.tables import ErasureRequest

        for row in session.scalars(select(ErasureRequest)):
            late = f"req_{row.id.hex}" == second
            row.next_closing_at = case.now + timedelta(days=30 if late else 7)
    assert case.close() == 1
    with case.runtime.database.write() as session:
        from app.erasure.statements import Statements

        row = session.scalars(
            select(ErasureRequest).where(ErasureRequest.closed_at.is_(None))
        ).one()
        Statements(session, case.runtime.keyring).write(row, now=case.now)
    before, after = case.certificates(second)
    assert after["models"][0]["forget_set"] == before["models"][0]["forget_set"]
    assert (
        case.certificates(first)[0]["models"][0]["forget_set"]
        == (before["models"][0]["forget_set"])
    )
    with case.runtime.database.read() as session:
        kept = session.scalars(
            select(UnlearnedSample.leaf).where(UnlearnedSample.leaf.is_not(None))
        ).all()
    assert len(kept) == 3


def test_a_version_trained_elsewhere_in_the_window_keeps_the_case_open(case: Case) -> None:
    request = case.completed()
    case.now += timedelta(days=6)
    case.upload_version(resnet(5))
    assert case.close(timedelta(days=1)) == 0
    assert case.get(request)["state"] == "scheduled"
    case.publish()
    assert case.close(WEEK) == 1
    # The second had unlearned the samples; both that were trained on them are gone.
    assert case.states() == ["destroyed", "superseded", "destroyed", "active"]
    assert not case.runtime.artifacts.exists(digest(resnet(5)))


def test_a_version_taken_back_goes_with_the_case_that_it_was_published_for(case: Case) -> None:
    request = case.completed()
    answer = case.front.api.post(
        f"/api/v1/models/{case.model}/rollback", json={"reason": "accuracy fell"}
    )
    assert answer.status_code == 200
    case.publish()
    assert case.close() == 1
    assert case.states() == ["destroyed", "destroyed", "active"]
    assert [one["state"] for one in case.certificates(request)[-1]["destruction"]] == ["done"] * 5


def test_rejected_weights_go_once_a_person_has_decided(case: Case) -> None:
    request = case.submit(WHO)
    case.hand.reject(case.hand.must_claim(case.now), case.now)
    leftovers.clear_leftovers(case.runtime, now=case.now)
    assert case.states() == ["active", "rejected"]
    item = case.get(request)["items"][0]["id"]
    url = f"/api/v1/erasure-requests/{request}/decide"
    assert case.front.api.post(url, json={"item": item, "action": "retry"}).status_code == 202
    leftovers.clear_leftovers(case.runtime, now=case.now)
    assert case.states() == ["active", "destroyed"]
    (ended,) = case.facts("erasure:version:destroyed")
    assert (ended["number"], ended["reason"]) == (2, "decided")


def test_rejected_weights_are_kept_until_the_due_date_at_most(case: Case) -> None:
    request = case.submit(WHO)
    case.hand.reject(case.hand.must_claim(case.now), case.now)
    body = case.get(request)
    due = datetime.fromisoformat(body["due_at"])
    leftovers.clear_leftovers(case.runtime, now=due)
    assert case.states() == ["active", "rejected"]
    leftovers.clear_leftovers(case.runtime, now=due + timedelta(seconds=1))
    assert case.states() == ["active", "destroyed"]
    answer = case.front.api.post(
        f"/api/v1/erasure-requests/{request}/decide",
        json={"item": body["items"][0]["id"], "action": "accept"},
    )
    assert (answer.status_code, answer.json()["type"]) == (409, PROBLEM + "candidate-destroyed")
    assert case.get(request)["state"] == "needs_decision"


def test_an_orphan_that_came_to_be_named_again_is_kept(case: Case) -> None:
    from app.erasure import unneeded

    case.completed()
    case.close(WEEK - timedelta(seconds=1))
    shared = digest(resnet())
    with case.runtime.database.write() as session:
        first = session.scalars(select(ModelVersion).where(ModelVersion.number == 1)).one()
        first.state = first.state.DESTROYED
        unneeded.let_go(session, shared, reason="case_closed", now=case.now)
    other = case.register(resnet(), name="again")  # before the sweep comes by
    case.now += timedelta(days=2)
    leftovers.clear_leftovers(case.runtime, now=case.now)
    assert case.runtime.artifacts.exists(shared)
    with case.runtime.database.read() as session:
        artifact = session.get_one(Artifact, shared)
        assert (artifact.state, artifact.unneeded_since) == ("stored", None)
    assert case.front.get(f"/models/{other}")["state"] == "ready"


def test_a_case_waits_for_its_answer_on_the_current_version_and_then_closes(case: Case) -> None:
    first = case.completed()
    second = case.submit("customer-2")
    assert case.hand.publish(case.hand.must_claim(case.now), case.now) is RunState.SUCCEEDED
    case.now += WEEK
    close_due(case.runtime, lambda: case.now)
    assert case.get(first)["closed_at"] is None
    assert case.get(second)["closed_at"] is not None  # it rests on the current version itself
    fence = case.hand.must_claim_recheck(case.now)
    case.now += closing.SOON
    close_due(case.runtime, lambda: case.now)
    assert case.get(first)["closed_at"] is None  # somebody is at it
    case.hand.end_recheck(fence, case.now)
    case.now += closing.SOON
    close_due(case.runtime, lambda: case.now)
    assert case.get(first)["closed_at"] is not None
    assert case.facts("erasure:recheck:missed") == []


def test_a_case_does_not_wait_for_ever(case: Case) -> None:
    first = case.completed()
    case.submit("customer-2")
    assert case.hand.publish(case.hand.must_claim(case.now), case.now) is RunState.SUCCEEDED
    case.now += WEEK
    for hours in (0, 47):
        close_due(case.runtime, lambda: case.now + timedelta(hours=hours))  # noqa: B023
        assert case.get(first)["closed_at"] is None
    case.now += timedelta(hours=49)
    close_due(case.runtime, lambda: case.now)
    assert case.get(first)["closed_at"] is not None
    (missed,) = case.facts("erasure:recheck:missed")
    assert (missed["request"], missed["models"]) == (first, [case.model])


def test_versions_that_knew_a_relapsed_person_go_with_the_case(case: Case) -> None:
    """1: trained; 2: unlearned; 3: relapsed; 4: unlearned again."""
    request = case.completed()
    case.submit("customer-2")
    assert case.hand.publish(case.hand.must_claim(case.now), case.now) is RunState.SUCCEEDED
    fence = case.hand.must_claim_recheck(case.now)
    case.hand.end_recheck(fence, case.now, relapsed=case.hand.cases_of(fence))
    assert case.get(request)["state"] == "scheduled"
    case.publish()
    case.close(timedelta(days=5))
    assert case.states() == ["superseded", "superseded", "superseded", "active"]
    # Another person's case would destroy version 2: only this one's ends here.
    with case.runtime.database.read() as session:
        wanted = session.get_one(ErasureRequest, UUID(hex=request[-32:]))
        numbers = [version.number for version in reach.versions(session, wanted)]
    assert numbers == [1, 3]

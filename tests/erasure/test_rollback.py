"""Taking versions back: what is served, what counts as unlearned, and who is asked again."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from app.audit.tables import PendingEntry
from app.certificates.tables import Certificate
from app.erasure import arrivals
from app.erasure.states import RunState
from app.erasure.tables import ErasureRequest
from app.ids import model_id, version_id
from app.keys.scopes import Scope
from app.registry import checks
from app.registry.tables import Artifact, ArtifactState, Dataset, Model, ModelVersion, VersionState
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.conftest import Cases
from tests.erasure.factories import add_model, add_version
from tests.erasure.working import Hand

PROBLEM = "urn:lotus-unlearning:problem:"


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


class Versions:
    """The versions of the one model, over HTTP and as files."""

    def __init__(self, api: TestClient, runtime: Runtime, model: str) -> None:
        self.api, self.runtime, self.model = api, runtime, model

    def store_files(self) -> None:
        """Something under the name of every artifact, as if a worker had put it there."""
        with self.runtime.database.read() as session:
            names = session.scalars(
                select(Artifact.sha256).where(Artifact.state == ArtifactState.STORED)
            ).all()
        for name in names:
            path = self.runtime.artifacts.path(name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(name.encode())

    def roll_back(self, version: int | str | None = None, **fields: Any) -> Any:
        self.store_files()
        headers = fields.pop("headers", None)
        body = {"reason": "accuracy fell", **fields}
        if version is not None:
            body["version"] = self.id(version) if isinstance(version, int) else version
        return self.api.post(f"/api/v1/models/{self.model}/rollback", json=body, headers=headers)

    def refused(self, code: str, version: int | str | None = None, **fields: Any) -> None:
        before = self.states()
        answer = self.roll_back(version, **fields)
        assert (answer.status_code, answer.json()["type"]) == (409, PROBLEM + code), answer.text
        assert self.states() == before

    def id(self, number: int) -> str:
        answer = self.api.get(f"/api/v1/models/{self.model}/versions/{number}")
        identity: str = answer.json()["id"]
        return identity

    def states(self) -> dict[int, str]:
        page = self.api.get(f"/api/v1/models/{self.model}/versions").json()
        return {
            one["number"]: "taken_back" if one["taken_back_at"] else one["state"]
            for one in page["items"]
        }

    def served(self) -> tuple[str, bytes]:
        answer = self.api.get(f"/api/v1/models/{self.model}/versions/current/artifact")
        assert answer.status_code == 200, answer.text
        return answer.headers["Lotus-Version"], answer.content

    def train_elsewhere(self, weights: str) -> None:
        with self.runtime.database.write() as session:
            model = session.scalars(select(Model)).first()
            assert model is not None
            version = add_version(session, model, weights)
            version.published_at = soon()
            arrivals.version_ready(session, self.runtime.keyring, version, now=soon())


@pytest.fixture
def versions(api: TestClient, runtime: Runtime, model: str) -> Versions:
    return Versions(api, runtime, model)


def publish(hand: Hand) -> None:
    assert hand.publish(hand.must_claim(soon()), soon()) is RunState.SUCCEEDED


def claims_nothing(hand: Hand) -> bool:
    return hand.claim(soon()) is None


def test_the_parent_is_served_again_and_the_person_is_unlearned_once_more(
    cases: Cases, hand: Hand, versions: Versions
) -> None:
    request = cases.submit("ada")
    publish(hand)
    answer = versions.roll_back()
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["from_version"]["number"], body["to_version"]["number"]) == (2, 1)
    assert (body["taken_back"], body["reopened"]) == ([2], 1)
    assert versions.states() == {1: "active", 2: "taken_back"}
    number, content = versions.served()
    assert (number, content.decode()) == ("1", body["to_version"]["sha256"])
    reopened = cases.get(request)
    assert (reopened["state"], reopened["outcome"], reopened["closes_at"]) == (
        "scheduled",
        None,
        None,
    )
    fence = hand.must_claim(soon())
    assert hand.publish(fence, soon()) is RunState.SUCCEEDED
    assert cases.state(request) == "completed"
    assert versions.states() == {1: "superseded", 2: "taken_back", 3: "active"}


def test_the_newer_certificate_speaks_of_the_run_that_stands(
    cases: Cases, hand: Hand, versions: Versions, runtime: Runtime
) -> None:
    cases.submit("ada")
    publish(hand)
    versions.roll_back()
    publish(hand)
    with runtime.database.read() as session:
        rows = session.scalars(select(Certificate.payload).order_by(Certificate.id)).all()
    first, withdrawn, second = (json.loads(row)["predicate"] for row in rows)
    assert first["replaces"] is None and withdrawn["outcome"] == "reopened"
    assert second["replaces"]["certificate"] == withdrawn["certificate"]
    (model,) = second["models"]
    assert (model["base"]["number"], model["published"]["number"]) == (1, 3)
    assert model["own"]["commitment"]["count"] == 4


def test_only_requests_that_rest_on_a_later_version_are_reopened(
    cases: Cases, hand: Hand, versions: Versions
) -> None:
    ada = cases.submit("ada")
    publish(hand)
    ben = cases.submit("ben")
    publish(hand)
    assert versions.roll_back().json()["reopened"] == 1
    assert (cases.state(ada), cases.state(ben)) == ("completed", "scheduled")
    assert versions.states() == {1: "superseded", 2: "active", 3: "taken_back"}
    publish(hand)
    assert versions.states()[4] == "active"
    assert claims_nothing(hand)


def test_an_earlier_version_takes_all_that_came_after_it_back(
    cases: Cases, hand: Hand, versions: Versions
) -> None:
    requests = []
    for name in ("ada", "ben"):
        requests.append(cases.submit(name))
        publish(hand)
    body = versions.roll_back(1).json()
    assert (body["taken_back"], body["reopened"]) == ([2, 3], 2)
    assert {cases.state(request) for request in requests} == {"scheduled"}
    # Together now: one run for both.
    publish(hand)
    assert claims_nothing(hand)
    assert {cases.state(request) for request in requests} == {"completed"}


def test_naming_the_version_again_changes_nothing(
    cases: Cases, hand: Hand, versions: Versions, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    publish(hand)
    first = versions.roll_back(1)
    with runtime.database.read() as session:
        entries = session.scalar(select(func.count()).select_from(PendingEntry))
    again = versions.roll_back(1)
    assert (again.status_code, again.json()) == (200, first.json())
    with runtime.database.read() as session:
        assert session.scalar(select(func.count()).select_from(PendingEntry)) == entries
    assert cases.state(request) == "scheduled"


def test_a_repeat_with_the_same_idempotency_key_goes_no_further_back(
    cases: Cases, hand: Hand, versions: Versions
) -> None:
    for name in ("ada", "ben"):
        cases.submit(name)
        publish(hand)
    key = {"Idempotency-Key": "again"}
    first = versions.roll_back(headers=key)
    assert versions.roll_back(headers=key).json() == first.json()
    assert versions.states() == {1: "superseded", 2: "active", 3: "taken_back"}
    other = versions.roll_back(headers=key, reason="another")
    assert other.json()["type"] == PROBLEM + "idempotency-key-reused"
    assert versions.roll_back().json()["to_version"]["number"] == 1


def test_a_live_run_starts_again_on_the_version_that_is_current_now(
    cases: Cases, hand: Hand, versions: Versions
) -> None:
    ada = cases.submit("ada")
    publish(hand)
    ben = cases.submit("ben")
    stale = hand.must_claim(soon())
    versions.roll_back()
    assert hand.run(stale).state is RunState.SUPERSEDED
    again = hand.must_claim(soon())
    run = hand.run(again)
    assert version_id(run.base_version_id) == versions.id(1)
    assert run.follows_id == stale.run_id
    assert hand.publish(again, soon()) is RunState.SUCCEEDED
    publish(hand)
    assert (cases.state(ada), cases.state(ben)) == ("completed", "completed")


def test_a_queued_run_starts_again_too(cases: Cases, hand: Hand, versions: Versions) -> None:
    cases.submit("ada")
    publish(hand)
    ben, cleo = cases.submit("ben"), cases.submit("cleo")
    stale = hand.must_claim(soon())
    assert cases.cancel(cleo).status_code == 202  # leaves a run that nobody has claimed
    assert hand.run(stale).state is RunState.SUPERSEDED
    versions.roll_back()
    again = hand.must_claim(soon())
    assert version_id(hand.run(again).base_version_id) == versions.id(1)
    assert hand.publish(again, soon()) is RunState.SUCCEEDED
    assert cases.state(ben) == "completed"


def test_a_version_trained_elsewhere_can_be_left_for_the_lineage_before_it(
    cases: Cases, hand: Hand, versions: Versions
) -> None:
    """What the older lineage unlearned still counts there: no run is needed."""
    request = cases.submit("ada")
    publish(hand)
    versions.train_elsewhere("retrained")
    assert cases.state(request) == "scheduled"
    publish(hand)
    body = versions.roll_back(2).json()
    assert body["taken_back"] == [3, 4]
    assert cases.state(request) == "scheduled"
    assert claims_nothing(hand)
    assert (cases.state(request), versions.states()[2]) == ("completed", "active")


def test_a_version_trained_elsewhere_has_no_parent_to_go_back_to(
    cases: Cases, versions: Versions
) -> None:
    versions.refused("no-earlier-version")
    versions.train_elsewhere("retrained")
    versions.refused("no-earlier-version")
    assert versions.roll_back(1).status_code == 200


def test_versions_that_are_not_earlier_are_refused(
    cases: Cases, hand: Hand, versions: Versions
) -> None:
    cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    cases.submit("ben")
    publish(hand)
    versions.refused("version-not-earlier", 2)  # rejected
    versions.refused("version-not-earlier", 3)  # the current one
    assert versions.roll_back().status_code == 200
    versions.refused("version-not-earlier", 3)  # taken back


def test_a_worker_whose_clock_went_back_publishes_a_version_that_can_be_taken_back(
    cases: Cases, hand: Hand, versions: Versions
) -> None:
    cases.submit("ada")
    publish(hand)
    cases.submit("ben")
    fence = hand.must_claim(soon())
    assert hand.publish(fence, soon() - timedelta(hours=1)) is RunState.SUCCEEDED
    assert versions.roll_back().json()["taken_back"] == [3]
    assert versions.states() == {1: "superseded", 2: "active", 3: "taken_back"}
    publish(hand)
    assert versions.roll_back(1).json()["taken_back"] == [2, 4]


def test_a_version_trained_elsewhere_is_later_than_a_run_s_that_got_a_higher_number_meanwhile(
    cases: Cases, hand: Hand, versions: Versions, runtime: Runtime
) -> None:
    """It was registered as number 2, and read only after a run had published number 3."""
    cases.submit("ada")
    with runtime.database.write() as session:
        first = session.scalars(select(ModelVersion)).one()
        second = add_version(session, session.scalars(select(Model)).one(), "retrained")
        second.state, second.published_at = VersionState.CHECKING, None
        session.flush()
        first.state = VersionState.ACTIVE
    publish(hand)
    with runtime.database.write() as session:
        check = checks.take_version(session, now=soon(), lease=timedelta(minutes=1))
        assert check is not None
        checks.end_version_ready(session, check, now=soon())
    assert versions.states() == {1: "superseded", 2: "active", 3: "superseded"}
    assert versions.roll_back(3).json()["taken_back"] == [2]


def test_a_destroyed_version_does_not_come_back(
    cases: Cases, hand: Hand, versions: Versions, runtime: Runtime
) -> None:
    cases.submit("ada")
    publish(hand)
    with runtime.database.write() as session:
        first = session.scalars(select(ModelVersion).where(ModelVersion.number == 1)).one()
        first.state = VersionState.DESTROYED
    versions.refused("version-destroyed")
    versions.refused("version-destroyed", 1)


def test_a_version_whose_file_is_missing_is_not_made_current(
    cases: Cases, hand: Hand, versions: Versions
) -> None:
    cases.submit("ada")
    publish(hand)
    before = versions.states()
    answer = versions.api.post(
        f"/api/v1/models/{versions.model}/rollback", json={"reason": "accuracy fell"}
    )
    assert answer.status_code == 503
    assert versions.states() == before


def test_a_version_of_another_model_is_unknown_here(
    cases: Cases, hand: Hand, versions: Versions, runtime: Runtime
) -> None:
    cases.submit("ada")
    publish(hand)
    with runtime.database.write() as session:
        other = add_model(session, session.scalars(select(Dataset)).one(), name="other")
        foreign = session.scalars(
            select(ModelVersion.id).where(ModelVersion.model_id == other.id)
        ).one()
    for name in (version_id(foreign), f"ver_{0:032x}"):
        answer = versions.roll_back(name)
        assert (answer.status_code, answer.json()["type"]) == (404, PROBLEM + "unknown-version")
    assert versions.states()[2] == "active"


def test_after_the_window_nothing_is_taken_back(
    cases: Cases, hand: Hand, versions: Versions, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    publish(hand)
    with runtime.database.write() as session:
        second = session.scalars(select(ModelVersion).where(ModelVersion.number == 2)).one()
        second.published_at = datetime.now(UTC) - timedelta(days=7)
        first = session.scalars(select(ModelVersion).where(ModelVersion.number == 1)).one()
        first.published_at = datetime.now(UTC) - timedelta(days=8)
    versions.refused("rollback-window-over")
    put = versions.api.put(f"/api/v1/models/{versions.model}/policy", json={"rollback_days": 8})
    assert put.status_code == 200
    assert versions.roll_back().status_code == 200
    assert cases.state(request) == "scheduled"


def test_a_closed_case_is_not_reopened(
    cases: Cases, hand: Hand, versions: Versions, runtime: Runtime
) -> None:
    cases.submit("ada")
    publish(hand)
    with runtime.database.write() as session:
        session.scalars(select(ErasureRequest)).one().closed_at = soon()
    versions.refused("case-closed")


def test_a_closed_case_that_does_not_rest_on_what_is_taken_back_is_in_nobody_s_way(
    cases: Cases, hand: Hand, versions: Versions, runtime: Runtime
) -> None:
    """It was unlearned in the lineage before; what came since was never unlearned for it."""
    closed = cases.submit("ada")
    publish(hand)
    with runtime.database.write() as session:
        session.scalars(select(ErasureRequest)).one().closed_at = soon()
    versions.train_elsewhere("retrained")
    ben = cases.submit("ben")
    publish(hand)
    assert versions.states() == {1: "superseded", 2: "superseded", 3: "superseded", 4: "active"}
    body = versions.roll_back().json()
    assert (body["to_version"]["number"], body["reopened"]) == (3, 1)
    assert (cases.state(closed), cases.state(ben)) == ("completed", "scheduled")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": ""},
        {"reason": "x" * 501},
        {"reason": "two\nlines"},
        {"reason": 7},
        {"reason": "fine", "version": 1},
        {"reason": "fine", "version": "mdl_" + "0" * 32},
        {"reason": "fine", "force": True},
    ],
)
def test_a_body_that_does_not_fit_is_refused_without_being_repeated(
    versions: Versions, body: dict[str, Any]
) -> None:
    answer = versions.api.post(f"/api/v1/models/{versions.model}/rollback", json=body)
    assert answer.status_code == 422
    assert "lines" not in answer.text and "mdl_000" not in answer.text


def test_it_needs_the_right_to_decide(anonymous: TestClient, make_key: MakeKey, model: str) -> None:
    scopes = [scope for scope in Scope if scope is not Scope.REQUESTS_DECIDE]
    for key, status in ((make_key(*scopes), 403), (make_key(controller="other"), 404)):
        answer = anonymous.post(
            f"/api/v1/models/{model}/rollback",
            json={"reason": "x"},
            headers={"Authorization": f"Bearer {key}"},
        )
        assert answer.status_code == status


def test_the_log_names_the_versions_and_never_the_reason(
    cases: Cases, hand: Hand, versions: Versions, runtime: Runtime
) -> None:
    cases.submit("ada")
    publish(hand)
    versions.roll_back(reason="Ada Lovelace complained")
    with runtime.database.read() as session:
        bodies = session.scalars(select(PendingEntry.body).order_by(PendingEntry.id)).all()
    assert not any(b"Lovelace" in body for body in bodies)
    (entry,) = [
        json.loads(body)["facts"] for body in bodies if b'"erasure:version:restored"' in body
    ]
    assert (entry["version"], entry["taken_back"], entry["reopened"]) == (
        versions.id(1),
        [versions.id(2)],
        1,
    )
    assert entry["model"] == versions.model and entry["actor"].startswith("key_")
    listed = versions.api.get(f"/api/v1/models/{versions.model}/rollbacks").json()["items"]
    assert [one["reason"] for one in listed] == ["Ada Lovelace complained"]


def test_a_run_after_the_rollback_forgets_what_was_taken_back_and_retains_none_of_it(
    cases: Cases, hand: Hand, versions: Versions, runtime: Runtime
) -> None:
    from app.erasure import forming, subjects

    cases.submit("ada")
    publish(hand)
    cases.submit("ben")
    publish(hand)
    versions.roll_back(1)
    fence = hand.must_claim(soon())
    with runtime.database.read() as session:
        model = session.scalars(select(Model)).one()
        forget = forming.forget_samples(session, hand.run(fence))
        assert len(forget) == 4 + 3
        assert forget <= subjects.excluded_samples(session, model.id, model.dataset_id)
    assert model_id(model.id) == versions.model

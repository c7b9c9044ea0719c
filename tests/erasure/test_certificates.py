"""Certificates as a caller gets them: one for each end of a case, and who read which."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from app.audit.tables import AuditEntry, PendingEntry
from app.certificates import issuing, reading, verify
from app.certificates.other_ends import GROUNDS
from app.certificates.verify import Verified
from app.erasure import arrivals, closing
from app.erasure.refusing import REFUSALS
from app.erasure.states import RunState
from app.http.sessions import present
from app.ids import model_id
from app.keys.scopes import Scope
from app.registry.policy import Policy
from app.registry.tables import Dataset, Model
from app.runtime import Runtime
from tests.audit.logs import Sealed
from tests.conftest import MakeKey
from tests.erasure.conftest import URL, Cases
from tests.erasure.factories import add_dataset, add_model, add_version, people
from tests.erasure.test_rollback import Versions
from tests.erasure.working import Hand

READ = "certificates:certificate:read"


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


class Evidence:
    """What the sealer does, when a test says so, and what a third party then sees."""

    def __init__(self, api: TestClient, runtime: Runtime, folder: Path) -> None:
        self.api, self.runtime = api, runtime
        self.sealed = Sealed(runtime.database, folder)

    def issue(self) -> int:
        self.sealed.seal(soon())
        return issuing.issue(self.runtime.database, self.sealed.signer, now=soon()).count

    def get(self, request: str) -> Any:
        return self.api.get(f"{URL}/{request}/certificate")

    def bundle(self, request: str) -> bytes:
        answer = self.get(request)
        assert answer.status_code == 200, answer.text
        content: bytes = answer.content
        return content

    def newest(self, request: str) -> Verified:
        """Signed now, fetched, and checked as its reader would."""
        self.issue()
        return verify.verify(self.bundle(request), [self.sealed.signer.public], request=request)

    def all(self, request: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.api.get(f"{URL}/{request}/certificates").json()["items"]
        return items

    def entries(self, kind: str) -> list[dict[str, Any]]:
        with self.runtime.database.read() as session:
            return [
                json.loads(body)["facts"]
                for table in (AuditEntry, PendingEntry)
                for body in session.scalars(select(table.body).where(table.kind == kind))
            ]


@pytest.fixture
def evidence(api: TestClient, runtime: Runtime, tmp_path: Path) -> Evidence:
    return Evidence(api, runtime, tmp_path)


@pytest.fixture
def versions(api: TestClient, runtime: Runtime, model: str) -> Versions:
    return Versions(api, runtime, model)


def publish(hand: Hand) -> None:
    assert hand.publish(hand.must_claim(soon()), soon()) is RunState.SUCCEEDED


def predicate(found: Verified) -> dict[str, Any]:
    body: dict[str, Any] = found.payload["predicate"]
    return body


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


# When there is one.


def test_a_certificate_is_pending_until_it_is_signed_and_then_the_same_for_ever(
    cases: Cases, hand: Hand, evidence: Evidence
) -> None:
    request = cases.submit("ada")
    publish(hand)
    answer = evidence.get(request)
    assert problem(answer) == (409, "certificate-pending")
    assert int(answer.headers["Retry-After"]) > 0
    assert cases.get(request)["certificate"]["state"] == "unsigned"
    found = evidence.newest(request)
    assert (found.outcome, found.replaces) == ("unlearned", None)
    shown = cases.get(request)["certificate"]
    assert (shown["id"], shown["state"]) == (found.certificate, "issued")
    assert shown["log_index"] == found.log_index
    once = evidence.bundle(request)
    cases.submit("ben")
    publish(hand)
    assert evidence.issue() == 1
    assert evidence.bundle(request) == once


def test_a_request_that_is_still_worked_on_has_none_and_says_when_to_ask_again(
    cases: Cases, evidence: Evidence
) -> None:
    answer = evidence.get(cases.submit("ada"))
    assert problem(answer) == (409, "no-certificate")
    assert "Retry-After" in answer.headers


def test_a_cancelled_request_gets_none(cases: Cases, evidence: Evidence) -> None:
    request = cases.submit("ada")
    cases.cancel(request)
    assert evidence.issue() == 0
    answer = evidence.get(request)
    assert problem(answer) == (409, "no-certificate")
    assert "Retry-After" not in answer.headers
    assert "cancelled gets none" in answer.json()["detail"]
    assert evidence.all(request) == []


def test_an_unknown_request_and_a_foreign_one_are_answered_alike(
    cases: Cases, hand: Hand, evidence: Evidence, make_key: MakeKey
) -> None:
    request = cases.submit("ada")
    publish(hand)
    mine = evidence.newest(request).certificate
    unknown_request, unknown = "req_" + "0" * 32, "crt_" + "0" * 32
    other = {"Authorization": f"Bearer {make_key(controller='other')}"}
    for path in (
        f"{URL}/{{}}/certificate",
        f"{URL}/{{}}/certificates",
    ):
        foreign = evidence.api.get(path.format(request), headers=other)
        missing = evidence.api.get(path.format(unknown_request), headers=other)
        assert foreign.status_code == missing.status_code == 404
        assert foreign.json() == missing.json()
    foreign = evidence.api.get(f"/api/v1/certificates/{mine}", headers=other)
    missing = evidence.api.get(f"/api/v1/certificates/{unknown}", headers=other)
    assert foreign.status_code == missing.status_code == 404
    assert foreign.json() == missing.json()
    assert len(evidence.entries(READ)) == 1


def test_reading_a_certificate_takes_the_scope_to_read_requests(
    cases: Cases, hand: Hand, evidence: Evidence, make_key: MakeKey
) -> None:
    request = cases.submit("ada")
    publish(hand)
    certificate = evidence.newest(request).certificate
    weak = {"Authorization": f"Bearer {make_key(Scope.AUDIT_READ)}"}
    for path in (
        f"{URL}/{request}/certificate",
        f"{URL}/{request}/certificates",
        f"/api/v1/certificates/{certificate}",
    ):
        assert evidence.api.get(path, headers=weak).status_code == 403


# One for each end.


def test_a_search_that_found_nothing_is_certified_at_once(cases: Cases, evidence: Evidence) -> None:
    found = evidence.newest(cases.submit("nobody"))
    assert found.outcome == "no_match"
    assert predicate(found)["reason_code"] == "no_samples"


@pytest.mark.parametrize("reason", sorted(REFUSALS))
def test_a_refusal_says_why_in_the_law_s_words_and_what_was_not_done(
    cases: Cases, hand: Hand, evidence: Evidence, model: str, reason: str
) -> None:
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    assert cases.decide(request, action="refuse", reason_code=reason).status_code == 202
    found = evidence.newest(request)
    stated = predicate(found)
    assert (found.outcome, stated["reason_code"]) == ("refused", reason)
    assert stated["times"]["completed"] is None and stated["models"] == []
    [left] = stated["not_unlearned"]
    assert (left["model"], left["training_count"]) == (model, 4)
    assert left["current"]["number"] == 1
    words, article = GROUNDS[reason]
    assert f"{words} (GDPR {article})" in found.claims[0]
    assert stated["destruction"] == []


def test_a_refusal_under_another_law_names_no_article_of_the_gdpr(
    cases: Cases, hand: Hand, evidence: Evidence
) -> None:
    request = cases.submit("ada", regulation="ccpa")
    hand.reject(hand.must_claim(soon()), soon())
    cases.decide(request, action="refuse", reason_code="legal_claims")
    said = " ".join(evidence.newest(request).claims + evidence.newest(request).limits)
    assert "GDPR" not in said and "legal claims" in said


def test_a_refusal_of_one_model_states_what_was_published_for_the_others(
    cases: Cases, hand: Hand, evidence: Evidence, runtime: Runtime
) -> None:
    with runtime.database.write() as session:
        dataset = session.scalars(select(Dataset)).one()
        add_model(session, dataset, name="second", policy=Policy(ladder=()))
    request = cases.submit("ada")
    publish(hand)
    hand.reject(hand.must_claim(soon()), soon())
    items = {item["state"]: item for item in cases.get(request)["items"]}
    refused, published = items["needs_decision"], items["published"]
    cases.decide(request, item=refused["id"], action="refuse", reason_code="legal_obligation")
    stated = predicate(evidence.newest(request))
    assert [one["model"] for one in stated["models"]] == [published["model"]]
    assert [one["model"] for one in stated["not_unlearned"]] == [refused["model"]]


def test_a_rollback_withdraws_the_certificate_and_the_next_end_replaces_that(
    cases: Cases, hand: Hand, evidence: Evidence, versions: Versions
) -> None:
    request = cases.submit("ada")
    publish(hand)
    first = evidence.newest(request)
    versions.roll_back()
    withdrawn = evidence.newest(request)
    stated = predicate(withdrawn)
    assert (withdrawn.outcome, stated["cause"]) == ("reopened", "rolled_back")
    assert withdrawn.replaces == first.certificate
    assert stated["outcome_before"] == "unlearned"
    assert stated["completed_before"] == predicate(first)["times"]["completed"]
    [again] = stated["models"]
    assert (again["withdrawn"]["number"], again["current"]["number"]) == (2, 1)
    assert f"Certificate {first.certificate} states" in withdrawn.claims[0]
    assert "no longer holds" in withdrawn.claims[0]
    publish(hand)
    last = evidence.newest(request)
    assert (last.outcome, last.replaces) == ("unlearned", withdrawn.certificate)
    listed = evidence.all(request)
    assert [one["id"] for one in listed] == [
        first.certificate,
        withdrawn.certificate,
        last.certificate,
    ]
    assert [one["replaces"] for one in listed] == [None, first.certificate, withdrawn.certificate]
    for one in listed:
        raw = evidence.api.get(f"/api/v1/certificates/{one['id']}").content
        assert verify.verify(raw, [evidence.sealed.signer.public]).certificate == one["id"]


def test_a_version_trained_elsewhere_withdraws_the_certificate(
    cases: Cases, hand: Hand, evidence: Evidence, runtime: Runtime, model: str
) -> None:
    request = cases.submit("ada")
    publish(hand)
    with runtime.database.write() as session:
        row = session.scalars(select(Model)).one()
        version = add_version(session, row, "elsewhere")
        arrivals.version_ready(session, runtime.keyring, version, now=soon())
    found = evidence.newest(request)
    assert (found.outcome, predicate(found)["cause"]) == ("reopened", "trained_elsewhere")
    [again] = predicate(found)["models"]
    assert (again["withdrawn"]["number"], again["current"]["number"]) == (2, 3)


def test_a_model_that_arrives_later_withdraws_a_search_that_found_nothing(
    cases: Cases, evidence: Evidence, runtime: Runtime
) -> None:
    request = cases.submit("nobody")
    first = evidence.newest(request)
    with runtime.database.write() as session:
        dataset = add_dataset(runtime, session, people(nobody=2), name="late")
        late = add_model(session, dataset, name="late")
        arrivals.model_ready(session, runtime.keyring, late, now=soon())
    found = evidence.newest(request)
    assert (found.outcome, found.replaces) == ("reopened", first.certificate)
    assert (predicate(found)["cause"], predicate(found)["outcome_before"]) == (
        "model_added",
        "no_match",
    )
    [again] = predicate(found)["models"]
    assert (again["model"], again["withdrawn"]) == (model_id(late.id), None)


def test_a_closed_case_has_a_newer_certificate_that_states_what_was_destroyed(
    cases: Cases, evidence: Evidence, runtime: Runtime
) -> None:
    request = cases.submit("nobody")
    first = evidence.newest(request)
    later = soon() + timedelta(days=400)
    with runtime.database.read() as session:
        [identity] = closing.due(session, later, closed=False)
    with runtime.database.write() as session:
        assert closing.close(
            session, runtime.keyring, identity, suppressed_for=timedelta(days=1), now=later
        )
    with runtime.database.write() as session:
        assert closing.finish(session, identity, now=later)
    found = evidence.newest(request)
    assert (found.outcome, found.replaces) == ("no_match", first.certificate)
    stated = predicate(found)["destruction"]
    assert [(one["what"], one["state"]) for one in stated] == [("links", "done")]
    assert "The case is closed" in found.claims[-1]


# Who read it.


def test_a_key_s_reading_is_logged_once_a_day_for_each_certificate(
    cases: Cases, hand: Hand, evidence: Evidence, make_key: MakeKey
) -> None:
    request = cases.submit("ada")
    publish(hand)
    evidence.get(request)
    assert evidence.entries(READ) == []  # nothing was handed out
    found = evidence.newest(request)
    for _ in range(5):
        evidence.bundle(request)
        evidence.api.get(f"/api/v1/certificates/{found.certificate}")
    [entry] = evidence.entries(READ)
    assert (entry["certificate"], entry["request"]) == (found.certificate, request)
    assert entry["actor"].startswith("key_")
    second = {"Authorization": f"Bearer {make_key(Scope.REQUESTS_READ)}"}
    for _ in range(2):
        answer = evidence.api.get(f"{URL}/{request}/certificate", headers=second)
        assert answer.status_code == 200
    actors = {one["actor"] for one in evidence.entries(READ)}
    assert len(actors) == len(evidence.entries(READ)) == 2


def at_time(api: TestClient, now: Callable[[], datetime]) -> None:
    assert isinstance(api.app, FastAPI)
    api.app.dependency_overrides[present] = now


def test_the_next_day_s_reading_is_logged_again_and_an_earlier_clock_s_is_not(
    cases: Cases, hand: Hand, evidence: Evidence
) -> None:
    request = cases.submit("ada")
    publish(hand)
    evidence.newest(request)
    today = datetime.now(UTC)
    for days, expected in ((1, 2), (1, 2), (0, 2), (2, 3)):
        at_time(evidence.api, lambda days=days: today + timedelta(days=days))
        evidence.bundle(request)
        assert len(evidence.entries(READ)) == expected


def test_readers_that_come_at_once_make_one_entry(
    cases: Cases, hand: Hand, evidence: Evidence
) -> None:
    request = cases.submit("ada")
    publish(hand)
    evidence.issue()
    with ThreadPoolExecutor(8) as readers:
        answers = list(readers.map(lambda _: evidence.bundle(request), range(8)))
    assert len(set(answers)) == 1
    assert len(evidence.entries(READ)) == 1


def test_a_repeated_reading_writes_nothing(
    cases: Cases, hand: Hand, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a write")

    request = cases.submit("ada")
    publish(hand)
    evidence.newest(request)
    monkeypatch.setattr(reading, "note", refuse)
    assert evidence.get(request).status_code == 200


def test_a_reading_that_cannot_be_logged_hands_nothing_out(
    cases: Cases, hand: Hand, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*arguments: object, **named: object) -> None:
        raise OperationalError("INSERT", None, TimeoutError())

    request = cases.submit("ada")
    publish(hand)
    evidence.issue()
    with monkeypatch.context() as patch:
        patch.setattr(reading, "note", busy)
        answer = evidence.get(request)
    assert problem(answer) == (503, "unavailable")
    assert "Retry-After" in answer.headers
    assert evidence.get(request).status_code == 200

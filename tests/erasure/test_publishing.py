import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from app.audit.tables import PendingEntry
from app.certificates.tables import Certificate
from app.erasure import arrivals, locks, subjects
from app.erasure.states import RunState
from app.erasure.tables import ErasureRequest, UnlearnedSample
from app.identities import DEFAULT_TYPE, IdentityFormat, value_sha256
from app.ids import model_id
from app.keys.tables import Controller
from app.registry.tables import Dataset, Model, ModelVersion, SampleSubject, VersionState
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.factories import add_model, add_version
from tests.erasure.working import Hand


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def only_model(runtime: Runtime) -> Model:
    with runtime.database.read() as session:
        return session.scalars(select(Model)).one()


def versions(runtime: Runtime) -> list[tuple[int, VersionState]]:
    with runtime.database.read() as session:
        rows = session.execute(
            select(ModelVersion.number, ModelVersion.state).order_by(ModelVersion.number)
        )
        return [(number, state) for number, state in rows]


def unlearned(runtime: Runtime) -> int:
    with runtime.database.read() as session:
        return session.scalars(select(func.count()).select_from(UnlearnedSample)).one()


def payloads(runtime: Runtime) -> list[dict]:  # type: ignore[type-arg]
    with runtime.database.read() as session:
        return [
            json.loads(payload)
            for payload in session.scalars(select(Certificate.payload).order_by(Certificate.id))
        ]


def test_publishing_makes_the_new_version_current_and_remembers_the_samples(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    hand.publish(hand.must_claim(soon()), soon())
    assert versions(runtime) == [(1, VersionState.SUPERSEDED), (2, VersionState.ACTIVE)]
    assert unlearned(runtime) == 4
    body = cases.get(request)
    assert (body["state"], body["outcome"]) == ("completed", "unlearned")
    assert body["certificate"]["state"] == "unsigned"


def test_a_rejected_run_publishes_and_marks_nothing(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    assert cases.state(request) == "needs_decision"
    assert versions(runtime) == [(1, VersionState.ACTIVE), (2, VersionState.REJECTED)]
    assert unlearned(runtime) == 0
    assert cases.get(request)["certificate"] is None
    assert hand.claim(soon()) is None


def test_a_retry_is_one_rung_up_with_the_settings_of_the_decision(cases: Cases, hand: Hand) -> None:
    request = cases.submit("ada")
    rejected = hand.must_claim(soon())
    hand.reject(rejected, soon())
    answer = cases.decide(request, action="retry", settings={"alpha": 8})
    assert answer.status_code == 202
    assert answer.json()["state"] == "scheduled"
    retry = hand.run(hand.must_claim(soon()))
    assert (retry.rung, retry.follows_id, retry.settings) == (1, rejected.run_id, {"alpha": 8})


def test_settings_that_the_method_does_not_have_are_refused(cases: Cases, hand: Hand) -> None:
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    answer = cases.decide(request, action="retry", settings={"speed": 11})
    assert answer.status_code == 422
    assert cases.state(request) == "needs_decision"


def test_an_accepted_candidate_is_published_with_its_true_verdict(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    fence = hand.must_claim(soon())
    hand.reject(fence, soon())
    body = cases.decide(request, action="accept").json()
    assert (body["state"], body["outcome"]) == ("completed", "unlearned_accepted")
    assert hand.run(fence).verdict == "distinguishable"
    assert versions(runtime) == [(1, VersionState.SUPERSEDED), (2, VersionState.ACTIVE)]
    assert unlearned(runtime) == 4
    (payload,) = payloads(runtime)
    assert payload["predicate"]["models"][0]["verdict"] == "distinguishable"
    assert payload["predicate"]["outcome"] == "unlearned_accepted"
    assert "The tests rejected a version" in payload["predicate"]["claims"][-1]


def test_a_candidate_is_outdated_once_a_person_of_it_is_refused(cases: Cases, hand: Hand) -> None:
    ada, ben = cases.submit("ada"), cases.submit("ben")
    hand.reject(hand.must_claim(soon()), soon())
    refused = cases.decide(ada, action="refuse", reason_code="legal_claims")
    assert refused.json()["state"] == "refused"
    assert refused.json()["reason_code"] == "legal_claims"
    answer = cases.decide(ben, action="accept")
    assert answer.status_code == 409
    assert answer.json()["type"].endswith(":candidate-outdated")
    assert cases.decide(ben, action="retry").status_code == 202
    hand.publish(hand.must_claim(soon()), soon())
    assert (cases.state(ada), cases.state(ben)) == ("refused", "completed")


def test_a_refusal_needs_a_legal_reason(cases: Cases, hand: Hand) -> None:
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    for reason in (None, "no_samples", "previously_unlearned"):
        answer = cases.decide(request, action="refuse", reason_code=reason)
        assert answer.status_code == 422, reason
    assert cases.state(request) == "needs_decision"


def test_no_decision_is_taken_where_none_is_asked(cases: Cases, hand: Hand) -> None:
    request = cases.submit("ada")
    for action in ("retry", "accept", "refuse"):
        answer = cases.decide(request, action=action, reason_code="legal_claims")
        assert answer.status_code == 409
        assert answer.json()["type"].endswith(":illegal-move")


def test_a_version_trained_elsewhere_in_the_middle_starts_the_run_again(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    fence = hand.must_claim(soon())
    with runtime.database.write() as session:
        version = add_version(session, only_model(runtime), "retrained")
        arrivals.version_ready(session, runtime.keyring, version, now=soon())
    assert hand.publish(fence, soon()) is RunState.SUPERSEDED
    assert cases.state(request) == "scheduled"
    assert unlearned(runtime) == 0
    again = hand.must_claim(soon())
    assert hand.run(again).base_version_id == version.id
    assert hand.publish(again, soon()) is RunState.SUCCEEDED
    assert cases.state(request) == "completed"
    assert versions(runtime)[-1] == (3, VersionState.ACTIVE)


def test_a_version_trained_elsewhere_reopens_what_it_may_have_seen_again(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    hand.publish(hand.must_claim(soon()), soon())
    with runtime.database.write() as session:
        version = add_version(session, only_model(runtime), "retrained")
        assert arrivals.version_ready(session, runtime.keyring, version, now=soon()) == 1
    body = cases.get(request)
    assert (body["state"], body["outcome"]) == ("scheduled", None)
    hand.publish(hand.must_claim(soon()), soon())
    assert cases.state(request) == "completed"
    first, withdrawn, second = payloads(runtime)
    replaced = second["predicate"]["replaces"]["certificate"]
    assert replaced == withdrawn["predicate"]["certificate"]
    assert withdrawn["predicate"]["outcome"] == "reopened"
    # The new certificate speaks of the new lineage alone.
    assert len(second["predicate"]["models"]) == 1
    assert (
        second["predicate"]["models"][0]["base"]["sha256"]
        != (first["predicate"]["models"][0]["base"]["sha256"])
    )


def test_a_new_model_takes_in_open_and_completed_requests(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    completed, cancelled = cases.submit("ada"), cases.submit("ben")
    assert cases.cancel(cancelled).status_code == 202
    hand.publish(hand.must_claim(soon()), soon())
    chosen = cases.submit("cleo", models=[cases.item(completed)["model"]])
    with runtime.database.write() as session:
        model = add_model(session, session.scalars(select(Dataset)).one(), name="second")
        assert arrivals.model_ready(session, runtime.keyring, model, now=soon()) == 1
    assert cases.state(completed) == "scheduled"
    assert len(cases.get(completed)["items"]) == 2
    assert (cases.state(cancelled), len(cases.get(chosen)["items"])) == ("cancelled", 1)


def test_a_request_that_waited_behind_a_run_on_the_same_samples_is_covered_by_it(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    cases.submit("ada")
    fence = hand.must_claim(soon())
    second = cases.submit("ada")
    hand.publish(fence, soon())
    assert hand.claim(soon()) is None
    body = cases.get(second)
    assert (body["state"], body["outcome"]) == ("completed", "unlearned")
    assert unlearned(runtime) == 4
    own = payloads(runtime)[-1]["predicate"]["models"][0]["own"]
    assert own["commitment"]["count"] == 4


def test_each_request_of_a_shared_run_has_its_own_certificate_on_one_forget_set(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    for name in ("ada", "ben", "cleo"):
        cases.submit(name)
    hand.publish(hand.must_claim(soon()), soon())
    models = [payload["predicate"]["models"][0] for payload in payloads(runtime)]
    assert sorted(model["own"]["commitment"]["count"] for model in models) == [2, 3, 4]
    assert {model["forget_set"]["count"] for model in models} == {9}
    assert len({model["forget_set"]["root"] for model in models}) == 1
    assert len({model["own"]["commitment"]["root"] for model in models}) == 3


def test_certificates_and_log_hold_no_reference_of_the_person(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    from app.erasure.tables import RequestSubject

    cases.submit("cleo", external_id="case-77")
    hand.publish(hand.must_claim(soon()), soon())
    with runtime.database.read() as session:
        evidence = b"".join(session.scalars(select(PendingEntry.body)))
        evidence += b"".join(session.scalars(select(Certificate.payload)))
        (subject,) = session.scalars(select(RequestSubject)).all()
    assert b"case-77" not in evidence and b"cleo" not in evidence
    for secret in (subject.subject_ref, subject.suppression_tag):
        assert secret not in evidence and secret.hex().encode() not in evidence


def test_replaying_the_log_gives_the_states_of_the_tables(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    cases.submit("ada")
    cases.submit("nobody")
    cases.cancel(cases.submit("ben"))
    hand.publish(hand.must_claim(soon()), soon())
    cases.submit("cleo")
    hand.reject(hand.must_claim(soon()), soon())
    replayed: dict[str, str] = {}
    with runtime.database.read() as session:
        for body in session.scalars(select(PendingEntry.body).order_by(PendingEntry.id)):
            entry = json.loads(body)
            if entry["kind"] == "erasure:request:moved":
                facts = entry["facts"]
                assert replayed.get(facts["request"], "received") == facts["from_state"]
                replayed[facts["request"]] = facts["to_state"]
        requests = session.scalars(select(ErasureRequest)).all()
    assert replayed == {f"req_{request.id.hex}": request.state for request in requests}


def test_a_run_that_starts_again_leaves_out_who_was_covered_meanwhile(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    """Ada asks twice. The first candidate is rejected; while the second run works, a person accepts
    the first. The second has nothing left to do, and must not fail for it."""
    first = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    second = cases.submit("ada")
    working = hand.must_claim(soon())
    assert cases.decide(first, action="accept").json()["state"] == "completed"
    assert hand.publish(working, soon()) is RunState.SUPERSEDED
    assert hand.claim(soon()) is None
    body = cases.get(second)
    assert (body["state"], body["outcome"]) == ("completed", "unlearned_accepted")
    assert unlearned(runtime) == 4


def test_a_reopened_request_says_nothing_of_its_former_end(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    hand.publish(hand.must_claim(soon()), soon())
    with runtime.database.write() as session:
        version = add_version(session, only_model(runtime), "retrained")
        arrivals.version_ready(session, runtime.keyring, version, now=soon())
    body = cases.get(request)
    assert (body["state"], body["completed_at"], body["outcome"]) == ("scheduled", None, None)


def test_accepting_late_does_not_lengthen_the_run(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    fence = hand.must_claim(soon())
    hand.reject(fence, soon())
    ended = hand.run(fence).finished_at
    cases.decide(request, action="accept")
    assert hand.run(fence).finished_at == ended


def test_a_person_whose_samples_went_with_another_persons_gets_a_certificate_of_that_run(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    with runtime.database.write() as session:
        ring = runtime.keyring
        hashed = value_sha256(DEFAULT_TYPE, "dora", IdentityFormat.RAW)
        ref = ring.subject_ref(ring.pseudonym_key_id, DEFAULT_TYPE, hashed)
        shown = subjects.reference(
            session,
            ring,
            session.scalars(select(Controller.id)).one(),
            [subjects.Identity(DEFAULT_TYPE, "ada", IdentityFormat.RAW)],
        )
        for sample in session.scalars(
            select(SampleSubject.sample_id).where(SampleSubject.subject_ref == shown[0].subject_ref)
        ).all():
            session.add(
                SampleSubject(
                    sample_id=sample,
                    subject_ref=ref,
                    identity_type=DEFAULT_TYPE,
                    key_id=ring.pseudonym_key_id,
                )
            )
    cases.submit("ada")
    hand.publish(hand.must_claim(soon()), soon())
    dora = cases.submit("dora")
    assert cases.state(dora) == "scheduled"
    assert hand.claim(soon()) is None
    body = cases.get(dora)
    assert (body["state"], body["outcome"]) == ("completed", "unlearned")
    assert payloads(runtime)[-1]["predicate"]["models"][0]["own"]["commitment"]["count"] == 4


def test_a_certificate_says_that_the_request_chose_its_models(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    cases.submit("ada", models=[model_id(only_model(runtime).id)])
    cases.submit("ben")
    hand.publish(hand.must_claim(soon()), soon())
    chosen, every = (" ".join(one["predicate"]["limits"]) for one in payloads(runtime))
    assert "named the models that it concerns" in chosen
    assert "named the models that it concerns" not in every


def test_many_requests_are_taken_in_few_at_a_time(
    cases: Cases, hand: Hand, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "AT_ONCE", 2)
    requests = [cases.submit(name) for name in ("ada", "ben", "cleo")]
    hand.publish(hand.must_claim(soon()), soon())
    with runtime.database.write() as session:
        version = add_version(session, only_model(runtime), "retrained")
        assert arrivals.version_ready(session, runtime.keyring, version, now=soon()) == 3
    assert {cases.state(request) for request in requests} == {"scheduled"}

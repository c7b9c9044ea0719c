"""Which cases are compared with which version and when, and what follows from a relapse."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from app.audit.tables import PendingEntry
from app.certificates.tables import Certificate
from app.erasure import arrivals, recheck_leases, rechecks
from app.erasure.locks import LeaseLost
from app.erasure.recheck_tables import Recheck, RecheckCase, RecheckState
from app.erasure.reopening import MOST_RELAPSES
from app.erasure.states import RunState
from app.erasure.tables import ErasureItem, ErrorClass, Run, UnlearnedSample
from app.ids import item_id, recheck_id
from app.keys.scopes import Scope
from app.registry.tables import Model, ModelVersion, SampleSubject
from app.runtime import Runtime
from tests.conftest import MakeKey
from tests.erasure.conftest import Cases
from tests.erasure.factories import add_version
from tests.erasure.working import LEASE, Hand

PROBLEM = "urn:lotus-unlearning:problem:"
DAY = timedelta(days=1)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def publish(hand: Hand) -> None:
    assert hand.publish(hand.must_claim(soon()), soon()) is RunState.SUCCEEDED


def completed(cases: Cases, hand: Hand, *who: str) -> str:
    request = cases.submit(*who)
    publish(hand)
    assert cases.state(request) == "completed"
    return request


def item_of(cases: Cases, request: str) -> UUID:
    return UUID(hex=cases.item(request)["id"][-32:])


def facts(runtime: Runtime, kind: str) -> list[dict[str, Any]]:
    with runtime.database.read() as session:
        bodies = session.scalars(select(PendingEntry.body).order_by(PendingEntry.id)).all()
    found = [json.loads(body) for body in bodies]
    return [entry["facts"] for entry in found if entry["kind"] == kind]


def relapse(cases: Cases, hand: Hand, *requests: str) -> None:
    """A re-check that is due finds that these cases' samples are known again."""
    fence = hand.must_claim_recheck(soon())
    items = [item_of(cases, request) for request in requests]
    assert hand.end_recheck(fence, soon(), relapsed=items) is RecheckState.DONE


def nothing_is_due(hand: Hand, at: datetime | None = None) -> bool:
    return hand.claim_recheck(at or soon()) is None


def test_the_first_publication_leaves_nothing_to_compare(cases: Cases, hand: Hand) -> None:
    assert nothing_is_due(hand)
    completed(cases, hand, "ada")
    assert nothing_is_due(hand)


def test_a_later_version_is_compared_once_with_the_version_that_closed_each_case(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    ada = completed(cases, hand, "ada")
    ben = completed(cases, hand, "ben")
    fence = hand.must_claim_recheck(soon())
    assert hand.cases_of(fence) == [item_of(cases, ada)]  # ben's rests on the version itself
    hand.end_recheck(fence, soon())
    assert cases.state(ada) == "completed"
    assert nothing_is_due(hand)
    completed(cases, hand, "cleo")
    fence = hand.must_claim_recheck(soon())
    assert hand.cases_of(fence) == sorted([item_of(cases, ada), item_of(cases, ben)])
    with runtime.database.read() as session:
        numbers = session.scalars(
            select(ModelVersion.number)
            .join(RecheckCase, RecheckCase.resting_version_id == ModelVersion.id)
            .where(RecheckCase.recheck_id == fence.recheck_id)
            .order_by(RecheckCase.item_id)
        ).all()
    assert numbers == [2, 3]


def test_a_relapse_reopens_its_case_and_the_next_run_takes_the_samples_once_more(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    ada = completed(cases, hand, "ada")
    ben = completed(cases, hand, "ben")
    relapse(cases, hand, ada)
    body = cases.get(ada)
    assert (body["state"], body["outcome"], body["closes_at"]) == ("scheduled", None, None)
    assert (body["reopened_for"], body["items"][0]["relapses"]) == ("relapsed", 1)
    assert body["reopened_at"] == body["items"][0]["reopened_at"]
    last = body["items"][0]["last_recheck"]
    assert (last["relapsed"], last["change"], last["q"]) == (True, 0.3, 0.002)
    assert cases.state(ben) == "completed"
    fence = hand.must_claim(soon())
    with runtime.database.read() as session:
        run = session.get_one(Run, fence.run_id)
        formed = facts(runtime, "erasure:run:formed")[-1]
        base = session.get_one(ModelVersion, run.base_version_id).number
    assert (formed["forget_count"], base) == (4, 3)
    assert hand.publish(fence, soon()) is RunState.SUCCEEDED
    assert cases.state(ada) == "completed"
    with runtime.database.read() as session:
        rows = session.scalars(select(Certificate.payload).order_by(Certificate.id)).all()
    last = json.loads(rows[-1])["predicate"]
    assert last["request"] == ada and last["replaces"] is not None
    (model,) = last["models"]
    assert (model["base"]["number"], model["published"]["number"]) == (3, 4)
    assert model["own"]["commitment"]["count"] == 4


def test_a_relapse_is_told_in_the_log_with_its_figures(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    relapse(cases, hand, ada)
    (told,) = facts(runtime, "erasure:case:relapsed")
    assert (told["request"], told["samples"], told["change"]) == (ada, 4, 0.3)
    assert (told["q"], told["relapses"]) == (0.002, 1)
    (ended,) = facts(runtime, "erasure:recheck:finished")
    assert (ended["state"], ended["case_count"], ended["relapsed_count"]) == ("done", 1, 1)
    assert (ended["alarm"], ended["lower_99"], ended["recheck"]) == (True, 0.05, told["recheck"])
    moves = [one for one in facts(runtime, "erasure:request:moved") if one["request"] == ada]
    assert (moves[-1]["to_state"], moves[-1]["event"]) == ("scheduled", "relapsed")


def test_who_asks_again_after_a_relapse_is_not_told_that_it_was_done_before(
    cases: Cases, hand: Hand
) -> None:
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    relapse(cases, hand, ada)
    assert cases.state(cases.submit("ada")) == "scheduled"


def share_a_sample(runtime: Runtime, one: int, other: int) -> None:
    """The person of row `other` is seen in row `one` as well."""
    with runtime.database.write() as session:
        rows = session.scalars(select(SampleSubject).order_by(SampleSubject.sample_id)).all()
        session.add(
            SampleSubject(
                sample_id=rows[one].sample_id,
                subject_ref=rows[other].subject_ref,
                identity_type=rows[other].identity_type,
                key_id=rows[other].key_id,
            )
        )


def test_a_case_that_shares_a_sample_with_a_relapsed_one_is_reopened_with_it(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    share_a_sample(runtime, 0, 4)
    ada = completed(cases, hand, "ada")
    ben = completed(cases, hand, "ben")
    cleo = completed(cases, hand, "cleo")
    relapse(cases, hand, ada)
    assert (cases.state(ada), cases.state(ben), cases.state(cleo)) == (
        "scheduled",
        "scheduled",
        "completed",
    )
    assert cases.get(ben)["reopened_for"] == "relapse_shared"
    with runtime.database.read() as session:
        rows = session.scalars(select(Certificate.payload).order_by(Certificate.id)).all()
    stated = [json.loads(row)["predicate"] for row in rows]
    causes = {one["request"]: one["cause"] for one in stated if one["outcome"] == "reopened"}
    assert causes == {ada: "relapsed", ben: "relapse_shared"}
    assert cases.item(ben)["relapses"] == 0
    fence = hand.must_claim(soon())
    assert facts(runtime, "erasure:run:formed")[-1]["forget_count"] == 4  # ada's, ben's among them
    assert hand.publish(fence, soon()) is RunState.SUCCEEDED
    assert cases.state(ada) == cases.state(ben) == "completed"


def test_a_run_that_took_a_relapsed_sample_for_unlearned_starts_again(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    share_a_sample(runtime, 0, 4)
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "cleo")
    ben = cases.submit("ben")
    running = hand.must_claim(soon())
    assert facts(runtime, "erasure:run:formed")[-1]["forget_count"] == 3
    relapse(cases, hand, ada)
    assert hand.run(running).state is RunState.SUPERSEDED
    with pytest.raises(LeaseLost):
        hand.publish(running, soon())
    again = hand.must_claim(soon())
    assert facts(runtime, "erasure:run:formed")[-1]["forget_count"] == 4
    assert hand.publish(again, soon()) is RunState.SUCCEEDED
    assert cases.state(ben) == "completed"


def test_a_run_of_others_is_left_alone(cases: Cases, hand: Hand) -> None:
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "cleo")
    cases.submit("ben")
    running = hand.must_claim(soon())
    relapse(cases, hand, ada)
    assert hand.run(running).state is RunState.RUNNING
    assert hand.publish(running, soon()) is RunState.SUCCEEDED
    assert cases.state(ada) == "scheduled"


def test_a_rejected_candidate_that_took_the_sample_for_unlearned_cannot_be_accepted(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    share_a_sample(runtime, 0, 4)
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "cleo")
    ben = cases.submit("ben")
    hand.reject(hand.must_claim(soon()), soon())
    with runtime.database.write() as session:  # some time ago
        session.execute(
            update(Run).where(Run.state == RunState.REJECTED).values(created_at=soon() - DAY)
        )
    relapse(cases, hand, ada)
    answer = cases.decide(ben, action="accept")
    assert (answer.status_code, answer.json()["type"]) == (409, PROBLEM + "candidate-outdated")
    assert cases.decide(ben, action="retry").status_code == 202
    publish(hand)
    assert cases.state(ben) == "completed"


@pytest.fixture
def worn(cases: Cases, hand: Hand, runtime: Runtime) -> str:
    """Ada's case, after its last relapse but one, completed once more."""
    ada = completed(cases, hand, "ada")
    with runtime.database.write() as session:
        session.execute(update(ErasureItem).values(relapses=MOST_RELAPSES - 1))
    return ada


def test_the_third_relapse_is_for_a_person(cases: Cases, hand: Hand, worn: str) -> None:
    completed(cases, hand, "ben")
    relapse(cases, hand, worn)
    assert cases.state(worn) == "needs_decision"
    assert cases.item(worn)["relapses"] == MOST_RELAPSES
    assert hand.claim(soon()) is None


def test_earlier_relapses_lead_to_another_run_by_themselves(cases: Cases, hand: Hand) -> None:
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    relapse(cases, hand, ada)
    publish(hand)
    completed(cases, hand, "cleo")
    relapse(cases, hand, ada)
    assert (cases.state(ada), cases.item(ada)["relapses"]) == ("scheduled", 2)


def test_a_person_may_have_it_unlearned_again_but_has_nothing_to_accept(
    cases: Cases, hand: Hand, worn: str
) -> None:
    ben = completed(cases, hand, "ben")
    relapse(cases, hand, worn)
    answer = cases.decide(worn, action="accept")
    assert (answer.status_code, answer.json()["type"]) == (409, PROBLEM + "illegal-move")
    assert cases.decide(worn, action="retry").status_code == 202
    assert cases.state(ben) == "completed"
    publish(hand)
    assert cases.state(worn) == "completed"


def test_a_case_that_another_s_run_covered_can_be_decided_too(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    """Its run was formed without it."""
    first, second = cases.submit("ada"), None
    fence = hand.must_claim(soon())
    second = cases.submit("ada", external_id="again")
    assert hand.publish(fence, soon()) is RunState.SUCCEEDED
    assert hand.claim(soon()) is None  # nothing is left to unlearn
    assert cases.item(second)["numbers"]["covered"] is True
    completed(cases, hand, "ben")
    with runtime.database.write() as session:
        session.execute(update(ErasureItem).values(relapses=MOST_RELAPSES - 1))
    relapse(cases, hand, first, second)
    assert cases.state(first) == cases.state(second) == "needs_decision"
    assert cases.decide(second, action="retry").status_code == 202
    publish(hand)
    assert cases.state(second) == "completed"


def test_after_a_rollback_the_version_that_closed_a_case_needs_no_comparison(
    cases: Cases, hand: Hand, runtime: Runtime, api: TestClient, model: str
) -> None:
    completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    fence = hand.must_claim_recheck(soon())
    roll_back(api, runtime, model)
    assert hand.end_recheck(fence, soon()) is RecheckState.SUPERSEDED
    assert nothing_is_due(hand)


def test_what_is_found_on_a_version_that_was_taken_back_is_held_against_nobody(
    cases: Cases, hand: Hand, runtime: Runtime, api: TestClient, model: str
) -> None:
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    fence = hand.must_claim_recheck(soon())
    roll_back(api, runtime, model)
    item = item_of(cases, ada)
    assert hand.end_recheck(fence, soon(), relapsed=[item]) is RecheckState.SUPERSEDED
    assert cases.state(ada) == "completed"
    assert facts(runtime, "erasure:case:relapsed") == []
    with runtime.database.read() as session:
        assert not session.scalars(select(RecheckCase.relapsed)).one()
        marked = select(func.count()).where(UnlearnedSample.relapsed_at.is_not(None))
        assert session.scalar(marked) == 0


def roll_back(api: TestClient, runtime: Runtime, model: str) -> None:
    with runtime.database.read() as session:
        names = session.scalars(select(ModelVersion.artifact_sha256)).all()
    for name in names:
        path = runtime.artifacts.path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    answer = api.post(f"/api/v1/models/{model}/rollback", json={"reason": "accuracy fell"})
    assert answer.status_code == 200, answer.text


def test_weights_trained_elsewhere_reopen_every_case_and_leave_nothing_to_compare(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    ada = completed(cases, hand, "ada")
    with runtime.database.write() as session:
        model = session.scalars(select(Model)).one()
        version = add_version(session, model, "elsewhere")
        arrivals.version_ready(session, runtime.keyring, version, now=soon())
    assert cases.get(ada)["reopened_for"] == "trained_elsewhere"
    assert nothing_is_due(hand)


def test_a_relapse_found_after_a_newer_version_was_published_counts_all_the_same(
    cases: Cases, hand: Hand
) -> None:
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    fence = hand.must_claim_recheck(soon())
    completed(cases, hand, "cleo")
    assert hand.end_recheck(fence, soon(), relapsed=[item_of(cases, ada)]) is RecheckState.DONE
    assert cases.state(ada) == "scheduled"


def test_a_case_that_held_on_a_version_that_is_no_longer_current_is_asked_again(
    cases: Cases, hand: Hand
) -> None:
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    fence = hand.must_claim_recheck(soon())
    completed(cases, hand, "cleo")
    hand.end_recheck(fence, soon())
    assert item_of(cases, ada) in hand.cases_of(hand.must_claim_recheck(soon()))


def test_a_worker_that_fell_silent_loses_the_re_check_and_its_figures_change_nothing(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    lost = hand.must_claim_recheck(soon())
    assert hand.sweep_rechecks(soon()) == 0
    later = soon() + 2 * LEASE
    assert hand.sweep_rechecks(later) == 1
    assert hand.claim_recheck(later) is None  # what killed it has time to pass
    with pytest.raises(LeaseLost):
        hand.end_recheck(lost, later, relapsed=[item_of(cases, ada)])
    later += timedelta(minutes=2)
    held = hand.must_claim_recheck(later)
    assert (held.recheck_id, held.attempt) == (lost.recheck_id, 2)
    assert hand.end_recheck(held, later) is RecheckState.DONE
    assert cases.state(ada) == "completed"


def crash(hand: Hand, fence: Any, now: datetime) -> RecheckState:
    with hand.runtime.database.write() as session:
        return recheck_leases.give_back(
            session, fence, error_class=ErrorClass.OUT_OF_MEMORY, detail="by a test", now=now
        )


def test_the_third_crash_fails_it_and_it_is_tried_again_a_day_later(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    now = soon()
    for expected in ("queued", "queued", "failed"):
        assert crash(hand, hand.must_claim_recheck(now), now) == expected
        now += timedelta(minutes=2)
    assert nothing_is_due(hand, now)
    (ended,) = facts(runtime, "erasure:recheck:finished")
    assert (ended["state"], ended["error_class"]) == ("failed", "out_of_memory")
    fence = hand.must_claim_recheck(now + DAY)
    assert hand.cases_of(fence) == [item_of(cases, ada)]


def test_a_stop_costs_no_attempt(cases: Cases, hand: Hand, runtime: Runtime) -> None:
    completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    for _ in range(4):
        fence = hand.must_claim_recheck(soon())
        with runtime.database.write() as session:
            recheck_leases.put_down(session, fence)
    with runtime.database.read() as session:
        assert session.scalars(select(Recheck.crashes)).one() == 0


def test_on_an_unchanged_version_only_its_bytes_are_looked_at_once_a_day(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    completed(cases, hand, "ada")
    assert nothing_is_due(hand)
    assert nothing_is_due(hand, soon() + DAY - timedelta(minutes=1))
    fence = hand.must_claim_recheck(soon() + DAY)
    assert hand.cases_of(fence) == []
    with runtime.database.read() as session:
        assert session.get_one(Recheck, fence.recheck_id).trigger == "schedule"
    hand.end_recheck(fence, soon() + DAY)
    assert nothing_is_due(hand, soon() + DAY)
    hand.must_claim_recheck(soon() + 2 * DAY)


def test_a_model_without_open_cases_is_left_alone(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    completed(cases, hand, "ada")
    with runtime.database.write() as session:
        session.execute(update(ErasureItem).values(state="refused"))
    assert nothing_is_due(hand, soon() + DAY)
    with runtime.database.read() as session:
        assert session.scalars(select(Model.recheck_at)).one() is None


def test_a_skipped_case_says_why_and_is_not_asked_again(cases: Cases, hand: Hand) -> None:
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    fence = hand.must_claim_recheck(soon())
    hand.end_recheck(fence, soon(), skipped=hand.cases_of(fence))
    last = cases.item(ada)["last_recheck"]
    assert (last["skipped"], last["change"]) == ("resting_version_destroyed", None)
    assert nothing_is_due(hand)
    detail = cases.api.get(f"/api/v1/rechecks/{recheck_id(fence.recheck_id)}").json()
    assert (detail["pooled"], detail["cases"][0]["relapsed"]) == (None, False)


def test_re_checks_are_listed_newest_first_and_shown_with_their_cases(
    cases: Cases, hand: Hand, model: str
) -> None:
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    relapse(cases, hand, ada)
    publish(hand)
    assert hand.recheck_all(soon()) == 1
    page = cases.api.get(f"/api/v1/models/{model}/rechecks?limit=1").json()
    assert page["next_cursor"] is not None
    newest = page["items"][0]
    assert (newest["version"]["number"], newest["relapsed_count"]) == (4, 0)
    rest = cases.api.get(
        f"/api/v1/models/{model}/rechecks", params={"cursor": page["next_cursor"]}
    ).json()
    (older,) = rest["items"]
    assert (older["version"]["number"], older["relapsed_count"]) == (3, 1)
    detail = cases.api.get(f"/api/v1/rechecks/{older['id']}").json()
    (case,) = detail["cases"]
    assert (case["request"], case["relapsed"], case["p_value"]) == (ada, True, 0.001)
    assert case["item"] == item_id(item_of(cases, ada))


def test_another_controller_s_re_checks_are_not_there(
    cases: Cases, hand: Hand, model: str, make_key: MakeKey
) -> None:
    completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    fence = hand.must_claim_recheck(soon())
    path = f"/api/v1/rechecks/{recheck_id(fence.recheck_id)}"
    for key, status in (
        (make_key(Scope.REQUESTS_READ, controller="other"), 404),
        (make_key(Scope.REGISTRY_READ), 403),
    ):
        headers = {"Authorization": f"Bearer {key}"}
        assert cases.api.get(path, headers=headers).status_code == status
        listed = cases.api.get(f"/api/v1/models/{model}/rechecks", headers=headers)
        assert listed.status_code == status
    unknown = cases.api.get("/api/v1/rechecks/rck_" + "0" * 32)
    assert unknown.json()["type"] == PROBLEM + "unknown-recheck"
    assert cases.api.get("/api/v1/rechecks/run_" + "0" * 32).status_code == 422


def test_a_paused_service_compares_nothing_and_holds_nothing_against_anybody(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    from app.restore import service as restore
    from app.restore.tables import PauseReason

    ada = completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    fence = hand.must_claim_recheck(soon())
    with runtime.database.write() as session:
        restore.pause(session, PauseReason.OPERATOR, None, actor="operator", now=soon())
    ended = hand.end_recheck(fence, soon(), relapsed=[item_of(cases, ada)])
    assert ended is RecheckState.QUEUED
    assert cases.state(ada) == "completed"
    assert nothing_is_due(hand)


def test_late_re_checks_and_relapses_are_figures_of_a_scrape(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    ada = completed(cases, hand, "ada")
    completed(cases, hand, "ben")
    assert "lotus_rechecks_late 0.0" in cases.api.get("/metrics").text
    with runtime.database.write() as session:
        session.execute(update(Model).values(recheck_at=soon() - 2 * rechecks.PATIENCE))
    assert "lotus_rechecks_late 1.0" in cases.api.get("/metrics").text
    relapse(cases, hand, ada)
    text = cases.api.get("/metrics").text
    assert "lotus_relapses_total 1.0" in text
    assert 'lotus_rechecks_ended_total{state="done"} 1.0' in text

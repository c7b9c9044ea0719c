"""Refusing a whole request: for a legal reason, before anything is published, and in words that the
log does not have."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from app.erasure.decision_tables import RequestDecision
from app.erasure.decisions import NOTE_KEPT_FOR
from app.erasure.locks import LeaseLost
from app.erasure.refusing import REFUSALS
from app.erasure.states import RunState
from app.registry.tables import Dataset
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.factories import add_model
from tests.erasure.log_of import entries_of
from tests.erasure.replay import entries
from tests.erasure.working import Hand
from workers import duties

WORDS = "The claim of 3 March is still before the court."


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


@pytest.mark.parametrize("reason", sorted(REFUSALS))
def test_every_legal_reason_ends_a_waiting_request(
    cases: Cases, hand: Hand, runtime: Runtime, reason: str
) -> None:
    request = cases.submit("ada")
    answer = cases.refuse(request, reason)
    assert answer.status_code == 202, answer.text
    seen = cases.get(request)
    assert (seen["state"], seen["reason_code"], seen["waits_for"]) == ("refused", reason, None)
    assert [item["state"] for item in seen["items"]] == ["refused"]
    assert hand.claim(soon()) is None
    moved = entries_of(runtime, request, "erasure:request:moved")[-1]
    assert (moved["event"], moved["reason_code"]) == ("refused", reason)
    item = entries_of(runtime, request, "erasure:item:moved")[-1]
    assert (item["to_state"], item["reason_code"]) == ("refused", reason)


@pytest.mark.parametrize("reason", ["no_samples", "held_out_only", "previously_unlearned"])
def test_what_the_service_finds_is_no_reason_to_refuse(cases: Cases, reason: str) -> None:
    request = cases.submit("ada")
    answer = cases.refuse(request, reason)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == ["reason_code"]
    assert cases.state(request) == "scheduled"


def test_the_others_of_a_run_go_on_without_the_refused_one(cases: Cases, hand: Hand) -> None:
    ada, ben = cases.submit("ada"), cases.submit("ben")
    fence = hand.must_claim(soon())
    cases.refuse(ada)
    assert (cases.state(ada), cases.state(ben)) == ("refused", "scheduled")
    with pytest.raises(LeaseLost):
        hand.publish(fence, soon())
    following = hand.must_claim(soon())
    assert hand.run(following).follows_id == fence.run_id
    assert hand.publish(following, soon()) is RunState.SUCCEEDED
    assert (cases.state(ada), cases.state(ben)) == ("refused", "completed")


@pytest.mark.parametrize("before", ["needs_decision", "on_hold"])
def test_a_request_that_waits_for_a_person_can_be_refused(
    cases: Cases, hand: Hand, before: str
) -> None:
    request = cases.submit("ada")
    if before == "needs_decision":
        hand.reject(hand.must_claim(soon()), soon())
    else:
        cases.hold(request, "identity_question")
    assert cases.state(request) == before
    seen = cases.refuse(request, "identity_not_verified").json()
    assert (seen["state"], seen["hold"], seen["clock_paused_since"]) == ("refused", None, None)


def test_after_a_publication_it_is_too_late(cases: Cases, hand: Hand, runtime: Runtime) -> None:
    with runtime.database.write() as session:
        add_model(session, session.scalars(select(Dataset)).one(), name="second")
    request = cases.submit("ada")
    hand.publish(hand.must_claim(soon()), soon())
    answer = cases.refuse(request)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith(":partially-published")
    assert {item["state"] for item in cases.get(request)["items"]} == {"published", "scheduled"}


@pytest.mark.parametrize("ended", ["completed", "cancelled", "refused", "no_match"])
def test_what_has_ended_cannot_be_refused(cases: Cases, hand: Hand, ended: str) -> None:
    request = cases.submit("nobody" if ended == "no_match" else "ada")
    if ended == "completed":
        hand.publish(hand.must_claim(soon()), soon())
    elif ended == "cancelled":
        cases.cancel(request)
    elif ended == "refused":
        cases.refuse(request)
    before = cases.get(request)
    answer = cases.refuse(request)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith(":illegal-move")
    assert cases.get(request) == before


def test_a_note_is_kept_beside_the_log_which_has_its_salted_hash(
    cases: Cases, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    (decision,) = cases.refuse(request, note=f"  {WORDS} ").json()["decisions"]
    assert decision["note"] == WORDS
    with runtime.database.read() as session:
        row = session.scalars(select(RequestDecision)).one()
        assert row.note_salt is not None and len(row.note_salt) == 32
        assert not any(WORDS[:9] in str(entry) for entry in entries(session))
    (decided,) = entries_of(runtime, request, "erasure:request:decided")
    assert decided["note_sha256"] == hashlib.sha256(row.note_salt + WORDS.encode()).hexdigest()


def test_the_same_words_have_another_hash_in_another_case(cases: Cases, runtime: Runtime) -> None:
    hashes = set()
    for customer in ("ada", "ben"):
        request = cases.submit(customer)
        cases.refuse(request, note=WORDS)
        hashes.add(entries_of(runtime, request, "erasure:request:decided")[0]["note_sha256"])
    assert len(hashes) == 2


def test_a_note_goes_when_its_time_is_over_and_the_decision_stays(
    cases: Cases, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    cases.refuse(request, note=WORDS)
    duties.clear(runtime, datetime.now(UTC) + NOTE_KEPT_FOR - timedelta(hours=1))
    assert cases.get(request)["decisions"][0]["note"] == WORDS
    duties.clear(runtime, datetime.now(UTC) + NOTE_KEPT_FOR + timedelta(hours=1))
    (decision,) = cases.get(request)["decisions"]
    assert (decision["note"], decision["reason"]) == (None, "legal_claims")
    with runtime.database.read() as session:
        assert session.scalars(select(RequestDecision.note_salt)).one() is None

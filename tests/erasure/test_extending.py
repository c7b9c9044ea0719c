"""Extending a deadline: once, within the first period, and only if the person was told."""

from typing import Any

import pytest

from app.runtime import Runtime
from tests.erasure.conftest import Cases, Clock
from tests.erasure.log_of import entries_of
from tests.erasure.working import Hand

LETTER = "c0ffee" + "0" * 58


def told(day: str) -> str:
    return f"{day}T12:00:00Z"


def kind_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rsplit(":", 1)[-1]


def test_the_gdpr_gives_three_months_in_all(cases: Cases, clock: Clock, runtime: Runtime) -> None:
    request = cases.submit("ada")
    clock.at("2026-03-20")
    answer = cases.extend(request, notified_at=told("2026-03-19"), evidence_sha256=LETTER)
    assert answer.status_code == 202, answer.text
    seen = answer.json()
    assert (seen["due_at"], seen["state"]) == ("2026-06-05T23:59:59Z", "scheduled")
    assert seen["deadline"] == {
        "first_due_at": "2026-04-06T23:59:59Z",
        "jurisdiction": None,
        "extended_due_at": "2026-06-05T23:59:59Z",
        "extension_reason": "complexity",
        "notified_at": "2026-03-19T12:00:00Z",
        "pauses": [],
    }
    (decision,) = seen["decisions"]
    assert (decision["action"], decision["evidence_sha256"]) == ("extend", LETTER)
    (entry,) = entries_of(runtime, request, "erasure:deadline:extended")
    assert entry["actor"] == decision["decided_by"]
    assert (entry["reason"], entry["evidence_sha256"]) == ("complexity", LETTER)
    assert entry["notified_at"] == "2026-03-19T12:00:00.000000Z"
    assert entry["extended_due_at"] == "2026-06-05T23:59:59.000000Z"


def test_the_ccpa_gives_ninety_days_in_all(cases: Cases, clock: Clock) -> None:
    request = cases.submit("ada", regulation="ccpa")
    assert cases.get(request)["due_at"] == "2026-04-19T23:59:59Z"
    seen = cases.extend(request, reason="number_of_requests", notified_at=told("2026-03-05")).json()
    assert seen["due_at"] == "2026-06-03T23:59:59Z"


def test_a_pause_before_or_after_the_extension_moves_it(cases: Cases, clock: Clock) -> None:
    request = cases.submit("ada")
    clock.at("2026-03-10")
    cases.hold(request, "identity_question")
    clock.at("2026-03-13")
    cases.resume(request)
    seen = cases.extend(request, notified_at=told("2026-03-12")).json()
    # 5 June and three days is Monday, 8 June.
    assert seen["due_at"] == "2026-06-08T23:59:59Z"
    clock.at("2026-04-20")
    cases.hold(request, "identity_question")
    clock.at("2026-04-21")
    seen = cases.resume(request).json()
    assert seen["deadline"]["first_due_at"] == "2026-04-09T23:59:59Z"
    assert seen["due_at"] == "2026-06-09T23:59:59Z"


def test_the_last_second_of_the_first_period_is_in_time_and_the_next_is_not(
    cases: Cases, clock: Clock
) -> None:
    early, late = cases.submit("ada"), cases.submit("ben")
    clock.at("2026-04-06T23:59:59+00:00")
    assert cases.extend(early, notified_at=told("2026-04-06")).status_code == 202
    clock.at("2026-04-07T00:00:00+00:00")
    answer = cases.extend(late, notified_at=told("2026-04-06"))
    assert kind_of(answer) == (409, "no-extension")
    assert cases.get(late)["overdue"]


def test_while_the_clock_stands_still_the_first_period_goes_on(cases: Cases, clock: Clock) -> None:
    request = cases.submit("ada")
    clock.at("2026-04-01")
    cases.hold(request, "identity_question")
    clock.at("2026-05-01")
    assert cases.extend(request, notified_at=told("2026-04-20")).status_code == 202
    # 5 June and thirty days is Sunday, 5 July.
    assert cases.resume(request).json()["due_at"] == "2026-07-06T23:59:59Z"


def test_once_is_all_the_law_gives(cases: Cases, clock: Clock, runtime: Runtime) -> None:
    request = cases.submit("ada")
    cases.extend(request, notified_at=told("2026-03-05"))
    before = cases.get(request)
    answer = cases.extend(request, notified_at=told("2026-03-05"))
    assert kind_of(answer) == (409, "already-extended")
    assert cases.get(request) == before
    assert len(entries_of(runtime, request, "erasure:deadline:extended")) == 1


@pytest.mark.parametrize(
    ("day", "says"),
    [("2026-03-21", "lies in the future"), ("2026-03-04", "lies before the request")],
)
def test_a_telling_that_cannot_have_been_is_refused(
    cases: Cases, clock: Clock, day: str, says: str
) -> None:
    request = cases.submit("ada")
    clock.at("2026-03-20")
    answer = cases.extend(request, notified_at=told(day))
    assert kind_of(answer) == (422, "invalid-input")
    assert answer.json()["errors"] == [{"field": "notified_at", "message": says}]
    assert cases.get(request)["deadline"]["extended_due_at"] is None


@pytest.mark.parametrize("state", ["on_hold", "needs_decision", "running"])
def test_any_open_request_can_be_extended_and_stays_where_it_is(
    cases: Cases, hand: Hand, now: Any, state: str
) -> None:
    request = cases.submit("ada")
    if state == "on_hold":
        cases.hold(request)
    else:
        later = now.replace(year=now.year + 1)
        fence = hand.must_claim(later)
        if state == "needs_decision":
            hand.reject(fence, later)
    assert cases.extend(request).json()["state"] == state


@pytest.mark.parametrize("end", ["cancel", "refuse"])
def test_nothing_is_due_of_what_has_ended(cases: Cases, end: str) -> None:
    request = cases.submit("ada")
    getattr(cases, end)(request)
    assert kind_of(cases.extend(request)) == (409, "illegal-move")


def test_what_asks_for_changes_since_a_time_sees_the_extension(cases: Cases, clock: Clock) -> None:
    request = cases.submit("ada")
    clock.at("2026-03-06")
    cases.extend(request, notified_at=told("2026-03-06"))
    assert cases.get(request)["updated_at"] == "2026-03-06T12:00:00Z"

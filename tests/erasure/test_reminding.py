"""Who is reminded of a due date, when, and how often."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.audit.kinds import OPERATOR
from app.erasure.tables import ErasureRequest
from app.restore import service as restore
from app.restore.tables import PauseReason
from app.runtime import Runtime
from app.webhooks.tables import WebhookDelivery
from tests.erasure.conftest import Cases, Clock
from tests.erasure.log_of import entries_of
from tests.erasure.test_rollback import Versions
from tests.erasure.working import Hand
from workers import duties


def remind(runtime: Runtime, clock: Clock, at: str) -> None:
    clock.at(at)
    duties.remind(runtime, clock.now)


def told(runtime: Runtime, request: str) -> list[int]:
    """`days_left` of every reminder so far, as the log has them."""
    return [one["days_left"] for one in entries_of(runtime, request, "erasure:deadline:neared")]


def test_an_open_request_is_told_of_at_ten_five_and_two_days_and_when_it_is_overdue(
    cases: Cases, clock: Clock, runtime: Runtime
) -> None:
    request = cases.submit("ada")  # due at the end of 6 April
    for day, so_far in {
        "2026-03-27": [],
        "2026-03-28": [10],
        "2026-03-29": [10],
        "2026-04-02": [10, 5],
        "2026-04-05": [10, 5, 2],
        "2026-04-06": [10, 5, 2],
        "2026-04-07": [10, 5, 2, 0],
        "2026-05-07": [10, 5, 2, 0],
    }.items():
        remind(runtime, clock, day)
        assert told(runtime, request) == so_far, day
    assert cases.get(request)["overdue"]


def test_a_service_that_stood_still_tells_what_is_so_now(
    cases: Cases, clock: Clock, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    remind(runtime, clock, "2026-04-05")
    assert told(runtime, request) == [2]


def test_a_request_that_comes_late_is_told_of_at_once(
    cases: Cases, clock: Clock, runtime: Runtime
) -> None:
    request = cases.submit("ada", submitted_at="2026-02-08T12:00:00Z")  # due in three days
    duties.remind(runtime, clock.now)
    assert told(runtime, request) == [5]


@pytest.mark.parametrize("ended", ["cancelled", "refused", "completed", "no_match"])
def test_what_has_ended_is_told_of_no_more(
    cases: Cases, clock: Clock, runtime: Runtime, hand: Hand, ended: str
) -> None:
    request = cases.submit("nobody" if ended == "no_match" else "ada")
    if ended == "cancelled":
        cases.cancel(request)
    elif ended == "refused":
        cases.refuse(request)
    elif ended == "completed":
        hand.publish(hand.must_claim(clock.now), clock.now)
    remind(runtime, clock, "2026-05-01")
    assert told(runtime, request) == []
    with runtime.database.read() as session:
        assert session.scalars(select(ErasureRequest.remind_at)).all() == [None]


def test_a_request_that_is_reopened_is_told_of_again(
    cases: Cases, clock: Clock, runtime: Runtime, hand: Hand, model: str
) -> None:
    request = cases.submit("ada")
    clock.at("2026-04-01")
    hand.publish(hand.must_claim(clock.now), clock.now)
    remind(runtime, clock, "2026-04-05")
    assert told(runtime, request) == []
    assert Versions(cases.api, runtime, model).roll_back(1).status_code == 200
    duties.remind(runtime, clock.now)
    assert told(runtime, request) == [2]


def test_while_the_clock_stands_still_nobody_is_told(
    cases: Cases, clock: Clock, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    clock.at("2026-03-26")
    cases.hold(request, "identity_question")
    remind(runtime, clock, "2026-04-20")
    assert told(runtime, request) == []
    cases.resume(request)  # 25 days after 5 April, the end of the month
    assert cases.get(request)["due_at"] == "2026-04-30T23:59:59Z"
    duties.remind(runtime, clock.now)
    assert told(runtime, request) == []
    remind(runtime, clock, "2026-04-22")
    assert told(runtime, request) == [10]


def test_a_hold_that_stops_no_clock_keeps_nobody_from_being_told(
    cases: Cases, clock: Clock, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    cases.hold(request, "legal_hold")
    remind(runtime, clock, "2026-04-05")
    assert told(runtime, request) == [2]


def test_an_extension_begins_anew(cases: Cases, clock: Clock, runtime: Runtime) -> None:
    request = cases.submit("ada")
    remind(runtime, clock, "2026-04-02")
    assert cases.extend(request, notified_at="2026-04-01T12:00:00Z").status_code == 202
    remind(runtime, clock, "2026-04-20")
    assert told(runtime, request) == [5]
    remind(runtime, clock, "2026-05-27")  # due on 5 June
    assert told(runtime, request) == [5, 10]


def test_while_the_service_is_paused_nobody_is_told(
    cases: Cases, clock: Clock, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    clock.at("2026-04-05")
    with runtime.database.write() as session:
        restore.pause(session, PauseReason.DATABASE_OLDER, None, actor=OPERATOR, now=clock.now)
    duties.remind(runtime, clock.now)
    assert told(runtime, request) == []


def test_many_are_told_of_in_one_go_and_each_once(
    cases: Cases, clock: Clock, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.erasure.reminding.AT_ONCE", 2)
    requests = [cases.submit("ada") for _ in range(5)]
    remind(runtime, clock, "2026-04-05")
    duties.remind(runtime, clock.now + timedelta(seconds=1))
    assert [told(runtime, request) for request in requests] == [[2]] * 5


def test_callbacks_hear_of_it_with_the_days_that_are_left(
    cases: Cases, clock: Clock, runtime: Runtime
) -> None:
    made = cases.api.post("/api/v1/webhooks", json={"url": "https://hooks.example.com/all"})
    assert made.status_code == 201, made.text
    request = cases.submit("ada")
    remind(runtime, clock, "2026-04-05")
    remind(runtime, clock, "2026-04-07")
    with runtime.database.read() as session:
        sent = [
            (row.event, row.payload)
            for row in session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id))
        ]
    events = [event for event, _ in sent]
    assert events[-2:] == ["erasure_request.due_soon", "erasure_request.overdue"]
    assert b'"days_left":2' in sent[-2][1] and b'"days_left":0' in sent[-1][1]
    versions = [json.loads(payload)["data"]["version"] for _, payload in sent]
    assert versions == sorted(set(versions)), "a receiver can tell which message is newer"
    assert json.loads(sent[-1][1])["data"]["id"] == request

"""`GET /overview`: what a dashboard polls."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from app.audit import sequencer
from app.erasure.tables import ErasureRequest, Run
from app.erasure.worker_tables import Worker
from app.ids import new_id
from app.keys.scopes import ALL_SCOPES, Scope
from app.overview import keeping, reading
from app.overview.schemas import Overview
from app.registry.tables import Model
from app.restore.tables import PauseReason, ServiceState
from app.runtime import Runtime
from app.webhooks.tables import DeliveryState, WebhookDelivery
from tests.conftest import MakeKey
from tests.erasure.conftest import Cases
from tests.erasure.working import Hand

URL = "/api/v1/overview"


@pytest.fixture(autouse=True)
def made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call reads the database, but for the tests of what is kept."""
    for name in ("FRESH_SECONDS", "FRESH_TIMES", "ENDED_TIMES"):
        monkeypatch.setattr(keeping, name, 0.0)


def shown(api: TestClient) -> dict[str, Any]:
    answer = api.get(URL)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def change(runtime: Runtime, table: Any, **values: Any) -> None:
    with runtime.database.write() as session:
        session.execute(update(table).values(**values))


def test_an_idle_service_shows_every_part_empty(api: TestClient) -> None:
    found = shown(api)
    assert set(found["requests"]["by_state"].values()) == {0}
    assert len(found["requests"]["by_state"]) == 10
    assert found["requests"]["next_due"] == found["runs"] == found["last_runs"] == []
    assert found["queue"] == {
        "waiting_items": 0,
        "waiting_models": 0,
        "expected_completion_at": None,
    }
    assert found["callbacks"] == {"waiting": 0, "failed": 0}
    assert found["audit"]["checkpoint"] is None and found["audit"]["size"] == 0
    assert found["paused"] is found["audit"]["rewound"] is False


def test_requests_are_counted_by_state_and_by_their_dates(
    api: TestClient, cases: Cases, runtime: Runtime
) -> None:
    first, second, third = (cases.submit(name) for name in ("ada", "ben", "cleo"))
    cases.cancel(third)
    assert cases.submit("nobody-knows")
    counts = shown(api)["requests"]
    assert {state: n for state, n in counts["by_state"].items() if n} == {
        "scheduled": 2,
        "cancelled": 1,
        "completed": 1,
    }
    assert (counts["open"], counts["due_soon"], counts["overdue"]) == (2, 0, 0)
    assert [one["id"] for one in counts["next_due"]] == [first, second]
    now = datetime.now(UTC)
    change(runtime, ErasureRequest, due_at=now + timedelta(days=6))
    assert shown(api)["requests"]["due_soon"] == 2
    change(runtime, ErasureRequest, due_at=now - timedelta(days=1))
    counts = shown(api)["requests"]
    assert (counts["due_soon"], counts["overdue"]) == (0, 2)
    assert {one["overdue"] for one in counts["next_due"]} == {True}
    # A clock that stopped before the date shows no lateness; one extended is due later.
    change(runtime, ErasureRequest, paused_since=now - timedelta(days=2))
    assert shown(api)["requests"]["overdue"] == 0
    change(runtime, ErasureRequest, paused_since=None, extended_due_at=now + timedelta(days=20))
    counts = shown(api)["requests"]
    assert (counts["due_soon"], counts["overdue"], counts["open"]) == (0, 0, 2)


def test_a_run_is_shown_from_the_queue_to_its_end(
    api: TestClient, cases: Cases, runtime: Runtime
) -> None:
    cases.submit("ada")
    queue = shown(api)["queue"]
    # No worker is there, and the model was never measured.
    assert queue == {"waiting_items": 1, "waiting_models": 1, "expected_completion_at": None}
    now = datetime.now(UTC)
    hand = Hand.hire(runtime, now)
    fence = hand.must_claim(now)
    cases.submit("ben")
    found = shown(api)
    assert found["queue"]["waiting_items"] == 1
    (run,) = found["runs"]
    assert (run["state"], run["lease_lapsed"], run["model_name"]) == ("running", False, "model")
    (worker,) = found["workers"]
    assert (worker["alive"], worker["last_heard_at"]) == (True, None)
    change(runtime, Run, lease_until=now - timedelta(seconds=1))
    heard = now - timedelta(minutes=3)
    change(runtime, Worker, heartbeat_at=heard, current_run_id=fence.run_id)
    found = shown(api)
    assert found["runs"][0]["lease_lapsed"] is True
    assert found["workers"][0]["alive"] is False
    assert datetime.fromisoformat(found["workers"][0]["last_heard_at"]) == heard
    assert found["workers"][0]["current_run"] == run["id"]
    hand.publish(fence, now + timedelta(seconds=90))
    found = shown(api)
    assert found["runs"] == []
    (last,) = found["last_runs"]
    assert (last["id"], last["verdict"]) == (run["id"], "within_margin")


def test_the_queue_has_an_end_once_runs_were_measured(
    api: TestClient, cases: Cases, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.erasure.forecasting.FRESH_SECONDS", 0.0)
    cases.submit("ada")
    now = datetime.now(UTC)
    hand = Hand.hire(runtime, now)
    hand.publish(hand.must_claim(now), now + timedelta(seconds=90))
    change(runtime, Run, started_at=now - timedelta(seconds=90), finished_at=now)
    cases.submit("ben")
    expected = datetime.fromisoformat(shown(api)["queue"]["expected_completion_at"])
    assert expected.second == expected.microsecond == 0
    assert timedelta(seconds=80) < expected - now < timedelta(seconds=300)
    hand.must_claim(datetime.now(UTC))
    cases.submit("cleo")
    found = shown(api)
    later = datetime.fromisoformat(found["queue"]["expected_completion_at"])
    ends = datetime.fromisoformat(found["runs"][0]["expected_end_at"])
    assert timedelta(seconds=60) <= later - ends <= timedelta(seconds=120)


def test_what_needs_a_person_at_night_is_there(
    api: TestClient, cases: Cases, runtime: Runtime
) -> None:
    cases.submit("ada")
    now = datetime.now(UTC)
    until = now + timedelta(hours=1)
    change(runtime, Model, paused_until=until, paused_reason="out_of_memory")
    with runtime.database.write() as session:
        owner = session.query(ErasureRequest).one().controller_id
        for state in DeliveryState:
            session.add(
                WebhookDelivery(
                    message_id=new_id(),
                    controller_id=owner,
                    host="receiver.example.org:443",
                    event="erasure_request.completed",
                    payload=b"{}",
                    state=state,
                    next_attempt_at=now,
                    give_up_at=now,
                    created_at=now,
                )
            )
        state = session.get(ServiceState, 1) or ServiceState(id=1)
        session.add(state)
        state.paused_at, state.pause_reason = now, PauseReason.DATABASE_OLDER
    found = shown(api)
    (model,) = found["paused_models"]
    assert (model["name"], model["reason"]) == ("model", "out_of_memory")
    assert datetime.fromisoformat(model["until"]) == until
    assert found["callbacks"] == {"waiting": 2, "failed": 1}
    assert found["paused"] is True


def test_the_log_s_head_is_that_of_the_log(api: TestClient, cases: Cases, runtime: Runtime) -> None:
    cases.submit("ada")
    before = shown(api)["audit"]
    assert before["size"] == 0 and before["pending"] > 0
    with runtime.database.write() as session:
        sequencer.sequence(session, now=datetime.now(UTC))
    head, after = api.get("/api/v1/audit/head").json(), shown(api)["audit"]
    assert (after["size"], after["root"], after["pending"]) == (head["size"], head["root"], 0)


def test_another_controller_sees_none_of_it(
    api: TestClient, cases: Cases, runtime: Runtime, anonymous: TestClient, make_key: MakeKey
) -> None:
    cases.submit("ada")
    now = datetime.now(UTC)
    fence = Hand.hire(runtime, now).must_claim(now)
    change(runtime, Worker, current_run_id=fence.run_id)
    key = make_key(*ALL_SCOPES, controller="elsewhere")
    answer = anonymous.get(URL, headers={"Authorization": f"Bearer {key}"})
    found = answer.json()
    assert set(found["requests"]["by_state"].values()) == {0}
    assert found["runs"] == found["last_runs"] == found["requests"]["next_due"] == []
    assert [worker["current_run"] for worker in found["workers"]] == [None]
    assert shown(api)["requests"]["open"] == 1


def test_it_needs_a_key_that_may_read_requests(anonymous: TestClient, make_key: MakeKey) -> None:
    assert anonymous.get(URL).status_code == 401
    others = [scope for scope in ALL_SCOPES if scope is not Scope.REQUESTS_READ]
    for scopes, status in ((others, 403), ([Scope.REQUESTS_READ], 200)):
        headers = {"Authorization": f"Bearer {make_key(*scopes)}"}
        assert anonymous.get(URL, headers=headers).status_code == status


def test_a_second_of_polls_reads_the_database_once(
    api: TestClient, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "FRESH_SECONDS", 3600.0)
    first = api.get(URL)
    cases.submit("ada")
    second = api.get(URL)
    assert (second.content, second.headers["etag"]) == (first.content, first.headers["etag"])
    later = time.monotonic() + 3601
    monkeypatch.setattr(keeping.time, "monotonic", lambda: later)
    third = api.get(URL)
    assert third.json()["requests"]["open"] == 1
    assert third.headers["etag"] != first.headers["etag"]


def test_however_long_it_takes_to_read_nobody_is_shown_an_old_one(
    api: TestClient, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "FRESH_TIMES", 1e9)
    monkeypatch.setattr(keeping, "OLDEST_SECONDS", 60.0)
    api.get(URL)
    cases.submit("ada")
    assert shown(api)["requests"]["open"] == 0
    later = time.monotonic() + 61
    monkeypatch.setattr(keeping.time, "monotonic", lambda: later)
    assert shown(api)["requests"]["open"] == 1


def test_while_nothing_happens_nothing_in_it_changes(
    api: TestClient, cases: Cases, runtime: Runtime
) -> None:
    cases.submit("ada")
    now = datetime.now(UTC)
    fence = Hand.hire(runtime, now).must_claim(now)
    first = api.get(URL)
    # A sign of life of a worker is no news.
    change(runtime, Worker, heartbeat_at=now + timedelta(seconds=20))
    change(runtime, Run, lease_until=now + timedelta(seconds=80))
    assert fence and api.get(URL).headers["etag"] == first.headers["etag"]


def test_who_asks_while_it_is_read_sees_the_one_before_unless_that_is_old(
    api: TestClient, cases: Cases, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "OLDEST_SECONDS", 3600.0)
    overviews = keeping.Overviews(runtime)
    with runtime.database.read() as session:
        owner = session.query(Model).one().controller_id
    now = datetime.now(UTC)
    first = overviews.of(owner, now=now)
    cases.submit("ada")
    began, go_on, reads = threading.Event(), threading.Event(), reading.overview

    def slowly(*given: Any, **named: Any) -> Overview:
        began.set()
        assert go_on.wait(30)
        return reads(*given, **named)

    monkeypatch.setattr(reading, "overview", slowly)
    with ThreadPoolExecutor(2) as threads:
        reader = threads.submit(overviews.of, owner, now=now)
        assert began.wait(30)
        assert overviews.of(owner, now=now) is first
        monkeypatch.setattr(keeping, "OLDEST_SECONDS", 0.0)
        patient = threads.submit(overviews.of, owner, now=now)
        assert not patient.done()
        go_on.set()
        assert reader.result(30).etag != first.etag
        assert patient.result(30).etag == reader.result().etag

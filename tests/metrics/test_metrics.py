"""`/metrics` over HTTP, read with the library's own parser."""

import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError

from app.audit import sequencer
from app.audit.tables import PendingEntry
from app.config import Settings
from app.erasure.tables import ErasureRequest, Run
from app.erasure.worker_tables import Worker
from app.ids import new_id
from app.keys.scopes import ALL_SCOPES, Scope
from app.main import create_app
from app.metrics import endpoints, figures
from app.metrics.limit import limited
from app.runtime import Runtime
from app.webhooks.tables import DeliveryState, WebhookDelivery
from tests.audit.logs import Sealed
from tests.conftest import MakeKey
from tests.erasure.conftest import Cases
from tests.erasure.working import Hand


def scrape(api: TestClient) -> dict[str, float]:
    """`{"lotus_runs_live running": 1.0}`: name and the values of its labels."""
    answer = api.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def change(runtime: Runtime, table: Any, **values: Any) -> None:
    with runtime.database.write() as session:
        session.execute(update(table).values(**values))


def test_an_idle_service_shows_every_figure_as_zero(api: TestClient) -> None:
    shown = scrape(api)
    for state in ("received", "scheduled", "running", "needs_decision", "failed", "on_hold"):
        assert shown[f"lotus_requests_open {state}"] == 0
        assert shown[f"lotus_requests_oldest_seconds {state}"] == 0
    for name in (
        "lotus_runs_live queued",
        "lotus_runs_ended_total succeeded",
        "lotus_runs_lease_expired",
        "lotus_requests_overdue",
        "lotus_requests_due_soon",
        "lotus_webhook_deliveries waiting",
        "lotus_webhook_deliveries dead",
        "lotus_registrations_waiting dataset",
        "lotus_workers local",
        "lotus_workers gpu",
        "lotus_workers ops",
        "lotus_paused",
        "lotus_audit_log_rewound",
    ):
        assert shown[name] == 0, name
    assert shown["lotus_audit_pending"] == 2  # the key that asks was made, and used


def test_waiting_requests_are_counted_by_state_with_the_age_of_the_oldest(
    api: TestClient, cases: Cases, runtime: Runtime
) -> None:
    cases.submit("ada")
    cases.submit("ben")
    cases.submit("nobody-we-know")  # ends at once
    change(runtime, ErasureRequest, received_at=datetime.now(UTC) - timedelta(hours=1))
    shown = scrape(api)
    assert shown["lotus_requests_open scheduled"] == 2
    assert 3600 <= shown["lotus_requests_oldest_seconds scheduled"] < 3700
    assert shown["lotus_requests_overdue"] == shown["lotus_requests_due_soon"] == 0


def test_overdue_and_due_soon_follow_the_extended_date_where_there_is_one(
    api: TestClient, cases: Cases, runtime: Runtime
) -> None:
    cases.submit("ada")
    now = datetime.now(UTC)
    change(runtime, ErasureRequest, due_at=now - timedelta(days=1))
    assert scrape(api)["lotus_requests_overdue"] == 1
    change(runtime, ErasureRequest, extended_due_at=now + timedelta(days=6))
    shown = scrape(api)
    assert (shown["lotus_requests_overdue"], shown["lotus_requests_due_soon"]) == (0, 1)
    change(runtime, ErasureRequest, extended_due_at=now + timedelta(days=8))
    shown = scrape(api)
    assert (shown["lotus_requests_overdue"], shown["lotus_requests_due_soon"]) == (0, 0)


def test_a_run_shows_while_it_lives_and_its_time_when_it_ended(
    api: TestClient, cases: Cases, runtime: Runtime
) -> None:
    cases.submit("ada")
    now = datetime.now(UTC)
    hand = Hand.hire(runtime, now)
    fence = hand.must_claim(now)
    shown = scrape(api)
    assert shown["lotus_runs_live running"] == shown["lotus_requests_open running"] == 1
    assert shown["lotus_runs_lease_expired"] == 0
    assert shown["lotus_workers local"] == 1
    change(runtime, Run, lease_until=now - timedelta(seconds=1), device="NVIDIA H100")
    change(runtime, Worker, heartbeat_at=now - timedelta(minutes=3))
    shown = scrape(api)
    assert shown["lotus_runs_lease_expired"] == 1
    assert shown["lotus_workers local"] == 0
    hand.publish(fence, now + timedelta(seconds=90))
    shown = scrape(api)
    assert shown["lotus_runs_live running"] == 0
    assert shown["lotus_runs_ended_total succeeded"] == 1
    assert shown["lotus_run_device_seconds_total NVIDIA H100"] == pytest.approx(90, abs=0.01)


def test_callbacks_are_counted_while_they_wait_and_when_they_are_given_up(
    api: TestClient, cases: Cases, runtime: Runtime
) -> None:
    cases.submit("ada")
    now = datetime.now(UTC)
    with runtime.database.write() as session:
        request = session.query(ErasureRequest).one()
        for state in DeliveryState:
            session.add(
                WebhookDelivery(
                    message_id=new_id(),
                    controller_id=request.controller_id,
                    host="receiver.example.org:443",
                    event="erasure_request.completed",
                    payload=b"{}",
                    state=state,
                    next_attempt_at=now,
                    give_up_at=now,
                    created_at=now - timedelta(hours=1),
                )
            )
    shown = scrape(api)
    assert shown["lotus_webhook_deliveries waiting"] == 2  # one behind another
    assert 3600 <= shown["lotus_webhook_deliveries_oldest_seconds"] < 3700
    assert shown["lotus_webhook_deliveries dead"] == 1


def test_calls_are_counted_by_route_and_never_by_path_or_by_an_invented_method(
    api: TestClient,
) -> None:
    identity = f"req_{new_id().hex}"
    api.get(f"/api/v1/erasure-requests/{identity}")
    api.get("/jane-the-unmistakable")
    api.request("JANE", "/livez")
    answer = api.get("/metrics")
    shown = scrape(api)
    assert shown["lotus_http_requests_total GET /erasure-requests/{id} 404"] == 1
    assert shown["lotus_http_requests_total GET none 404"] == 1
    assert shown["lotus_http_request_seconds_count /erasure-requests/{id}"] == 1
    assert identity not in answer.text and "jane" not in answer.text.lower()


def test_figures_of_all_controllers_need_the_scope_for_them(
    anonymous: TestClient, make_key: MakeKey
) -> None:
    assert anonymous.get("/metrics").status_code == 401
    every_other = [scope for scope in ALL_SCOPES if scope is not Scope.METRICS_READ]
    for scopes, status in ((every_other, 403), ([Scope.METRICS_READ], 200)):
        headers = {"Authorization": f"Bearer {make_key(*scopes)}"}
        assert anonymous.get("/metrics", headers=headers).status_code == status


def test_the_operator_may_open_them(settings: Settings) -> None:
    opened = settings.model_copy(update={"metrics_open": True})
    with TestClient(create_app(opened)) as client:
        assert client.get("/metrics").status_code == 200


def test_a_database_without_its_tables_is_a_503_that_says_what_to_run(
    api: TestClient, runtime: Runtime
) -> None:
    with runtime.database.write() as session:
        session.execute(text("ALTER TABLE service_state RENAME TO moved_away"))
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    answer = api.get("/metrics")
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == "The database is not at this version's tables: run `lotus migrate`.\n"


def test_a_database_that_does_not_answer_is_a_503(settings: Settings, runtime: Runtime) -> None:
    if not runtime.database.is_sqlite:
        gone = str(settings.database_url).replace(str(runtime.database.url.database), "gone")
        opened = settings.model_copy(update={"metrics_open": True, "database_url": gone})
        opened.__dict__.pop("effective_database_url", None)
    else:
        opened = settings.model_copy(update={"metrics_open": True})
        path = Path(str(runtime.database.url.database))
        for name in ("-wal", "-shm"):
            path.with_name(path.name + name).unlink(missing_ok=True)
        path.write_bytes(b"this is no database" * 1000)
    with TestClient(create_app(opened), raise_server_exceptions=False) as client:
        answer = client.get("/metrics")
    assert (answer.status_code, answer.text) == (503, "The database does not answer.\n")


def test_reading_ends_when_its_time_is_over(runtime: Runtime) -> None:
    endless = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
        if runtime.database.is_sqlite
        else "SELECT pg_sleep(60)"
    )
    with (
        pytest.raises(OperationalError),
        runtime.database.read() as session,
        limited(session, 0.05),
    ):
        session.execute(text(endless))
    with runtime.database.read() as session:  # and the next one has no limit left over
        session.execute(
            text(
                "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300000) "
                "SELECT count(*) FROM n"
            )
        )


def test_a_scrape_that_takes_too_long_is_a_503(
    api: TestClient, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    def slow(session: Any, *, now: datetime) -> Any:
        session.execute(
            text(
                "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
                "SELECT count(*) FROM n"
            )
        )
        yield None

    monkeypatch.setattr(figures, "read", slow)
    monkeypatch.setattr(endpoints, "SCRAPE_SECONDS", 0.1)
    answer = api.get("/metrics")
    assert answer.status_code == 503
    assert "did not give the figures within" in answer.text


def test_counting_open_requests_reads_the_index_made_for_it(runtime: Runtime, cases: Cases) -> None:
    if not runtime.database.is_sqlite:
        pytest.skip("PostgreSQL reads a small table as a whole, whatever its indexes")
    seen: list[str] = []
    with (
        sqlite3.connect(str(runtime.database.url.database)) as connection,
        runtime.database.read() as session,
    ):
        driver = session.connection().connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_trace_callback(seen.append)
        list(figures.read(session, now=datetime.now(UTC)))
        driver.set_trace_callback(None)
        plans = {
            statement: " ".join(
                row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
            )
            for statement in seen
            if statement.startswith("SELECT")
        }
    (plan,) = [plan for statement, plan in plans.items() if "FROM erasure_requests" in statement]
    assert "USING COVERING INDEX ix_erasure_requests_open" in plan
    scanned = [plan for plan in plans.values() if "SCAN runs" in plan and "INDEX" not in plan]
    assert scanned == []


def test_the_guide_explains_every_metric_and_its_alerts_use_no_other(api: TestClient) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    section = guide.split("## Metrics\n")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| `(lotus_\w+)", section, re.MULTILINE))
    shown = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(api.get("/metrics").text)
        if not family.name.endswith("_created")
    }
    of_process = {name for name in shown if name.startswith("lotus_process_")}
    assert of_process and listed - {"lotus_process_"} == shown - of_process
    alerts = guide.split("## Alerts\n")[1]
    assert set(re.findall(r"lotus_[a-z_]+", alerts)) <= listed


def test_an_entry_that_no_checkpoint_covers_has_an_age_until_it_is_sealed(
    api: TestClient, runtime: Runtime, tmp_path: Path
) -> None:
    change(runtime, PendingEntry, created_at=datetime.now(UTC) - timedelta(hours=1))
    assert 3600 <= scrape(api)["lotus_audit_unsealed_seconds"] < 3700
    sealed = Sealed(runtime.database, tmp_path)
    with runtime.database.write() as session:
        sequencer.sequence(session, now=datetime.now(UTC))
    assert 3600 <= scrape(api)["lotus_audit_unsealed_seconds"] < 3700
    sealed.seal()
    assert scrape(api)["lotus_audit_unsealed_seconds"] == 0


def test_a_rewound_log_shows_until_it_is_accepted(
    api: TestClient, runtime: Runtime, tmp_path: Path
) -> None:
    sealed = Sealed(runtime.database, tmp_path)
    sealed.seal()
    sealed.memory.path.unlink()
    sealed.seal()
    assert scrape(api)["lotus_audit_log_rewound"] == 1
    sealed.accept()
    assert scrape(api)["lotus_audit_log_rewound"] == 0

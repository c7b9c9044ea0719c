"""The same service as a fleet: PostgreSQL, Redis, an API and Celery workers, in real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis import Redis
from sqlalchemy import text

from tests.end_to_end.service import ROOT, until
from tests.fleet import small
from tests.fleet.following import completed, run_of, submitted
from tests.fleet.stack import Fleet, Program, register

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def people(fleet: Fleet, tmp_path: Path) -> list[str]:
    """Persons in a model of this test's own."""
    name = f"model-{uuid4().hex[:8]}"
    people = small.write(tmp_path / "model", persons=60, prefix=name, seed=1)
    register(fleet.client, tmp_path / "model", name, verification=small.LENIENT)
    return people


def at_work(fleet: Fleet) -> tuple[Program, int]:
    """A GPU worker that has a runner, and the runner."""

    def look() -> tuple[Program, int] | None:
        pairs = ((gpu, gpu.runner()) for gpu in fleet.gpus)
        return next(((gpu, runner) for gpu, runner in pairs if runner), None)

    return until(look, "a runner")


def attempts(fleet: Fleet, request: str) -> tuple[int, int]:
    """Claims and counted crashes of the request's run."""
    (item,) = fleet.client.get_request(request).items
    with fleet.engine.connect() as connection:
        row = connection.execute(
            text("SELECT attempt, crashes FROM runs WHERE id = CAST(:id AS uuid)"),
            {"id": item.run[-32:]},
        ).one()
    return row.attempt, row.crashes


def test_a_run_longer_than_the_visibility_time_out_runs_once(
    fleet: Fleet, people: list[str]
) -> None:
    request = submitted(fleet, people[0])
    started = time.monotonic()
    completed(fleet, request)
    assert time.monotonic() - started > 2  # it was longer, with two workers waiting
    assert attempts(fleet, request) == (1, 0)
    runs = [run for run in fleet.client.list_runs() if run.id == run_of(fleet, request).id]
    assert [run.state for run in runs] == ["succeeded"]


def test_the_worker_s_log_names_the_call_that_rang(fleet: Fleet, people: list[str]) -> None:
    fleet.ops.stop()  # its timetable looks every second, and then nobody's call has rung
    try:
        answer = fleet.client.http.post(
            "/api/v1/erasure-requests",
            json={
                "subjects": [{"type": "controller_customer_id", "value": people[1]}],
                "regulation": "gdpr",
            },
        )
        assert answer.status_code == 202
        completed(fleet, answer.json()["id"])
    finally:
        fleet.ops.start()
    run = str(UUID(run_of(fleet, answer.json()["id"]).id[-32:]))
    call = answer.headers["X-Request-Id"]
    assert until(lambda: calls(fleet, run, "run claimed") or None, "the worker's line") == [call]
    # The runner's own line comes after its last commit.
    assert until(lambda: calls(fleet, run, "run ended") or None, "the runner's line") == [call]


def calls(fleet: Fleet, run: str, message: str) -> list[str | None]:
    """The calls that these lines about the run name."""
    return [
        line.get("request_id")
        for gpu in fleet.gpus
        for text_ in gpu.log.read_text().splitlines()
        if text_.startswith("{")
        and (line := json.loads(text_))["message"] == message
        and line.get("run") == run
    ]


def test_a_killed_worker_takes_its_runner_with_it_and_another_finishes(
    fleet: Fleet, people: list[str]
) -> None:
    request = submitted(fleet, people[2])
    worker, runner = at_work(fleet)
    worker.kill(signal.SIGKILL)
    until(lambda: not Path(f"/proc/{runner}").exists() or None, "the end of the runner", 10)
    completed(fleet, request)
    claims, crashes = attempts(fleet, request)
    assert (claims, crashes) == (2, 1)
    worker.start()


def test_a_worker_that_is_told_to_stop_puts_its_run_down_and_it_counts_for_nothing(
    fleet: Fleet, people: list[str]
) -> None:
    request = submitted(fleet, people[3])
    worker, _ = at_work(fleet)
    worker.kill(signal.SIGTERM)
    completed(fleet, request)
    assert attempts(fleet, request) == (2, 0)
    worker.start()


def test_a_runner_that_is_killed_gives_its_run_back_before_the_lease_ends(
    fleet: Fleet, people: list[str]
) -> None:
    request = submitted(fleet, people[4])
    _, runner = at_work(fleet)
    os.kill(runner, signal.SIGKILL)
    completed(fleet, request)
    assert attempts(fleet, request) == (2, 1)


def test_a_runner_that_stands_still_is_killed_when_its_lease_is_lost(
    fleet: Fleet, people: list[str]
) -> None:
    request = submitted(fleet, people[5])
    worker, runner = at_work(fleet)
    (item,) = fleet.client.get_request(request).items
    assert item.run is not None
    run = item.run
    until(lambda: fleet.client.get_run(run).progress, "progress")
    os.kill(runner, signal.SIGSTOP)  # as a call into a driver that never returns
    completed(fleet, request)
    until(lambda: not Path(f"/proc/{runner}").exists() or None, "the end of the runner", 30)
    assert worker.runs


def test_requests_are_accepted_while_redis_is_down_and_done_when_it_is_back(
    fleet: Fleet, people: list[str]
) -> None:
    fleet.redis.stop()
    started = time.monotonic()
    requests = [submitted(fleet, person) for person in people[10:13]]
    assert time.monotonic() - started < 10
    fleet.redis.start()
    for request in requests:
        completed(fleet, request)


def test_redis_may_be_emptied_at_any_moment(fleet: Fleet, people: list[str]) -> None:
    request = submitted(fleet, people[20])
    at_work(fleet)
    with Redis.from_url(fleet.redis.url) as redis:
        redis.flushall()
    other = submitted(fleet, people[21])
    with Redis.from_url(fleet.redis.url) as redis:
        redis.flushall()
    completed(fleet, request)
    completed(fleet, other)
    assert attempts(fleet, request) == (1, 0)


def test_a_restart_of_the_database_loses_nothing(fleet: Fleet, people: list[str]) -> None:
    request = submitted(fleet, people[30])
    at_work(fleet)
    fleet.postgresql.restart()
    completed(fleet, request)


def test_the_timetable_closes_a_case_whose_window_is_over(fleet: Fleet, tmp_path: Path) -> None:
    name = f"model-{uuid4().hex[:8]}"
    people = small.write(tmp_path / "model", persons=60, prefix=name, seed=2)
    policy = {"verification": small.LENIENT, "rollback_days": 0}
    register(fleet.client, tmp_path / "model", name, **policy)
    request = submitted(fleet, people[0])
    completed(fleet, request)
    until(lambda: fleet.client.get_request(request).closed_at, "the closing", 100)
    with fleet.engine.connect() as connection:
        links = connection.scalar(
            text("SELECT count(*) FROM request_subjects WHERE request_id = CAST(:id AS uuid)"),
            {"id": request[-32:]},
        )
    assert links == 0


def test_a_worker_says_whether_it_is_heard_of(fleet: Fleet) -> None:
    for role in ("gpu", "ops"):
        said = json.loads(fleet.lotus("worker", "check", role, "--json"))
        assert said["role"] == role and said["silent_seconds"] < 60


def test_a_worker_without_a_broker_is_refused_with_a_reason(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "app.cli", "worker", "gpu"],
        cwd=ROOT,
        env={"LOTUS_DATA_DIR": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert "LOTUS_BROKER_URL must be set" in ran.stderr

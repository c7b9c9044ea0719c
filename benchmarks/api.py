"""What the HTTP service costs beside the least that FastAPI and SQLAlchemy do for a call.

    python -m benchmarks.api [--quick] [--overview] [--database NAME ...] [--connections N]
                             [--stored N] [--json PATH]

Intake      requests accepted a second, by as many connections, against a bare endpoint that puts
            one row in (`bare_api.py`); with key, idempotency, look-up, audit and due date
Bulk        rows a second of one file, against the same requests as calls of their own; memory of
            the process before and after
Status      one request read again and again, against a bare endpoint that reads one row
Overview    polls of `/overview` that are answered 304, against a bare endpoint without a database;
            then 200 dashboards, each of which polls every two seconds
Stored      lists, filters, the overview and the export with so many requests stored, against the
            same service with almost none; memory of the process before and after
Process     seconds until the first answer, and resident memory

`--overview` leaves out intake, bulk, status and the export. Each server is a process of its own,
with one worker of uvicorn; bare and whole take turns, and medians over the turns are given. Client
and PostgreSQL share the machine with them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app import migrate
from app.erasure.bulk import MOST_ROWS
from app.ids import new_id
from benchmarks import api_bulk
from benchmarks.api_servers import Server, environment, serving
from benchmarks.api_table import DASHBOARDS, lines
from benchmarks.databases import databases, settings_for
from benchmarks.http_load import Load, call, load, poll
from benchmarks.report import machine, table, write_json
from benchmarks.stored import PERSONS, URL, fill, prepared, submit
from tests.erasure.factories import submission

OVERVIEW = "/api/v1/overview"
WHOLE, BARE = "app.main:create_app", "benchmarks.bare_api:create_app"
EVERY_SECONDS = 2.0


def insert_bare(number: int) -> bytes:
    body = submission(f"person-{number % PERSONS}", external_id=new_id().hex)
    return call("POST", "/rows", body=body)


def turns(
    whole: Callable[[], Load], bare: Callable[[], Load], rounds: int
) -> tuple[list[Load], list[Load]]:
    """Which comes first changes with every round; the first round of each is not counted."""
    taken: dict[str, list[Load]] = {"whole": [], "bare": []}
    both = {"whole": whole, "bare": bare}
    for turn in range(rounds + 1):
        for name in ("whole", "bare") if turn % 2 else ("bare", "whole"):
            taken[name].append(both[name]())
    return taken["whole"][1:], taken["bare"][1:]


def compare(name: str, whole: list[Load], bare: list[Load], good: set[int]) -> dict[str, Any]:
    for one in (*whole, *bare):
        wrong = {status: n for status, n in one.statuses.items() if status not in good}
        assert not wrong, f"{name}: answers {wrong}"

    def middle(loads: list[Load], figure: Callable[[Load], float]) -> float:
        return statistics.median(figure(one) for one in loads)

    rate, least = middle(whole, lambda one: one.rate), middle(bare, lambda one: one.rate)
    p99, shortest = (middle(loads, lambda one: one.milliseconds(99)) for loads in (whole, bare))
    return {
        f"{name}_per_second": rate,
        f"{name}_bare_per_second": least,
        f"{name}_ratio": rate / least,
        f"{name}_p50_ms": middle(whole, lambda one: one.median),
        f"{name}_p99_ms": p99,
        f"{name}_bare_p99_ms": shortest,
        f"{name}_p99_ratio": p99 / shortest,
    }


def against_bare(
    server: Server, bare: Server, key: str, given: argparse.Namespace
) -> dict[str, Any]:
    def driven(port: int, calls: Callable[[int], bytes]) -> Callable[[], Load]:
        return lambda: load(port, calls, connections=given.connections, seconds=given.seconds)

    taken = turns(driven(server.port, submit(key)), driven(bare.port, insert_bare), given.rounds)
    found = compare("intake", *taken, {202})
    one, row = _made(server, key), _made_bare(bare)
    status = call("GET", f"{URL}/{one}", key=key)
    plain = call("GET", f"/rows/{row}")
    taken = turns(
        driven(server.port, _always(status)), driven(bare.port, _always(plain)), given.rounds
    )
    return found | compare("status", *taken, {200})


def overview_against_bare(
    server: Server, bare: Server, key: str, given: argparse.Namespace
) -> dict[str, Any]:
    polls = call("GET", OVERVIEW, key=key, If_None_Match=_etag(server, key))
    plain = call("GET", "/document")

    def driven(port: int, one: bytes) -> Callable[[], Load]:
        return lambda: load(
            port, _always(one), connections=given.connections, seconds=given.seconds
        )

    taken = turns(driven(server.port, polls), driven(bare.port, plain), given.rounds)
    return compare("overview", *taken, {200, 304})


def polled(server: Server, key: str, given: argparse.Namespace) -> dict[str, Any]:
    """Many dashboards, while a request comes in every second."""
    with _coming_in(server, key):
        taken = poll(
            server.port,
            OVERVIEW,
            key,
            dashboards=DASHBOARDS,
            every=EVERY_SECONDS,
            seconds=given.polling,
        )
    assert set(taken.statuses) <= {200, 304}, taken.statuses
    return {
        "dashboards_polls": len(taken.seconds),
        "dashboards_unchanged": taken.statuses[304],
        "dashboards_p50_ms": taken.median,
        "dashboards_p99_ms": taken.milliseconds(99),
    }


@contextmanager
def _coming_in(server: Server, key: str) -> Iterator[None]:
    over = threading.Event()

    def send() -> None:
        number = 0
        while not over.wait(1.0):
            number += 1
            body = json.dumps(submission(f"person-{number}", external_id=new_id().hex)).encode()
            _ask(server, URL, key, body)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        over.set()
        sender.join()


QUESTIONS = {
    "first page": "?limit=50",
    "scheduled": "?state=scheduled&limit=50",
    "overdue": "?overdue=true&limit=50",
    "updated since": "?updated_since={yesterday}&limit=50",
    "one case number": "?external_id=CASE-1",
}
_POLL = "overview, poll"


def asked(server: Server, key: str, given: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of each question, 95th percentile, one at a time."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    wanted = {
        name: call("GET", URL + query.format(yesterday=yesterday), key=key)
        for name, query in QUESTIONS.items()
        if not given.overview
    }
    wanted[_POLL] = call("GET", OVERVIEW, key=key, If_None_Match=_etag(server, key))
    found = {}
    for name, one in wanted.items():
        taken = load(server.port, _always(one), connections=1, seconds=given.seconds)
        assert set(taken.statuses) <= {200, 304}, (name, taken.statuses)
        found[name] = taken.milliseconds(95)
    return found


def _always(one: bytes) -> Callable[[int], bytes]:
    return lambda _: one


def exported(server: Server, key: str) -> dict[str, float]:
    """The whole export once; the memory of the process before it and the most of it since."""
    before = server.resident_mb
    wanted = call("GET", f"{URL}/export?format=csv", key=key)
    taken = load(server.port, _always(wanted), connections=1, seconds=0.001, patience=900.0)
    assert set(taken.statuses) == {200}, taken.statuses
    return {
        "export_seconds": taken.elapsed,
        "export_mb_before": before,
        "export_mb_after": server.resident_mb,
    }


def measure(dialect: str, given: argparse.Namespace) -> dict[str, Any]:
    print(dialect, file=sys.stderr)
    found: dict[str, Any] = {"database": dialect}
    with (
        databases(dialect) as database,
        databases(dialect) as other,
        tempfile.TemporaryDirectory() as folder,
    ):
        migrate.upgrade(database)
        settings = settings_for(database, Path(folder))
        known = prepared(settings)
        key, variables = known.key, environment(settings)
        plain = {"BARE_DATABASE_URL": other.url.render_as_string(hide_password=False)}
        with serving(WHOLE, variables) as server, serving(BARE, plain) as bare:
            found |= {"ready_seconds": server.ready_seconds, "resident_mb_idle": server.resident_mb}
            if not given.overview:
                found |= against_bare(server, bare, key, given)
            found |= overview_against_bare(server, bare, key, given)
            found |= polled(server, key, given)
            found["resident_mb_loaded"] = server.resident_mb
            found["questions_few"] = asked(server, key, given)
            if not given.overview:
                found |= api_bulk.taken_in(server, key, given.rows)
                found["bulk_ratio"] = found["bulk_per_second"] / found["intake_per_second"]
        print(f"  {json.dumps(found)}", file=sys.stderr)
        fill(database, known, given.stored)
        with serving(WHOLE, variables) as server:
            found["questions_stored"] = asked(server, key, given)
            found |= {f"stored_{name}": v for name, v in polled(server, key, given).items()}
            if not given.overview:
                found |= exported(server, key)
    print(f"  {json.dumps(found)}", file=sys.stderr)
    return found


def _made(server: Server, key: str) -> str:
    answer, _ = _ask(server, URL, key, json.dumps(submission("person-1")).encode())
    identity: str = answer["id"]
    return identity


def _made_bare(server: Server) -> str:
    body = json.dumps(submission("person-1", external_id="one")).encode()
    answer, _ = _ask(server, "/rows", None, body)
    identity: str = answer["id"]
    return identity


def _etag(server: Server, key: str) -> str:
    _, etag = _ask(server, OVERVIEW, key, None)
    return etag


def _ask(server: Server, path: str, key: str | None, body: bytes | None) -> tuple[Any, str]:
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    asked = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", body, headers)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer), answer.headers.get("ETag", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="short turns, 20,000 stored, 5,000 rows"
    )
    parser.add_argument("--overview", action="store_true", help="only what concerns the overview")
    parser.add_argument("--database", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--stored", type=int, help="requests; default: a million")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("LOTUS_")]:
        del os.environ[name]
    given.stored = given.stored or (20_000 if given.quick else 1_000_000)
    given.rows = 5_000 if given.quick else MOST_ROWS
    given.seconds, given.rounds, given.polling = (2.0, 2, 10.0) if given.quick else (5.0, 3, 60.0)
    results = [measure(dialect, given) for dialect in given.database]
    said = machine()
    pressure = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{said['cores']} cores of {said['cpu']}, load {pressure}\n")
    print(table(["", *(row["database"] for row in results)], lines(results, given)))
    if given.json:
        write_json(given.json, {"load": os.getloadavg(), "api": results})


if __name__ == "__main__":
    main()

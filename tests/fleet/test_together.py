"""Many persons ask about one model at nearly the same time."""

import random
import time
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from client import LotusProblem, Subject
from tests.fleet import small
from tests.fleet.following import completed, run_of, submitted
from tests.fleet.stack import Fleet, register

pytestmark = pytest.mark.timeout(240)


def registered(fleet: Fleet, folder: Path, window: float) -> list[str]:
    name = f"model-{uuid4().hex[:8]}"
    people = small.write(folder / "model", persons=70, prefix=name, seed=3)
    register(
        fleet.client,
        folder / "model",
        name,
        verification=small.LENIENT,
        coalesce_seconds=window,
        ladder=[],
    )
    return people


def payloads(fleet: Fleet, requests: list[str]) -> set[bytes]:
    with fleet.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT payload FROM certificates WHERE request_id = ANY(CAST(:ids AS uuid[]))"),
            {"ids": [request[-32:] for request in requests]},
        )
        return {bytes(row.payload) for row in rows}


def test_fifty_requests_within_a_window_are_one_run_and_fifty_certificates(
    fleet: Fleet, tmp_path: Path
) -> None:
    people = registered(fleet, tmp_path, window=20)
    requests = [submitted(fleet, person) for person in people[:50]]
    for request in requests:
        completed(fleet, request)
    runs = {run_of(fleet, request).id for request in requests}
    assert len(runs) == 1
    (run,) = runs
    figures = fleet.client.get_run(run)
    assert figures.metrics is not None
    assert figures.metrics["sizes"]["n_f"] == 50 * small.ROWS_OF_A_PERSON
    assert len(figures.items) == 50
    assert len(payloads(fleet, requests)) == 50


def cancels(fleet: Fleet, request: str) -> bool:
    """False if it is too late. A worker that takes the request at the same moment makes the service
    ask for another try."""
    while True:
        try:
            return fleet.client.cancel(request).state == "cancelled"
        except LotusProblem as problem:
            if not problem.type.endswith("changed-meanwhile"):
                assert problem.type.endswith("partially-published")
                return False


def test_ten_who_cancel_at_random_moments_change_nothing_for_the_others(
    fleet: Fleet, tmp_path: Path
) -> None:
    people = registered(fleet, tmp_path, window=2)
    rng = random.Random(5)
    requests = [submitted(fleet, person) for person in people[:50]]
    leaving = rng.sample(requests, 10)
    cancelled = []
    for request in leaving:
        time.sleep(rng.uniform(0, 1.5))
        if cancels(fleet, request):
            cancelled.append(request)
    staying = [request for request in requests if request not in cancelled]
    for request in staying:
        assert completed(fleet, request).outcome is not None
    assert len(payloads(fleet, staying)) == len(staying)
    assert payloads(fleet, cancelled) == set()
    for request in cancelled:
        assert fleet.client.get_request(request).state == "cancelled"
    impact = fleet.client.impact([Subject(people[60])])
    assert sum(one.forget_count for one in impact) == small.ROWS_OF_A_PERSON
    with fleet.engine.connect() as connection:
        unlearned = connection.scalar(
            text(
                "SELECT count(*) FROM unlearned_samples u JOIN models m ON m.id = u.model_id "
                "JOIN erasure_items i ON i.model_id = m.id "
                "WHERE i.request_id = CAST(:id AS uuid)"
            ),
            {"id": staying[0][-32:]},
        )
    # Everybody who stayed, nobody who left.
    assert unlearned == len(staying) * small.ROWS_OF_A_PERSON

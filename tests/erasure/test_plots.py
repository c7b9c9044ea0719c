"""How long what can be drawn of a run is kept: as long as its cases are open."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import select

from app.erasure import closing, ended_links
from app.erasure.plot_schemas import RunPlots
from app.erasure.run_schemas import RunEpoch
from app.erasure.tables import ErasureRequest, Run
from app.ids import run_id
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.test_withdrawn import refused_in_part
from tests.erasure.working import PLOTS, Hand
from workers import duties
from workers.unlearning.methods import Epoch
from workers.unlearning.plots import nothing

PROBLEM = "urn:lotus-unlearning:problem:"
AFTER_THE_WINDOW = timedelta(days=8)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


@pytest.fixture
def later() -> datetime:
    """After every rollback window."""
    return soon() + AFTER_THE_WINDOW


def plots(api: TestClient, run: str) -> Response:
    return api.get(f"/api/v1/runs/{run}/plots")


def gone(answer: Response) -> str:
    """What is said in their place."""
    body = answer.json()
    assert (answer.status_code, body["type"]) == (404, PROBLEM + "no-plots"), answer.text
    detail: str = body["detail"]
    return detail


def published(cases: Cases, hand: Hand, *requests: str) -> str:
    """The run that unlearned these."""
    fence = hand.must_claim(soon())
    hand.publish(fence, soon())
    assert {cases.item(request)["run"] for request in requests} == {run_id(fence.run_id)}
    return run_id(fence.run_id)


def close(runtime: Runtime, hand: Hand, request: str, at: datetime) -> None:
    hand.recheck_all(at)
    with runtime.database.write() as session:
        identity = UUID(hex=request[4:])
        assert closing.close(
            session, runtime.keyring, identity, suppressed_for=timedelta(days=1), now=at
        )


def test_a_run_has_plots_from_its_verdict_on(api: TestClient, cases: Cases, hand: Hand) -> None:
    request = cases.submit("ada")
    fence = hand.must_claim(soon())
    run = cases.item(request)["run"]
    assert "not verified yet" in gone(plots(api, run))
    hand.publish(fence, soon())
    answer = plots(api, run)
    assert (answer.status_code, answer.json()) == (200, PLOTS)


def test_a_rejected_run_has_plots_and_keeps_them_when_its_candidate_is_accepted(
    api: TestClient, cases: Cases, hand: Hand
) -> None:
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    run = cases.item(request)["run"]
    assert api.get(f"/api/v1/runs/{run}").json()["state"] == "rejected"
    assert plots(api, run).json() == PLOTS
    assert cases.decide(request, action="accept").status_code == 202
    assert api.get(f"/api/v1/runs/{run}").json()["state"] == "succeeded"
    assert plots(api, run).json() == PLOTS


def test_a_run_that_ended_without_a_verdict_has_none(
    api: TestClient, cases: Cases, hand: Hand
) -> None:
    request = cases.submit("ada")
    hand.must_claim(soon())
    run = cases.item(request)["run"]
    assert cases.cancel(request).status_code == 202
    assert "without a verdict" in gone(plots(api, run))


def test_an_unknown_run_is_another_problem_than_one_without_plots(api: TestClient) -> None:
    answer = plots(api, "run_" + "0" * 32)
    assert (answer.status_code, answer.json()["type"]) == (404, PROBLEM + "unknown-run")


def test_closing_a_case_destroys_the_plots_of_each_of_its_runs_and_of_no_other(
    api: TestClient, runtime: Runtime, cases: Cases, hand: Hand, later: datetime
) -> None:
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    first = cases.item(request)["run"]
    cases.decide(request, action="retry")
    second = published(cases, hand, request)
    other = published(cases, hand, cases.submit("ben"))
    figures = api.get(f"/api/v1/runs/{second}").json()["metrics"]
    assert first != second and all(plots(api, run).is_success for run in (first, second, other))

    close(runtime, hand, request, later)

    assert "closed" in gone(plots(api, first))
    assert "closed" in gone(plots(api, second))
    assert plots(api, other).json() == PLOTS
    assert api.get(f"/api/v1/runs/{second}").json()["metrics"] == figures
    with runtime.database.read() as session:  # no JSON null, which would be a value
        left = session.scalars(select(Run.id).where(Run.plots.is_not(None))).all()
    assert [run_id(one) for one in left] == [other]


def test_the_first_case_that_is_closed_takes_the_plots_of_a_shared_run_with_it(
    api: TestClient, runtime: Runtime, cases: Cases, hand: Hand, later: datetime
) -> None:
    requests = [cases.submit(name) for name in ("ada", "ben", "cleo")]
    run = published(cases, hand, *requests)
    close(runtime, hand, requests[1], later)
    assert "closed" in gone(plots(api, run))
    assert cases.get(requests[0])["closed_at"] is None
    close(runtime, hand, requests[0], later)


def test_the_plots_of_a_refused_case_go_with_its_references(
    api: TestClient, runtime: Runtime, cases: Cases, hand: Hand
) -> None:
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    run = cases.item(request)["run"]
    assert cases.decide(request, action="refuse", reason_code="legal_claims").status_code == 202
    with runtime.database.read() as session:
        at = session.scalars(select(ErasureRequest.updated_at)).one()
    duties.forget(runtime, at + ended_links.KEPT - timedelta(seconds=1))
    assert plots(api, run).json() == PLOTS
    duties.forget(runtime, at + ended_links.KEPT)
    assert "closed" in gone(plots(api, run))


def test_a_case_that_an_earlier_one_s_run_covered_takes_the_plots_of_that_run(
    api: TestClient,
    runtime: Runtime,
    model: str,
    cases: Cases,
    hand: Hand,
    later: datetime,
) -> None:
    """The earlier case was refused after a part of it was published, and is never closed."""
    refused = refused_in_part(cases, hand, runtime)
    (run,) = [one["run"] for one in cases.get(refused)["items"] if one["state"] == "published"]
    second = cases.submit("ada", models=[model])
    assert hand.claim(soon()) is None  # the same samples
    assert cases.item(second)["run"] == run and plots(api, run).is_success
    close(runtime, hand, second, later)
    assert "closed" in gone(plots(api, run))


def test_a_run_that_started_again_from_another_version_keeps_its_own_plots(
    api: TestClient, cases: Cases, hand: Hand
) -> None:
    """Its items are with the new run now, and it is still theirs when they close."""
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    first = cases.item(request)["run"]
    cases.decide(request, action="retry")
    hand.must_claim(soon())
    assert cases.item(request)["run"] != first
    assert plots(api, first).json() == PLOTS


def test_the_wire_form_names_what_the_library_names() -> None:
    epoch = {name for name in Epoch.__dataclass_fields__ if name != "served"}
    assert set(RunEpoch.model_fields) == epoch
    empty = asdict(nothing("stated by a test"))
    assert RunPlots.model_validate(empty).model_dump() == empty

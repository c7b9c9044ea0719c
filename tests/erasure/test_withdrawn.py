"""Requests that were refused after a part of them was published, and what a second request may rest
on: nothing that somebody can still take back."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.certificates.tables import Certificate
from app.erasure import arrivals
from app.erasure.recheck_tables import RecheckState
from app.erasure.states import RunState
from app.erasure.tables import ErasureItem, Run
from app.registry.policy import Policy
from app.registry.tables import Dataset, Model
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.factories import add_model, add_version
from tests.erasure.test_rollback import Versions
from tests.erasure.working import Hand


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


@pytest.fixture
def versions(api: TestClient, runtime: Runtime, model: str) -> Versions:
    return Versions(api, runtime, model)


def add_second_model(runtime: Runtime) -> None:
    """One that goes to a person at the first rejection."""
    with runtime.database.write() as session:
        dataset = session.scalars(select(Dataset)).one()
        add_model(session, dataset, name="second", policy=Policy(ladder=()))


def refused_in_part(cases: Cases, hand: Hand, runtime: Runtime) -> str:
    """Published on the first model, refused on a second that cannot unlearn the person."""
    add_second_model(runtime)
    request = cases.submit("ada")
    for _ in range(2):
        fence = hand.must_claim(soon())
        with runtime.database.read() as session:
            name = session.get_one(Model, hand.run(fence).model_id).name
        if name == "second":
            hand.reject(fence, soon())
        else:
            hand.publish(fence, soon())
    (open_,) = [one for one in cases.get(request)["items"] if one["state"] != "published"]
    answer = cases.decide(request, item=open_["id"], action="refuse", reason_code="legal_claims")
    assert answer.status_code == 202, answer.text
    assert states(cases, request) == ["published", "refused"]
    return request


def states(cases: Cases, request: str) -> list[str]:
    body = cases.get(request)
    assert body["state"] == "refused"
    return sorted(item["state"] for item in body["items"])


def test_a_version_trained_elsewhere_leaves_a_refused_request_alone(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = refused_in_part(cases, hand, runtime)
    with runtime.database.write() as session:
        model = session.scalars(select(Model).where(Model.name != "second")).one()
        version = add_version(session, model, "retrained")
        assert arrivals.version_ready(session, runtime.keyring, version, now=soon()) == 0
    assert states(cases, request) == ["published", "refused"]
    assert hand.claim(soon()) is None


def test_a_rollback_leaves_a_refused_request_alone_and_reopens_the_others(
    cases: Cases, hand: Hand, runtime: Runtime, versions: Versions
) -> None:
    request = refused_in_part(cases, hand, runtime)
    answer = versions.roll_back(1)
    assert (answer.status_code, answer.json()["reopened"]) == (200, 0), answer.text
    assert states(cases, request) == ["published", "refused"]
    assert hand.claim(soon()) is None
    with runtime.database.read() as session:
        assert {run.state for run in session.scalars(select(Run))} == {
            RunState.SUCCEEDED,
            RunState.REJECTED,
        }


def test_a_relapse_that_is_found_after_the_refusal_reopens_nothing(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    """The re-check had begun before the last item was refused."""
    add_second_model(runtime)
    request, other = cases.submit("ada"), None
    while (claim := hand.claim(soon())) is not None:
        with runtime.database.read() as session:
            name = session.get_one(Model, hand.run(claim.fence).model_id).name
        if name == "second":
            hand.reject(claim.fence, soon())
        else:
            hand.publish(claim.fence, soon())
            other = other or cases.submit("ben")  # a later version, on which ada is compared
    items = {one["state"]: one["id"] for one in cases.get(request)["items"]}
    fence = hand.must_claim_recheck(soon())
    decided = cases.decide(
        request, item=items["needs_decision"], action="refuse", reason_code="legal_claims"
    )
    assert decided.json()["state"] == "refused", decided.text
    published = UUID(hex=items["published"][-32:])
    assert hand.end_recheck(fence, soon(), relapsed=[published]) is RecheckState.DONE
    assert states(cases, request) == ["published", "refused"]
    with runtime.database.read() as session:
        assert session.get_one(ErasureItem, published).relapses == 0
    assert hand.claim(soon()) is None


def test_who_asks_again_while_the_first_case_is_open_has_a_case_of_his_own(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    cases.submit("ada")
    hand.publish(hand.must_claim(soon()), soon())
    second = cases.submit("ada")
    assert cases.state(second) == "scheduled"
    assert hand.claim(soon()) is None  # the same samples: covered, without a run
    body = cases.get(second)
    assert (body["state"], body["outcome"], body["reason_code"], body["earlier_request"]) == (
        "completed",
        "unlearned",
        None,
        None,
    )
    with runtime.database.read() as session:
        assert len(session.scalars(select(Certificate)).all()) == 2


def test_the_second_case_is_unlearned_though_the_first_is_reopened_and_cancelled(
    cases: Cases, hand: Hand, versions: Versions
) -> None:
    first = cases.submit("ada")
    hand.publish(hand.must_claim(soon()), soon())
    second = cases.submit("ada")
    assert hand.claim(soon()) is None
    assert versions.roll_back(1).json()["reopened"] == 2
    assert (cases.state(first), cases.state(second)) == ("scheduled", "scheduled")
    assert cases.cancel(first).status_code == 202
    assert hand.publish(hand.must_claim(soon()), soon()) is RunState.SUCCEEDED
    assert (cases.state(first), cases.get(second)["outcome"]) == ("cancelled", "unlearned")

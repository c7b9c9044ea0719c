from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from app.erasure.locks import LeaseLost
from app.erasure.states import RunState
from app.erasure.tables import ItemSample, RunItem, UnlearnedSample
from app.registry.tables import Dataset, Sample
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.factories import add_model
from tests.erasure.working import Hand


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def test_a_waiting_request_is_cancelled_and_stays_so(cases: Cases, hand: Hand) -> None:
    request = cases.submit("ada")
    assert cases.cancel(request).json()["state"] == "cancelled"
    assert cases.cancel(request).status_code == 202
    assert hand.claim(soon()) is None
    assert cases.item(request)["state"] == "cancelled"


def test_cancelling_the_only_request_of_a_run_stops_the_run(cases: Cases, hand: Hand) -> None:
    request = cases.submit("ada")
    fence = hand.must_claim(soon())
    assert cases.cancel(request).json()["state"] == "cancelled"
    with pytest.raises(LeaseLost):
        hand.publish(fence, soon())
    assert hand.run(fence).state is RunState.SUPERSEDED
    assert hand.claim(soon()) is None


def test_the_others_of_a_run_go_on_without_the_cancelled_one(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    ada, ben = cases.submit("ada"), cases.submit("ben")
    fence = hand.must_claim(soon())
    cases.cancel(ada)
    assert (cases.state(ada), cases.state(ben)) == ("cancelled", "scheduled")
    with pytest.raises(LeaseLost):
        hand.publish(fence, soon())
    following = hand.must_claim(soon())
    assert hand.run(following).follows_id == fence.run_id
    assert hand.publish(following, soon()) is RunState.SUCCEEDED
    assert cases.state(ben) == "completed"
    with runtime.database.read() as session:
        published = set(session.scalars(select(UnlearnedSample.sample_id)))
        items = session.scalars(
            select(RunItem.item_id).where(RunItem.run_id == following.run_id)
        ).all()
        own = set(
            session.scalars(
                select(ItemSample.sample_id)
                .join(Sample, Sample.id == ItemSample.sample_id)
                .where(ItemSample.item_id.in_(items))
            )
        )
        assert published == own
        # The first run's own record still says whom it was formed with.
        assert (
            len(session.scalars(select(RunItem).where(RunItem.run_id == fence.run_id)).all()) == 2
        )


def test_cancelling_in_a_queued_run_leaves_the_rest_queued(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    names = ("ada", "ben", "cleo")
    requests = {name: cases.submit(name) for name in names}
    hand.must_claim(soon())
    cases.cancel(requests["ada"])
    cases.cancel(requests["ben"])
    hand.publish(hand.must_claim(soon()), soon())
    assert [cases.state(requests[name]) for name in names] == [
        "cancelled",
        "cancelled",
        "completed",
    ]


def test_after_a_publication_it_is_too_late(cases: Cases, hand: Hand) -> None:
    request = cases.submit("ada")
    hand.publish(hand.must_claim(soon()), soon())
    answer = cases.cancel(request)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith(":partially-published")
    assert cases.state(request) == "completed"


def test_a_request_that_waits_for_a_decision_can_be_cancelled(cases: Cases, hand: Hand) -> None:
    ada, ben = cases.submit("ada"), cases.submit("ben")
    hand.reject(hand.must_claim(soon()), soon())
    assert cases.cancel(ada).json()["state"] == "cancelled"
    assert cases.decide(ben, action="accept").status_code == 409
    assert cases.decide(ben, action="retry").status_code == 202
    hand.publish(hand.must_claim(soon()), soon())
    assert cases.state(ben) == "completed"


def test_a_completed_no_match_cannot_be_cancelled(cases: Cases) -> None:
    request = cases.submit("nobody")
    answer = cases.cancel(request)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith(":illegal-move")


def test_a_request_with_a_refused_part_can_still_be_cancelled(
    cases: Cases, hand: Hand, runtime: Runtime
) -> None:
    with runtime.database.write() as session:
        add_model(session, session.scalars(select(Dataset)).one(), name="second")
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    items = {item["state"]: item["id"] for item in cases.get(request)["items"]}
    refused = cases.decide(
        request, item=items["needs_decision"], action="refuse", reason_code="legal_claims"
    )
    assert refused.status_code == 202
    assert cases.cancel(request).json()["state"] == "cancelled"
    assert {item["state"] for item in cases.get(request)["items"]} == {"refused", "cancelled"}

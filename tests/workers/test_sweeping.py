"""Runs of several models whose workers fell silent at once."""

from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.erasure import leases
from app.erasure.locks import Fence
from app.erasure.states import ItemState, RunState
from app.erasure.tables import ErasureItem, Run
from app.ids import model_id
from app.registry.policy import Policy
from app.runtime import Runtime
from tests.erasure.factories import add_dataset, add_model, people, submission
from tests.erasure.test_arriving_versions import wait_for_the_second
from tests.erasure.working import Hand
from workers import duties

REQUESTS = "/api/v1/erasure-requests"


@pytest.fixture
def hand(runtime: Runtime) -> Hand:
    return Hand.hire(runtime, datetime.now(UTC))


@pytest.fixture
def models(runtime: Runtime) -> list[UUID]:
    with runtime.database.write() as session:
        dataset = add_dataset(runtime, session, people(ada=4, ben=3))
        made = [
            add_model(session, dataset, policy=Policy(ladder=()), name=name)
            for name in ("first", "second", "third")
        ]
        return sorted(model.id for model in made)


def submit(api: TestClient, who: str, models: list[UUID]) -> str:
    body = submission(who, models=[model_id(model) for model in models])
    answer = api.post(REQUESTS, json=body)
    assert answer.status_code == 202, answer.text
    identity: str = answer.json()["id"]
    return identity


def claim_all(hand: Hand, now: datetime) -> dict[UUID, Fence]:
    held = {}
    while (claim := hand.claim(now)) is not None:
        held[claim.model_id] = claim.fence
    return held


def fall_silent(runtime: Runtime, models: list[UUID], now: datetime) -> None:
    """One after the other, each for the third time: the runs fail when they are taken back."""
    with runtime.database.write() as session:
        for seconds, model in enumerate(reversed(models), start=1):
            session.execute(
                update(Run)
                .where(Run.model_id == model)
                .values(crashes=leases.MOST_CRASHES - 1, lease_until=now - timedelta(0, seconds))
            )


def run_states(runtime: Runtime) -> dict[UUID, RunState]:
    with runtime.database.read() as session:
        return {model: state for model, state in session.execute(select(Run.model_id, Run.state))}


def test_a_publication_for_the_same_requests_goes_on_beside_the_sweep(
    api: TestClient,
    runtime: Runtime,
    hand: Hand,
    models: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second, third = models
    # The sweep meets the requests in the other order than the publication.
    older = submit(api, "ada", [second, third])
    newer = submit(api, "ben", [first, third])
    assert older < newer
    now = datetime.now(UTC)
    held = claim_all(hand, now)
    hand.move(held[third], RunState.VERIFYING, now)
    hand.move(held[third], RunState.PUBLISHING, now)
    fall_silent(runtime, [first, second], now)
    published: list[Future[RunState]] = []

    def publish() -> RunState:
        with runtime.database.write() as session:
            return hand.publish_in(session, held[third], now)

    give_back = leases.give_back
    with ThreadPoolExecutor(1) as pool:

        def publish_meanwhile(*args: Any, **named: Any) -> RunState:
            state = give_back(*args, **named)
            if not published:
                published.append(pool.submit(publish))
                wait_for_the_second(runtime.database, published[0])
            return state

        monkeypatch.setattr(leases, "give_back", publish_meanwhile)
        duties.sweep(runtime, now)
        assert published[0].result(30) is RunState.SUCCEEDED
    assert run_states(runtime) == {
        first: RunState.FAILED,
        second: RunState.FAILED,
        third: RunState.SUCCEEDED,
    }


def test_a_run_that_cannot_be_taken_back_keeps_no_other_from_it(
    api: TestClient, runtime: Runtime, hand: Hand, models: list[UUID]
) -> None:
    submit(api, "ada", models)
    now = datetime.now(UTC)
    assert set(claim_all(hand, now)) == set(models)
    fall_silent(runtime, models, now)
    first, second, third = models
    with runtime.database.write() as session:  # rows that contradict each other
        session.execute(
            update(ErasureItem)
            .where(ErasureItem.model_id == first)
            .values(state=ItemState.CANCELLED)
        )
    duties.sweep(runtime, now)
    assert run_states(runtime) == {
        first: RunState.RUNNING,
        second: RunState.FAILED,
        third: RunState.FAILED,
    }

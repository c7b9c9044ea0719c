"""Two who act on one case at the same moment: the later one sees what the earlier one did."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.erasure import arrivals, cancelling, closing, deciding
from app.erasure.states import RunState
from app.erasure.tables import ErasureItem, ErasureRequest, ReasonCode
from app.registry import service
from app.registry.schemas import RegisterVersion
from app.registry.tables import Dataset, Model, ModelVersion
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.factories import add_model
from tests.erasure.test_arriving_versions import while_open
from tests.erasure.test_publishing import soon
from tests.erasure.working import Hand
from tests.registry.content import digest, weights

Act = Callable[[Session, Runtime], Any]


def the_request(session: Session) -> ErasureRequest:
    return session.scalars(select(ErasureRequest)).one()


def the_item(session: Session) -> UUID:
    return session.scalars(select(ErasureItem.id)).one()


def decided(action: str) -> Act:
    def act(session: Session, runtime: Runtime) -> None:
        deciding.decide(
            session,
            runtime.keyring,
            the_request(session),
            the_item(session),
            action,
            settings=None,
            reason_code=ReasonCode.LEGAL_CLAIMS if action == "refuse" else None,
            actor="operator",
            now=soon(),
        )

    return act


def cancelled(session: Session, runtime: Runtime) -> None:
    cancelling.cancel(session, runtime.keyring, the_request(session), actor="operator", now=soon())


def closed(session: Session, runtime: Runtime) -> None:
    request, later = the_request(session), soon() + timedelta(days=8)
    assert closing.close(
        session, runtime.keyring, request.id, suppressed_for=timedelta(days=1), now=later
    )


def left_scheduled(hand: Hand) -> None:
    """Nothing more happens before the request ends."""


def rejected(hand: Hand) -> None:
    hand.reject(hand.must_claim(soon()), soon())


def published(hand: Hand) -> None:
    hand.publish(hand.must_claim(soon()), soon())


@pytest.fixture
def second_model(cases: Cases, runtime: Runtime) -> Callable[[], Model]:
    """Ready from now on, but nobody has told the requests."""

    def add() -> Model:
        with runtime.database.write() as session:
            return add_model(session, session.scalars(select(Dataset)).one(), name="second")

    return add


@pytest.mark.parametrize(
    ("before", "end"),
    [(left_scheduled, cancelled), (rejected, decided("refuse")), (published, closed)],
    ids=["cancelled", "refused", "closed"],
)
def test_a_case_that_ends_as_a_model_becomes_ready_takes_it_in_no_more(
    cases: Cases,
    hand: Hand,
    runtime: Runtime,
    second_model: Callable[[], Model],
    before: Callable[[Hand], None],
    end: Act,
) -> None:
    request = cases.submit("ada")
    before(hand)
    model = second_model()

    def becomes_ready() -> int:
        with runtime.database.write() as session:
            return arrivals.model_ready(session, runtime.keyring, model, now=soon())

    assert while_open(runtime.database, lambda session: end(session, runtime), becomes_ready) == 0
    assert len(cases.get(request)["items"]) == 1
    assert hand.claim(soon()) is None


def test_a_cancel_ends_the_item_of_a_model_that_becomes_ready_at_that_moment(
    cases: Cases, hand: Hand, runtime: Runtime, second_model: Callable[[], Model]
) -> None:
    request = cases.submit("ada")
    model = second_model()
    answer = while_open(
        runtime.database,
        lambda session: arrivals.model_ready(session, runtime.keyring, model, now=soon()),
        lambda: cases.cancel(request),
    )
    if answer.status_code == 409:  # it had looked before the item was there
        assert answer.json()["type"].endswith(":changed-meanwhile")
        answer = cases.cancel(request)
    assert answer.status_code == 202
    assert [item["state"] for item in cases.get(request)["items"]] == ["cancelled"] * 2
    assert hand.claim(soon()) is None


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        ("retry", "refuse", "scheduled"),
        ("accept", "retry", "completed"),
        ("accept", "refuse", "completed"),
        ("refuse", "retry", "refused"),
    ],
)
def test_of_two_decisions_at_once_the_second_is_told_that_none_is_asked_for(
    cases: Cases, hand: Hand, runtime: Runtime, first: str, second: str, left: str
) -> None:
    request = cases.submit("ada")
    rejected(hand)
    item = cases.item(request)["id"]
    reason = {"reason_code": "legal_claims"} if second == "refuse" else {}
    answer = while_open(
        runtime.database,
        lambda session: decided(first)(session, runtime),
        lambda: cases.decide(request, item=item, action=second, **reason),
    )
    assert answer.status_code == 409, answer.text
    assert answer.json()["type"].endswith(":illegal-move")
    assert cases.state(request) == left


def test_of_two_cancels_at_once_both_are_told_that_it_is_done(
    cases: Cases, runtime: Runtime
) -> None:
    request = cases.submit("ada")
    answer = while_open(
        runtime.database,
        lambda session: cancelled(session, runtime),
        lambda: cases.cancel(request),
    )
    assert answer.status_code == 202
    assert answer.json()["state"] == "cancelled"


@pytest.fixture
def upload(cases: Cases) -> str:
    """Weights that were trained elsewhere and wait to be registered."""
    sha256 = digest(weights())
    answer = cases.api.put(f"/api/v1/artifacts/{sha256}", content=weights())
    assert answer.status_code == 201, answer.text
    return sha256


def numbers(runtime: Runtime) -> dict[int, bool]:
    """Of the model's versions; True for what a run made."""
    with runtime.database.read() as session:
        found = session.execute(select(ModelVersion.number, ModelVersion.run_id))
        return {number: run is not None for number, run in found}


def test_a_run_that_publishes_while_a_version_is_registered_takes_the_number_after_it(
    cases: Cases, hand: Hand, runtime: Runtime, upload: str
) -> None:
    request = cases.submit("ada")
    fence = hand.must_claim(soon())
    hand.move(fence, RunState.VERIFYING, soon())
    hand.move(fence, RunState.PUBLISHING, soon())

    def registers(session: Session) -> None:
        model = session.scalars(select(Model)).one()
        service.register_version(
            session,
            runtime.artifacts,
            model.id,
            RegisterVersion(artifact=upload),
            controller=model.controller_id,
            actor="operator",
            now=soon(),
        )
        session.flush()

    def publishes() -> RunState:
        with runtime.database.write() as session:
            return hand.publish_in(session, fence, soon())

    assert while_open(runtime.database, registers, publishes) is RunState.SUCCEEDED
    assert numbers(runtime) == {1: False, 2: False, 3: True}
    assert cases.state(request) == "completed"


def test_a_version_that_is_registered_while_a_run_publishes_takes_the_number_after_it(
    cases: Cases, hand: Hand, runtime: Runtime, model: str, upload: str
) -> None:
    cases.submit("ada")
    fence = hand.must_claim(soon())
    hand.move(fence, RunState.VERIFYING, soon())
    hand.move(fence, RunState.PUBLISHING, soon())
    answer = while_open(
        runtime.database,
        lambda session: hand.publish_in(session, fence, soon()),
        lambda: cases.api.post(f"/api/v1/models/{model}/versions", json={"artifact": upload}),
    )
    assert (answer.status_code, answer.json()["number"]) == (202, 3)
    assert numbers(runtime) == {1: False, 2: True, 3: False}

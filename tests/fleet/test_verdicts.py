"""Each figure that must be zero after a storm of faults is shown to count what it is there for."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from app.erasure.states import ItemState, Outcome, RequestState
from app.erasure.tables import (
    ErasureItem,
    ErasureRequest,
    UnlearnedSample,
)
from app.registry.tables import ModelVersion
from client import Subject
from tests.databases import MakeDatabase
from tests.erasure.factories import submission
from tests.erasure.world import URL, World
from tests.fleet.chaos import Sent
from tests.fleet.verdicts import must_be_zero


@pytest.fixture
def world(make_database: MakeDatabase) -> Iterator[World]:
    world = World(make_database)
    yield world
    world.close()


@pytest.fixture
def sent(world: World) -> list[Sent]:
    """Ada's request is completed, Cleo's was cancelled."""
    found = []
    for customer in ("ada", "cleo"):
        answer = world.front.post(URL, json=submission(customer, external_id=f"case-{customer}"))
        assert answer.status_code == 202, answer.text
        request = answer.json()["id"]
        one = Sent(f"case-{customer}", [Subject(customer)], request, answers={request})
        if customer == "cleo":
            assert world.front.post(f"{URL}/{request}/cancel").status_code == 202
            one.cancelled = True
        found.append(one)
    while claim := world.hands[0].claim(world.now):
        world.publish(claim.fence)
    return found


def counted(world: World, sent: list[Sent]) -> dict[str, int]:
    with world.runtime.database.read() as session:
        return must_be_zero(session, sent, world.runtime.keyring)


def test_where_nothing_went_wrong_every_figure_is_zero(world: World, sent: list[Sent]) -> None:
    assert set(counted(world, sent).values()) == {0}


def a_sample_is_left_out(session: Session) -> None:
    first = session.query(UnlearnedSample).first()
    assert first is not None
    session.delete(first)


def a_completed_case_matched_nothing(session: Session) -> None:
    session.execute(delete(UnlearnedSample))
    session.execute(
        update(ErasureRequest)
        .where(ErasureRequest.state == RequestState.COMPLETED)
        .values(outcome=Outcome.NO_MATCH)
    )


def a_cancel_is_lost(session: Session) -> None:
    session.execute(
        update(ErasureRequest)
        .where(ErasureRequest.state == RequestState.CANCELLED)
        .values(state=RequestState.SCHEDULED)
    )


def a_cancelled_item_was_unlearned(session: Session) -> None:
    session.execute(update(ErasureItem).values(state=ItemState.CANCELLED))


def two_versions_follow_one(session: Session) -> None:
    versions = session.query(ModelVersion).filter(ModelVersion.parent_id.is_not(None)).all()
    assert versions
    session.add(
        ModelVersion(
            model_id=versions[0].model_id,
            number=99,
            parent_id=versions[0].parent_id,
            lineage_id=versions[0].lineage_id,
            artifact_sha256=versions[0].artifact_sha256,
            state="superseded",
            created_at=versions[0].created_at,
            published_at=versions[0].published_at,
        )
    )


@pytest.mark.parametrize(
    ("tamper", "figure"),
    [
        (a_sample_is_left_out, "completed, but not unlearned"),
        (a_completed_case_matched_nothing, "completed, but not unlearned"),
        (a_cancel_is_lost, "cancel confirmed, but not cancelled"),
        (a_cancelled_item_was_unlearned, "cancelled, but unlearned"),
        (two_versions_follow_one, "versions published twice"),
    ],
)
def test_what_went_wrong_is_counted(
    world: World, sent: list[Sent], tamper: Callable[[Session], Any], figure: str
) -> None:
    with world.runtime.database.write() as session:
        tamper(session)
    assert counted(world, sent)[figure] > 0


def test_a_request_that_was_answered_and_is_not_there_is_lost(
    world: World, sent: list[Sent]
) -> None:
    gone = Sent("gone", [Subject("ada")], "req_" + "0" * 32, answers={"req_" + "0" * 32})
    never = Sent("never", [Subject("ada")])
    assert counted(world, [*sent, gone, never])["requests lost"] == 2


def test_a_request_with_two_answers_was_stored_twice(world: World, sent: list[Sent]) -> None:
    sent[0].answers.add("req_" + "1" * 32)
    assert counted(world, sent)["requests stored twice"] == 1

"""The checks of the invariants find what they are there for."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import Session

from app.erasure.states import RequestState, RunState
from app.erasure.tables import ErasureItem, ErasureRequest, Run, RunItem, UnlearnedSample
from app.registry.tables import Model, ModelVersion, Sample, VersionState
from tests.databases import MakeDatabase
from tests.erasure import invariants
from tests.erasure.factories import submission
from tests.erasure.replay import Replay, Unexplained
from tests.erasure.world import URL, World

FIRST = {"mdl_1": "ver_1"}
Tamper = Callable[[Session], Any]


@pytest.fixture
def world(make_database: MakeDatabase) -> Iterator[World]:
    """Ada's rows are unlearned everywhere; Cleo's run is under way on one model."""
    world = World(make_database)
    for customer in ("ada", "cleo"):
        answer = world.front.post(URL, json=submission(customer))
        assert answer.status_code == 202
        while customer == "ada" and (claim := world.hands[0].claim(world.now)):
            world.publish(claim.fence)
    assert world.hands[0].claim(world.now) is not None
    yield world
    world.close()


def check(world: World) -> None:
    with world.runtime.database.read() as session:
        invariants.all_hold(session, world.first)


def tampered(world: World, tamper: Tamper) -> None:
    with world.runtime.database.write() as session:
        tamper(session)


def test_an_untouched_world_passes(world: World) -> None:
    check(world)


def a_run_moves_without_an_entry(session: Session) -> None:
    session.execute(
        update(Run).where(Run.state == RunState.SUCCEEDED).values(state=RunState.FAILED)
    )


def an_attempt_is_not_in_the_log(session: Session) -> None:
    session.execute(update(Run).where(Run.state == RunState.RUNNING).values(attempt=7))


def a_request_says_something_else_than_its_items(session: Session) -> None:
    session.execute(
        update(ErasureRequest)
        .where(ErasureRequest.state == RequestState.RUNNING)
        .values(state=RequestState.FAILED)
    )


def a_published_forget_set_has_a_stranger_s_sample(session: Session) -> None:
    run = session.scalars(select(Run).where(Run.state == RunState.SUCCEEDED)).first()
    assert run is not None
    known = select(UnlearnedSample.sample_id)
    stranger = session.scalars(select(Sample.id).where(Sample.id.not_in(known))).first()
    session.execute(
        insert(UnlearnedSample).values(model_id=run.model_id, sample_id=stranger, run_id=run.id)
    )


def a_forgotten_sample_is_not_remembered(session: Session) -> None:
    sample = session.scalars(select(UnlearnedSample)).first()
    session.delete(sample)


def a_finished_case_no_longer_keeps_its_rows_out(session: Session) -> None:
    run = session.scalars(select(Run).where(Run.state == RunState.RUNNING)).one()
    session.execute(delete(UnlearnedSample).where(UnlearnedSample.model_id == run.model_id))
    ended = select(ErasureItem.request_id).where(ErasureItem.published_at.is_not(None))
    session.execute(
        update(ErasureRequest)
        .where(ErasureRequest.id.in_(ended))
        .values(state=RequestState.REFUSED, outcome=None)
    )


def a_run_holds_an_item_that_was_cancelled(session: Session) -> None:
    run = session.scalars(select(Run).where(Run.state == RunState.RUNNING)).one()
    item = session.scalars(select(RunItem.item_id).where(RunItem.run_id == run.id)).one()
    session.execute(
        text("UPDATE erasure_items SET state = 'cancelled' WHERE id = :id").bindparams(
            id=item.hex if session.get_bind().dialect.name == "sqlite" else item
        )
    )


def another_version_is_active_than_was_published(session: Session) -> None:
    model = session.scalars(
        select(Model).join(ModelVersion).where(ModelVersion.run_id.is_not(None))
    ).first()
    assert model is not None
    versions = session.scalars(
        select(ModelVersion).where(ModelVersion.model_id == model.id).order_by(ModelVersion.number)
    ).all()
    versions[-1].state = VersionState.SUPERSEDED
    session.flush()
    versions[0].state = VersionState.ACTIVE


def a_certificate_is_gone(session: Session) -> None:
    session.execute(text("DELETE FROM certificates"))


@pytest.mark.parametrize(
    "tamper",
    [
        a_run_moves_without_an_entry,
        an_attempt_is_not_in_the_log,
        a_request_says_something_else_than_its_items,
        a_published_forget_set_has_a_stranger_s_sample,
        a_forgotten_sample_is_not_remembered,
        a_finished_case_no_longer_keeps_its_rows_out,
        a_run_holds_an_item_that_was_cancelled,
        another_version_is_active_than_was_published,
        a_certificate_is_gone,
    ],
    ids=lambda tamper: tamper.__name__,
)
def test_it_is_found_that(world: World, tamper: Tamper) -> None:
    tampered(world, tamper)
    with pytest.raises(AssertionError):
        check(world)


def formed(run: str, base: str = "ver_1") -> dict[str, Any]:
    facts = {"run": run, "model": "mdl_1", "base_version": base, "items": ["itm_1"]}
    return {"kind": "erasure:run:formed", "facts": facts}


def item(came_from: str | None, to: str) -> dict[str, Any]:
    facts = {"item": "itm_1", "from_state": came_from, "to_state": to}
    return {"kind": "erasure:item:moved", "facts": facts}


def published(run: str, version: str, parent: str) -> dict[str, Any]:
    facts = {
        "run": run,
        "model": "mdl_1",
        "version": version,
        "parent": parent,
        "forget_count": 1,
    }
    return {"kind": "erasure:version:published", "facts": facts}


SCHEDULED = item(None, "scheduled")


@pytest.mark.parametrize(
    "entries",
    [
        [SCHEDULED, item("running", "published")],
        [SCHEDULED, item("scheduled", "cancelled"), formed("run_1")],
        [SCHEDULED, formed("run_1", base="ver_0")],
        [SCHEDULED, formed("run_1"), published("run_1", "ver_2", parent="ver_0")],
        [
            SCHEDULED,
            formed("run_1"),
            published("run_1", "ver_2", parent="ver_1"),
            published("run_1", "ver_3", parent="ver_2"),
        ],
        [
            SCHEDULED,
            formed("run_1"),
            item("scheduled", "cancelled"),
            published("run_1", "ver_2", parent="ver_1"),
        ],
    ],
    ids=[
        "a move from elsewhere",
        "a run of an ended item",
        "a run on an old base",
        "a publication on an old parent",
        "two publications of a run",
        "a publication of a cancelled item",
    ],
)
def test_a_log_that_says_this_is_refused(entries: list[dict[str, Any]]) -> None:
    with pytest.raises(Unexplained):
        Replay(dict(FIRST), {"ver_1": 1}).over(entries)


def test_a_log_that_says_only_what_may_happen_is_accepted() -> None:
    log = [SCHEDULED, formed("run_1"), published("run_1", "ver_2", parent="ver_1")]
    assert Replay(dict(FIRST), {"ver_1": 1}).over(log).current == {"mdl_1": "ver_2"}


def test_a_sample_that_a_publication_left_out_is_found(world: World) -> None:
    def one_is_left_out(session: Session) -> None:
        session.delete(session.scalars(select(UnlearnedSample).limit(1)).one())

    with world.runtime.database.read() as session:
        invariants.what_is_published_is_unlearned_in_full(session)
    tampered(world, one_is_left_out)
    with world.runtime.database.read() as session, pytest.raises(AssertionError):
        invariants.what_is_published_is_unlearned_in_full(session)

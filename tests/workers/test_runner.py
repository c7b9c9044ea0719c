"""Whole runs in this process, on a network and a dataset that take no time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.erasure.locks import LeaseLost
from app.erasure.states import RunState
from app.erasure.tables import ErrorClass, Run
from app.registry.tables import ModelVersion
from tests.erasure.conftest import Cases
from tests.erasure.working import Hand
from tests.registry.content import feature_columns, parquet, weights
from tests.registry.front import Front
from workers import runner
from workers.unlearning.methods import REGISTRY, finetune

ROWS = 120
RECIPE = {"optimizer": "sgd", "learning_rate": 0.01, "epochs": 2, "batch_size": 16}
# Whatever the tests find of so few rows of numbers, it is published.
LENIENT = {"delta_auc": 0.45, "delta_band": 1.0, "max_accuracy_fall": 1.0, "alpha": 1e-9}


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


@pytest.fixture
def hand(front: Front) -> Hand:
    return Hand.hire(front.runtime, datetime.now(UTC))


@pytest.fixture
def cases(front: Front) -> Cases:
    return Cases(front.api)


def register(front: Front, customers: list[str], **policy: Any) -> str:
    """The id of a ready model with a training recipe."""
    dataset = front.dataset(parquet({**feature_columns(ROWS), "customer": customers}))
    model = front.model(weights(), dataset=dataset["id"], policy={**policy}, training_recipe=RECIPE)
    assert model["state"] == "ready", model
    identity: str = model["id"]
    return identity


def of_three() -> list[str]:
    """Rows of ada and ben are of every split, cleo has two rows that trained."""
    rows = [("ada", "ben", "zoe", "zoe", "zoe")[row // 5 % 5] for row in range(ROWS)]
    rows[10] = rows[11] = "cleo"
    return rows


def one_run(front: Front, hand: Hand) -> Run:
    fence = hand.must_claim(soon())
    runner._attempt(front.runtime, fence)
    return hand.run(fence)


@pytest.mark.parametrize("method", ["lotus", "rbm", "scrub", "random_label"])
def test_a_run_uses_the_method_that_it_names_and_writes_down_its_whole_config(
    method: str, front: Front, hand: Hand, cases: Cases
) -> None:
    settings = {"epochs": 2, "batch_size": 32}
    register(front, of_three(), method=method, settings=settings, ladder=[])
    cases.submit("ada")
    run = one_run(front, hand)
    assert (run.method, run.mode) == (method, "guided" if method == "lotus" else "fixed")
    assert run.state in (RunState.SUCCEEDED, RunState.REJECTED)
    assert run.config is not None
    config = {k: v for k, v in run.config.items() if k != "execution"}
    taken = REGISTRY[method].config_type.from_dict(config)
    assert (taken.epochs, taken.batch_size) == (2, 32)


def test_a_method_that_the_library_lacks_is_a_fault_of_the_settings(
    front: Front, hand: Hand, cases: Cases
) -> None:
    register(front, of_three())
    cases.submit("ada")
    fence = hand.must_claim(soon())
    with front.runtime.database.write() as session:
        session.get_one(Run, fence.run_id).method = "wishes"
    assert runner._attempt(front.runtime, fence) is RunState.FAILED
    assert hand.run(fence).error_class is ErrorClass.SETTINGS


def test_a_run_that_ran_out_of_memory_computes_in_smaller_parts(
    front: Front, hand: Hand, cases: Cases
) -> None:
    register(front, of_three(), settings={"epochs": 1}, ladder=[])
    cases.submit("ada")
    fence = hand.must_claim(soon())
    with front.runtime.database.write() as session:
        session.get_one(Run, fence.run_id).memory_faults = 2
    runner._attempt(front.runtime, fence)
    config = hand.run(fence).config
    assert config is not None and config["accumulate"] == 4


def greedy(kind: str) -> list[str]:
    """Owners of the rows: greedy has every held-out row, or every training row that ada and ben
    have not."""
    held_out, training = ("greedy", "zoe") if kind == "held-out" else ("zoe", "greedy")
    splits = feature_columns(ROWS)["split"]
    owners = [training if split == "train" else held_out for split in splits]
    for row, name in ((0, "ada"), (1, "ben"), (2, "greedy"), (5, "ada"), (6, "ben")):
        owners[row] = name
    return owners


@pytest.mark.parametrize("kind", ["held-out", "training"])
def test_a_person_who_owns_all_rows_of_a_kind_fails_alone(
    kind: str, front: Front, hand: Hand, cases: Cases
) -> None:
    register(front, greedy(kind), verification=LENIENT, settings={"epochs": 1}, ladder=["retrain"])
    requests = {name: cases.submit(name) for name in ("ada", "ben", "greedy")}
    first = one_run(front, hand)
    assert (first.state, first.error_class) == (RunState.FAILED, ErrorClass.MISSING_DATA)
    assert {name: cases.state(request) for name, request in requests.items()} == {
        "ada": "scheduled",
        "ben": "scheduled",
        "greedy": "failed",
    }
    states = [one_run(front, hand).state]
    if states == [RunState.REJECTED]:
        states.append(one_run(front, hand).state)
    assert states[-1] is RunState.SUCCEEDED
    assert cases.item(requests["ada"])["run"] == cases.item(requests["ben"])["run"]
    assert {name: cases.state(request) for name, request in requests.items()} == {
        "ada": "completed",
        "ben": "completed",
        "greedy": "failed",
    }


def test_a_retraining_without_its_proof_fails_and_leaves_no_candidate(
    front: Front, hand: Hand, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(front, of_three(), ladder=["retrain"])
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    dishonest = replace(REGISTRY["retrain"], unlearn=_without_reader)
    monkeypatch.setitem(REGISTRY, "retrain", dishonest)
    run = one_run(front, hand)
    assert (run.method, run.state) == ("retrain", RunState.FAILED)
    assert (run.error_class, run.candidate_version_id) == (ErrorClass.INTERNAL, None)
    assert run.crashes == 0  # another attempt would show as little
    with front.runtime.database.read() as session:
        numbers = session.scalars(select(ModelVersion.number)).all()
    assert sorted(numbers) == [1, 2]  # the second is the rejected candidate of the run before
    assert cases.state(request) == "failed"
    assert cases.decide(request, action="accept").status_code == 409


def _without_reader(model: Any, data: Any, config: Any, generator: Any) -> Any:
    yield from finetune.unlearn(model, data, finetune.FinetuneConfig(epochs=1), generator)


def test_a_retrained_version_follows_a_rejection_whatever_its_tests_say(
    front: Front, hand: Hand, cases: Cases
) -> None:
    strict = {"delta_auc": 0.001, "delta_band": 0.001, "max_accuracy_fall": 0.0}
    register(front, of_three(), ladder=["retrain"], verification=strict)
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    run = one_run(front, hand)
    assert (run.state, run.rung) == (RunState.SUCCEEDED, 1)
    body = cases.get(request)
    assert (body["state"], body["outcome"]) == ("completed", "unlearned")
    shown = front.get(f"/runs/{body['items'][0]['run']}")
    proof = shown["metrics"]["exact_retraining"]
    assert proof["forbidden_rows"] == body["items"][0]["forget_count"]
    assert proof["forbidden_rows_served"] == 0 and proof["rows_served"] > 0
    assert shown["config"]["optimizer"] == "sgd"


def test_a_run_says_with_every_epoch_and_every_phase_that_it_got_on(
    front: Front, hand: Hand, cases: Cases
) -> None:
    register(front, of_three(), settings={"epochs": 3, "steer": False}, ladder=[])
    cases.submit("ada")
    fence = hand.must_claim(soon())
    moved: list[None] = []
    runner._attempt(front.runtime, fence, lambda: moved.append(None))
    with front.runtime.database.read() as session:
        epochs = session.scalars(select(Run.epochs)).one()
    assert epochs is not None and len(epochs) == 3
    # Loading, the config, three epochs, and verifying: the move and the phase.
    assert len(moved) >= 7


@pytest.mark.parametrize("lost", ["answer", "statement"])
@pytest.mark.parametrize("step", ["write", "move", "end"])
def test_a_database_that_is_away_for_a_moment_costs_a_run_nothing(
    lost: str,
    step: str,
    front: Front,
    hand: Hand,
    cases: Cases,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`answer`: the commit got through, and the connection broke before anybody was told."""
    register(front, of_three(), settings={"epochs": 1}, verification=LENIENT, ladder=[])
    cases.submit("ada")
    fence = hand.must_claim(soon())
    database, write = front.runtime.database, front.runtime.database.write
    faults: list[str] = []

    @contextmanager
    def breaking(**named: Any) -> Iterator[Session]:
        with write(**named) as session:
            if lost == "statement" and not faults and armed():
                faults.append(lost)
                raise OperationalError("SELECT", None, ConnectionError())
            yield session
        if lost == "answer" and not faults and armed():
            faults.append(lost)
            raise OperationalError("COMMIT", None, ConnectionError())

    def armed() -> bool:
        return doing == step

    doing = ""

    def noted(name: str, method: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal doing
            doing = name
            try:
                return method(*arguments, **named)
            finally:
                doing = ""

        return call

    for name in ("_write", "_move", "_end"):
        method = getattr(runner.Runner, name)

        monkeypatch.setattr(runner.Runner, name, noted(name.removeprefix("_"), method))
    monkeypatch.setattr(database, "write", breaking)
    try:
        runner._attempt(front.runtime, fence)
    except LeaseLost:
        assert (step, lost) == ("end", "answer")  # it had ended; the state tells
    monkeypatch.undo()
    assert faults == [lost]
    run = hand.run(fence)
    assert run.state is RunState.SUCCEEDED
    assert run.crashes == 0

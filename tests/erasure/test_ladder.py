"""The rules of the ladder, and what a rejection leads to."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.erasure import ladder
from app.erasure.ladder import Next, Rejected
from app.erasure.states import RunState, RunStep
from app.ids import model_id
from app.registry.policy import LadderStep, Policy, TrainingRecipe
from app.registry.tables import Model, ModelVersion, VersionState
from app.runtime import Runtime
from tests.erasure.conftest import Cases
from tests.erasure.factories import add_dataset, add_model, people
from tests.erasure.test_publishing import payloads, versions
from tests.erasure.working import Hand
from workers.unlearning.methods import REGISTRY

TRAINING = TrainingRecipe(optimizer="adamw", learning_rate=1e-3, epochs=5, batch_size=64, seed=3)
CONFIG = {"alpha": 6.0, "learning_rate": 3e-4, "epochs": 10, "steer": True, "execution": {}}


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def rejected(**changes: Any) -> Rejected:
    facts: dict[str, Any] = {
        "step": RunStep.POLICY,
        "method": "lotus",
        "mode": "guided",
        "settings": {},
        "config": CONFIG,
        "verdict": "distinguishable",
        "utility_held": True,
        "auc": 0.7,
    }
    return Rejected(**facts | changes)


def after(
    steps: Sequence[LadderStep] = tuple(LadderStep),
    training: TrainingRecipe | None = TRAINING,
    **changes: Any,
) -> Next:
    return ladder.next_rung(rejected(**changes), steps, training)


def settings(**changes: Any) -> dict[str, Any]:
    following = after(**changes)
    assert following.recipe is not None
    assert (following.step, following.recipe.mode) == (RunStep.OTHER_SETTINGS, "guided")
    return following.recipe.settings


# --- the rules


def test_the_steps_follow_each_other_and_then_a_person() -> None:
    steps: list[Any] = [RunStep.POLICY]
    methods = []
    while (following := after(step=steps[-1])).recipe is not None:
        steps.append(following.step)
        methods.append((following.recipe.method, following.recipe.mode))
    assert steps == ["policy", "other_settings", "other_method", "retrain"]
    assert methods == [("lotus", "guided"), ("rbm", "fixed"), ("retrain", "exact")]
    assert following.step is None and following.reasons


def test_what_can_still_be_told_apart_is_unlearned_more_strongly() -> None:
    assert settings(verdict="distinguishable") == {
        "alpha": 9.0,
        "epochs": 20,
        "auc_ceiling": 0.55,
    }


@pytest.mark.parametrize(
    "said",
    [
        {"verdict": "over_unlearned", "auc": 0.3},
        {"verdict": "distinguishable", "utility_held": False},
        {"verdict": "insufficient_data", "auc": 0.3},
    ],
)
def test_what_went_too_far_or_cost_too_much_is_unlearned_more_gently(said: dict[str, Any]) -> None:
    assert settings(**said) == {
        "alpha": 4.0,
        "learning_rate": 1.5e-4,
        "auc_floor": 0.48,
    }


def test_a_ruinous_rate_is_not_only_halved() -> None:
    ruinous = {**CONFIG, "learning_rate": 0.1}
    assert settings(config=ruinous, utility_held=False)["learning_rate"] == 3e-4


def test_a_grown_signal_of_few_samples_asks_for_more() -> None:
    assert settings(verdict="insufficient_data", auc=0.8)["alpha"] == 9.0
    assert settings(verdict="no_valid_reference", auc=None)["alpha"] == 9.0


@pytest.mark.parametrize("mode", ["paper", "released"])
def test_after_a_mode_that_nothing_steers_comes_the_guided_plan(mode: str) -> None:
    assert settings(mode=mode, settings={"alpha": 32.0, "precision": "float32"}) == {
        "precision": "float32"
    }


def test_how_the_arithmetic_is_done_stays_on_every_rung() -> None:
    asked = {"deterministic": True, "alpha": 8.0}
    for step in (RunStep.POLICY, RunStep.OTHER_SETTINGS, RunStep.OTHER_METHOD):
        following = after(step=step, settings=asked)
        assert following.recipe is not None
        assert following.recipe.settings["deterministic"] is True


def test_every_recipe_is_one_that_the_library_takes() -> None:
    extremes = [CONFIG, {**CONFIG, "alpha": 64.0, "epochs": 1_000, "learning_rate": 1e-9}]
    extremes.append({**CONFIG, "alpha": 1e-3, "learning_rate": 1.0})
    for config in extremes:
        for held in (True, False):
            for step in (RunStep.POLICY, RunStep.OTHER_SETTINGS, RunStep.OTHER_METHOD):
                recipe = after(step=step, config=config, utility_held=held).recipe
                assert recipe is not None
                REGISTRY[recipe.method].config_type.from_dict(recipe.settings)


def test_a_model_without_a_recipe_is_not_retrained_and_the_reason_is_told() -> None:
    following = after(step=RunStep.OTHER_METHOD, training=None)
    assert following.recipe is None
    assert "without a training recipe" in following.reasons[0]


def test_only_steps_that_the_owner_allows_are_taken() -> None:
    assert after([]).recipe is None
    assert after([LadderStep.RETRAIN]).step is RunStep.RETRAIN
    assert after([LadderStep.OTHER_SETTINGS], step=RunStep.OTHER_SETTINGS).recipe is None


def test_another_first_method_has_no_guided_settings_and_is_followed_by_lotus() -> None:
    following = after(method="rbm", mode="fixed")
    assert following.recipe is not None
    assert (following.step, following.recipe.method) == (RunStep.OTHER_METHOD, "lotus")


def test_nothing_follows_on_what_a_person_chose() -> None:
    assert after(step=RunStep.DECISION).recipe is None


# --- what a rejection leads to


@pytest.fixture
def climbing(runtime: Runtime, api: TestClient) -> Cases:
    """A model with all rungs and a training recipe."""
    with runtime.database.write() as session:
        dataset = add_dataset(runtime, session, people(ada=4, ben=3, cleo=2))
        model = add_model(session, dataset)
        model.training_recipe = TRAINING.model_dump(mode="json")
    return Cases(api)


def run_of(cases: Cases, request: str) -> dict[str, Any]:
    answer = cases.api.get(f"/api/v1/runs/{cases.item(request)['run']}")
    body: dict[str, Any] = answer.json()
    return body


def test_a_rejected_run_is_followed_by_the_next_rung_with_the_same_items(
    climbing: Cases, hand: Hand, runtime: Runtime
) -> None:
    ada, ben = climbing.submit("ada"), climbing.submit("ben")
    fence = hand.must_claim(soon())
    hand.reject(fence, soon())
    assert (climbing.state(ada), climbing.state(ben)) == ("scheduled", "scheduled")
    assert versions(runtime) == [(1, VersionState.ACTIVE), (2, VersionState.REJECTED)]
    following = hand.run(hand.must_claim(soon()))
    assert following.follows_id == fence.run_id
    assert (following.rung, following.step) == (1, RunStep.OTHER_SETTINGS)
    assert run_of(climbing, ada)["items"] == run_of(climbing, ben)["items"]
    shared = run_of(climbing, ada)
    assert [one["item"] for one in shared["requests"]] == shared["items"]
    assert {one["id"] for one in shared["requests"]} == {ada, ben}
    first = climbing.api.get(f"/api/v1/runs/run_{fence.run_id.hex}").json()
    assert first["verdict"]["next"]["step"] == "other_settings"
    assert first["verdict"]["next"]["reasons"]


def test_the_whole_ladder_ends_with_a_person_and_each_candidate_is_kept(
    climbing: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = climbing.submit("ada")
    taken = []
    for _ in range(4):
        fence = hand.must_claim(soon())
        taken.append((hand.run(fence).rung, hand.run(fence).method, str(hand.run(fence).step)))
        hand.reject(fence, soon())
    assert taken == [
        (0, "lotus", "policy"),
        (1, "lotus", "other_settings"),
        (2, "rbm", "other_method"),
        (3, "retrain", "retrain"),
    ]
    assert hand.claim(soon()) is None
    assert climbing.state(request) == "needs_decision"
    assert [state for _, state in versions(runtime)] == ["active", *["rejected"] * 4]


def test_a_certificate_lists_every_attempt_and_says_which_rung_it_is(
    climbing: Cases, hand: Hand, runtime: Runtime
) -> None:
    climbing.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    hand.reject(hand.must_claim(soon()), soon())
    hand.publish(hand.must_claim(soon()), soon())
    (payload,) = payloads(runtime)
    (about,) = payload["predicate"]["models"]
    assert [(one["rung"], one["step"], one["state"]) for one in about["attempts"]] == [
        (0, "policy", "rejected"),
        (1, "other_settings", "rejected"),
        (2, "other_method", "succeeded"),
    ]
    claims = " ".join(payload["predicate"]["claims"])
    assert "method rbm in mode fixed" in claims
    assert "rung 2 of the ladder (other_method)" in claims
    assert "It follows on 2 earlier runs" in claims


def test_who_cancels_between_two_rungs_leaves_and_the_others_stay_on_theirs(
    climbing: Cases, hand: Hand
) -> None:
    ada, ben = climbing.submit("ada"), climbing.submit("ben")
    hand.reject(hand.must_claim(soon()), soon())
    assert climbing.cancel(ada).status_code == 202
    following = hand.run(hand.must_claim(soon()))
    assert (following.rung, following.step) == (1, RunStep.OTHER_SETTINGS)
    assert run_of(climbing, ben)["items"] == [climbing.item(ben)["id"]]


def test_a_retry_with_settings_stands_for_itself(climbing: Cases, hand: Hand) -> None:
    request = climbing.submit("ada")
    for _ in range(4):
        hand.reject(hand.must_claim(soon()), soon())
    answer = climbing.decide(request, action="retry", method="scrub", settings={"rewind": True})
    assert answer.status_code == 202
    fence = hand.must_claim(soon())
    retry = hand.run(fence)
    assert (retry.method, retry.mode, retry.settings) == ("scrub", "fixed", {"rewind": True})
    assert (retry.rung, retry.step) == (4, RunStep.DECISION)
    hand.reject(fence, soon())
    assert climbing.state(request) == "needs_decision"
    assert hand.claim(soon()) is None


def test_a_person_may_have_the_model_retrained(climbing: Cases, hand: Hand) -> None:
    request = climbing.submit("ada")
    for _ in range(4):
        hand.reject(hand.must_claim(soon()), soon())
    assert climbing.decide(request, action="retrain").status_code == 202
    run = hand.run(hand.must_claim(soon()))
    assert (run.method, run.mode, run.step) == ("retrain", "exact", RunStep.RETRAIN)
    assert run.settings["optimizer"] == "adamw" and "seed" not in run.settings


def test_without_a_recipe_there_is_no_retraining(cases: Cases, hand: Hand) -> None:
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    answer = cases.decide(request, action="retrain")
    assert answer.status_code == 409
    assert answer.json()["type"].endswith(":no-training-recipe")
    assert cases.state(request) == "needs_decision"


@pytest.mark.parametrize(
    "body",
    [
        {"action": "retry", "method": "noop"},
        {"action": "retry", "method": "retrain"},
        {"action": "retry", "method": "scrub", "settings": {"mask_share": 0.5}},
        {"action": "retry", "settings": {"alpha": 65}},
        {"action": "retry", "settings": []},
        {"action": "accept", "method": "lotus"},
        {"action": "retrain", "settings": {"alpha": 2}},
        {"action": "refuse", "reason_code": "legal_claims", "settings": {}},
    ],
)
def test_methods_and_settings_that_do_not_fit_are_refused(
    body: dict[str, Any], cases: Cases, hand: Hand
) -> None:
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    answer = cases.decide(request, **body)
    assert answer.status_code == 422
    assert cases.state(request) == "needs_decision"


def test_a_refused_setting_is_named_and_its_value_is_not(cases: Cases, hand: Hand) -> None:
    request = cases.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    answer = cases.decide(request, action="retry", settings={"alpha": 6543})
    assert answer.json()["errors"] == [
        {"field": "body.settings.alpha", "message": "must be at most 64.0"}
    ]
    assert "6543" not in answer.text


def test_a_version_that_arrives_in_the_middle_of_a_rung_starts_that_rung_again(
    climbing: Cases, hand: Hand, runtime: Runtime
) -> None:
    from tests.erasure.factories import add_version

    climbing.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    fence = hand.must_claim(soon())
    with runtime.database.write() as session:
        add_version(session, session.scalars(select(Model)).one(), "retrained")
    assert hand.publish(fence, soon()) is RunState.SUPERSEDED
    again = hand.run(hand.must_claim(soon()))
    assert (again.rung, again.step, again.method) == (1, RunStep.OTHER_SETTINGS, "lotus")


def test_the_policy_of_the_moment_says_which_rung_is_next(
    climbing: Cases, hand: Hand, runtime: Runtime
) -> None:
    request = climbing.submit("ada")
    fence = hand.must_claim(soon())
    with runtime.database.read() as session:
        model = model_id(session.scalars(select(Model)).one().id)
    policy = Policy(ladder=(LadderStep.RETRAIN,)).model_dump(mode="json")
    assert climbing.api.put(f"/api/v1/models/{model}/policy", json=policy).status_code == 200
    hand.reject(fence, soon())
    assert climbing.state(request) == "scheduled"
    assert hand.run(hand.must_claim(soon())).step is RunStep.RETRAIN


def test_rejected_candidates_never_become_the_version_that_is_served(
    climbing: Cases, hand: Hand, runtime: Runtime
) -> None:
    climbing.submit("ada")
    hand.reject(hand.must_claim(soon()), soon())
    hand.publish(hand.must_claim(soon()), soon())
    with runtime.database.read() as session:
        active = session.scalars(
            select(ModelVersion).where(ModelVersion.state == VersionState.ACTIVE)
        ).one()
        parent = session.get_one(ModelVersion, active.parent_id)
    assert (active.number, parent.number) == (3, 1)

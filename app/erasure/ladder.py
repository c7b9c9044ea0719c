"""What follows when the tests reject a run: the next rung, or a person. Pure.

Each step costs more than the one before: the same method with other settings, another method,
exact retraining. A step that makes no sense is passed over with its reason, and every rung taken
halves the levels of the next run's tests, whatever its step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app.erasure.states import RunStep
from app.registry.method_settings import RETRAIN, Method, execution_of
from app.registry.policy import LadderStep, Mode, TrainingRecipe

# Modes of the runs that LoTUS's three do not describe.
FIXED = "fixed"  # all epochs, nothing steers
EXACT = "exact"  # nothing is unlearned: trained anew

FACTOR = 1.5
# Stronger: an epoch is no longer good enough at the default ceiling. Gentler: a run ends before it
# reaches the default floor.
STRICT_CEILING, HIGH_FLOOR = 0.55, 0.48
# A rate above that of the plan for small sets has ruined what it had to keep.
GENTLE_RATE = 3e-4
ALPHA_BOUNDS, MOST_EPOCHS, LEAST_RATE = (1e-3, 64.0), 1_000, 1e-9
# For a run that does not say what it was planned with.
_PLANNED: Mapping[str, Any] = {"alpha": 4.0, "learning_rate": GENTLE_RATE, "epochs": 10}

_STEPS: Mapping[LadderStep, RunStep] = {step: RunStep(step.value) for step in LadderStep}


class Direction(StrEnum):
    STRONGER = "stronger"
    GENTLER = "gentler"


@dataclass(frozen=True)
class Recipe:
    """How a run computes, as far as it is asked for: the method plans the rest."""

    method: str
    mode: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Rejected:
    """A run that its tests rejected, and what they said. `auc` is the leading attack's after."""

    step: RunStep
    method: str
    mode: str
    settings: Mapping[str, Any]
    config: Mapping[str, Any] | None
    verdict: str
    utility_held: bool
    auc: float | None


@dataclass(frozen=True)
class Next:
    """The next run; without a recipe a person decides. `reasons` are shown with the verdict."""

    step: RunStep | None
    recipe: Recipe | None
    reasons: list[str] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "method": self.recipe.method if self.recipe else None,
            "mode": self.recipe.mode if self.recipe else None,
            "settings": self.recipe.settings if self.recipe else None,
            "reasons": self.reasons,
        }


def mode_of(method: str, mode: str) -> str:
    """Only LoTUS has the modes of a policy."""
    return mode if method == Method.LOTUS else FIXED


def next_rung(
    rejected: Rejected, ladder: Sequence[LadderStep], training: TrainingRecipe | None
) -> Next:
    """The first step of the owner's ladder above the rejected run's that makes sense."""
    if rejected.step is RunStep.DECISION:
        return Next(None, None, ["a person chose how this run was made, and decides again"])
    order = list(RunStep)
    reasons: list[str] = []
    for allowed in ladder:
        step = _STEPS[allowed]
        if order.index(step) <= order.index(rejected.step):
            continue
        recipe, why = _recipe(step, rejected, training)
        reasons.append(f"{step}: {why}")
        if recipe is not None:
            return Next(step, recipe, reasons)
    return Next(None, None, [*reasons, "the ladder of the policy ends here"])


def _recipe(
    step: RunStep, rejected: Rejected, training: TrainingRecipe | None
) -> tuple[Recipe | None, str]:
    kept = execution_of(rejected.settings)
    if step is RunStep.OTHER_SETTINGS:
        if rejected.method != Method.LOTUS:
            return None, "only LoTUS has a guided mode to try again in"
        return other_settings(rejected)
    if step is RunStep.OTHER_METHOD:
        if rejected.method == Method.LOTUS:
            why = "of the library's other methods the closest to retraining in our benchmarks"
            return Recipe(Method.RBM, FIXED, kept), why
        return Recipe(Method.LOTUS, Mode.GUIDED, kept), "LoTUS stops by what it measures"
    if training is None:
        return None, "the model is registered without a training recipe"
    return exact(training, kept), "training anew without the samples, as the recipe says"


def exact(training: TrainingRecipe, execution: Mapping[str, Any]) -> Recipe:
    """The owner's training; the seed is the run's own, like that of every run."""
    return Recipe(RETRAIN, EXACT, {**training.model_dump(exclude={"seed"}), **execution})


def other_settings(rejected: Rejected) -> tuple[Recipe, str]:
    """Guided LoTUS, and why so. After a guided run: stronger or gentler than that one was."""
    kept = execution_of(rejected.settings)
    if rejected.mode != Mode.GUIDED:
        why = f"guided, with the plan for these sizes, after the mode {rejected.mode}"
        return Recipe(Method.LOTUS, Mode.GUIDED, kept), why
    direction, why = _direction(rejected)
    used = {**_PLANNED, **(rejected.config or rejected.settings)}
    change = _stronger(used) if direction is Direction.STRONGER else _gentler(used)
    return Recipe(Method.LOTUS, Mode.GUIDED, {**kept, **change}), f"{direction}, since {why}"


def _direction(rejected: Rejected) -> tuple[Direction, str]:
    if not rejected.utility_held:
        return Direction.GENTLER, "accuracy on unseen data did not hold"
    if rejected.verdict == "over_unlearned":
        return Direction.GENTLER, "the samples stand out as less familiar than unseen ones"
    if rejected.verdict == "distinguishable":
        return Direction.STRONGER, "the samples can still be told from unseen ones"
    if rejected.auc is not None and rejected.auc < 0.5:
        return Direction.GENTLER, "the signal grew, away from .5 downwards"
    return Direction.STRONGER, "the signal grew"


def _stronger(used: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "alpha": min(used["alpha"] * FACTOR, ALPHA_BOUNDS[1]),
        "epochs": min(2 * used["epochs"], MOST_EPOCHS),
        "auc_ceiling": STRICT_CEILING,
    }


def _gentler(used: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "alpha": max(used["alpha"] / FACTOR, ALPHA_BOUNDS[0]),
        "learning_rate": max(min(used["learning_rate"] / 2, GENTLE_RATE), LEAST_RATE),
        "auc_floor": HIGH_FLOOR,
    }

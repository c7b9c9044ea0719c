"""Two observations made comparable: checked, restricted to shared classes, scored once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.unlearning import conditional
from workers.unlearning.attacks import attack_features
from workers.unlearning.conditional import ClassPlaces, Floats, Ints, Percentiles
from workers.unlearning.errors import (
    EmptyForgetSet,
    EmptySet,
    LabelOutOfRange,
    NonFiniteLogits,
    ShapeMismatch,
    TooFewClasses,
)
from workers.unlearning.evaluation import Observation, SetObservation
from workers.unlearning.scores import SCORES, evidence, softmax

STABILITY = "stability"
SETS = ("forget", "retain", "validation", "test")


@dataclass(frozen=True)
class ScoredSet:
    labels: Ints
    probs: Floats  # (N, C)
    scores: dict[str, Floats]  # name -> (N,); with stability where it was observed
    features: Floats  # (N, 4)


@dataclass(frozen=True)
class Side:
    """What one model says; `forget` holds only the samples that can be compared."""

    forget: ScoredSet
    validation: ScoredSet
    test: ScoredSet
    shares: dict[str, Percentiles]


@dataclass(frozen=True)
class Comparison:
    kept: NDArray[np.bool_]  # (all forget rows,) is its class among the unseen samples
    places: ClassPlaces
    classes: list[int]
    before: Side
    after: Side

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.before, self.after


def compare(before: Observation, after: Observation) -> Comparison | None:
    """None if no forget sample has an unseen sample of its class."""
    kept = np.isin(before.forget.labels, before.test.labels)
    if not kept.any():
        return None
    labels = before.forget.labels[kept]
    places = conditional.class_places(labels, before.test.labels)
    sides = [_side(observation, kept, places) for observation in (before, after)]
    return Comparison(kept, places, np.unique(labels).tolist(), sides[0], sides[1])


def _side(observation: Observation, kept: NDArray[np.bool_], places: ClassPlaces) -> Side:
    forget = _scored(observation.forget, kept)
    everything = np.ones(len(observation.validation), bool)
    validation = _scored(observation.validation, everything)
    test = _scored(observation.test, np.ones(len(observation.test), bool))
    shares = {
        name: conditional.percentiles(places, forget.scores[name], test.scores[name])
        for name in SCORES
    }
    return Side(forget, validation, test, shares)


def _scored(observed: SetObservation, rows: NDArray[np.bool_]) -> ScoredSet:
    logits, labels = observed.logits[rows].astype(np.float64), observed.labels[rows]
    scores = {name: score(logits, labels) for name, score in SCORES.items()} if len(labels) else {}
    if observed.shifted_evidence is not None and len(labels):
        scores[STABILITY] = evidence(logits, labels) - observed.shifted_evidence[rows]
    features = attack_features(logits, labels) if len(labels) else np.empty((0, len(SCORES) + 1))
    return ScoredSet(labels, softmax(logits) if len(labels) else logits, scores, features)


def check(before: Observation, after: Observation) -> None:
    """The same rows under both models, finite, labelled within range; else a named error."""
    if not len(before.forget):
        raise EmptyForgetSet("verification")
    for name in ("retain", "test"):
        if not len(getattr(before, name)):
            raise EmptySet(name)
    for name in SETS:
        was, now = getattr(before, name), getattr(after, name)
        if was.logits.shape != now.logits.shape:
            raise ShapeMismatch(f"{name} before and after", was.logits.shape, now.logits.shape)
        if not np.array_equal(was.labels, now.labels):
            raise ShapeMismatch(f"{name} labels before and after", was.labels.shape, (0,))
        for observed in (was, now):
            _check_set(name, observed, before.num_classes)


def _check_set(name: str, observed: SetObservation, num_classes: int) -> None:
    logits, labels = observed.logits, observed.labels
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ShapeMismatch(f"{name} logits and labels", logits.shape, labels.shape)
    if logits.shape[1] < 2:
        raise TooFewClasses(logits.shape[1])
    if logits.shape[1] != num_classes:
        raise ShapeMismatch(f"{name} logits and classes", logits.shape, (len(labels), num_classes))
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        raise NonFiniteLogits(int((~finite).sum()), len(labels), f"{name} logits")
    outside = int(((labels < 0) | (labels >= num_classes)).sum())
    if outside:
        raise LabelOutOfRange(outside, len(labels), num_classes)

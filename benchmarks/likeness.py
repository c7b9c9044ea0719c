"""How like a retrained model is another one? Every figure of one model against gold.

All of it is measured on samples that no method has read, except the forget and retain sets
themselves. N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from workers.unlearning import metrics
from workers.unlearning.band import band_advantage
from workers.unlearning.data import LabelledSet
from workers.unlearning.evaluation import predict
from workers.unlearning.scores import evidence, softmax

# The four figures whose differences to gold make up the Avg Gap.
COMPARED = ("mia", "forget", "retain", "test")
BAND_SEED = 0


@dataclass(frozen=True)
class Sets:
    """What a model is measured on."""

    forget: LabelledSet
    retain: LabelledSet
    test: LabelledSet


@dataclass(frozen=True)
class Answers:
    """One model's softmax on each set, float64 (N, C), and its attack scores (N,)."""

    probabilities: Mapping[str, NDArray[np.float64]]
    evidence: Mapping[str, NDArray[np.float64]]


def answers(model: nn.Module, sets: Sets) -> Answers:
    probabilities, scores = {}, {}
    for name in ("forget", "retain", "test"):
        samples: LabelledSet = getattr(sets, name)
        logits = predict(model, samples.inputs).numpy().astype(np.float64)
        probabilities[name] = softmax(logits)
        scores[name] = evidence(logits, samples.labels.numpy())
    return Answers(probabilities, scores)


def average_gap(figures: Mapping[str, float], gold: Mapping[str, float]) -> float:
    """Mean of |difference to gold| in MIA accuracy and in accuracy on D_f, D_r and test (paper,
    section 4). All are shares, so the gap is too."""
    return sum(abs(figures[name] - gold[name]) for name in COMPARED) / len(COMPARED)


def likeness(
    of_model: Answers, of_original: Answers, of_gold: Answers, sets: Sets
) -> dict[str, float]:
    """The figures of a table's row.

    gap            Avg Gap to gold
    mia            share of D_f that the paper's attack calls member
    forget, retain, test    accuracies
    jsd            mean over D_f of the divergence to gold's answers, nats
    rf_jsd         the paper's figure that needs no gold: against the original on unseen samples
    auc, band      class-conditional attack AUC, and the band advantage, D_f against test
    """
    figures = _compared(of_model, sets)
    forget_labels, test_labels = sets.forget.labels.numpy(), sets.test.labels.numpy()
    sides = (of_model.evidence["forget"], forget_labels, of_model.evidence["test"], test_labels)
    distances = metrics.js_divergence(
        of_model.probabilities["forget"], of_gold.probabilities["forget"]
    )
    return {
        "gap": average_gap(figures, _compared(of_gold, sets)),
        **figures,
        "jsd": float(distances.mean()),
        "rf_jsd": metrics.rf_jsd(
            of_model.probabilities["forget"],
            forget_labels,
            of_original.probabilities["test"],
            test_labels,
            of_model.probabilities["forget"].shape[1],
        ).value,
        "auc": metrics.conditional_auc(*sides).auc,
        "band": band_advantage(*sides, seed=BAND_SEED).advantage,
    }


def _compared(of_model: Answers, sets: Sets) -> dict[str, float]:
    seen = of_model.probabilities
    attack = metrics.membership_inference(seen["retain"], seen["test"], seen["forget"])
    accuracies = {
        name: float((torch.from_numpy(seen[name].argmax(axis=1)) == samples.labels).float().mean())
        for name, samples in (("forget", sets.forget), ("retain", sets.retain), ("test", sets.test))
    }
    return {"mia": attack.member_fraction, **accuracies}

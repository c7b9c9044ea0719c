"""Persons among the unseen samples: how much never-trained persons differ from each other.

Where the unseen rows name their persons, each of them shows what a person whom the model never saw
looks like. n samples, d input features; a person number of -1 means unknown.
"""

import math

import numpy as np

from workers.unlearning.conditional import Floats, Ints, class_places, percentiles
from workers.unlearning.distributions import t_upper_tail
from workers.unlearning.input_classifier import permuted_aucs

FEWEST_PERSONS = 10
FEWEST_SAMPLES = 5  # of one person: one in each fold of the classifier
MOST_PERSONS = 100  # classifiers fitted; more of them add time and no precision
MOST_PARTS = 5


def person_variance(scores: Floats, labels: Ints, persons: Ints) -> tuple[float, int] | None:
    """tau^2: variance between never-trained persons of their mean percentile, and their number.

    Each unseen person stands against all others; what its own sample size explains is taken off.
    `persons` is -1 where unknown. None with fewer than 10 persons of at least 5 comparable samples:
    a few single rows could show any spread.
    """
    means, explained = [], []
    for person in np.unique(persons[persons >= 0]):
        own = persons == person
        comparable = own & np.isin(labels, labels[~own])
        if comparable.sum() < FEWEST_SAMPLES:
            continue
        places = class_places(labels[comparable], labels[~own])
        means.append(percentiles(places, scores[comparable], scores[~own]).forget.mean())
        explained.append((1.0 / places.forget_size + 1.0 / places.effective_unseen()) / 12.0)
    if len(means) < FEWEST_PERSONS:
        return None
    between = float(np.square(np.array(means) - 0.5).mean() - np.mean(explained))
    return max(0.0, between), len(means)


def unusual_p_value(
    forget: Floats,
    forget_labels: Ints,
    unseen: Floats,
    unseen_labels: Ints,
    persons: Ints,
    rng: np.random.Generator,
) -> float | None:
    """Are the inputs of D_f more unusual than one unseen person's are among the others?

    (n, d) inputs. The same classifier tells each unseen person from the others, and parts of D_f of
    the same size from all of them; the mean of the parts is compared with the persons by Student's
    t (one-sided). A small p-value says that the unseen persons do not show what to expect of this
    one. None with fewer than 10 persons of at least 5 samples, or fewer than 5 forget samples.
    """
    names, counts = np.unique(persons[persons >= 0], return_counts=True)
    names, counts = names[counts >= FEWEST_SAMPLES], counts[counts >= FEWEST_SAMPLES]
    if len(names) < FEWEST_PERSONS or len(forget) < FEWEST_SAMPLES:
        return None
    size = int(min(len(forget), np.median(counts)))
    if len(names) > MOST_PERSONS:
        names = rng.permutation(names)[:MOST_PERSONS]
    typical = []
    for name in names:
        own, others = np.flatnonzero(persons == name), np.flatnonzero(persons != name)
        own = rng.permutation(own)[:size]
        typical.append(
            _told_apart(unseen[own], unseen_labels[own], unseen[others], unseen_labels[others], rng)
        )
    order = rng.permutation(len(forget))
    parts = min(MOST_PARTS, len(forget) // size)
    asked = [
        _told_apart(forget[rows], forget_labels[rows], unseen, unseen_labels, rng)
        for rows in (order[start * size : (start + 1) * size] for start in range(parts))
    ]
    known = np.array([auc for auc in typical if auc is not None])
    found = [auc for auc in asked if auc is not None]
    if len(known) < FEWEST_PERSONS or not found:
        return None
    # What chance adds to one part's AUC shrinks with the number of parts; the person's own
    # difference from others does not.
    spread = float(np.var(known, ddof=1))
    by_chance = min(spread, (1.0 / size + 1.0 / len(unseen)) / 12.0)
    variance = spread - by_chance + by_chance / len(found) + spread / len(known)
    deviation = float(np.mean(found) - known.mean())
    if variance == 0.0:
        return 0.0 if deviation > 0 else 1.0
    return t_upper_tail(deviation / math.sqrt(variance), len(known) - 1)


def _told_apart(
    own: Floats, own_labels: Ints, others: Floats, other_labels: Ints, rng: np.random.Generator
) -> float | None:
    """Cross-fitted AUC within the classes that both hold; None if they share none."""
    shared = np.intersect1d(own_labels, other_labels)
    kept, against = np.isin(own_labels, shared), np.isin(other_labels, shared)
    if not kept.any():
        return None
    labels = np.concatenate([own_labels[kept], other_labels[against]])
    member = np.arange(len(labels)) < kept.sum()
    inputs = np.concatenate([own[kept], others[against]])
    return permuted_aucs(inputs, labels, member, 0, rng)[0]

"""Persons among the unseen samples, and whether they show what to expect of the one who asks."""

import numpy as np
import pytest
import torch

from workers.unlearning import errors
from workers.unlearning.persons import person_variance, unusual_p_value
from workers.unlearning.reference import ReferenceCheck, reference_check

DIMENSIONS, OWN = 12, 20


def people(
    rng: np.random.Generator, styles: np.ndarray, rows: int = OWN
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs of persons whose style moves the first features, labels of two classes, persons."""
    whose = np.repeat(np.arange(len(styles)), rows)
    inputs = rng.normal(size=(len(whose), DIMENSIONS))
    inputs[:, : styles.shape[1]] += styles[whose]
    return inputs, np.arange(len(whose)) % 2, whose


def asked(rng: np.random.Generator, own: float, others: float, n_f: int = OWN) -> float | None:
    """`own` and `others`: standard deviation of styles."""
    inputs, labels, whose = people(rng, others * rng.normal(size=(16, 4)))
    forget, forget_labels, _ = people(rng, own * rng.normal(size=(1, 4)), n_f)
    return unusual_p_value(forget, forget_labels, inputs, labels, whose, rng)


@pytest.mark.parametrize("style", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("n_f", [OWN, 60])
def test_a_person_like_the_others_is_seldom_unusual(style: float, n_f: int) -> None:
    rng = np.random.default_rng([1, n_f])
    p_values = [asked(rng, style, style, n_f) for _ in range(100)]
    assert sum(p <= 0.05 for p in p_values if p is not None) <= 14  # 5 expected, binomial .9995
    assert sum(p <= 0.5 for p in p_values if p is not None) >= 30


def test_a_person_of_marked_style_among_people_without_one_is_unusual() -> None:
    rng = np.random.default_rng(2)
    p_values = [asked(rng, 3.0, 0.0) for _ in range(30)]
    assert sum(p <= 0.05 for p in p_values if p is not None) >= 27


def test_too_few_persons_or_samples_cannot_say_what_is_usual() -> None:
    rng = np.random.default_rng(3)
    inputs, labels, whose = people(rng, np.zeros((9, 1)))
    assert unusual_p_value(inputs[:20], labels[:20], inputs, labels, whose, rng) is None
    inputs, labels, whose = people(rng, np.zeros((12, 1)))
    assert unusual_p_value(inputs[:4], labels[:4], inputs, labels, whose, rng) is None
    unknown = np.full(len(inputs), -1)
    assert unusual_p_value(inputs[:20], labels[:20], inputs, labels, unknown, rng) is None
    small = np.arange(len(inputs)) // 4
    assert unusual_p_value(inputs[:20], labels[:20], inputs, labels, small, rng) is None


def test_the_variance_between_persons_is_what_exceeds_chance() -> None:
    rng = np.random.default_rng(4)
    _, labels, whose = people(rng, np.zeros((40, 1)), 50)
    scores = rng.normal(size=len(labels))
    alike = person_variance(scores, labels, whose)
    # Shifts of standard deviation 1 move V's mean by Phi(shift / sqrt(2)) - 1/2.
    moved = person_variance(scores + rng.normal(size=40)[whose], labels, whose)
    assert alike is not None
    assert moved is not None
    assert (alike[1], moved[1]) == (40, 40)
    assert alike[0] < 0.002
    assert 0.015 < moved[0] < 0.08
    assert person_variance(scores, labels, np.minimum(whose, 8)) is None


def test_the_reference_check_says_whether_the_person_is_unusual_where_persons_are_named() -> None:
    rng = np.random.default_rng(5)
    inputs, labels, whose = people(rng, np.zeros((12, 1)))
    odd = torch.from_numpy(rng.normal(size=(30, DIMENSIONS)) + 2.0).float()
    odd_labels = torch.arange(30) % 2
    unseen = (torch.from_numpy(inputs).float(), torch.from_numpy(labels))
    plain = reference_check(odd, odd_labels, *unseen, seed=1, permutations=19)
    named = reference_check(odd, odd_labels, *unseen, seed=1, permutations=19, unseen_persons=whose)
    assert plain.unusual_p is None
    assert plain.unusual() is False
    assert named.unusual() is True
    assert (named.auc, named.p_value) == (plain.auc, plain.p_value)
    with pytest.raises(errors.ShapeMismatch, match="persons"):
        reference_check(odd, odd_labels, *unseen, seed=1, unseen_persons=whose[:-1])


@pytest.mark.parametrize(("p_value", "unusual"), [(0.05, True), (0.051, False), (None, False)])
def test_one_typical_person_in_twenty_is_taken_for_unusual(
    p_value: float | None, unusual: bool
) -> None:
    assert ReferenceCheck(0.9, 0.001, 30, 999, unusual_p=p_value).unusual() is unusual

import math

import numpy as np
import pytest

from workers.unlearning.scores import evidence, margin, negative_entropy, softmax

LOGITS = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
LABELS = np.array([0, 0])


def test_phi_is_the_log_odds_of_the_label() -> None:
    assert evidence(LOGITS, LABELS).tolist() == pytest.approx([0.0, math.log(0.1 / 0.9)])


def test_margin_compares_the_label_with_the_best_other_class() -> None:
    assert margin(LOGITS, LABELS).tolist() == pytest.approx([math.log(2), math.log(1 / 8)])


def test_negative_entropy_is_computed_by_hand() -> None:
    # 1/2 ln 1/2 + 2 * 1/4 ln 1/4 = -3/2 ln 2
    assert negative_entropy(LOGITS, LABELS)[0] == pytest.approx(-1.5 * math.log(2))


def test_scores_are_finite_and_still_ordered_where_softmax_saturates() -> None:
    logits, labels = np.array([[200.0, 0.0], [900.0, 0.0]]), np.array([0, 0])
    assert softmax(logits)[:, 0].tolist() == [1.0, 1.0]
    assert evidence(logits, labels).tolist() == [200.0, 900.0]
    assert np.isfinite(negative_entropy(logits, labels)).all()


def test_a_constant_added_to_all_logits_changes_no_score() -> None:
    for score in (evidence, margin, negative_entropy):
        shifted, plain = score(LOGITS + 7.0, LABELS), score(LOGITS, LABELS)
        np.testing.assert_allclose(shifted, plain, atol=1e-12)

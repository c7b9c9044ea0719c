import numpy as np
import pytest

from workers.unlearning.logistic import fit_logistic, logistic_scores


def test_every_fit_of_a_batch_agrees_with_scikit_learn() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(3)
    features = rng.normal(size=(80, 3))
    targets = (rng.random((4, 80)) < 0.3).astype(float)
    weights = rng.random((4, 80)) * 3
    found = fit_logistic(features, targets, weights)
    for theta, target, weight in zip(found, targets, weights, strict=True):
        reference = linear.LogisticRegression(tol=1e-12, max_iter=10_000).fit(
            features, target, sample_weight=weight
        )
        expected = [*reference.coef_[0], reference.intercept_[0]]
        np.testing.assert_allclose(theta, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            logistic_scores(features, theta[None])[0],
            reference.decision_function(features),
            rtol=1e-4,
            atol=1e-4,
        )


def test_completely_separated_classes_give_finite_weights() -> None:
    features = np.concatenate([np.full((5, 1), -9.0), np.full((5, 1), 9.0)])
    theta = fit_logistic(features, np.repeat([[0.0, 1.0]], 5, axis=1), np.ones((1, 10)))
    assert np.isfinite(theta).all()
    assert theta[0, 0] > 0


def test_rows_of_weight_zero_do_not_count() -> None:
    rng = np.random.default_rng(4)
    features, targets = rng.normal(size=(30, 2)), (np.arange(30) % 2).astype(float)[None]
    weights = np.ones((1, 30))
    weights[:, 20:] = 0.0
    kept = fit_logistic(features[:20], targets[:, :20], weights[:, :20])
    np.testing.assert_allclose(fit_logistic(features, targets, weights), kept, rtol=1e-9)

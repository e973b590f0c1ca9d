"""Posterior correction, equation (7): exact inverses, and calibrated probabilities on data whose
posterior is known.
"""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from cfens_stack import CFEnsemble
from cfens_stack.ensemble.posterior import class_weights, invert_focal, natural_posterior


def focal_minimiser(eta, gamma, weights):
    """The p that minimises the expected loss sum_k eta_k w_k (1 - p_k)^gamma (-log p_k), found
    numerically.
    """

    def risk(scores):
        log_p = log_softmax(scores)
        return np.sum(eta * weights * (1 - np.exp(log_p)) ** gamma * -log_p)

    best = minimize(risk, np.log(eta * weights), method="BFGS", options={"gtol": 1e-11})
    return softmax(best.x)


GRID = {
    2: [[0.5, 0.5], [0.01, 0.99], [0.8, 0.2], [0.35, 0.65]],
    3: [[0.2, 0.3, 0.5], [0.9, 0.05, 0.05], [1 / 3, 1 / 3, 1 / 3], [0.02, 0.6, 0.38]],
}


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("K", [2, 3])
def test_focal_inverse_undoes_the_minimiser_of_the_expected_focal_loss(K, gamma):
    for eta in np.array(GRID[K]):
        p = focal_minimiser(eta, gamma, np.ones(K))
        np.testing.assert_allclose(invert_focal(p[None], gamma)[0], eta, atol=2e-5)


@pytest.mark.parametrize("spread", [1.0, 0.1])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("K", [2, 3])
def test_both_tilts_are_undone_together(K, gamma, spread):
    """Class weights act inside the risk, so they are divided out after the focal inverse, not
    before.
    """
    weights = np.array([0.6, 5.0, 2.0])[:K] ** spread
    for eta in np.array(GRID[K]):
        p = focal_minimiser(eta, gamma, weights)
        np.testing.assert_allclose(natural_posterior(p[None], weights, gamma)[0], eta, atol=2e-5)


def test_correction_keeps_the_order_of_rows_and_the_ends():
    p = np.concatenate([[0.0, 1e-300, 1e-12], np.linspace(0.001, 0.999, 500), [1 - 1e-12, 1.0]])
    P = natural_posterior(np.column_stack([1 - p, p]), np.array([0.5, 10.0]), 2.0)
    np.testing.assert_allclose(P.sum(axis=1), 1.0)
    assert np.all(np.diff(P[:, 1]) >= 0)
    assert P[0, 1] == pytest.approx(0.0, abs=1e-12)
    assert P[-1, 1] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_a_probability_that_rounding_put_above_one_is_one(gamma):
    above = np.nextafter(1.0, 2.0)
    np.testing.assert_allclose(
        invert_focal(np.array([[0.0, above], [above, 0.0]]), gamma), [[0.0, 1.0], [1.0, 0.0]]
    )


def test_without_a_tilt_nothing_is_touched():
    P = np.random.default_rng(0).dirichlet(np.ones(3), size=20)
    assert natural_posterior(P, np.full(3, 1.0), 0.0) is P


def test_balanced_weights_have_mean_one_and_equal_class_mass():
    y, v = np.array([0, 0, 0, 1, 2, 2]), np.array([1.0, 2.0, 0.5, 1.0, 3.0, 0.0])
    weights = class_weights(np.bincount(y, v))
    mass = np.bincount(y, weights=v * weights[y])
    np.testing.assert_allclose(mass, v.sum() / 3)


def simulated(n, K=2, seed=0):
    """Models that report true log-odds, with hardly any noise: the posterior is logistic in
    them.
    """
    rng = np.random.default_rng(seed)
    if K == 2:
        score = -3.0 + 2.0 * rng.standard_normal(n)
        y = (rng.random(n) < expit(score)).astype(int)
        return expit(score[:, None] + 1e-3 * rng.standard_normal((n, 5))), y, expit(score)
    scores = np.array([1.0, -1.0, -0.5]) + 1.2 * rng.standard_normal((n, 3))
    P = softmax(scores, axis=1)
    y = (rng.random((n, 1)) > P.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return np.tile(P, 4), y, P


# with the error allowed: a focal fit is not quite logistic in the scores, so there (2) is only
# nearly right
TILTS = {
    "class weights": ({"use_class_weights": True}, 0.01),
    "focal loss": ({"focal_gamma": 2.0}, 0.025),
    "both": ({"use_class_weights": True, "focal_gamma": 2.0}, 0.025),
}


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize(("tilt", "error"), TILTS.values(), ids=TILTS.keys())
def test_tilted_training_still_gives_the_true_probabilities(tilt, error, K):
    """Whatever the tilt, the natural posterior is that of the unweighted fit and the true one; as
    trained it is not.
    """
    R, y, truth = simulated(8000, K)
    layout = "auto" if K == 2 else "model-major"
    plain, natural, tilted = (
        CFEnsemble(layout=layout, smoothing=1e-6, aggregator_reg=1.0, lambda_reg=1e-6, **extra)
        .fit(R, y)
        .predict_proba(R)
        for extra in ({}, tilt, {**tilt, "posterior": "weighted"})
    )
    truth = truth if K > 2 else np.column_stack([1 - truth, truth])
    assert np.abs(natural - truth).mean() < error
    assert np.abs(natural - plain).mean() < error
    assert np.abs(tilted - truth).mean() > 3 * np.abs(natural - truth).mean()


def test_correction_leaves_the_fitted_weights_alone():
    R, y, _ = simulated(1000)
    natural, weighted = (
        CFEnsemble(use_class_weights=True, focal_gamma=1.0, posterior=posterior).fit(R, y)
        for posterior in ("natural", "weighted")
    )
    np.testing.assert_array_equal(natural.coef_, weighted.coef_)
    np.testing.assert_array_equal(
        natural.predict_proba(R)[:, 1].argsort(kind="stable"),
        weighted.predict_proba(R)[:, 1].argsort(kind="stable"),
    )

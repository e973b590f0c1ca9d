"""Calibration slopes: minima against scipy, derivatives against finite differences, what they say
of known models.
"""

from functools import partial

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize
from scipy.special import expit, logit, softmax

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.calibration import (
    base_log_odds,
    calibration_slopes,
    minimiser,
    slope_derivatives,
    target_sums,
)
from cfens_stack.ensemble.engines import in_memory


def ones_like_columns(columns):
    return np.ones(columns[0].shape[1], dtype=int)


def slopes_of(columns, unit):
    return calibration_slopes(in_memory(columns), ones_like_columns(columns), unit)[0]


def prior_log_odds(columns):
    mass, _, _, total, _ = target_sums(columns, ones_like_columns(columns))
    return base_log_odds(mass, total)


def cross_entropy(a, b, columns, unit):
    """Of each column, over its observed cells."""
    Z, observed, y, v = columns
    scores = unit * a * Z + b
    return v @ np.where(observed, np.logaddexp(0.0, scores) - y[:, None] * scores, 0.0)


def derivatives_of(columns, unit):
    """Callable (a, b, columns) -> gradient and Hessian of the cross-entropy."""
    _, seen, products, *_ = target_sums(columns, ones_like_columns(columns))
    return partial(slope_derivatives, in_memory(columns), np.stack([unit * products, seen]), unit)


def random_columns(n=200, q=5, seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, q)) * rng.uniform(0.1, 3.0, q)
    y = (rng.random(n) < expit(Z[:, 0] + 0.3 * Z[:, 1] - 2.0 * Z[:, 4] - 1.0)).astype(int)
    observed = rng.random((n, q)) < 0.8
    return (
        np.where(observed, Z, 99.0),
        observed,
        y,
        rng.gamma(2.0, size=n),
    )


def test_slopes_are_the_minima_of_the_stated_objective():
    Z, observed, y, v = random_columns()
    b0 = prior_log_odds((Z, observed, y, v))

    def objective(theta, u):
        rows = observed[:, u]
        score = theta[0] * 2.5 * Z[rows, u] + theta[1]
        loss = np.logaddexp(0.0, score) - y[rows] * score
        return v[rows] @ loss + 0.5 * (theta[0] - 1.0) ** 2 + 0.5 * (theta[1] - b0[u]) ** 2

    expected = [minimize(objective, [1.0, 0.0], (u,), tol=1e-12).x[0] for u in range(5)]
    assert expected[4] < 0.0  # predicts the opposite: of no use on its own
    slopes = slopes_of((Z, observed, y, v), 2.5)
    np.testing.assert_allclose(slopes, np.maximum(expected, 0.0), atol=1e-5)


@pytest.mark.parametrize("chosen", [[0, 1, 2, 3, 4], [3, 1]])
def test_derivatives_of_the_cross_entropy(chosen):
    """Also of some of the columns, as for those that have not converged yet."""
    columns = random_columns(n=30)
    a, b = np.random.default_rng(1).standard_normal((2, 5))
    chosen = np.array(chosen)

    def derivatives(a, b):
        return derivatives_of(columns, 1.5)(a[chosen], b[chosen], chosen)

    gradient, hessian = derivatives(a, b)
    for which in range(2):
        for u, column in enumerate(chosen):

            def moved(h, which=which, column=column):
                step = h[0] * np.eye(2)[which][:, None] * np.eye(5)[column]
                return a + step[0], b + step[1]

            change = approx_fprime(
                [0.0], lambda h, moved=moved: cross_entropy(*moved(h), columns, 1.5).sum(), 1e-7
            )
            np.testing.assert_allclose(gradient[which, u], change[0], rtol=1e-4, atol=1e-4)
            change = approx_fprime(
                [0.0], lambda h, moved=moved, u=u: derivatives(*moved(h))[0][:, u], 1e-7
            )
            np.testing.assert_allclose(
                hessian[which : which + 2, u], change.ravel(), rtol=1e-4, atol=1e-4
            )


class CountedDerivatives:
    """`slope_derivatives` over all rows, and how many columns took part: q of them are a pass over
    the rows.
    """

    def __init__(self, columns):
        self.derivatives, self.columns = derivatives_of(columns, 1.0), 0

    def __call__(self, a, b, columns):
        self.columns += len(columns)
        return self.derivatives(a, b, columns)


def test_newton_converges_quadratically():
    """Few passes to a gradient that chance hides, and one more from there to a gradient of
    rounding.
    """
    columns = random_columns(q=5)
    columns = [
        part[:, :4] if part.ndim == 2 else part for part in columns
    ]  # the last one starts far away
    b0, everything = prior_log_odds(columns), np.arange(4)
    derivatives = CountedDerivatives(columns)
    a, b = minimiser(derivatives, b0)
    assert derivatives.columns <= 6 * 4
    gradient = derivatives(a, b, everything)[0] + [a - 1.0, b - b0]
    assert np.abs(gradient).max() < 1e-5  # of sums over rows
    started = CountedDerivatives(columns)
    np.testing.assert_allclose(minimiser(started, b0, np.stack([a, b]))[0], a, atol=1e-9)
    assert started.columns == 4
    a, b = minimiser(CountedDerivatives(columns), b0, np.stack([a, b]))
    assert np.abs(derivatives(a, b, everything)[0] + [a - 1.0, b - b0]).max() < 1e-10


def test_columns_that_have_converged_take_no_part_in_later_passes():
    """The last one starts far away."""
    columns = random_columns()
    b0, every, alone = prior_log_odds(columns), CountedDerivatives(columns), 0
    together = minimiser(every, b0)
    for u in range(5):
        one = [part[:, [u]] if part.ndim == 2 else part for part in columns]
        derivatives = CountedDerivatives(one)
        theta = minimiser(derivatives, b0[[u]])
        alone += derivatives.columns
        np.testing.assert_allclose(together[:, [u]], theta, rtol=1e-12)
    assert every.columns == alone


def test_many_rows_have_the_slopes_of_one_pass_from_the_prior():
    """From 16384 rows on, a sample of them gives the start."""
    columns = random_columns(n=26_000)
    np.testing.assert_allclose(
        slopes_of(columns, 1.0),
        np.maximum(minimiser(CountedDerivatives(columns), prior_log_odds(columns))[0], 0.0),
        rtol=1e-7,
        atol=1e-12,
    )


def test_what_slopes_say_of_known_models():
    rng = np.random.default_rng(0)
    truth = 2.0 * rng.standard_normal(20000)
    y = rng.random(20000) < expit(truth)
    Z = np.column_stack(
        [truth, 3.0 * truth, 0.5 * truth, rng.standard_normal(20000), -truth, np.zeros(20000)]
    )
    slopes = slopes_of((Z, None, y.astype(int), np.ones(len(Z))), 1.0)
    np.testing.assert_allclose(slopes[:4], [1.0, 1.0 / 3.0, 2.0, 0.0], atol=0.05)
    assert slopes[4] == 0.0
    assert slopes[5] == pytest.approx(1.0)  # says nothing: the prior stands


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_separated_and_extreme_columns_stay_finite(size):
    """The prior keeps the slope of a perfect column finite; the halved steps bring Newton down from
    far away.
    """
    Z = size * np.linspace(-1.0, 1.0, 40)[:, None] ** 3
    slopes = slopes_of((Z, None, (Z[:, 0] > 0).astype(int), np.ones(40)), 1.0)
    grid = np.linspace(0.5, 1.5, 2001) * slopes[0]
    loss = np.sum(np.logaddexp(0.0, -np.abs(Z) * grid), axis=0)  # by symmetry the intercept is 0
    best = grid[np.argmin(loss + 0.5 * (grid - 1.0) ** 2)]
    assert slopes[0] == pytest.approx(best, rel=1e-3)


def test_weights_are_copies_of_rows():
    Z, observed, y, _ = random_columns()
    v = np.random.default_rng(2).integers(0, 3, len(Z))
    copies = np.repeat(np.arange(len(Z)), v)
    np.testing.assert_allclose(
        slopes_of((Z, observed, y, v.astype(float)), 1.0),
        slopes_of((Z[copies], observed[copies], y[copies], np.ones(len(copies))), 1.0),
        rtol=1e-9,
    )


def test_both_columns_of_two_classes_have_the_slope_of_the_single_one():
    data = make_predictions(500, 6, random_state=0)
    both = np.stack([1 - data.R, data.R], axis=2).reshape(500, 12)
    single = CFEnsemble(layout="positive").fit(data.R, data.y).calibration_slopes_
    pairs = (
        CFEnsemble(layout="model-major", aggregator_reg=1.0).fit(both, data.y).calibration_slopes_
    )
    np.testing.assert_allclose(pairs[1::2], single, rtol=1e-8)


def test_calibrated_predictions_of_several_classes_have_slope_one():
    """The centred log-ratio is (K - 1) / K of the log-odds against all others, where those share
    what is left.
    """
    rng = np.random.default_rng(0)
    scores = 1.5 * rng.standard_normal((5000, 3))
    P = softmax(scores, axis=1)
    y = (P.cumsum(axis=1) < rng.random((5000, 1))).sum(axis=1)
    loud = P**2 / np.sum(P**2, axis=1, keepdims=True)
    slopes = CFEnsemble(layout="model-major").fit(np.hstack([P, loud]), y).calibration_slopes_
    np.testing.assert_allclose(slopes[:3], 1.0, atol=0.15)
    assert np.all(slopes[3:] < 0.75 * slopes[:3])


def test_an_overconfident_copy_changes_little():
    """What a slope is for: a model that says the same too loudly is turned down before the average
    is taken.
    """
    data = make_predictions(600, 5, random_state=0)
    loud = expit(4.0 * logit(np.clip(data.R[:, :1], 0.01, 0.99)))
    meta = CFEnsemble(aggregator_reg=1e6).fit(np.hstack([data.R, loud]), data.y)
    assert meta.coef_[5] < 0.75 * meta.coef_[0]


def test_the_plain_average_and_scores_are_taken_as_they_are():
    data = make_predictions(300, 5, random_state=0)
    for meta, R in ((CFEnsemble(aggregator="mean"), data.R), (CFEnsemble(), 10.0 * data.R)):
        np.testing.assert_array_equal(meta.fit(R, data.y).calibration_slopes_, 1.0)


def test_only_columns_that_surely_predict_the_opposite_count_as_such():
    rng = np.random.default_rng(0)
    y = rng.random(400) < 0.3
    truth = 2.0 * y + rng.standard_normal(400)
    Z = np.column_stack([truth, -truth, rng.standard_normal((400, 200))])
    cells = (Z, None, y.astype(int), np.ones(400))
    _, opposite = calibration_slopes(in_memory(cells), ones_like_columns(cells), 1.0)
    assert opposite[1]
    assert not opposite[0]
    assert opposite[2:].sum() <= 2  # .2 of 200 are expected where nothing is to be found

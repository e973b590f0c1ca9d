"""The aggregator step by step: Newton steps, what ends a minimisation, passes over the rows,
averaging by evidence.
"""

from functools import partial

import numpy as np
import pytest
from aggregating import fit_aggregator
from scipy.special import expit
from scipy.stats import multivariate_normal
from test_aggregator import random_supervision

from cfens_stack.ensemble import newton
from cfens_stack.ensemble.aggregator import (
    fit_from_sums,
    fit_intercepts,
    fit_path,
)
from cfens_stack.ensemble.losses import loss_sums
from cfens_stack.ensemble.newton import _modelled, _newton_step, mean_loss, minimise
from cfens_stack.ensemble.prior import PAIRS, STRENGTHS, Prior, evidence_cost


class CountedSums:
    """`loss_sums` over all rows, and how often they were asked for: each call is a pass over the
    rows.
    """

    def __init__(self, problem, gamma=0.0, grows=0.0):
        self.sums = partial(loss_sums, Y=problem["Y"], y=problem["y"], s=problem["s"], gamma=gamma)
        self.passes, self.grows = 0, grows

    def __call__(self, V):
        value, *others = self.sums(V)
        self.passes += 1
        return value + self.grows * self.passes * others[-1], *others


def solve(problem, sums, start=None, strength=0.01, nonnegative=False, loss=None, common=None):
    start = np.append(problem["w0"], np.zeros(problem["t"][-1] + 1)) if start is None else start
    options = {"w0": problem["w0"], "strength": strength, "nonnegative": nonnegative, "loss": loss}
    options["common"] = common
    return minimise(start, sums, problem["M"], problem["t"], **options)


def test_newton_steps_go_down_in_convex_and_in_concave_directions():
    """With eigenvalues 4 and -2 the step along each is the slope over its size; a flat direction
    stays finite.
    """
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    gradient = rotation @ [8.0, 6.0, 0.0]
    for values in ([4.0, -2.0, 1.0], [4.0, 2.0, 1.0], [4.0, -2.0, 0.0]):
        step = _newton_step(gradient, rotation * values @ rotation.T)
        np.testing.assert_allclose(rotation.T @ step, [-2.0, -3.0, 0.0], atol=1e-4)
    np.testing.assert_array_equal(_newton_step(np.zeros(2), np.zeros((2, 2))), 0.0)


def test_the_modelled_loss_is_exact_for_a_quadratic():
    root = np.random.default_rng(0).standard_normal((4, 4))
    hessian, centre, step = root @ root.T, np.arange(4.0), np.array([0.3, -1.0, 2.0, 0.1])

    def loss(theta):
        return (
            0.5 * (theta - centre) @ hessian @ (theta - centre),
            hessian @ (theta - centre),
            hessian,
        )

    for modelled, exact in zip(
        _modelled(loss(np.ones(4)), step), loss(np.ones(4) + step), strict=True
    ):
        np.testing.assert_allclose(modelled, exact, atol=1e-12)


def test_a_known_loss_saves_its_pass():
    problem = random_supervision(1, seed=3)
    sums = CountedSums(problem)
    theta, _, history, converged, loss = solve(problem, sums)
    assert converged
    exact = mean_loss(theta, sums, problem["M"], problem["t"])
    for found, expected in zip(loss, exact, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    assert history[-1] == pytest.approx(
        exact[0] + 0.005 * np.sum((theta[:4] - problem["w0"]) ** 2), rel=1e-12
    )
    fresh, known = CountedSums(problem), CountedSums(problem)
    again, other = (
        solve(problem, fresh, theta, 0.02)[0],
        solve(problem, known, theta, 0.02, loss=loss)[0],
    )
    np.testing.assert_allclose(again, other, atol=1e-7)
    assert known.passes == fresh.passes - 1


def test_a_loss_that_contradicts_its_gradient_is_no_convergence():
    """Every pass adds to the value, so that no step is a descent."""
    problem = random_supervision(1)
    start = np.append(problem["w0"], 0.5)
    theta, _, history, converged, _ = solve(problem, CountedSums(problem, grows=1.0), start)
    assert not converged
    assert len(history) == 1
    np.testing.assert_array_equal(theta, start)


def test_a_search_that_is_cut_off_says_so(monkeypatch):
    monkeypatch.setattr(newton, "MAX_ITER", 1)
    *_, history, converged, _ = solve(random_supervision(1), CountedSums(random_supervision(1)))
    assert not converged
    assert len(history) == 2


@pytest.mark.parametrize("above", [0.0, 1e-6, 5e-5])
def test_a_weight_pressed_against_its_bound_gets_there(above):
    problem = random_supervision(3, seed=3)
    theta, *_ = solve(problem, CountedSums(problem), nonnegative=True)
    at_bound = theta[:-3] == 0.0
    assert at_bound.any()
    start = np.append(np.where(at_bound, above, theta[:-3] + 0.1), theta[-3:])
    again, *_ = solve(problem, CountedSums(problem), start, nonnegative=True)
    np.testing.assert_array_equal(again[:-3] == 0.0, at_bound)


def test_evidence_is_exact_where_everything_is_normal():
    """Linear regression with unit noise: the evidence of a precision is a normal density of the
    targets.
    """
    rng = np.random.default_rng(0)
    A, w0 = rng.standard_normal((30, 4)), rng.standard_normal(4)
    y = A @ (w0 + 0.4 * rng.standard_normal(4)) + rng.standard_normal(30)

    def cost(precision):
        hessian = A.T @ A + precision * np.eye(4)
        w = w0 + np.linalg.solve(hessian, A.T @ (y - A @ w0))
        at_w = 0.5 * np.sum((y - A @ w) ** 2) + 0.5 * precision * np.sum((w - w0) ** 2)
        return evidence_cost(w, hessian, at_w, np.full(4, precision), False)

    def log_evidence(precision):
        return multivariate_normal(A @ w0, np.eye(30) + A @ A.T / precision).logpdf(y)

    for precision in (0.1, 3.0, 300.0):
        assert cost(precision) - cost(1.0) == pytest.approx(
            log_evidence(1.0) - log_evidence(precision), rel=1e-9
        )


def test_evidence_is_over_the_weights_that_the_constraint_leaves_free():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6))
    hessian = root @ root.T + np.eye(6)
    theta = np.array(
        [0.4, 0.0, 1.3, 0.0, -1.0, 0.0]
    )  # four weights and two intercepts, which have no bound
    kept = [0, 2, 4, 5]
    reduced = evidence_cost(theta[kept], hessian[np.ix_(kept, kept)], 7.0, np.full(2, 0.3), False)
    assert evidence_cost(theta, hessian, 7.0, np.full(4, 0.3), True) == pytest.approx(reduced)
    assert evidence_cost(theta, hessian, 7.0, np.full(4, 0.3), False) != pytest.approx(reduced)


@pytest.mark.parametrize("gamma", [0.0, 1.0])
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize(("S", "by_class"), [(1, False), (3, False), (3, True)])
def test_auto_averages_the_fits_by_their_evidence(S, by_class, nonnegative, gamma):
    """As the docstrings say it, without the warm starts and the shared passes of the fast form."""
    problem = random_supervision(S, seed=3)
    problem["M"][:-S] /= 3.0
    v = 0.1 * np.random.default_rng(0).integers(
        1, 4, len(problem["y"])
    )  # so few that no strength has all the belief
    p, n, s = len(problem["w0"]), v.sum(), problem["s"] + 0.1
    rows = {"Y": problem["Y"], "y": problem["y"]}
    likelihood = partial(loss_sums, **rows, s=v, gamma=0.0)
    tilted = partial(loss_sums, **rows, s=s, gamma=gamma)
    costs, plain = [], []
    strengths = PAIRS if by_class else np.column_stack([STRENGTHS, STRENGTHS])
    for common, own in strengths:
        theta, hessian, history, *_ = solve(
            problem, likelihood, None, own / n, nonnegative, common=common / n
        )
        # Of the weights of one model: own / S across the classes, common / S along their mean.
        mean = np.full((S, S), 1.0 / S)
        precision = np.kron(np.eye(p // S), (own * (np.eye(S) - mean) + common * mean) / S)
        costs.append(evidence_cost(theta, n * hessian, n * history[-1], precision, nonnegative))
        plain.append(theta)
    belief = np.exp(min(costs) - np.array(costs))
    belief /= belief.sum()
    assert belief.max() < 0.999

    def curvature(sums):
        theta, _ = fit_intercepts(belief @ plain, sums, problem["M"], problem["t"])
        return np.trace(mean_loss(theta, sums, problem["M"], problem["t"])[2][:p, :p])

    ratio = curvature(tilted) / curvature(likelihood)
    fitted = [
        solve(problem, tilted, theta, own * ratio / n, nonnegative, common=common * ratio / n)[0]
        for theta, (common, own) in zip(plain, strengths, strict=True)
    ]
    fit = fit_aggregator(
        problem["Y"][:, :-1],
        problem["M"][:p, :-1],
        problem["t"][:p],
        problem["y"],
        s,
        gamma=gamma,
        w0=problem["w0"],
        b0=np.zeros(S),
        aggregator_reg="auto",
        nonnegative=nonnegative,
        v=v,
        by_class=by_class,
    )
    np.testing.assert_allclose(fit.w, (belief @ fitted)[:p], atol=1e-5)
    theta, _ = fit_intercepts(belief @ fitted, tilted, problem["M"], problem["t"])
    np.testing.assert_allclose(fit.b, theta[p:], atol=1e-5)
    gradient = mean_loss(theta, tilted, problem["M"], problem["t"])[1]
    np.testing.assert_allclose(gradient[p:], 0.0, atol=1e-8)
    expected = belief @ np.log(ratio * strengths)
    np.testing.assert_allclose(np.log(fit.strength), expected if by_class else expected[0], 1e-5)
    directions = np.array([1.0, S - 1.0]) / S
    assert np.log(fit.aggregator_reg) == pytest.approx(directions @ expected, rel=1e-5)
    assert fit.converged
    assert all(np.isfinite(fit.history))


def test_labels_without_tilt_are_passed_over_once_for_evidence_and_fit():
    problem = random_supervision(1, seed=3)
    M, t = problem["M"][:-1, :-1], problem["t"][:-1]
    options = {
        "w0": problem["w0"],
        "b0": np.zeros(1),
        "aggregator_reg": "auto",
        "nonnegative": False,
    }
    shared, first, second = (CountedSums(problem) for _ in range(3))
    once = fit_from_sums(shared, shared, M, t, n=problem["s"].sum(), **options)
    twice = fit_from_sums(first, second, M, t, n=problem["s"].sum(), **options)
    np.testing.assert_allclose(once.w, twice.w, atol=1e-6)
    assert once.aggregator_reg == pytest.approx(twice.aggregator_reg, rel=1e-6)
    assert shared.passes < first.passes + second.passes


@pytest.mark.parametrize("aggregator_reg", [3.0, "auto"])
def test_history_holds_values_of_the_objective(aggregator_reg):
    problem = random_supervision(1, seed=3)
    M, t, sums = problem["M"][:-1, :-1], problem["t"][:-1], CountedSums(problem)
    options = {
        "w0": problem["w0"],
        "b0": np.zeros(1),
        "nonnegative": False,
        "n": problem["s"].sum(),
    }
    fit = fit_from_sums(sums, sums, M, t, aggregator_reg=aggregator_reg, **options)
    assert len(fit.history) > 1
    assert np.all(np.array(fit.history) > 0.0)
    if aggregator_reg != "auto":
        assert np.all(np.diff(fit.history) < 1e-12)


def test_strengths_that_many_rows_rule_out_cost_no_passes():
    """They have no share of the evidence when they are fitted all the same."""
    rng = np.random.default_rng(0)
    Y = np.column_stack([rng.standard_normal((20_000, 8)), np.ones(20_000)])
    weights = np.array([2.0, 1.0, 0.5, 0.0, 0.0, 0.0, -0.5, 0.0])
    y = (rng.random(20_000) < expit(Y[:, :8] @ weights)).astype(int)
    problem = {"Y": Y, "y": y, "s": np.ones(20_000), "w0": np.full(8, 0.125)}
    problem |= {"M": np.eye(9), "t": np.zeros(9, dtype=int)}
    prior = Prior(problem["w0"], np.ones(8), False, 20_000.0)
    start, sums = np.append(problem["w0"], 0.0), CountedSums(problem)
    strengths, shares, fits = fit_path(start, sums, problem["M"], problem["t"], prior)
    costs, theta, slow = [], start, CountedSums(problem)
    for strength in STRENGTHS:
        fit = prior.fit(theta, strength, slow, problem["M"], problem["t"])
        costs.append(prior.evidence_cost(fit, strength))
        theta = fit[0]
    expected = np.exp(min(costs) - np.array(costs))
    expected = dict(zip(STRENGTHS, expected / expected.sum(), strict=True))
    np.testing.assert_allclose(shares, [expected[strength] for strength in strengths], atol=1e-6)
    assert sum(expected[strength] for strength in strengths) > 1.0 - 1e-8
    assert len(strengths) == len(fits) < len(STRENGTHS)
    assert sums.passes < 0.6 * slow.passes

"""The aggregator: derivatives of (2) against finite differences, its minimum against scipy,
shrinkage to the mean.
"""

from functools import partial

import numpy as np
import pytest
from aggregating import fit_aggregator
from scipy.optimize import approx_fprime, minimize
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.aggregator import (
    average_offset,
    average_slope,
    column_weights,
    even_weights,
    log_odds_slope,
)
from cfens_stack.ensemble.copies import copies_of_columns
from cfens_stack.ensemble.losses import loss_sums, sigmoid_focal_loss, softmax_focal_loss
from cfens_stack.ensemble.newton import minimise, supervision

GAMMAS = [0.0, 0.5, 1.0, 2.0]


def random_supervision(S, seed=0, n=80, d=3, models=4):
    """Arguments of `supervision` with instance factors and loadings extended by the intercepts, as
    fits extend them.
    """
    rng = np.random.default_rng(seed)
    t = np.tile(np.arange(S), models)
    p = len(t)
    Y = np.column_stack([rng.standard_normal((n, d)), np.ones(n)])
    M = np.vstack(
        [
            np.column_stack([rng.standard_normal((p, d)), np.zeros(p)]),
            np.tile(np.eye(d + 1)[-1], (S, 1)),
        ]
    )
    truth = Y[:, :3] @ rng.standard_normal((3, max(S, 2)))
    y = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    return {
        "Y": Y,
        "M": M,
        "t": np.append(t, np.arange(S)),
        "y": y,
        "s": rng.gamma(2.0, size=n) * (rng.random(n) > 0.1) * np.array([0.5, 3.0, 1.0])[y],
        "w0": np.full(p, 1.0 / models),
    }


def smoothed_log_odds(R):
    return np.log((R + 0.01) / (1.0 - R + 0.01))


def literal_value(theta, Y, M, t, y, s, gamma, w0, strength, common=None):
    """Objective (2) as the design writes it, through the n x m matrix of reconstructions that the
    fast form avoids.
    """
    S = t[-1] + 1
    reconstructions = Y @ M.T
    scores = np.stack([reconstructions[:, t == k] @ theta[t == k] for k in range(S)], axis=1)
    P = np.column_stack([1 - expit(scores), expit(scores)]) if S == 1 else softmax(scores, axis=1)
    p_t = P[np.arange(len(y)), y]
    loss = s @ ((1 - p_t) ** gamma * -np.log(p_t)) / s.sum()
    deviation = (theta[: len(w0)] - w0).reshape(-1, S)  # models, classes
    mean = deviation.mean(axis=1, keepdims=True)
    common = strength if common is None else common
    penalty = strength / S * np.sum((deviation - mean) ** 2) + common * np.sum(mean**2)
    return loss + 0.5 * penalty


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize(("S", "common"), [(1, None), (3, None), (3, 2.0), (3, 0.01)])
def test_value_gradient_and_hessian_of_supervision(S, common, gamma):
    """Also the focal factor's own derivative, which earlier implementations dropped (mistake 5)."""
    problem = random_supervision(S)
    theta = 0.7 * np.random.default_rng(1).standard_normal(len(problem["t"]))
    arguments = {**problem, "gamma": gamma, "strength": 0.3, "common": common}
    value, gradient, hessian = supervision(theta, **arguments)
    assert value == pytest.approx(literal_value(theta, **arguments), rel=1e-12)
    slope = approx_fprime(theta, lambda point: supervision(point, **arguments)[0], 1e-7)
    np.testing.assert_allclose(gradient, slope, atol=2e-6)
    curvature = approx_fprime(theta, lambda point: supervision(point, **arguments)[1], 1e-7)
    if S > 1:  # the constant along which all intercepts move together is added on purpose
        hessian[-S:, -S:] -= 1.0 / S
    np.testing.assert_allclose(hessian, curvature, atol=2e-6)


@pytest.mark.parametrize("gamma", [*GAMMAS, 5.0])
@pytest.mark.parametrize("size", [1.0, 30.0, 800.0])
def test_two_softmax_scores_are_the_sigmoid_of_their_difference(size, gamma):
    """Loss, slope and curvature, also where probabilities underflow and 1 - p cancels."""
    u = size * np.linspace(-1.0, 1.0, 21)
    y = np.arange(21) % 2
    loss, slope, curvature = sigmoid_focal_loss(u[:, None], y, gamma)
    pair = np.column_stack([-0.5 * u, 0.5 * u])
    loss_pair, slope_pair, curvature_pair = softmax_focal_loss(pair, y, gamma)
    assert np.isfinite(loss).all()
    np.testing.assert_allclose(loss_pair, loss, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(slope_pair[:, 1], slope[:, 0], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(curvature_pair[:, 1, 1], curvature[:, 0, 0], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("S", [1, 3])
def test_minimiser_against_scipy(S, gamma, nonnegative):
    problem = random_supervision(S, seed=3)
    w0, size = problem["w0"], len(problem["t"])
    arguments = {**problem, "gamma": gamma, "strength": 0.01}
    start = np.append(w0, np.zeros(S))
    sums = partial(loss_sums, Y=problem["Y"], y=problem["y"], s=problem["s"], gamma=gamma)
    theta, hessian, history, converged, _ = minimise(
        start, sums, problem["M"], problem["t"], w0=w0, strength=0.01, nonnegative=nonnegative
    )
    bounds = [(0 if nonnegative and j < len(w0) else None, None) for j in range(size)]
    reference = minimize(
        lambda point: supervision(point, **arguments)[:2],
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-10},
    )
    value, gradient, _ = supervision(theta, **arguments)
    assert converged
    assert value <= reference.fun + 1e-10
    theta[-S:] -= theta[-S:].mean() * (S > 1)  # softmax intercepts are determined up to a constant
    reference.x[-S:] -= reference.x[-S:].mean() * (S > 1)
    np.testing.assert_allclose(theta, reference.x, atol=2e-4)
    assert np.all(np.diff(history) < 1e-12)
    inside = theta > (1e-9 if nonnegative else -np.inf)
    inside[len(w0) :] = True
    assert np.abs(gradient[inside]).max() < 1e-6
    assert np.all(gradient[~inside] >= -1e-8)
    if nonnegative:
        assert theta[: len(w0)].min() == 0.0  # exactly, so that the weight is gone
    assert hessian.shape == (size, size)


def test_separable_labels_still_have_a_minimiser():
    """The penalty bounds the weights where the likelihood has no maximum."""
    problem = random_supervision(1)
    problem["y"] = (problem["Y"][:, 0] > 0).astype(int)
    sums = partial(loss_sums, Y=problem["Y"], y=problem["y"], s=problem["s"], gamma=0.0)
    theta, _, _, converged, _ = minimise(
        np.append(problem["w0"], 0.0),
        sums,
        problem["M"],
        problem["t"],
        w0=problem["w0"],
        strength=1e-6,
        nonnegative=False,
    )
    assert converged
    assert np.isfinite(theta).all()


def test_rounding_does_not_stop_the_line_search():
    """Near the minimiser the objective changes by less than its rounding: a mistake that took 200
    passes a strength.

    Sums over a million rows round like this; Newton's step from 1e-15 above the minimum has to be
    taken all the same.
    """
    problem, rng, passes = random_supervision(1), np.random.default_rng(0), []
    rest = {
        "M": problem["M"],
        "t": problem["t"],
        "w0": problem["w0"],
        "strength": 1e-3,
        "nonnegative": False,
    }

    def sums(V):
        passes.append(V)
        value, *derivatives, mass = loss_sums(
            V, Y=problem["Y"], y=problem["y"], s=problem["s"], gamma=0.0
        )
        return value + mass * rng.normal(scale=1e-15), *derivatives, mass

    best, hessian, *_ = minimise(np.append(problem["w0"], 0.0), sums, **rest)
    for _ in range(50):
        direction = rng.standard_normal(len(best))
        start = best + direction * np.sqrt(2e-15 / (direction @ hessian @ direction))
        passes.clear()
        theta, _, _, converged, _ = minimise(start, sums, **rest)
        assert converged
        assert len(passes) <= 3
        np.testing.assert_allclose(theta, best, atol=1e-7)


def aggregate(Y, M, y, *, aggregator_reg, nonnegative=False, gamma=0.0, v=None, w0=None):
    v = np.ones(len(Y)) if v is None else v
    w0 = np.full(len(M), 1.0 / len(M)) if w0 is None else w0
    return fit_aggregator(
        Y,
        M,
        np.zeros(len(M), dtype=int),
        y,
        v,
        gamma=gamma,
        w0=w0,
        b0=np.zeros(1),
        aggregator_reg=aggregator_reg,
        nonnegative=nonnegative,
        v=v,
    )


@pytest.mark.parametrize("link", ["logit", "identity"])
@pytest.mark.parametrize("n_outputs", [1, 3, 5])
def test_scores_and_log_odds_rise_with_predictions_as_stated(n_outputs, link):
    """Derivatives at equal probabilities, where one column is a step up and the others of its model
    give way evenly.
    """
    K, up = max(n_outputs, 2), 1e-6

    def score(
        p,
    ):  # of the last class: the link of all classes is the centred log-ratio, of one the log-odds
        return logit(p) if n_outputs == 1 else (1 - 1 / K) * np.log(p / ((1 - p) / (K - 1)))

    step = up if link == "identity" else (score(1 / K + up) - score(1 / K))
    log_odds = (logit(1 / K + up) - logit(1 / K)) / step
    assert log_odds_slope(n_outputs, link) == pytest.approx(log_odds, rel=1e-4)
    assert average_slope(n_outputs, link) == pytest.approx(
        (score(1 / K + up) - score(1 / K)) / step, rel=1e-4
    )


def test_the_tangent_of_the_identity_link_starts_where_probabilities_are_equal():
    """Score 0 at a probability of one half; several scores only matter by their differences."""
    assert average_offset(1, "identity") + 0.5 * average_slope(1, "identity") == 0.0
    assert (
        average_offset(1, "logit")
        == average_offset(3, "logit")
        == average_offset(3, "identity")
        == 0.0
    )


def test_even_weights_are_those_of_the_columns_in_use():
    np.testing.assert_array_equal(
        even_weights(np.array([0.5, 0.0, 2.0, 1e-9]), 1), [1 / 3, 0, 1 / 3, 1 / 3]
    )
    slopes = np.array([[1.0, 0.0], [2.0, 0.3], [0.0, 0.0], [0.1, 0.0]])
    np.testing.assert_array_equal(
        even_weights(slopes.ravel(), 2).reshape(4, 2), (slopes > 0) / [3, 1]
    )


def test_column_weights_are_the_largest_of_several_classes():
    coef = np.array([[0.5, -2.0, 0.0], [-0.7, 1.0, 0.0]])
    np.testing.assert_array_equal(column_weights(coef), [-0.7, -2.0, 0.0])
    np.testing.assert_array_equal(column_weights(coef[0]), coef[0])


def log_odds_of_models(n, m, noise, seed=0):
    rng = np.random.default_rng(seed)
    eta = 2.0 * rng.standard_normal(n)
    y = (rng.random(n) < expit(eta)).astype(int)
    return eta[:, None] + noise * rng.standard_normal((n, m)), y


def test_without_shrinkage_it_is_logistic_regression():
    Y, y = log_odds_of_models(500, 4, 1.0)
    fit = aggregate(Y, np.eye(4), y, aggregator_reg=0.0)
    reference = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(Y, y)
    np.testing.assert_allclose(fit.w, reference.coef_[0], atol=1e-5)
    np.testing.assert_allclose(fit.b, reference.intercept_, atol=1e-5)


def test_shrinkage_to_zero_weights_is_ridge_logistic_regression():
    """aggregator_reg is 1 / C of scikit-learn, measured from w0."""
    Y, y = log_odds_of_models(500, 4, 1.0)
    fit = aggregate(Y, np.eye(4), y, aggregator_reg=20.0, w0=np.zeros(4))
    reference = LogisticRegression(C=1 / 20.0, tol=1e-12, max_iter=10_000).fit(Y, y)
    np.testing.assert_allclose(fit.w, reference.coef_[0], atol=1e-5)


@pytest.mark.parametrize("link", ["logit", "identity"])
@pytest.mark.parametrize("nonnegative", [True, False])
def test_strong_shrinkage_is_the_average_of_calibrated_models_not_a_constant(link, nonnegative):
    data = make_predictions(400, 8, random_state=0)
    strong = CFEnsemble(
        link=link,
        aggregator_reg=1e9,
        nonnegative=nonnegative,
        lambda_reg=1e-9,
        use_label_aware_confidence=False,
    ).fit(data.R, data.y)
    mean = strong.__class__(**{**strong.get_params(), "aggregator": "mean"}).fit(data.R, data.y)
    assert strong.calibration_slopes_.min() > 0
    np.testing.assert_allclose(strong.coef_, mean.coef_ * strong.calibration_slopes_, rtol=1e-5)
    scale = smoothed_log_odds(data.R) if link == "logit" else data.R
    average = scale @ strong.calibration_slopes_
    ranks = strong.predict_proba(data.R)[:, 1]
    assert np.all(np.diff(ranks[average.argsort()]) > -1e-6)
    assert np.ptp(ranks) > 0.3


def test_models_that_predict_the_opposite_are_left_out_of_the_average():
    data = make_predictions(400, 4, random_state=0)
    R = np.column_stack([data.R, 1.0 - data.R[:, 0]])
    meta = CFEnsemble(aggregator_reg=1e9, lambda_reg=1e-9).fit(R, data.y)
    np.testing.assert_allclose(
        meta.coef_, np.append(meta.calibration_slopes_[:4] / 4, 0.0), rtol=1e-5
    )


def test_weights_may_be_negative_and_nonnegative_forbids_it():
    """The second model repeats the error of the first, so that subtracting it leaves the truth."""
    rng = np.random.default_rng(0)
    truth, error = 2.0 * rng.standard_normal((2, 2000))
    y = (rng.random(2000) < expit(truth)).astype(int)
    R = expit(np.column_stack([truth + error, 0.3 * truth + error]))
    signed, nonnegative = (CFEnsemble(nonnegative=allowed).fit(R, y) for allowed in (False, True))
    assert signed.coef_[0] > 0.5
    assert signed.coef_[1] < -0.2
    assert nonnegative.coef_.min() >= 0.0
    assert log_loss(y, signed.predict_proba(R)) < log_loss(y, nonnegative.predict_proba(R)) - 0.01


def test_mean_aggregator_is_the_average_on_the_log_odds_scale():
    data = make_predictions(300, 6, random_state=0)
    P = (
        CFEnsemble(aggregator="mean", lambda_reg=1e-9)
        .fit(data.R, data.y)
        .predict_proba(data.R)[:, 1]
    )
    np.testing.assert_allclose(P, expit(smoothed_log_odds(data.R).mean(axis=1)), atol=1e-5)


def test_evidence_frees_the_weights_where_rows_prove_the_average_wrong():
    """One model of six is good. The precision found is that of the deviations it has to allow: 6 /
    |w - w0|^2 = 7.
    """
    rng = np.random.default_rng(0)
    eta = 2.0 * rng.standard_normal(3000)
    y = (rng.random(3000) < expit(eta)).astype(int)
    Y = np.column_stack([eta, 2.0 * rng.standard_normal((3000, 5))])
    fit = aggregate(Y, np.eye(6), y, aggregator_reg="auto")
    assert np.abs(fit.w - np.eye(6)[0]).max() < 0.15
    assert 2.0 < fit.aggregator_reg < 20.0


def test_evidence_keeps_the_average_where_it_is_right():
    """Log-odds that the average pools correctly: the strength in use is far above the one where
    weights differ.
    """
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((800, 6)) * 2.0
    y = (rng.random(800) < expit(Y.mean(axis=1))).astype(int)
    right = aggregate(Y, np.eye(6), y, aggregator_reg="auto")
    wrong = aggregate(
        Y, np.eye(6), (rng.random(800) < expit(2 * Y[:, 0])).astype(int), aggregator_reg="auto"
    )
    assert right.aggregator_reg > 30 * wrong.aggregator_reg
    assert np.abs(right.w - 1 / 6).max() < 0.06


def test_averaged_strength_lies_within_the_grid_and_weights_between_its_ends():
    Y, y = log_odds_of_models(120, 5, 2.0)
    fit = aggregate(Y, np.eye(5), y, aggregator_reg="auto")
    assert 10**-1.5 <= fit.aggregator_reg <= 1e4
    weak, strong = (aggregate(Y, np.eye(5), y, aggregator_reg=reg) for reg in (10**-1.5, 1e4))
    distance = [np.linalg.norm(found.w - 0.2) for found in (strong, fit, weak)]
    assert distance[0] < distance[1] < distance[2]


@pytest.mark.parametrize("aggregator_reg", [3.0, "auto"])
def test_sample_weights_count_copies(aggregator_reg):
    """In the loss, in n_labelled of the penalty, and in the evidence."""
    Y, y = log_odds_of_models(60, 4, 1.5)
    v = np.random.default_rng(0).integers(1, 4, 60)
    copies = np.repeat(np.arange(60), v)
    weighted = aggregate(Y, np.eye(4), y, aggregator_reg=aggregator_reg, v=v.astype(float))
    repeated = aggregate(Y[copies], np.eye(4), y[copies], aggregator_reg=aggregator_reg)
    np.testing.assert_allclose(weighted.w, repeated.w, atol=1e-7)
    assert weighted.aggregator_reg == pytest.approx(repeated.aggregator_reg, rel=1e-6)


SWITCHES = {
    "defaults": {},
    "identity link": {"link": "identity"},
    "class weights": {"use_class_weights": True},
    "focal loss": {"focal_gamma": 2.0},
    "strong focal loss": {"focal_gamma": 5.0},
    "class weights and focal loss": {"use_class_weights": True, "focal_gamma": 2.0},
    "weights as trained": {"use_class_weights": True, "focal_gamma": 2.0, "posterior": "weighted"},
    "label-aware, labels alone": {"use_label_aware_confidence": True, "rho": 0.0},
    "no label-aware confidence": {"use_label_aware_confidence": False},
    "signed weights": {"nonnegative": False},
    "signed weights, everything on": {
        "nonnegative": False,
        "use_class_weights": True,
        "focal_gamma": 2.0,
        "use_label_aware_confidence": True,
    },
    "certainty": {"confidence": "certainty"},
    "calibration": {"confidence": "calibration"},
    "identity link, everything on": {
        "link": "identity",
        "use_class_weights": True,
        "focal_gamma": 2.0,
        "use_label_aware_confidence": True,
        "confidence": "certainty",
    },
    "two factors": {"latent_dim": 2},
    "hardly any shrinkage": {"aggregator_reg": 0.1},
    "strong shrinkage": {"aggregator_reg": 1000.0},
}


@pytest.mark.parametrize("share", [0.1, 0.05, 0.01])
@pytest.mark.parametrize("settings", SWITCHES.values(), ids=SWITCHES.keys())
def test_no_setting_inverts_the_ranking(settings, share):
    """An unfinished bias once inverted predictions on imbalanced data (mistake 3). Scored on rows
    not trained on.
    """
    data = make_predictions(4000, 10, weights=[1 - share, share], random_state=1)
    meta = CFEnsemble(**settings).fit(data.R[:2000], data.y[:2000])
    P = meta.predict_proba(data.R[2000:])
    area, average = (
        roc_auc_score(data.y[2000:], score) for score in (P[:, 1], data.R[2000:].mean(axis=1))
    )
    assert area > 0.7
    assert area > average - 0.1
    if (
        meta.posterior == "natural"
    ):  # class weights alone would put it at ten times the share, and more
        assert share / 3 < P[:, 1].mean() < 3 * share


def rare_positives(n_positives, n=400, seed=0):
    """Log-odds of five models, and the labels, of which n_positives are 1."""
    rng = np.random.default_rng(seed)
    y = np.zeros(n, dtype=int)
    y[:n_positives] = 1
    return 1.5 * y[:, None] - 3.0 + rng.standard_normal((n, 1)) + rng.standard_normal((n, 5)), y


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("nonnegative", [False, True])
def test_mean_probability_is_the_prevalence_of_the_training_rows(nonnegative, seed):
    """The intercept's own condition, which an average over strengths of intercepts does not meet."""
    R, y = rare_positives(5, seed=seed)
    P = CFEnsemble(nonnegative=nonnegative).fit(expit(R), y).predict_proba(expit(R))
    assert P[:, 1].mean() == pytest.approx(y.mean(), rel=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_mean_probability_of_each_of_several_classes_is_its_share(seed):
    data = make_predictions(4000, 5, n_classes=3, random_state=seed)
    sizes = np.array([5, 15, 100])
    rows = np.concatenate([np.flatnonzero(data.y == k)[:size] for k, size in enumerate(sizes)])
    P = CFEnsemble().fit(data.R[rows], data.y[rows]).predict_proba(data.R[rows])
    np.testing.assert_allclose(P.mean(axis=0), sizes / sizes.sum(), rtol=1e-3)


def loss_with_and_without_copies(seed, aggregator_reg, jitter, n_classes):
    """Log loss on new rows from 30 labels, of two models, and with 100 copies of the first."""
    data = make_predictions(1030, 2, n_classes=n_classes, random_state=seed, noise=1.5)
    links = np.log(data.R.reshape(1030, 2, -1))
    if n_classes == 2:
        links = logit(np.clip(data.R, 1e-6, 1 - 1e-6))[:, :, None]
    noise = np.random.default_rng(seed).standard_normal((1030, 100, links.shape[2]))
    copies = np.concatenate([links[:, :1] + jitter * noise, links[:, 1:]], axis=1)
    losses = []
    for G in (links, copies):
        R = (expit(G) if n_classes == 2 else softmax(G, axis=2)).reshape(1030, -1)
        meta = CFEnsemble(aggregator_reg=aggregator_reg).fit(R[:30], data.y[:30])
        losses.append(log_loss(data.y[30:], meta.predict_proba(R[30:])))
    return losses


@pytest.mark.parametrize(
    ("aggregator_reg", "jitter", "n_classes"),
    [("auto", 0.0, 2), (100.0, 0.0, 2), ("auto", 0.05, 2), ("auto", 0.0, 3)],
)
def test_copies_of_a_model_count_as_one(aggregator_reg, jitter, n_classes):
    """They would draw the prior, and with 30 labels the result, to what they say."""
    losses = [
        loss_with_and_without_copies(seed, aggregator_reg, jitter, n_classes) for seed in range(10)
    ]
    once, often = np.mean(losses, axis=0)
    assert abs(often - once) < 0.01


def test_which_columns_are_copies():
    """Another unit makes no difference, nor does order; the opposite, a constant and a model that
    agrees about the class alone are none.
    """
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    first, second, third, fourth = rng.standard_normal((4, 200))
    columns = [first, second, 3.0 * first + 1.0, -first, 0.0 * first, first + 0.001 * second]
    apart = 100.0 * y  # total correlation 0.9998 with each other
    columns += [third + apart, fourth + apart]
    expected = np.array([3, 1, 3, 1, 1, 3, 1, 1])
    for order in (np.arange(8), rng.permutation(8)):
        Y = np.column_stack([*[columns[j] for j in order], np.ones(200)])
        M, t = np.eye(9), np.zeros(9, dtype=int)
        sums = partial(loss_sums, Y=Y, y=y, s=np.ones(200), gamma=0.0)
        np.testing.assert_array_equal(copies_of_columns(sums, M, t), expected[order])


def test_a_copy_of_a_model_agrees_about_all_classes():
    """Columns of models a, b, c by class; c repeats a, and b repeats a for the first class only."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((300, 3))
    b = np.column_stack([a[:, 0], rng.standard_normal((300, 2))])
    Y, M = np.column_stack([a, b, 2.0 * a, np.ones(300)]), np.eye(10)
    M = np.vstack([M[:9], M[9], M[9], M[9]])
    sums = partial(loss_sums, Y=Y, y=np.arange(300) % 3, s=np.ones(300), gamma=0.0)
    copies = copies_of_columns(sums, M, np.tile(np.arange(3), 4))
    np.testing.assert_array_equal(copies, [2, 2, 2, 1, 1, 1, 2, 2, 2])


@pytest.mark.parametrize(("S", "by_class"), [(1, False), (3, False), (3, True)])
def test_copies_have_the_fit_and_the_strength_of_one(S, by_class):
    """Exactly: prior and evidence of the sum of their weights are those of one weight."""
    problem = random_supervision(S, seed=3)
    M, t = problem["M"][:-S, :-1], problem["t"][:-S]
    options = {"gamma": 0.0, "b0": np.zeros(S), "aggregator_reg": "auto", "nonnegative": False}
    options["by_class"] = by_class
    found = []
    for models in ([0, 1, 2, 3], [0, 1, 2, 3, 1, 1, 1]):
        columns = (S * np.array(models)[:, None] + np.arange(S)).ravel()
        w0 = np.full(len(columns), 1.0 / len(models))
        rows = problem["Y"][:, :-1], M[columns], t[columns], problem["y"], np.ones(80)
        found.append((columns, fit_aggregator(*rows, w0=w0, v=np.ones(80), **options)))
    (_, once), (columns, often) = found
    assert often.aggregator_reg == pytest.approx(once.aggregator_reg, rel=1e-6)
    np.testing.assert_allclose(np.bincount(columns, often.w), once.w, atol=1e-6)


@pytest.mark.parametrize(
    "tilt",
    [{"use_class_weights": True}, {"focal_gamma": 2.0}],
    ids=["class weights", "focal loss"],
)
def test_strength_follows_the_curvature_of_the_loss_in_use(tilt):
    """A loss with c times the curvature needs c times the strength for the same shrinkage: the
    weights keep their distance from the prior, instead of following few labels.
    """
    data = make_predictions(600, 8, weights=[0.95, 0.05], random_state=0)
    plain, tilted = (CFEnsemble(**settings).fit(data.R, data.y) for settings in ({}, tilt))
    p = tilted.set_params(posterior="weighted").predict_proba(data.R)[:, 1]
    assert tilted.aggregator_reg_ != pytest.approx(plain.aggregator_reg_, rel=0.2)
    if "use_class_weights" in tilt:  # p (1 - p) under equal classes against that at 5 %
        assert tilted.aggregator_reg_ > 2.0 * plain.aggregator_reg_
        assert p.mean() > 0.2


@pytest.mark.parametrize("tilt", [{"use_class_weights": True}, {"focal_gamma": 2.0}])
def test_models_that_say_nothing_leave_the_prevalence(tilt):
    """No curvature, whose ratio would be 0 / 0."""
    P = (
        CFEnsemble(**tilt)
        .fit(np.full((40, 3), 0.5), np.arange(40) % 4 == 0)
        .predict_proba(np.full((2, 3), 0.5))
    )
    np.testing.assert_allclose(P[:, 1], 0.25, atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(("shift", "noise"), [(8.0, 1.0), (-8.0, 1.0), (4.0, 1e-3)])
@pytest.mark.parametrize("rare", [0.5, 0.01])
def test_models_that_are_far_off_on_average_are_moved_to_the_class_shares(
    n_classes, shift, noise, rare
):
    """A full Newton step from where all probabilities are near 1 led to where all are 0, at a lower
    loss that no step led away from: every row got the same 1e-17.
    """
    rng = np.random.default_rng(0)
    y = np.where(rng.random(1000) < rare, rng.integers(1, n_classes, 1000), 0)
    y[:6] = np.arange(6) % n_classes
    logits = noise * (
        rng.normal(size=(1000, 3, n_classes)) + (y[:, None, None] == np.arange(n_classes))
    )
    logits[:, :, 1] += shift
    R = softmax(logits, axis=2)
    R = R[:, :, 1] if n_classes == 2 else R.reshape(1000, -1)
    meta = CFEnsemble(layout="positive" if n_classes == 2 else "model-major").fit(R, y)
    P, shares = meta.predict_proba(R), np.bincount(y) / 1000
    assert meta.converged_
    np.testing.assert_allclose(P.mean(axis=0), shares, atol=1e-4)
    assert log_loss(y, P) < log_loss(y, np.tile(shares, (1000, 1))) + 1e-3


def test_a_model_that_says_nothing_and_lacks_a_class_gives_the_class_shares():
    """Rows are damped to the shares throughout, so the Hessian is singular and every strength has
    the same evidence: it was infinite, and the fit ended in an IndexError.
    """
    R = np.random.default_rng(0).dirichlet([2, 2, 2], (200, 3))[:, 0]
    R[:, 2] = np.nan
    y = np.arange(200) % 3
    P = CFEnsemble(layout="model-major").fit(R, y).predict_proba(R)
    np.testing.assert_allclose(P, np.tile(np.bincount(y) / 200, (200, 1)), atol=1e-6)

"""What each model adds to the log-odds: sums, single cells against predictions without them."""

import numpy as np
import pytest

from cfens_stack import CFEnsemble, CFEnsembleSearch
from cfens_stack.datasets import make_predictions
from cfens_stack.kernels.adjoint import completion_weights, fold_in_weights
from cfens_stack.kernels.completion import complete
from cfens_stack.kernels.ridge import fold_in


def log_odds(P):
    """Of `classes_[1]`, or of each class against the mean over the classes."""
    logs = np.log(P)
    return logs[:, 1] - logs[:, 0] if P.shape[1] == 2 else logs - logs.mean(axis=1, keepdims=True)


SETTINGS = [
    {},
    {"uncertainty": False},
    {"confidence": "certainty"},
    {"confidence": "certainty", "uncertainty": False},
    {"confidence": "calibration", "latent_dim": 2},
    {"use_class_weights": True},
    {"use_class_weights": True, "posterior": "weighted"},
    {"focal_gamma": 2.0, "posterior": "weighted"},
    {"aggregator": "mean", "use_class_weights": True},
    {"link": "identity", "nonnegative": True},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_they_add_up_to_the_log_odds(n_classes, missing, settings):
    data = make_predictions(250, 5, n_classes=n_classes, missing=missing, random_state=0)
    R = data.R.copy()
    R[-1] = np.nan
    meta = CFEnsemble(tol=1e-3, max_iter=200, **settings).fit(data.R, data.y)
    parts, intercept = meta.contributions(R, return_intercept=True)
    assert parts.shape == ((250, 5) if n_classes == 2 else (250, 5, 3))
    np.testing.assert_allclose(
        parts.sum(axis=1) + intercept, log_odds(meta.predict_proba(R)), atol=1e-9
    )
    gone = np.isnan(R).reshape(250, 5, -1).all(axis=2)
    assert not parts[gone].any()
    assert np.abs(parts[~gone]).max() > 0.1
    np.testing.assert_array_equal(meta.contributions(R), parts)


@pytest.mark.filterwarnings("ignore:Columns .* of R have one value in all rows")
@pytest.mark.parametrize("uncertainty", [True, False])
def test_a_prediction_at_its_mean_takes_its_contribution_away(uncertainty):
    data = make_predictions(250, 5, missing=0.3, random_state=0)
    meta = CFEnsemble(uncertainty=uncertainty).fit(data.R, data.y)
    e, mu = meta.smoothing, meta.column_means_
    at_mean = (1 + 2 * e) / (1 + np.exp(-mu)) - e  # the inverse of the smoothed log-odds
    before, parts = log_odds(meta.predict_proba(data.R)), meta.contributions(data.R)
    for u in range(5):
        rows = np.isfinite(data.R[:, u])
        R = data.R[rows].copy()
        R[:, u] = at_mean[u]
        after = log_odds(meta.predict_proba(R))
        np.testing.assert_allclose(before[rows] - after, parts[rows, u], atol=1e-9)


@pytest.mark.parametrize("order", ["model-major", "class-major"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_columns_of_one_model_count_together_whatever_their_order(n_classes, order):
    data = make_predictions(250, 4, n_classes=n_classes, random_state=0)
    P = data.R.reshape(250, 4, -1)
    P = np.concatenate([1 - P, P], axis=2) if n_classes == 2 else P
    expected = CFEnsemble().fit(data.R, data.y).contributions(data.R)
    R = (P if order == "model-major" else P.transpose(0, 2, 1)).reshape(250, -1)
    parts = CFEnsemble(layout=order if n_classes > 2 else "auto").fit(R, data.y).contributions(R)
    np.testing.assert_allclose(parts, expected, atol=1e-8)


def test_a_model_without_any_prediction_adds_nothing():
    data = make_predictions(250, 4, random_state=0)
    R = data.R.copy()
    R[:, 2] = np.nan
    with pytest.warns(UserWarning, match="no prediction in any row"):
        meta = CFEnsemble(layout="positive").fit(R, data.y)
    parts, intercept = meta.contributions(R, return_intercept=True)
    assert parts.shape == (250, 4)
    assert not parts[:, 2].any()
    np.testing.assert_allclose(parts.sum(axis=1) + intercept, log_odds(meta.predict_proba(R)))


def test_scores_without_a_class_and_several_classes():
    data = make_predictions(250, 3, n_classes=3, random_state=0)
    R = np.log(data.R + 0.01)
    meta = CFEnsemble(layout="scores").fit(R, data.y)
    parts, intercept = meta.contributions(R, return_intercept=True)
    assert parts.shape == (250, 9, 3)
    np.testing.assert_allclose(
        parts.sum(axis=1) + intercept, log_odds(meta.predict_proba(R)), atol=1e-9
    )


def test_they_are_of_the_second_class_whichever_is_positive():
    data = make_predictions(250, 4, missing=0.2, random_state=0)
    names = np.array(["sick", "well"])[1 - data.y]  # the columns give the probability of "sick"
    turned = CFEnsemble(pos_label="sick").fit(data.R, names)
    parts, intercept = turned.contributions(data.R, return_intercept=True)
    straight = CFEnsemble().fit(data.R, data.y).contributions(data.R)
    np.testing.assert_allclose(parts, -straight, atol=1e-9)
    np.testing.assert_allclose(
        parts.sum(axis=1) + intercept, log_odds(turned.predict_proba(data.R)), atol=1e-9
    )


def test_with_the_focal_loss_they_add_up_before_its_correction():
    data = make_predictions(250, 4, random_state=0)
    meta = CFEnsemble(focal_gamma=2.0).fit(data.R, data.y)
    parts, intercept = meta.contributions(data.R, return_intercept=True)
    p = log_odds(meta.set_params(posterior="weighted").predict_proba(data.R))
    np.testing.assert_allclose(parts.sum(axis=1) + intercept, p, atol=1e-9)


def test_of_a_search_they_are_those_of_what_it_selected():
    data = make_predictions(200, 4, random_state=0)
    search = CFEnsembleSearch(3, cv=2, random_state=0).fit(data.R, data.y)
    parts, intercept = search.contributions(data.R, return_intercept=True)
    np.testing.assert_allclose(
        parts.sum(axis=1) + intercept, log_odds(search.predict_proba(data.R)), atol=1e-9
    )
    average = CFEnsembleSearch(3, cv=2, selection="average", n_average=2, random_state=0)
    with pytest.raises(ValueError, match="selection='average' averages 2 configurations"):
        average.fit(data.R, data.y).contributions(data.R)


def test_the_kernels_are_the_adjoints_of_completion_and_fold_in():
    rng = np.random.default_rng(0)
    n, m, d, S = 7, 5, 3, 2
    Z, X, V = rng.normal(size=(n, m)), rng.normal(size=(m, d)), rng.normal(size=(d, S))
    C = np.where(rng.random((n, m)) < 0.4, 0.0, rng.uniform(0.5, 1.5, (n, m)))
    Z[C == 0] = 0
    L = rng.normal(size=(m, m))
    cov, psi, a = L @ L.T + 0.2 * np.eye(m), 0.1, rng.normal(size=(m, S))
    np.testing.assert_allclose(
        np.einsum("nm,nms->ns", Z, fold_in_weights(C, X, 0.3, V)), fold_in(Z, C, X, 0.3) @ V
    )
    moved = completion_weights(C, cov, psi, a)
    np.testing.assert_allclose(
        np.einsum("nm,nms->ns", Z, moved), complete(Z, C, cov, psi) @ a, atol=1e-12
    )
    assert not moved[C == 0].any()

"""Confidence: bounds, missing cells, and that it reaches the factors (a supplied C was once
ignored, mistake 1).
"""

import numpy as np
import pytest

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions
from cfens_stack.ensemble.confidence import (
    calibration,
    certainty,
    check_confidence,
    mean_sums,
)
from cfens_stack.ensemble.label_aware import (
    label_aware_confidence,
    label_aware_scales,
    truth_sums,
)
from cfens_stack.ensemble.rows import Rows


@pytest.fixture(scope="module")
def data():
    return make_predictions(400, 8, weights=[0.7, 0.3], missing=0.1, random_state=0)


def test_an_undecided_prediction_keeps_some_weight():
    """|2 r - 1| alone would drop r = 0.5, and an all-0.5 row would have no factors (mistake 6)."""
    C = certainty(np.array([[0.0, 0.25, 0.5, 0.75, 1.0]]))
    np.testing.assert_allclose(C, [[1.0, 0.55, 0.1, 0.55, 1.0]])
    R = np.random.default_rng(0).random((50, 4))
    R[0] = 0.5
    meta = CFEnsemble(confidence="certainty", link="identity").fit(R, np.arange(50) % 2)
    moved = R[:1] + 0.001 * np.array([[1, -1, 1, -1]])
    assert np.abs(meta.transform(moved) - meta.transform(R[:1])).max() > 1e-6


def test_calibration_is_one_minus_the_brier_score_of_observed_cells():
    R = np.array([[0.9, np.nan, np.nan], [0.2, 1.0, np.nan], [0.6, 0.0, np.nan]])
    targets = np.array([[1, 1, 1], [0, 0, 0], [1, 1, 1]])
    v = np.array([1.0, 1.0, 2.0])
    confidence = calibration(R, targets, v)
    first = 1 - (0.01 + 0.04 + 2 * 0.16) / 4
    assert confidence[0] == pytest.approx(first)
    assert confidence[1] == 0.01  # wrong with certainty, but not lost
    assert confidence[2] == pytest.approx((first + 0.0) / 2)  # no label, no judgement


def label_aware_by_hand(rows, classes, rho):
    """c (rho + (1 - rho) q), with q the probability of the truth, scaled to mean 1 over the cells
    whose truth is known; then all of it to mean 1 over the cells that have a confidence.
    """
    C, v = np.broadcast_to(rows.C, rows.R.shape), rows.v[:, None]
    known = np.isfinite(rows.R) & (rows.y >= 0)[:, None]
    q = np.where(rows.y[:, None] == classes, rows.R, 1.0 - rows.R)
    q = np.where(known & (C > 0), q, 0.0)
    q = q * np.sum(v * (q > 0)) / np.sum(v * q)
    confidence = np.where(known, C * (rho + (1.0 - rho) * q), C)
    return confidence * np.sum(v * (confidence > 0)) / np.sum(v * confidence)


@pytest.mark.parametrize("rho", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("kind", ["complete", "unlabelled", "missing", "filled"])
@pytest.mark.parametrize("per_cell", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_label_aware_confidence_by_hand(n_outputs, per_cell, kind, rho):
    rng = np.random.default_rng(0)
    n, classes = 1500, np.ones(6, dtype=int) if n_outputs == 1 else np.tile(np.arange(3), 2)
    R, v = rng.uniform(size=(n, 6)), rng.gamma(2.0, size=n)
    y = rng.integers(-1 if kind == "unlabelled" else 0, max(n_outputs, 2), n)
    C = rng.uniform(0.5, 2.0, (n, 6) if per_cell else 6)
    observed = None
    if kind in ("missing", "filled"):
        observed = rng.random((n, 6)) < 0.8
        R = np.where(observed, R, np.nan)
        C = np.where(observed, C, 0.0) if kind == "missing" else C
    rows = Rows(R, v, y, observed, Z=np.zeros((n, 6)), C=C)
    scales = label_aware_scales(truth_sums(rows, classes), rho)
    confidence = label_aware_confidence(rows, classes, rho, *scales)
    np.testing.assert_allclose(confidence, label_aware_by_hand(rows, classes, rho), rtol=1e-12)


@pytest.mark.parametrize("labelled", [True, False])
def test_models_that_are_certain_and_always_wrong_leave_confidence_as_it_is(labelled):
    """q = 0 everywhere has no mean to scale by."""
    R, y = np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([0, 1 if labelled else -1])
    rows = Rows(R, np.ones(2), y, Z=np.zeros((2, 2)), C=np.array([0.5, 1.5]))
    classes = np.ones(2, dtype=int)
    sums = truth_sums(rows, classes)
    assert sums[:2] == (0.0, 0.0)
    confidence = label_aware_confidence(rows, classes, 0.0, *label_aware_scales(sums, 0.0))
    np.testing.assert_array_equal(confidence, np.broadcast_to(rows.C, (2, 2)))


def test_scale_is_the_weighted_mean_over_observed_cells():
    C, v = np.array([[1.0, 0.0], [3.0, 5.0]]), np.array([2.0, 1.0])
    assert mean_sums(C, v) == (4.0, 10.0)
    assert mean_sums(np.array([1.0, 3.0]), v) == (6.0, 12.0)


def test_only_ratios_of_confidence_count(data):
    small = CFEnsemble(confidence=lambda R, y: np.full(R.shape, 1e-3)).fit(data.R, data.y)
    uniform = CFEnsemble().fit(data.R, data.y)
    np.testing.assert_allclose(
        small.predict_proba(data.R), uniform.predict_proba(data.R), atol=1e-10
    )


def trust_first(R, y):
    """A function at module level, so that the estimator pickles; trusts the first model ten times
    as much.
    """
    return np.where(np.arange(R.shape[1]) == 0, 10.0, 1.0) * np.ones(R.shape)


@pytest.mark.parametrize("confidence", ["certainty", "calibration", trust_first])
def test_a_chosen_confidence_changes_factors_fold_in_and_predictions(data, confidence):
    uniform = CFEnsemble(latent_dim=3, use_label_aware_confidence=False).fit(data.R, data.y)
    chosen = CFEnsemble(latent_dim=3, use_label_aware_confidence=False, confidence=confidence).fit(
        data.R, data.y
    )
    assert np.abs(uniform.classifier_factors_ - chosen.classifier_factors_).max() > 1e-3
    assert np.abs(uniform.transform(data.R) - chosen.transform(data.R)).max() > 1e-3
    assert np.abs(uniform.predict_proba(data.R) - chosen.predict_proba(data.R)).max() > 1e-4


def test_a_trusted_model_is_reconstructed_better(data):
    uniform, trusting = (
        CFEnsemble(latent_dim=2, confidence=confidence).fit(data.R, data.y)
        for confidence in ("uniform", trust_first)
    )
    errors = [
        np.nanmean((meta.reconstruct(data.R) - data.R)[:, 0] ** 2) for meta in (uniform, trusting)
    ]
    assert errors[1] < 0.9 * errors[0]


def test_named_choice_and_the_same_callable_agree(data):
    named = CFEnsemble(confidence="certainty").fit(data.R, data.y)
    called = CFEnsemble(confidence=lambda R, y: certainty(R)).fit(data.R, data.y)
    np.testing.assert_allclose(
        named.predict_proba(data.R), called.predict_proba(data.R), atol=1e-12
    )


def test_callable_sees_labels_in_training_and_none_for_new_rows(data):
    seen = []

    def watch(R, y):
        seen.append((R.shape, y))
        return np.ones(R.shape)

    y = np.array(["no", "yes"], dtype=object)[data.y]
    y[5] = None
    meta = CFEnsemble(confidence=watch).fit(data.R, y)
    meta.predict_proba(data.R[:3])
    assert seen[0][0] == data.R.shape
    assert seen[0][1].tolist() == y.tolist()
    assert seen[-1][0] == (3, 8)
    assert seen[-1][1] is None


def test_a_prediction_without_confidence_moves_no_factor():
    """Two values of one model change places: its mean and scale stay, so only cells with confidence
    could notice.
    """
    data = make_predictions(300, 6, random_state=0)
    swapped = data.R.copy()
    swapped[[0, 1], 2] = swapped[[1, 0], 2]

    def distrust(R, y):
        C = np.ones(R.shape)
        C[:2, 2] = 0.0
        return C

    def fit(R, confidence):
        settings = {
            "latent_dim": 3,
            "use_label_aware_confidence": False,
            "max_iter": 5000,
            "tol": 1e-14,
        }
        return CFEnsemble(confidence=confidence, **settings).fit(R, data.y)

    ignored, still_ignored, noticed = (
        fit(data.R, distrust),
        fit(swapped, distrust),
        fit(swapped, "uniform"),
    )
    np.testing.assert_allclose(
        ignored.classifier_factors_, still_ignored.classifier_factors_, atol=1e-5
    )
    np.testing.assert_allclose(
        ignored.transform(data.R), still_ignored.transform(swapped), atol=1e-5
    )
    assert (
        np.abs(fit(data.R, "uniform").classifier_factors_ - noticed.classifier_factors_).max()
        > 1e-3
    )


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.ones((4, 3)), r"returned shape \(4, 3\), but R has shape \(4, 2\)"),
        (np.ones(2), r"returned shape \(2,\)"),
        (-np.ones((4, 2)), "negative, not finite or all zero"),
        (np.full((4, 2), np.nan), "negative, not finite or all zero"),
        (np.full((4, 2), np.inf), "negative, not finite or all zero"),
        (np.zeros((4, 2)), "negative, not finite or all zero"),
    ],
)
def test_what_a_callable_may_not_return(returned, message):
    with pytest.raises(ValueError, match=message):
        check_confidence(lambda R, y: returned, np.full((4, 2), 0.5), np.zeros(4))


def test_a_callable_need_not_know_missing_cells():
    R = np.array([[0.5, np.nan]])
    C = check_confidence(lambda R, y: R * 2, R, None)
    assert C[0, 0] == 1.0


def test_callable_that_is_zero_on_every_row_in_use_is_refused():
    """Rows of weight 0 do not count."""
    data = make_predictions(n_samples=40, n_models=3, random_state=0)
    first = np.arange(40) < 3
    model = CFEnsemble(confidence=lambda R, y: np.repeat(first[:, None] * 1.0, R.shape[1], axis=1))
    with pytest.raises(ValueError, match="all zero where R has predictions"):
        model.fit(data.R, data.y, sample_weight=~first * 1.0)

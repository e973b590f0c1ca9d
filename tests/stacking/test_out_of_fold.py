"""The prediction matrix: no label meets its own cell, repeats are averaged, scores become
probabilities.
"""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import KFold, RepeatedKFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC, LinearSVC

from cfens_stack import StackingPipeline
from cfens_stack.stacking.base_predictions import (
    Predictions,
    apply_platt_map,
    fit_platt_map,
    predictions_of,
)
from cfens_stack.stacking.failures import FitFailure
from cfens_stack.stacking.fits import Fit
from cfens_stack.stacking.out_of_fold import average_into, fill_block

BINARY = np.array([0, 1])


def score_block(scores, splits, y, classes=BINARY):
    """Probabilities from given out-of-fold scores, the same whenever a row is held out."""
    block = np.empty((len(y), 1 if len(classes) == 2 else len(classes)))
    fits = [Fit(Predictions(scores[test], False), None) for _, test in splits]
    return block, *fill_block(block, "m", fits, splits, y, None, classes)


def informative_scores(n=300, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return 2.0 * y[:, None] + rng.normal(size=(n, 1)), y


def test_the_calibration_of_a_fold_does_not_see_its_labels():
    scores, y = informative_scores()
    splits = list(KFold(3, shuffle=True, random_state=0).split(scores))
    block, _, _ = score_block(scores, splits, y)
    for fold, (train, test) in enumerate(splits):
        changed = y.copy()
        changed[test] = 1 - y[test]
        other, _, _ = score_block(scores, splits, changed)
        np.testing.assert_array_equal(other[test], block[test], err_msg=f"fold {fold}")
        assert (
            np.abs(other[train] - block[train]).min() > 1e-4
        )  # the other folds do learn from them


def test_what_a_label_does_to_its_own_cell():
    """Nothing, of a model with predict_proba; little, of one with scores, through the scores of the
    other folds, whose models have seen the label.
    """
    X, y = make_classification(200, flip_y=0.1, class_sep=0.7, random_state=0)
    splits = list(KFold(4, shuffle=True, random_state=0).split(X))
    models = [GaussianNB(), LinearSVC(random_state=0)]

    def oof(y):
        return StackingPipeline(models, cv=splits, random_state=0).fit(X, y).oof_

    first, moved = oof(y), []
    for row in range(0, 200, 20):
        changed = y.copy()
        changed[row] = 1 - y[row]
        moved.append(np.abs(oof(changed)[row] - first[row]))
    assert np.max(moved, axis=0)[0] == 0
    assert 0 < np.max(moved, axis=0)[1] < 0.03


def test_scores_of_a_time_series_are_calibrated_on_the_past():
    scores, y = informative_scores()
    splits = list(TimeSeriesSplit(4).split(scores))
    block, calibrator, failures = score_block(scores, splits, y)
    first = splits[0][1]
    (failure,) = failures
    assert failure.fold == 0
    assert "no out-of-fold scores of two classes" in failure.reason
    assert np.isnan(block[: first[-1] + 1]).all()
    assert np.isfinite(block[first[-1] + 1 :]).all()
    train, test = splits[2]
    past = train[train >= first[0]]
    np.testing.assert_array_equal(
        block[test], apply_platt_map(fit_platt_map(scores[past], y[past], None), scores[test], 2)
    )
    everything = fit_platt_map(scores[first[0] :], y[first[0] :], None)
    np.testing.assert_allclose(calibrator.coef_, everything.coef_)


def test_noise_calibrates_to_the_prevalence():
    rng = np.random.default_rng(0)
    y = (rng.random(2000) < 0.1).astype(int)
    splits = list(RepeatedKFold(n_splits=4, n_repeats=2, random_state=0).split(y))
    block, _, failures = score_block(rng.normal(size=(2000, 1)) * 50, splits, y)
    assert failures == []
    np.testing.assert_allclose(block, 0.1, atol=0.04)
    assert abs(roc_auc_score(y, block[:, 0]) - 0.5) < 0.06


def test_scores_that_are_not_finite_are_missing_and_teach_nothing():
    scores, y = informative_scores()
    splits = list(KFold(3).split(scores))
    scores[:10] = np.inf
    scores[10:20] = np.nan
    block, calibrator, failures = score_block(scores, splits, y)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(block[:, 0])), np.arange(20))
    assert failures == [FitFailure("m", 0, "20 of 100 predictions are NaN or infinite")]
    np.testing.assert_allclose(calibrator.coef_, fit_platt_map(scores[20:], y[20:], None).coef_)


def test_the_calibrator_is_logistic_regression_on_standardised_scores():
    scores, y = informative_scores()
    weights = np.random.default_rng(1).integers(0, 4, len(y))
    weighted, repeated = (
        fit_platt_map(scores, y, weights),
        fit_platt_map(scores.repeat(weights, 0), y.repeat(weights), None),
    )
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-4)
    np.testing.assert_allclose(weighted.intercept_, repeated.intercept_, rtol=1e-4)
    scaled = fit_platt_map(1e6 * scores - 1e8, y, None)
    expected = apply_platt_map(fit_platt_map(scores, y, None), scores, 2)
    np.testing.assert_allclose(apply_platt_map(scaled, 1e6 * scores - 1e8, 2), expected, rtol=1e-4)
    standardised = (scores - scores.mean()) / scores.std()
    np.testing.assert_allclose(
        expected[:, 0],
        LogisticRegression(C=10.0).fit(standardised, y).predict_proba(standardised)[:, 1],
        rtol=1e-3,
    )


def test_averages_count_finite_predictions_only():
    block = np.empty((4, 2))
    average_into(
        block,
        [
            (np.array([0, 1]), np.array([[0.2, 0.8], [np.nan, 0.5]])),
            (np.array([1, 2]), np.array([[0.4, np.inf], [0.1, 0.3]])),
            (np.array([0]), np.array([[0.6, 0.4]])),
        ],
    )
    np.testing.assert_allclose(block, [[0.4, 0.6], [0.4, 0.5], [0.1, 0.3], [np.nan, np.nan]])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    ("model", "width"),
    [
        (LinearSVC(), {2: 1, 3: 3}),
        (SVC(decision_function_shape="ovo"), {2: 1, 3: 3}),
        (Ridge(), {2: 1, 3: 1}),
        (LogisticRegression(), {2: 1, 3: 3}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_model_ends_in_probabilities(model, width, n_classes):
    rng = np.random.default_rng(0)
    y = np.arange(300) % n_classes
    X = rng.normal(size=(300, 3)) + 1.5 * y[:, None]
    splits = list(KFold(5, shuffle=True, random_state=0).split(X))
    fits = [
        Fit(predictions_of(model.fit(X[train], y[train]), X[test], np.arange(n_classes)), None)
        for train, test in splits
    ]
    assert fits[0].predictions.values.shape == (60, width[n_classes])
    block = np.empty((300, 1 if n_classes == 2 else 3))
    calibrator, failures = fill_block(block, "m", fits, splits, y, None, np.arange(n_classes))
    assert failures == []
    P = np.column_stack([1 - block, block]) if n_classes == 2 else block
    np.testing.assert_allclose(P.sum(axis=1), 1)
    assert log_loss(y, P) < 0.6 * np.log(n_classes)
    assert (calibrator is None) == isinstance(model, LogisticRegression)


def test_hard_labels_become_how_often_they_are_right():
    class Hard(ClassifierMixin, BaseEstimator):
        def predict(self, X):
            return (X[:, 0] > 0).astype(int)

    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 1))
    y = np.where(rng.random(4000) < 0.8, X[:, 0] > 0, X[:, 0] <= 0).astype(int)
    scores = predictions_of(Hard(), X, BINARY)
    np.testing.assert_array_equal(np.unique(scores.values), [0, 1])
    block, _, _ = score_block(scores.values, list(KFold(4).split(X)), y)
    np.testing.assert_allclose(block[:, 0], np.where(X[:, 0] > 0, 0.8, 0.2), atol=0.03)


class Returning(ClassifierMixin, BaseEstimator):
    """Returns what it is told to."""

    def __init__(self, classes=None, **methods):
        if classes is not None:
            self.classes_ = np.array(classes)
        for name, values in methods.items():
            setattr(self, name, lambda X, values=values: values)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            Returning([0, 1], predict_proba=np.ones((4, 2))),
            r"shape \(4, 2\), but 5 rows and 2 classes make \(5, 2\)",
        ),
        (Returning([0, 1], predict_proba=np.ones(5)), r"shape \(5,\)"),
        (
            Returning([0, 1], predict_proba=np.ones((5, 2))),
            r"do not sum to 1, 5 of 5, the first of them \[1., 1.\]",
        ),
        (
            Returning([0, 1], predict_proba=np.tile([-0.5, 1.5], (5, 1))),
            r"negative .* of them \[-0.5,  1.5\]",
        ),
        (Returning([0, 1], predict_proba=np.ones((5, 3))), r"shape \(5, 3\)"),
        (Returning([1], predict_proba=np.ones((5, 1))), "only one class"),
        (Returning(["no", "yes"], predict_proba=np.ones((5, 2))), "its classes_ are"),
        (
            Returning(decision_function=np.ones(4)),
            r"decision_function returned shape \(4,\) for 5 rows",
        ),
        (
            Returning(predict=np.array([0, 1, 0, 1, 7])),
            "something else than one of the codes 0 to 1",
        ),
        (Returning(predict=np.ones((5, 2), dtype=int)), "something else"),
    ],
)
def test_wrong_outputs_say_what_is_wrong(model, message):
    with pytest.raises(ValueError, match=message):
        predictions_of(model, np.zeros((5, 2)), BINARY)


def test_a_class_the_model_never_saw_is_missing():
    model = Returning([0, 2], predict_proba=np.array([[0.3, 0.7]]))
    np.testing.assert_array_equal(
        predictions_of(model, np.zeros((1, 2)), np.arange(3)).values, [[0.3, np.nan, 0.7]]
    )

"""Base models that come fitted: cv="prefit", and what would pass for out of fold without it."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import BaseModelWarning, StackingPipeline

NAMES = np.array(["ant", "bee", "cat"])


def data(n=300, n_classes=2, seed=0):
    y = np.arange(n) % n_classes
    return np.random.default_rng(seed).normal(size=(n, 4)) + y[:, None], y


@pytest.mark.parametrize(
    "model",
    [
        FrozenEstimator(DecisionTreeClassifier().fit(*data())),
        make_pipeline(PCA(2), FrozenEstimator(DecisionTreeClassifier())),
        CalibratedClassifierCV(FrozenEstimator(GaussianNB())),
        FrozenEstimator(Ridge().fit(*data())),
    ],
    ids=["frozen", "in a pipeline", "calibrated", "a regressor"],
)
def test_a_frozen_model_is_refused_where_folds_would_fit_it(model):
    with pytest.raises(ValueError, match=r"'a' is, or holds, a frozen model.*cv='prefit'"):
        StackingPipeline([("a", model)], cv=3).fit(*data())


def test_a_frozen_transformer_is_no_model():
    X, y = data()
    model = make_pipeline(FrozenEstimator(PCA(2).fit(X)), GaussianNB())
    assert StackingPipeline([model], cv=3).fit(X, y).failures_ == []


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("labels", [np.arange(3), NAMES], ids=["codes", "names"])
def test_predictions_of_fitted_models_are_the_matrix(n_classes, labels):
    X, y = data(n_classes=n_classes)
    y = labels[y]
    given = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=2))]
    given = [(name, model.fit(X[:100], y[:100])) for name, model in given]
    stack = StackingPipeline(given, cv="prefit", random_state=0).fit(X[100:], y[100:])
    expected = [model.predict_proba(X[100:]) for _, model in given]
    width = 1 if n_classes == 2 else 3
    np.testing.assert_allclose(stack.oof_, np.hstack([P[:, -width:] for P in expected]), rtol=1e-12)
    np.testing.assert_allclose(stack.base_predictions(X[100:]), stack.oof_, rtol=1e-12)
    assert stack.estimators_[0] is given[0][1]
    assert list(stack.classes_) == list(labels[:n_classes])
    assert (stack.predict(X) == y).mean() > 0.7
    assert stack.fit_times_ == {"bayes": 0.0, "tree": 0.0}


def test_frozen_models_survive_a_clone():
    X, y = data()
    frozen = [FrozenEstimator(GaussianNB().fit(X[:100], y[:100]))]
    stack = clone(StackingPipeline(frozen, cv="prefit", random_state=0)).fit(X[100:], y[100:])
    assert np.isfinite(stack.oof_).all()


def test_scores_of_fitted_models_are_calibrated_out_of_fold():
    X, y = data()
    svm = LinearSVC().fit(X[:100], y[:100])
    stack = StackingPipeline([svm], cv="prefit", random_state=0).fit(X[100:], y[100:])
    assert log_loss(y[100:], stack.oof_[:, 0]) < 0.5
    new = stack.base_predictions(X[100:])
    assert 0 < np.abs(new - stack.oof_).max() < 0.05  # the map of all rows, and those of folds


def test_rows_without_a_label():
    X, y = data()
    given = GaussianNB().fit(X[:100], y[:100])
    labels = y[100:].astype(float)
    labels[::3] = np.nan
    stack = StackingPipeline([given, LinearSVC().fit(X[:100], y[:100])], cv="prefit")
    stack.fit(X[100:], labels)
    np.testing.assert_allclose(stack.oof_[:, 0], given.predict_proba(X[100:])[:, 1])
    assert np.isfinite(stack.oof_).all()


def test_models_that_are_not_fitted_or_know_other_labels_are_lost_with_the_reason():
    X, y = data()
    good, other = GaussianNB().fit(X, y), GaussianNB().fit(X, NAMES[y])
    with pytest.warns(BaseModelWarning) as caught:
        stack = StackingPipeline(
            [("good", good), ("bare", GaussianNB()), ("other", other)], cv="prefit"
        ).fit(X, y)
    assert [(failure.model, failure.fold) for failure in stack.failures_] == [
        ("bare", None),
        ("other", None),
    ]
    messages = [str(record.message) for record in caught]
    assert any(NotFittedError.__name__ in message for message in messages)
    assert any("its classes_ are" in message for message in messages)
    assert stack.estimators_[1:] == [None, None]


def test_refits_work_as_after_any_other_fit():
    X, y = data()
    given = [("a", GaussianNB().fit(X[:50], y[:50])), ("b", Ridge().fit(X[:50], y[:50]))]
    stack = StackingPipeline(given, cv="prefit", random_state=0).fit(X[50:], y[50:])
    assert isinstance(stack.refit_meta(LogisticRegression()).meta_, LogisticRegression)
    assert stack.set_params(b="drop").refit_meta(None).model_names_ == ["a"]

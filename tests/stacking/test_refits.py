"""Refits: all of one or nothing, on the columns that are left, with what the fit was given."""

import numpy as np
import pytest
from failing_models import Classifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import BaseModelError, CFEnsemble, StackingPipeline


def data(n=120, seed=0):
    y = np.arange(n) % 2
    return np.random.default_rng(seed).normal(size=(n, 3)) + y[:, None], y


def models():
    return [
        ("bayes", GaussianNB()),
        ("tree", DecisionTreeClassifier(max_depth=3)),
        ("logistic", LogisticRegression()),
    ]


def state(stack):
    """What a pipeline answers and shows."""
    X, _ = data()
    shown = {key: repr(value) for key, value in vars(stack).items()}
    return shown, stack.predict_proba(X), stack.base_predictions(X), stack.predict(X)


def assert_unchanged(stack, before):
    after = state(stack)
    assert after[0] == before[0]
    for now, then in zip(after[1:], before[1:], strict=True):
        np.testing.assert_array_equal(now, then)


class Ending(Classifier):
    """Raises what it is told to, once it is told to."""

    error = None

    def fit(self, X, y):
        if Ending.error is not None:
            raise Ending.error
        return super().fit(X, y)


@pytest.fixture
def ending():
    yield Ending
    Ending.error = None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("boom")], ids=repr)
def test_a_refit_that_ends_early_leaves_the_object_as_it_was(ending, error):
    X, y = data()
    stack = StackingPipeline(
        [("a", Ending()), ("b", GaussianNB())], cv=3, random_state=0, on_failure="raise"
    ).fit(X, np.array(["no", "yes"])[y])
    before = state(stack)
    ending.error = error
    with pytest.raises(
        KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else BaseModelError
    ):
        stack.fit(X[:60, :2], np.array(["yes", "a new one"])[1 - y[:60]])  # classes change places
    assert_unchanged(stack, before)


class EndingMeta(ClassifierMixin, BaseEstimator):
    """Fails once the base models are fitted."""

    def fit(self, R, y):
        raise MemoryError("boom")

    def predict(self, R):
        return np.zeros(len(R), dtype=int)


def test_a_meta_learner_that_fails_leaves_the_old_base_models():
    X, y = data()
    stack = StackingPipeline(models(), cv=3, random_state=0).fit(X, y)
    stack.set_params(meta=EndingMeta())
    before = state(stack)
    with pytest.raises(MemoryError):
        stack.fit(X, 1 - y)
    assert_unchanged(stack, before)


@pytest.mark.parametrize(
    ("meta", "error"),
    [(EndingMeta(), MemoryError), ("logistic", ValueError), (LogisticRegression, TypeError)],
    ids=["fails", "a word", "a class"],
)
def test_a_failed_refit_of_the_meta_learner_leaves_the_parameter_too(meta, error):
    X, y = data()
    stack = StackingPipeline(models(), cv=3, random_state=0, meta=CFEnsemble()).fit(X, y)
    before = state(stack)
    with pytest.raises(error):
        stack.refit_meta(meta)
    assert_unchanged(stack, before)


def test_a_refused_first_fit_leaves_an_object_that_is_not_fitted():
    X, y = data()
    stack = StackingPipeline(models(), cv=3, meta=EndingMeta())
    with pytest.raises(MemoryError):
        stack.fit(X, y)
    assert not [name for name in vars(stack) if name.endswith("_") or name.startswith("_")]


@pytest.mark.parametrize("as_dict", [False, True])
def test_a_dropped_model_leaves_with_its_column(as_dict):
    X, y = data()
    pairs = dict(models()) if as_dict else models()
    stack = StackingPipeline(pairs, cv=3, random_state=0).fit(X, y)
    stack.set_params(tree="drop").refit_meta(None)
    alone = StackingPipeline(models()[::2], cv=3, random_state=0).fit(X, y)
    assert stack.model_names_ == alone.model_names_ == ["bayes", "logistic"]
    assert list(stack.named_estimators_) == list(stack.fit_times_) == ["bayes", "logistic"]
    np.testing.assert_array_equal(stack.oof_, alone.oof_)
    np.testing.assert_array_equal(stack.predict_proba(X), alone.predict_proba(X))
    with pytest.raises(ValueError, match="estimators has 'tree', which the fit did not have"):
        stack.set_params(tree=DecisionTreeClassifier()).refit_meta(None)


def test_dropped_columns_of_several_classes_and_scores():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    X = rng.normal(size=(120, 3)) + y[:, None]
    stack = StackingPipeline(models(), cv=3, random_state=0).fit(X, y)
    columns = stack.oof_[:, 3:]
    stack.set_params(bayes="drop").refit_meta(None)
    np.testing.assert_array_equal(stack.oof_, columns)
    assert stack.base_predictions(X).shape == (120, 6)


def test_what_the_caller_changes_after_the_fit_does_not_matter():
    X, y = data()
    weights, groups = np.linspace(0.1, 3, len(y)), np.arange(len(y)) // 2
    stack = StackingPipeline([GaussianNB()], cv=3, random_state=0)
    stack.fit(X, y, sample_weight=weights, groups=groups)
    first = stack.predict_proba(X)
    weights[:] = np.where(y == 1, 1e-6, 1.0)
    groups[:] = 0
    y_before, y[:] = y.copy(), 0
    np.testing.assert_array_equal(stack.refit_meta(None).predict_proba(X), first)
    y[:] = y_before

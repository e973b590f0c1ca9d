"""Refits: all of one or nothing, on the columns that are left, with what the fit was given."""

import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from failing_models import Classifier, Counting, n_fits
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import BaseModelError, BaseModelWarning, CFEnsemble, StackingPipeline


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


# One model more


@pytest.mark.parametrize(
    "table", [np.asarray, pd.DataFrame, csr_array], ids=lambda kind: kind.__name__
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_model_that_is_added_is_fitted_alone(tmp_path, table, n_classes):
    X, y = data()
    y = np.arange(len(y)) % n_classes
    X = table(X)
    if table is pd.DataFrame:
        X.columns = ["a", "b", "c"]
    weights = np.linspace(0.5, 2, len(y))
    tree = DecisionTreeClassifier(max_features=1)
    first = LogisticRegression(C=0.1)
    kept = Counting(str(tmp_path)) if table is np.asarray else LinearSVC(random_state=0)
    stack = StackingPipeline([("kept", kept), ("first", first)], cv=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BaseModelWarning)  # Counting takes no weights
        stack.fit(X, y, sample_weight=weights)
        n_before = n_fits(tmp_path)
        assert stack.add("tree", tree, X) is stack
        assert n_fits(tmp_path) == n_before
        models = [("kept", kept), ("first", first), ("tree", tree)]
        together = StackingPipeline(models, cv=3, random_state=0)
        together.fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(stack.oof_, together.oof_)
    np.testing.assert_array_equal(stack.predict_proba(X), together.predict_proba(X))
    assert stack.get_params()["tree"] is tree
    assert list(stack.fit_times_) == ["kept", "first", "tree"]


def test_splitters_that_draw_anew_keep_the_folds_of_the_fit():
    X, y = data()
    cv = StratifiedKFold(3, shuffle=True)  # without a seed
    stack = StackingPipeline([("a", GaussianNB())], cv=cv, random_state=0).fit(X, y)
    stack.add("b", GaussianNB(), X)
    np.testing.assert_array_equal(stack.oof_[:, 0], stack.oof_[:, 1])


def test_a_model_is_added_to_the_default_pool_and_after_one_was_dropped():
    X, y = data()
    stack = StackingPipeline(dict(models()), cv=3, random_state=0).fit(X, y)
    stack.set_params(tree="drop").add("naive", GaussianNB(var_smoothing=0.1), X)
    assert stack.model_names_ == list(stack.estimators) == ["bayes", "logistic", "naive"]
    pool = StackingPipeline(cv=2, random_state=0).fit(X, y)
    pool.add("bayes", GaussianNB(), X)
    assert len(pool.model_names_) == 11


@pytest.mark.parametrize(
    ("name", "model", "change", "message"),
    [
        ("new", GaussianNB(), lambda X: X[::-1], "X is not the table that the stack was fitted on"),
        ("new", GaussianNB(), lambda X: X[:-1], "of 120 rows, or its rows stand in another order"),
        ("new", GaussianNB(), lambda X: X + 1e-9, "X is not the table"),
        ("new", GaussianNB(), lambda X: X[:, :2], "X has 2 features"),
        ("tree", GaussianNB(), lambda X: X, "taken"),
        ("cv", GaussianNB(), lambda X: X, "is a parameter"),
        ("new", LogisticRegression(C=-1), lambda X: X, "InvalidParameterError"),
        ("new", FrozenEstimator(GaussianNB()), lambda X: X, "frozen model"),
    ],
)
@pytest.mark.parametrize("as_dict", [False, True])
def test_what_cannot_be_added_leaves_the_object_as_it_was(name, model, change, message, as_dict):
    X, y = data()
    pairs = dict(models()) if as_dict else models()
    stack = StackingPipeline(pairs, cv=3, random_state=0).fit(X, y)
    before = state(stack)
    with pytest.raises(ValueError, match=message):
        stack.add(name, model, change(X))
    assert_unchanged(stack, before)


# Serving


def test_a_copy_for_serving_predicts_the_same_and_is_smaller():
    X, y = data(2000)
    stack = StackingPipeline(models(), cv=3, random_state=0).fit(X, y)
    served = stack.for_serving()
    assert not hasattr(served, "oof_")
    np.testing.assert_array_equal(served.predict_proba(X), stack.predict_proba(X))
    np.testing.assert_array_equal(served.predict(X), stack.predict(X))
    assert len(pickle.dumps(served)) < 0.3 * len(pickle.dumps(stack))
    loaded = pickle.loads(pickle.dumps(served))
    np.testing.assert_array_equal(loaded.predict_proba(X), stack.predict_proba(X))
    assert "for serving" in served._repr_html_()
    assert stack.oof_.shape == (2000, 3)
    for call in (
        lambda: served.refit_meta(None),
        lambda: served.leaderboard(),
        lambda: served.add("b", GaussianNB(), X),
        served.for_serving,
    ):
        with pytest.raises(ValueError, match=r"made by for_serving\(\) and has no data"):
            call()
    assert served.fit(X, y).oof_.shape == (2000, 3)


class Opposite(GaussianNB):
    """Predicts the opposite, and so gets slope and weight 0."""

    def predict_proba(self, X):
        if self.silent:
            raise AssertionError("asked")
        return super().predict_proba(X)[:, ::-1]

    silent = False


def test_models_of_weight_0_and_lost_ones_are_not_asked_any_more(monkeypatch):
    X, y = data(400)
    pairs = [*models(), ("opposite", Opposite()), ("broken", LogisticRegression(C=-1))]
    with pytest.warns(BaseModelWarning):
        stack = StackingPipeline(
            pairs, cv=3, random_state=0, meta=CFEnsemble(nonnegative=True)
        ).fit(X, y)
    assert stack.meta_.coef_[3] == 0
    used = [name for name, w in zip(stack.model_names_, stack.meta_.coef_, strict=True) if w != 0]
    served = stack.for_serving()
    assert served.model_names_ == used
    P = stack.predict_proba(X)
    monkeypatch.setattr(Opposite, "silent", True)
    assert np.abs(served.predict_proba(X) - P).max() < 0.05
    assert stack.model_names_ == [name for name, _ in pairs]
    assert len(stack.estimators) == 5


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_base_predictions_in_threads_are_the_same(n_jobs):
    X, y = data()
    stack = StackingPipeline(models(), cv=3, random_state=0).fit(X, y)
    one = stack.base_predictions(X)
    np.testing.assert_array_equal(stack.set_params(n_jobs=n_jobs).base_predictions(X), one)


class Where(GaussianNB):
    """Notes the thread that predicts, and waits for the others."""

    def predict_proba(self, X):
        if len(X) == 7:
            BARRIER.wait(60)  # passes only when two predict at the same time
        return super().predict_proba(X)


BARRIER = threading.Barrier(2)


def test_models_predict_at_the_same_time():
    X, y = data()
    stack = StackingPipeline([Where(), Where()], cv=3, random_state=0).fit(X, y)
    assert stack.set_params(n_jobs=2).predict(X[:7]).shape == (7,)

"""Warnings: those of base models, told once per model; ours, at the line of the caller."""

import linecache
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from failing_models import Classifier, Misbehaving
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from cfens_stack import BaseModelWarning, StackingPipeline


def data(n=120, n_classes=2):
    y = np.arange(n) % n_classes
    X = np.random.default_rng(0).normal(size=(n, 4)) + y[:, None]
    X[:, 0] = np.arange(n)
    return X, y


def stack(*models, **settings):
    settings = {"cv": 3, "random_state": 0} | settings
    return StackingPipeline([(f"m{u}", model) for u, model in enumerate(models)], **settings)


class Talking(Classifier):
    """Warns in each fit, twice in two categories, in a message of two lines."""

    def fit(self, X, y):
        warnings.warn("first line\nsecond line", ConvergenceWarning, stacklevel=2)
        warnings.warn(f"{len(X)} rows", FutureWarning, stacklevel=2)
        return super().fit(X, y)


class Abstaining(GaussianNB):
    """Says nothing of rows far out."""

    def predict_proba(self, X):
        far = np.abs(X[:, 1:]).max(axis=1, keepdims=True) > 100
        return np.where(far, np.nan, super().predict_proba(X))


# Base models' own


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_one_line_per_model_with_the_folds(backend):
    X, y = data()
    with pytest.warns(BaseModelWarning) as caught, parallel_config(backend, n_jobs=2):
        fitted = stack(Talking(), Classifier(), Talking()).fit(X, y)
    assert [str(record.message) for record in caught] == [
        f"Base model '{name}' warned in fold 0, fold 1, fold 2, final fit (of 3 folds): "
        "ConvergenceWarning: first line second line; FutureWarning: 80 rows. warnings_ has each in "
        "full."
        for name in ("m0", "m2")
    ]
    assert len(fitted.warnings_) == 2 * 2 * 4
    last = fitted.warnings_[-2]
    assert (last.model, last.fold, last.category) == ("m2", None, "ConvergenceWarning")
    assert last.message == "first line\nsecond line"
    assert fitted.failures_ == []


def test_the_cache_remembers_them(tmp_path):
    X, y = data()
    for _ in range(2):
        with pytest.warns(BaseModelWarning, match="'m0' warned in fold 0, fold 1, fold 2, final"):
            fitted = stack(Talking(), memory=tmp_path).fit(X, y)
    assert len(fitted.warnings_) == 8


def test_filters_hold_for_base_models_too():
    X, y = data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        assert stack(Talking()).fit(X, y).warnings_ == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BaseModelWarning)
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ValueError, match="No base model is left"):
            stack(Talking()).fit(X, y)


def test_afterwards_warnings_go_where_they_went():
    before = warnings.showwarning
    with parallel_config("threading", n_jobs=2), pytest.warns(BaseModelWarning):
        stack(Talking(), Talking()).fit(*data())
    assert warnings.showwarning is before
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", UserWarning, stacklevel=1)


def test_two_fits_in_threads_of_the_caller_keep_theirs_apart():
    before = warnings.showwarning
    inside = threading.Barrier(2)

    class Meeting(Classifier):
        """Both fits are on their way when either warns."""

        def fit(self, X, y):
            inside.wait(60)
            warnings.warn(f"{len(X)} rows", FutureWarning, stacklevel=2)
            return super().fit(X, y)

    def fit(n):
        splits = [(np.arange(n - 20), np.arange(n - 20, n))]
        return StackingPipeline([Meeting()], cv=splits, random_state=0).fit(*data(n))

    with pytest.warns(BaseModelWarning) as caught, ThreadPoolExecutor(2) as pool:
        fits = list(pool.map(fit, [60, 120]))
    assert len(caught) == 2
    for fitted, sizes in zip(fits, ([40, 60], [100, 120]), strict=True):
        assert [warned.message for warned in fitted.warnings_] == [f"{n} rows" for n in sizes]
    assert warnings.showwarning is before


def test_a_stack_as_a_base_model_passes_them_on():
    X, y = data()
    with pytest.warns(
        BaseModelWarning, match="'m0' warned in .*: BaseModelWarning: Base model"
    ) as caught:
        fitted = stack(stack(Talking())).fit(X, y)
    assert len(caught) == 1
    assert {warned.category for warned in fitted.warnings_} == {"BaseModelWarning"}


# Ours


def rare_class():
    X, y = data()
    y[:] = 0
    y[:2] = 1
    stack(GaussianNB()).fit(X, y)  # here


def no_weights():
    X, y = data()
    stack(KNeighborsClassifier()).fit(X, y, sample_weight=np.ones(len(y)))  # here


def failing_fit():
    stack(Classifier(), Misbehaving("raise")).fit(*data())  # here


def talking_fit():
    stack(Talking()).fit(*data())  # here


def failing_on_new_rows():
    X, y = data()
    fitted = stack(GaussianNB(), Abstaining()).fit(X, y)
    del fitted.named_estimators_["m0"].theta_
    fitted.predict_proba(X)  # here


def abstaining_on_new_rows():
    X, y = data()
    fitted = stack(GaussianNB(), Abstaining()).fit(X, y)
    fitted.predict(X * 1000)  # here


def inside_a_search():
    search = GridSearchCV(
        stack(Talking()), {}, cv=[(np.arange(90), np.arange(90, 120))], refit=False
    )
    search.fit(*data())  # here


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (rare_class, "Class 1 has 2 rows, fewer than cv=3 folds"),
        (no_weights, "The fit of 'm0' takes no sample_weight"),
        (failing_fit, "'m1', fold . .*boom. These predictions are missing"),
        (talking_fit, "'m0' warned in"),
        (failing_on_new_rows, "'m0' failed to predict new rows"),
        (abstaining_on_new_rows, "'m1' gave NaN or infinite predictions for 120 of 120 new rows"),
        (inside_a_search, "'m0' warned in"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_warning_points_at_the_line_of_the_caller(call, message):
    with pytest.warns(UserWarning, match=message) as caught:
        call()
    (record,) = caught
    assert record.filename == __file__
    assert linecache.getline(__file__, record.lineno).endswith("# here\n")


def test_the_warning_of_a_lost_model_says_so():
    X, y = data()
    with pytest.warns(BaseModelWarning) as caught:
        fitted = stack(
            Classifier(), Misbehaving("raise", row=None, n_rows=len(X)), Misbehaving("raise")
        ).fit(X, y)
    lost, missing = (str(record.message) for record in caught)
    assert "'m1', final fit (of 3 folds): RuntimeError: boom. The model is lost" in lost
    assert "for new rows too" in lost
    assert "lost" not in missing
    assert fitted.estimators_[1] is None


# Models that abstain


def test_rows_that_every_model_abstains_from_are_missing_cells():
    X, y = data()
    fitted = stack(Abstaining(), Abstaining(var_smoothing=0.1)).fit(X, y)
    new = X[:6].copy()
    new[:2, 1:] = 1e6
    with pytest.warns(BaseModelWarning, match="gave NaN or infinite predictions for 2 of 6 new"):
        together = fitted.predict_proba(new)
    with pytest.warns(BaseModelWarning, match="for 2 of 2 new rows"):
        np.testing.assert_array_equal(fitted.predict_proba(new[:2]), together[:2])
    np.testing.assert_allclose(fitted.predict_proba(new[2:]), together[2:], rtol=1e-12)
    assert np.isfinite(together).all()


def test_models_that_all_fail_are_an_error_still():
    X, y = data()
    fitted = stack(LogisticRegression(C=0.1, max_iter=5000), clone(GaussianNB())).fit(X, y)
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="No base model is left: each failed to predict"):
        fitted.predict_proba(X)

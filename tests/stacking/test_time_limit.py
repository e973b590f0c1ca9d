"""Fits with a limit on their time: something whole early, the rest missing and listed."""

import time

import numpy as np
import pytest
from failing_models import Counting, n_fits
from joblib import parallel_config
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import BaseModelError, BaseModelWarning, StackingPipeline

MINUTES = 600.0


class Slow(GaussianNB):
    """Takes `seconds` for each fit."""

    def __init__(self, seconds=1.0):
        super().__init__()
        self.seconds = seconds

    def fit(self, X, y):
        time.sleep(self.seconds)
        return super().fit(X, y)


def data(n=120):
    y = np.arange(n) % 2
    return np.random.default_rng(0).normal(size=(n, 3)) + y[:, None], y


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_is_not_fitted_in_time_is_missing_and_listed(n_jobs):
    # In threads, since new worker processes may need longer than that to start.
    X, y = data()
    models = {"slow": Slow(2.0), "bayes": GaussianNB(), "tree": DecisionTreeClassifier(max_depth=3)}
    # The first fold of the slow one takes up the trial; what is left is enough for the others.
    settings = {"cv": 3, "random_state": 0, "time_limit": 4.0, "on_failure": "raise"}
    with pytest.warns(BaseModelWarning) as caught, parallel_config("threading", n_jobs=n_jobs):
        fitted = StackingPipeline(models, **settings).fit(X, y)
    (record,) = caught
    assert "'slow', fold " in str(record.message)
    assert (
        "not started, since time_limit=4.0 seconds were over or would have been. The model is lost"
        in str(record.message)
    )
    assert {failure.model for failure in fitted.failures_} == {"slow"}
    assert fitted.failures_[-1].fold is None
    plain = StackingPipeline(dict(list(models.items())[1:]), cv=3, random_state=0).fit(X, y)
    np.testing.assert_array_equal(fitted.oof_[:, 1:], plain.oof_)
    assert np.isnan(fitted.oof_[:, 0]).all()
    assert np.isfinite(fitted.predict_proba(X)).all()


def test_enough_time_changes_nothing():
    X, y = data()
    models = [Slow(0.01), GaussianNB(), DecisionTreeClassifier(max_features=1)]
    limited, plain = (
        StackingPipeline(models, cv=3, random_state=0, time_limit=limit).fit(X, y)
        for limit in (MINUTES, None)
    )
    assert limited.failures_ == []
    np.testing.assert_array_equal(limited.oof_, plain.oof_)
    np.testing.assert_array_equal(limited.predict_proba(X), plain.predict_proba(X))


def test_without_anything_whole_the_error_says_why():
    X, y = data()
    stack = StackingPipeline([GaussianNB()], cv=3, time_limit=1e-9)
    with pytest.raises(
        ValueError, match=r"(?s)No base model is left.*not started, since time_limit"
    ):
        stack.fit(X, y)


def test_fits_that_are_stored_take_no_time(tmp_path):
    X, y = data()
    (tmp_path / "log").mkdir()
    models = [Counting(str(tmp_path / "log"))]
    settings = {"cv": 3, "random_state": 0, "memory": tmp_path / "cache"}
    first = StackingPipeline(models, **settings).fit(X, y)
    again = StackingPipeline(models, time_limit=1e-9, **settings).fit(X, y)
    np.testing.assert_array_equal(again.oof_, first.oof_)
    assert n_fits(tmp_path / "log") == 4


class Failing(GaussianNB):
    """Fails at once."""

    def fit(self, X, y):
        raise RuntimeError("boom")


def test_failures_are_failures_still():
    X, y = data()
    with pytest.warns(
        BaseModelWarning, match="fold 0, fold 1, fold 2, final fit .*boom. The model"
    ):
        StackingPipeline([Failing(), GaussianNB()], cv=3, time_limit=MINUTES).fit(X, y)
    with pytest.raises(BaseModelError, match="boom"):
        StackingPipeline(
            [Failing(), GaussianNB()], cv=3, time_limit=MINUTES, on_failure="raise"
        ).fit(X, y)


def test_a_limit_at_prediction_asks_the_fastest_first():
    X, y = data()
    models = {"bayes": GaussianNB(), "tree": DecisionTreeClassifier(max_depth=3)}
    fitted = StackingPipeline(models, cv=3, random_state=0).fit(X, y)
    fitted.predict_times_ = {"bayes": 2.0, "tree": 1.0}
    R = fitted.base_predictions(X, time_limit=1e-9)
    assert np.isnan(R[:, 0]).all()
    np.testing.assert_array_equal(R[:, 1], fitted.base_predictions(X)[:, 1])
    P = fitted.predict_proba(X, time_limit=1e-9)
    np.testing.assert_array_equal(
        P, fitted.meta_.predict_proba(fitted.oof_frame().assign(bayes=np.nan, tree=R[:, 1]))
    )
    np.testing.assert_array_equal(
        fitted.predict_proba(X, time_limit=MINUTES), fitted.predict_proba(X)
    )
    fitted.named_estimators_["tree"].n_features_in_ = 7  # now it fails, so the next one is asked
    with pytest.warns(BaseModelWarning, match="'tree' failed to predict"):
        R = fitted.base_predictions(X, time_limit=1e-9)
    assert np.isfinite(R[:, 0]).all()

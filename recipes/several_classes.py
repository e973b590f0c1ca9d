"""Is CFEnsemble better than its peers with three and more classes?

The sets of KEEL's other collection with at least 20 rows in every class and at most 3500 rows in
all, 17 base models, the first outer fold. Prints a table of means and ranks over sets and one of
wins, writes the scores (CSV); --docs puts the tables into docs/evidence.md. About 15 minutes on one
core the first time, most of it for the base models.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from benchmark_imbalanced import DOCS
from comparison import markdown, put_tables, summary, wins_table
from joblib import Parallel, delayed
from peers import PEERS, TWO_CLASSES_ONLY, bounded
from real_sets import memory, predictions, tasks
from scoring import OURS, package_version, peers_version
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cfens_stack import CFEnsemble
from cfens_stack.datasets import keel_family, load_keel

METHODS = [OURS, *(peer for peer in PEERS if peer not in TWO_CLASSES_ONLY)]
MAX_ROWS = 3500  # letter alone, with 26 classes, would take an hour
SEVERAL = ["log loss", "accuracy", "macro ROC AUC"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folds", type=int, default=1, help="outer folds (default: 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--out", type=Path, default=Path("several_classes.csv"))
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/evidence.md")
    arguments = parser.parse_args()
    todo = [
        (name, fold)
        for name, fold in tasks(collection="balanced")
        if fold < arguments.folds and is_small(name)
    ]
    done = Parallel(arguments.jobs, return_as="generator_unordered")(
        delayed(score_fold)(*task) for task in todo
    )
    table = pd.DataFrame([row for rows in tqdm(done, total=len(todo), unit="fold") for row in rows])
    table.sort_values(["set", "fold", "method"]).to_csv(arguments.out, index=False)
    tables = {
        "several classes": markdown(summary(table, SEVERAL, SEVERAL)),
        "several classes, wins": markdown(
            wins_table(table, OURS, SEVERAL, units=["set"]), f"{OURS} against"
        ),
    }
    for name, body in tables.items():
        print(f"\n{name}\n\n{body}")
    if arguments.docs:
        put_tables(DOCS / "evidence.md", tables)


def is_small(name):
    return len(load_keel(name, collection="balanced").target) <= MAX_ROWS


def score_fold(name, fold):
    where = {"set": name, "family": keel_family(name), "fold": fold}
    versions = {OURS: package_version()}
    return [
        where | {"method": m} | score(m, versions.get(m, peers_version()), name, fold)
        for m in METHODS
    ]


@memory.cache
def score(method, version, name, fold):
    """Scores of a method on one fold, with the seconds to fit and predict."""
    R, y, R_test, y_test = predictions(name, fold, "balanced")
    n_classes = len(np.unique(y))
    P, P_test = (M.reshape(len(M), -1, n_classes) for M in (R, R_test))
    P, P_test = (Q[:, np.isfinite(P).all(axis=(0, 2))] for Q in (P, P_test))  # models that failed
    start = time.perf_counter()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == OURS:
            meta = CFEnsemble(layout="model-major").fit(P.reshape(len(P), -1), y)
            found = meta.predict_proba(P_test.reshape(len(P_test), -1))
        else:
            found = PEERS[method](P, y, P_test)[1]
    row = {"seconds": time.perf_counter() - start}
    found = bounded(found)
    row["log loss"] = log_loss(y_test, found, labels=range(n_classes))
    row["accuracy"] = accuracy_score(y_test, found.argmax(axis=1))
    row["macro ROC AUC"] = roc_auc_score(y_test, found, multi_class="ovr", labels=range(n_classes))
    return row


if __name__ == "__main__":
    main()

"""Is CFEnsemble better than its peers with three and more classes?

52 real imbalanced sets with three to ten classes and twelve base models (`multiclass_sets.py`,
which fills the cache), two outer folds. Prints tables of means, ranks and wins over all sets and
over the half of them that no choice in the method was made on; writes the scores (CSV). --docs puts
tables and picture into docs/evidence.md. About 15 minutes on one core the first time, once the
cache is filled.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from benchmark_imbalanced import DOCS
from comparison import (
    against,
    by_unit,
    draw_ranks,
    markdown,
    p_text,
    put_tables,
    ranks,
    summary,
    wins_table,
)
from joblib import Parallel, delayed
from multiclass_sets import SETS, predictions
from peers import PEERS, TWO_CLASSES_ONLY, bounded
from real_sets import memory
from scoring import OURS, package_version, peers_version
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cfens_stack import CFEnsemble

# LightGBM takes as long as all others together, and is last by far (the page has what was measured).
LEFT_OUT = {*TWO_CLASSES_ONLY, "LightGBM"}
METHODS = [OURS, *(peer for peer in PEERS if peer not in LEFT_OUT)]
SCORES = ["log loss", "macro AUC", "balanced accuracy"]


def judging_half():
    """Sets that no choice in the method was made on: a seeded draw."""
    order = np.random.default_rng(20).permutation(len(SETS))
    return {SETS[k] for k in order[len(SETS) // 2 :]}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folds", type=int, default=2, help="outer folds, up to 3 (default: 2)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("several_classes.csv"))
    parser.add_argument("--docs", action="store_true", help="write to docs/evidence.md")
    arguments = parser.parse_args()
    # the cache goes by module name, which is not __main__
    import several_classes as module

    todo = [(name, fold) for fold in range(arguments.folds) for name in SETS]
    done = Parallel(arguments.jobs, return_as="generator_unordered")(
        delayed(module.score_fold)(*task) for task in todo
    )
    table = pd.DataFrame([row for rows in tqdm(done, total=len(todo), unit="fold") for row in rows])
    table.sort_values(["set", "fold", "method"]).to_csv(arguments.out, index=False)
    half = table[table["set"].isin(judging_half())]
    tables = {
        "several classes": markdown(summary(table, SCORES, SCORES)),
        "several classes, wins": markdown(
            wins_table(table, OURS, SCORES, units=["set"]), f"{OURS} against"
        ),
        "several classes, places": markdown(places({"all sets": table, "judging half": half})),
    }
    for name, body in tables.items():
        print(f"\n{name}\n\n{body}")
    if arguments.docs:
        put_tables(DOCS / "evidence.md", tables)
        panels = {metric: (table, metric) for metric in SCORES}
        draw_ranks(panels, OURS, DOCS / "several_classes_ranks.png")


def places(tables):
    """Place of CFEnsemble by mean rank, its rank, and wins and p against the best peer: a row per
    table and metric.
    """
    rows = {}
    for title, table in tables.items():
        for metric in SCORES:
            mean = ranks(table, metric).mean().sort_values()
            best = mean.index.drop(OURS)[0]
            found = against(table, OURS, metric, unit="set").loc[best]
            rows[f"{metric}, {title}"] = {
                "sets": str(len(by_unit(table, metric, "set"))),
                "place": str(mean.index.get_loc(OURS) + 1),
                "rank": mean[OURS],
                "best peer": best,
                "rank of it": mean[best],
                "against it": f"{found.wins:.0f}-{found.ties:.0f}-{found.losses:.0f}, "
                f"{p_text(found.p)}",
            }
    return pd.DataFrame(rows).T


def score_fold(name, fold):
    where = {"set": name, "family": name, "fold": fold}
    versions = {OURS: package_version()}
    return [
        where | {"method": m} | score(m, versions.get(m, peers_version()), name, fold)
        for m in METHODS
    ]


@memory.cache
def score(method, version, name, fold):
    """Scores of a method on one fold, with the seconds to fit and predict. Balanced accuracy is
    that of the likeliest class.
    """
    P, y, P_test, y_test = predictions(name, fold)
    n_classes = P.shape[2]
    start = time.perf_counter()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == OURS:
            meta = CFEnsemble(layout="model-major").fit(P.reshape(len(P), -1), y)
            found = meta.predict_proba(P_test.reshape(len(P_test), -1))
        else:
            found = PEERS[method](P, y, P_test)[1]
    row = {"seconds": time.perf_counter() - start}
    found, classes = bounded(found), range(n_classes)
    row["log loss"] = log_loss(y_test, found, labels=classes)
    row["macro AUC"] = roc_auc_score(y_test, found, multi_class="ovr", labels=classes)
    row["balanced accuracy"] = balanced_accuracy_score(y_test, found.argmax(axis=1))
    return row


if __name__ == "__main__":
    main()

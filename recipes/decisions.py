"""What is the threshold worth that CFEnsembleSearch makes part of a configuration, by metric of
decisions?

One set per family, two outer folds, the training part for everything that is learnt: CFEnsemble()
at 1/2, the search, and scikit-learn's TunedThresholdClassifierCV around CFEnsemble(), which tunes
the threshold alone. With --trials 1, the default, the search evaluates the default configuration
only, with its threshold; nested_search.py has 50 trials. Recall at precision .8 is shown with the
precision that the decisions have on the test part. Prints a table, writes the scores (CSV); --docs
puts it into docs/evidence.md. A few minutes on one core once real_sets.py has made the predictions.
"""

import argparse
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from benchmark_imbalanced import DOCS
from comparison import against, by_unit, markdown, put_tables, wins_text
from joblib import Parallel, delayed
from real_sets import MIN_POSITIVES, memory, predictions
from scoring import OURS, package_version
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    fbeta_score,
    make_scorer,
    matthews_corrcoef,
    precision_score,
    recall_score,
)
from sklearn.model_selection import StratifiedKFold, TunedThresholdClassifierCV
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cfens_stack import CFEnsemble, CFEnsembleSearch
from cfens_stack.datasets import keel_family, list_keel
from cfens_stack.search import NegativeCost, RecallAtPrecision

COSTS = [[0.0, 1.0], [10.0, 0.0]]
ALONE = "threshold alone"


def minus_cost(y, decisions):
    """Minus the mean of COSTS."""
    return -float(np.sum(confusion_matrix(y, decisions, labels=[0, 1]) * COSTS) / len(y))


METRICS = {  # title: scoring of the search, scoring of scikit-learn's class, metric
    "F1": ("f1", "f1", partial(f1_score, zero_division=0.0)),
    "F2": (make_scorer(fbeta_score, beta=2),) * 2 + (partial(fbeta_score, beta=2),),
    "balanced accuracy": ("balanced_accuracy", "balanced_accuracy", balanced_accuracy_score),
    "Matthews": ("matthews_corrcoef", "matthews_corrcoef", matthews_corrcoef),
    "cost 10 to 1": (NegativeCost(COSTS), make_scorer(minus_cost), minus_cost),
    "recall at precision .8": (RecallAtPrecision(0.8), None, recall_score),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--folds", type=int, default=2, help="outer folds (default: 2, at most 5)")
    parser.add_argument("--trials", type=int, default=1, help="of the search (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("decisions.csv"))
    parser.add_argument("--docs", action="store_true", help="put the table into docs/evidence.md")
    arguments = parser.parse_args()
    one_a_family = {keel_family(name): name for name in list_keel(min_positives=MIN_POSITIVES)}
    tasks = [(name, fold) for fold in range(arguments.folds) for name in one_a_family.values()]
    # the cache goes by module name, which is not __main__ for the other recipes
    import decisions as module

    version = package_version()
    work = (delayed(module.compare)(*task, arguments.trials, version) for task in tasks)
    done = Parallel(arguments.jobs, return_as="generator_unordered")(work)
    rows = [row for found in tqdm(done, total=len(tasks), unit="fold") for row in found]
    table = pd.DataFrame(rows).sort_values(["metric", "set", "fold", "method"], ignore_index=True)
    table.to_csv(arguments.out, index=False)
    body = markdown(summary(table), corner="metric")
    print(body)
    if arguments.docs:
        put_tables(DOCS / "evidence.md", {"decisions": body})


@memory.cache
def compare(name, fold, n_trials, version):
    """Scores of each way to decide on one outer fold, by metric: list of dicts."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        R, y, R_test, y_test = predictions(name, fold, "imbalanced")
        where = {"set": name, "family": keel_family(name), "fold": fold}
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        rows, plain = [], CFEnsemble().fit(R, y)
        for title, (scoring, tuned_by, metric) in METRICS.items():
            ways = {OURS: plain}
            ways["search"] = CFEnsembleSearch(n_trials, scoring=scoring, random_state=0).fit(R, y)
            if tuned_by is not None:
                tuned = TunedThresholdClassifierCV(CFEnsemble(), scoring=tuned_by, cv=folds)
                ways[ALONE] = tuned.fit(R, y)
            for method, fitted in ways.items():
                decided = fitted.predict(R_test)
                row = where | {"metric": title, "method": method, "score": metric(y_test, decided)}
                row["precision"] = precision_score(y_test, decided, zero_division=1.0)
                rows.append(row)
        return rows


def summary(table):
    """A row per metric: means over families, and wins-ties-losses of the search with p."""
    rows = {}
    for title in METRICS:
        part = table[table["metric"] == title]
        means, won = by_unit(part, "score").mean(), wins_text(against(part, "search", "score"))
        row = {f"{OURS} at 1/2": means[OURS], "search": means["search"]}
        row |= {ALONE: means.get(ALONE, ""), "search against 1/2": won[OURS]}
        rows[title] = row | {f"search against {ALONE}": won.get(ALONE, "")}
        if title.startswith("recall"):
            precision = by_unit(part, "precision").mean()
            shown = {f"{OURS} at 1/2": precision[OURS], "search": precision["search"]}
            rows["precision of these"] = dict.fromkeys(rows[title], "") | shown
    return pd.DataFrame(rows).T


if __name__ == "__main__":
    main()

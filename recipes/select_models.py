"""Do five base models answer as well as seventeen, and are they better chosen than by greedy
selection?

Two KEEL sets of each family, two outer folds, 17 base models (`real_sets.py`, an hour on two cores
the first time; --cached leaves out what it has not made yet). `select_models` goes from all models
to five; `CFEnsemble` on these is compared on held-out rows with `CFEnsemble` on all, with greedy
selection that stops at five different models (Caruana et al. 2004, 50 rounds, log loss), and with
`CFEnsemble` on the models that greedy selection took. --cascade asks instead whether rows that
cheap models are sure of need the others. Folds are averaged, then sets within families. Prints
tables; two to four minutes on one core.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
from base_models import base_models
from benchmark_imbalanced import two_a_family
from comparison import METRICS, against, by_unit, markdown, wins_text
from joblib import Parallel, delayed
from peers import LOG_LOSS, bounded
from real_sets import MIN_POSITIVES, predictions
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cfens_stack import CFEnsemble, select_models
from cfens_stack.datasets import keel_family, list_keel

OURS, N_FOLDS = "five, select_models", 2
CHEAP = ["logistic", "discriminant", "naive_bayes", "balanced_logistic", "quadratic", "tree"]
SURE = (0.99, 0.999)
COLLECTION = "imbalanced"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cached", action="store_true", help="only folds with predictions")
    parser.add_argument("--cascade", action="store_true", help="cheap models first")
    parser.add_argument("--models", type=int, default=5, help="to keep (default: 5)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    arguments = parser.parse_args()
    names = two_a_family(list_keel(min_positives=MIN_POSITIVES))
    tasks = [(name, fold) for fold in range(N_FOLDS) for name in names]
    if arguments.cached:
        tasks = [task for task in tasks if predictions.check_call_in_cache(*task, COLLECTION)]
    compare = cascade if arguments.cascade else subsets
    work = (delayed(run)(compare, *task, arguments.models) for task in tasks)
    done = Parallel(arguments.jobs, return_as="generator_unordered")(work)
    table = pd.DataFrame(
        [row for rows in tqdm(done, total=len(tasks), unit="fold") for row in rows]
    )
    ours = "all models" if arguments.cascade else OURS
    print(f"{table['set'].nunique()} sets of {table['family'].nunique()} families")
    print(markdown(report(table, ours)))


def run(compare, name, fold, k):
    """Scores of each method on one fold, a list of dicts."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns that one class's rows leave constant
        R, y, R_test, y_test = predictions(name, fold, COLLECTION)
        where = {"set": name, "family": keel_family(name), "fold": fold}
        return [
            where | {"method": method, "asked": asked} | scores(y_test, p)
            for method, (p, asked) in compare(R, y, R_test, k).items()
        ]


def subsets(R, y, R_test, k):
    """Held-out probabilities of each method, and the number of models that it asks."""
    path = select_models(R, y, max_models=k)
    whole, whole_test = (np.where(np.isnan(M), plain_average(M), M) for M in (R, R_test))
    ours, greedy = list(path[0].models), greedy_counts(whole, y, k)
    taken = np.flatnonzero(greedy)
    return {
        "all models": (ensemble(R, y, R_test), R.shape[1]),
        OURS: (ensemble(R[:, ours], y, R_test[:, ours]), len(ours)),
        "greedy, at most five": (whole_test @ greedy / greedy.sum(), len(taken)),
        "CFEnsemble on greedy's": (ensemble(R[:, taken], y, R_test[:, taken]), len(taken)),
    }


def cascade(R, y, R_test, _):
    """Cheap models alone where they are sure, the others missing; all models elsewhere."""
    cheap = np.isin([name for name, _ in base_models()], CHEAP)
    meta = CFEnsemble(layout="positive").fit(R, y)
    full = meta.predict_proba(R_test)[:, 1]
    first = meta.predict_proba(np.where(cheap, R_test, np.nan))[:, 1]
    found = {"all models": (full, 1.0), "cheap models alone": (first, 0.0)}
    for sure in SURE:
        stop = np.maximum(first, 1 - first) > sure
        found[f"stop above {sure}"] = np.where(stop, first, full), 1 - stop.mean()
    return found


def plain_average(R):
    """Where a base model failed in a fold, greedy selection gets the mean of the others."""
    return np.nanmean(R, axis=1, keepdims=True)


def ensemble(R, y, R_test):
    return CFEnsemble(layout="positive").fit(R, y).predict_proba(R_test)[:, 1]


def greedy_counts(R, y, k, rounds=50):
    """How often greedy selection with replacement takes each model, k different ones at most."""
    S = LOG_LOSS.columns(np.stack([1 - R, R], axis=2), y)
    counts, total = np.zeros(S.shape[1]), np.zeros(len(S))
    for size in range(1, rounds + 1):
        losses = LOG_LOSS((total[:, None] + S) / size, y)
        if np.count_nonzero(counts) == k:
            losses[counts == 0] = np.inf
        counts[losses.argmin()] += 1
        total += S[:, losses.argmin()]
    return counts


def scores(y, p):
    return {
        "average precision": average_precision_score(y, p),
        "ROC AUC": roc_auc_score(y, p),
        "log loss": log_loss(y, bounded(np.column_stack([1 - p, p]))[:, 1]),
    }


def report(table, ours):
    """Means, and wins of `ours` against each other method over families."""
    columns = {"asked": by_unit(table, "asked").mean()}
    for metric in list(METRICS)[:3]:
        columns[metric] = by_unit(table, metric).mean()
        columns[f"wins of {ours}, {metric}"] = wins_text(against(table, ours, metric))
    return pd.DataFrame(columns).reindex(table["method"].unique()).fillna("")


if __name__ == "__main__":
    main()

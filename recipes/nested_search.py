"""Is CFEnsembleSearch(n_trials=50) worth its time? Nested evaluation against the default
configuration.

The search sees the training part of an outer fold and chooses by cross-validation inside; both are
scored on the test part. One set per family, two outer folds, searched by average precision, log
loss, F1 and balanced accuracy. Beside the default selection the best trial of the same study, which
is what a search usually returns; for decisions beside both the default configuration with nothing
tuned but its threshold. Prints tables, writes the scores (CSV); --docs puts the tables into
docs/evidence.md. One to two hours on one core the first time; what is done is kept, and --scoring
and --folds take a part.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from benchmark_imbalanced import DOCS
from comparison import against, by_unit, markdown, p_text, put_tables
from joblib import Parallel, delayed
from real_sets import MIN_POSITIVES, memory, predictions
from scoring import OURS, package_version
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    roc_auc_score,
)
from sklearn.model_selection import StratifiedKFold, TunedThresholdClassifierCV
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cfens_stack import CFEnsemble, CFEnsembleSearch
from cfens_stack.datasets import keel_family, list_keel
from cfens_stack.search.selection import ranked_trials

N_TRIALS = 50
PROBABILITIES = ("average_precision", "neg_log_loss")
DECISIONS = ("f1", "balanced_accuracy")
TITLES = {
    "average_precision": "average precision",
    "neg_log_loss": "log loss",
    "f1": "F1",
    "balanced_accuracy": "balanced accuracy",
}
METRICS = {
    "probabilities": ["average precision", "ROC AUC", "log loss"],
    "decisions": ["F1", "balanced accuracy"],
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--folds", type=int, default=2, help="outer folds (default: 2, at most 5)")
    parser.add_argument(
        "--scoring", nargs="+", choices=TITLES, default=list(TITLES), help="default: all four"
    )
    parser.add_argument("--out", type=Path, default=Path("nested_search.csv"))
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/evidence.md")
    arguments = parser.parse_args()
    one_a_family = {keel_family(name): name for name in list_keel(min_positives=MIN_POSITIVES)}
    tasks = [
        (name, fold, scoring)
        for fold in range(arguments.folds)
        for scoring in arguments.scoring
        for name in one_a_family.values()
    ]
    # the cache goes by module name, which is not __main__ for the other recipes
    import nested_search as module

    version = package_version()
    work = (delayed(module.compare)(*task, version) for task in tasks)
    done = Parallel(arguments.jobs, return_as="generator_unordered")(work)
    found = [
        row for rows in tqdm(done, total=len(tasks), desc="search", unit="fold") for row in rows
    ]
    table = pd.DataFrame(found).drop_duplicates(["set", "fold", "method"])
    table = table.sort_values(["set", "fold", "method"], ignore_index=True)
    table.to_csv(arguments.out, index=False)
    bodies = {kind: markdown(summary(table, kind)) for kind in METRICS}
    print("\n\n".join(bodies.values()))
    if arguments.docs:
        put_tables(DOCS / "evidence.md", {f"search {kind}": b for kind, b in bodies.items()})


@memory.cache
def compare(name, fold, scoring, version):
    """Scores of the default, the search and its best trial on one outer fold: list of dicts."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        R, y, R_test, y_test = predictions(name, fold, "imbalanced")
        where = {"set": name, "family": keel_family(name), "fold": fold}
        rows = []
        for method, (fitted, seconds) in fits(R, y, scoring).items():
            row = where | {"method": method, "seconds": seconds}
            P, decisions = fitted.predict_proba(R_test)[:, 1], fitted.predict(R_test)
            rows.append(row | scores(y_test, P, decisions))
        return rows


def fits(R, y, scoring):
    """Fitted classifiers by name, each with the seconds of this process that it took."""
    title, start = TITLES[scoring], time.process_time()
    found = {OURS: (CFEnsemble().fit(R, y), time.process_time() - start)}
    if scoring in DECISIONS:
        start = time.process_time()
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        tuned = TunedThresholdClassifierCV(CFEnsemble(), scoring=scoring, cv=folds).fit(R, y)
        found[f"threshold alone, {title}"] = tuned, time.process_time() - start
    start = time.process_time()
    search = CFEnsembleSearch(N_TRIALS, scoring=scoring, random_state=0).fit(R, y)
    seconds = time.process_time() - start
    found[f"search, {title}"] = search, seconds
    found[f"best trial, {title}"] = BestTrial(search, R, y), seconds
    return found


class BestTrial:
    """The best trial of a search, with its threshold, whatever the selection says."""

    def __init__(self, search, R, y):
        best = ranked_trials(search.study_)[0]
        self.model = CFEnsemble(**search.space_.decode(best.params)).fit(R, y)
        self.threshold = best.user_attrs.get("threshold", 0.5)

    def predict_proba(self, R):
        return self.model.predict_proba(R)

    def predict(self, R):
        return (self.predict_proba(R)[:, 1] >= self.threshold).astype(int)


def scores(y, p, decisions):
    """Metrics on the test rows; decisions by the threshold of each method."""
    return {
        "average precision": average_precision_score(y, p),
        "ROC AUC": roc_auc_score(y, p),
        "log loss": log_loss(y, np.clip(p, 1e-15, 1 - 1e-15)),
        "F1": f1_score(y, decisions, zero_division=0.0),
        "balanced accuracy": balanced_accuracy_score(y, decisions),
    }


def summary(table, kind):
    """Means over families, and wins-ties-losses, mean gain and p of each method against the
    default; of decisions against tuning the threshold alone too.
    """
    scorings = PROBABILITIES if kind == "probabilities" else DECISIONS
    shown = [OURS] + [
        method
        for scoring in scorings
        for method in table["method"].unique()
        if method.endswith(f", {TITLES[scoring]}")
    ]
    columns: dict = {}
    for metric in METRICS[kind]:
        columns[metric] = by_unit(table, metric).mean()
        columns[f"against the default, {metric}"] = gains_text(table, OURS, metric)
        rival = f"threshold alone, {metric}"
        if rival in shown:
            columns[f"against the threshold alone, {metric}"] = gains_text(table, rival, metric)
    columns["seconds"] = table.groupby("method")["seconds"].median()
    return pd.DataFrame(columns).reindex(shown).fillna("")


def gains_text(table, rival, metric):
    """Wins-ties-losses of every method against one, mean gain and p: Series of str."""
    found = against(table, rival, metric)
    text = {
        method: f"{row.losses:.0f}-{row.ties:.0f}-{row.wins:.0f}, {-row.gain:+.4f}, {p_text(row.p)}"
        for method, row in found.iterrows()
    }
    return pd.Series(text)


if __name__ == "__main__":
    main()

"""Is CFEnsembleSearch(n_trials=50) worth its time? Nested evaluation against the default
configuration.

The search sees the training part of an outer fold and chooses by cross-validation inside; both are
scored on the test part. One set per family, two outer folds, searched by average precision and by
log loss; beside the default selection the best trial, which is what a search usually returns. Prints
a table, writes the scores (CSV); --docs puts the table into docs/evidence.md. One to two hours on
one core the first time.
"""

import argparse
from pathlib import Path

import pandas as pd
from benchmark_imbalanced import DOCS
from comparison import METRICS, against, by_unit, markdown, put_tables, ranks, wins_text
from real_sets import MIN_POSITIVES
from scoring import OURS, score_all

from cfens_stack import CFEnsemble, CFEnsembleSearch
from cfens_stack.datasets import keel_family, list_keel

METHODS = {
    OURS: CFEnsemble(),
    "search, average precision": CFEnsembleSearch(50, random_state=0),
    "search, log loss": CFEnsembleSearch(50, scoring="neg_log_loss", random_state=0),
    "best trial, average precision": CFEnsembleSearch(50, selection="best", random_state=0),
    "best trial, log loss": CFEnsembleSearch(
        50, scoring="neg_log_loss", selection="best", random_state=0
    ),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--folds", type=int, default=2, help="outer folds (default: 2, at most 5)")
    parser.add_argument("--out", type=Path, default=Path("nested_search.csv"))
    parser.add_argument("--docs", action="store_true", help="put the table into docs/evidence.md")
    arguments = parser.parse_args()
    one_a_family = {keel_family(name): name for name in list_keel(min_positives=MIN_POSITIVES)}
    tasks = [
        ("complete", name, fold)
        for fold in range(arguments.folds)
        for name in one_a_family.values()
    ]
    table = score_all(tasks, METHODS, arguments.jobs)
    table.to_csv(arguments.out, index=False)
    body = markdown(compare(table))
    print(body)
    if arguments.docs:
        put_tables(DOCS / "evidence.md", {"search": body})


def compare(table):
    columns = {}
    for metric in list(METRICS)[:3]:
        columns[metric] = by_unit(table, metric).mean()
        columns[f"rank {metric}"] = ranks(table, metric).mean()
        columns[f"default wins, {metric}"] = wins_text(against(table, OURS, metric))
    columns["seconds"] = table.groupby("method")["seconds"].median()
    return pd.DataFrame(columns).reindex(METHODS).fillna("")


if __name__ == "__main__":
    main()

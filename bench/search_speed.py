"""Trials per second of CFEnsembleSearch: 100 ALS trials on (2000, 20), then cost against the number of rows.

Five folds, 20 base models, one worker, pruning on and off; the time includes the refit. --jobs 2 uses both cores of a
small machine, by threads or, with --storage, by processes.
"""

import argparse
import time

from optuna.pruners import NopPruner

from cfens_stack import CFEnsembleSearch
from cfens_stack.datasets import make_predictions

ROWS = (1_000, 2_000, 10_000, 100_000)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--trials", type=int, nargs="+", default=(100, 100, 40, 10), help="one a number of rows")
    parser.add_argument("--storage", help="journal file, for processes instead of threads")
    arguments = parser.parse_args()
    print(f"{'rows':>7} {'trials':>6} {'pruning':>7} {'seconds':>8} {'trials/s':>8}")
    for n, n_trials in zip(arguments.rows, arguments.trials, strict=True):
        data = make_predictions(n_samples=n, n_models=20, random_state=0)
        for pruner in (None, NopPruner()):
            search = CFEnsembleSearch(
                n_trials, pruner=pruner, n_jobs=arguments.jobs, storage=arguments.storage, random_state=0
            )
            start = time.perf_counter()
            search.fit(data.R, data.y)
            seconds = time.perf_counter() - start
            pruning = "on" if pruner is None else "off"
            print(f"{n:7d} {n_trials:6d} {pruning:>7} {seconds:8.1f} {n_trials / seconds:8.2f}", flush=True)


if __name__ == "__main__":
    main()

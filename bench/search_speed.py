"""Trials per second of CFEnsembleSearch: 100 ALS trials on (2000, 20), then cost against the number
of rows.

Five folds, 20 base models, one worker, pruning on and off; the time includes the refit. --jobs 2
uses both cores of a small machine, by threads or, with --storage, by processes. --preparation
measures instead which share of a default fit and prediction of one fold is link, centring,
confidence and calibration slopes, the work that trials could share.
"""

import argparse
import time

from optuna.pruners import NopPruner

from cfens_stack import CFEnsemble, CFEnsembleSearch
from cfens_stack.datasets import make_predictions

ROWS = (1_000, 2_000, 10_000, 100_000)


class TimedTraining(CFEnsemble):
    """Adds up the seconds that come after link, centring, confidence and calibration slopes."""

    seconds = 0.0

    def train(self, problem):
        start = time.perf_counter()
        solution = super().train(problem)
        TimedTraining.seconds += time.perf_counter() - start
        return solution


def preparation_share(n, repeats=5):
    """Share of preparation in the fit and prediction of one of five folds."""
    data, cut = make_predictions(n_samples=n, n_models=20, random_state=0), n * 4 // 5
    TimedTraining.seconds = predicting = 0.0
    start = time.perf_counter()
    for _ in range(repeats):
        model = TimedTraining().fit(data.R[:cut], data.y[:cut])
        before = time.perf_counter()
        model.predict_proba(data.R[cut:])
        predicting += time.perf_counter() - before
    total = time.perf_counter() - start
    return (total - predicting - TimedTraining.seconds) / total


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument(
        "--trials", type=int, nargs="+", default=(100, 100, 40, 10), help="one a number of rows"
    )
    parser.add_argument("--storage", help="journal file, for processes instead of threads")
    parser.add_argument("--preparation", action="store_true")
    arguments = parser.parse_args()
    if arguments.preparation:
        print({n: round(preparation_share(n), 3) for n in arguments.rows})
        return
    print(f"{'rows':>7} {'trials':>6} {'pruning':>7} {'seconds':>8} {'trials/s':>8}")
    for n, n_trials in zip(arguments.rows, arguments.trials, strict=True):
        data = make_predictions(n_samples=n, n_models=20, random_state=0)
        for pruner in (None, NopPruner()):
            search = CFEnsembleSearch(
                n_trials,
                pruner=pruner,
                n_jobs=arguments.jobs,
                storage=arguments.storage,
                random_state=0,
            )
            start = time.perf_counter()
            search.fit(data.R, data.y)
            seconds = time.perf_counter() - start
            pruning = "on" if pruner is None else "off"
            print(
                f"{n:7d} {n_trials:6d} {pruning:>7} {seconds:8.1f} {n_trials / seconds:8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

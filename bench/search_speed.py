"""Trials per second of CFEnsembleSearch: 50 trials on (2000, 20), then cost against the number of
rows.

Five folds, 20 base models, one worker; the time includes the refit. Each number of rows is searched
as it is, with trials that share nothing (link scale, centring and slopes made anew in every fold of
every trial), and without pruning. "seconds" are those of this process on the CPU, which other work
on the machine disturbs less than the clock does. --trainers als pytorch searches both trainers;
--jobs 2 uses both cores of a small machine, by threads or, with --storage, by processes.
"""

import argparse
import time

from optuna.pruners import NopPruner

from cfens_stack import CFEnsemble, CFEnsembleSearch
from cfens_stack.datasets import make_predictions

ROWS, TRIALS = (2_000, 10_000, 100_000), (50, 20, 10)


class Unshared(CFEnsemble):
    """A fit of its own, which no trial shares."""

    def fit(self, R, y, sample_weight=None):
        """As CFEnsemble."""
        return super().fit(R, y, sample_weight)


WAYS = {
    "as it is": {},
    "nothing shared": {"estimator": Unshared()},
    "no pruning": {"pruner": NopPruner()},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument(
        "--trials", type=int, nargs="+", default=TRIALS, help="one a number of rows"
    )
    parser.add_argument("--trainers", nargs="+", choices=("als", "pytorch"), default=("als",))
    parser.add_argument("--storage", help="journal file, for processes instead of threads")
    arguments = parser.parse_args()
    settings = {
        "trainers": arguments.trainers,
        "n_jobs": arguments.jobs,
        "storage": arguments.storage,
        "random_state": 0,
    }
    print(f"{'rows':>7} {'trials':>6} {'way':>14} {'folds':>6} {'seconds':>8} {'clock':>6}")
    for n, n_trials in zip(arguments.rows, arguments.trials, strict=True):
        data = make_predictions(n_samples=n, n_models=20, random_state=0)
        CFEnsembleSearch(2, **settings).fit(data.R, data.y)  # imports, compiled kernels
        for way, options in WAYS.items():
            start, clock = time.process_time(), time.perf_counter()
            search = CFEnsembleSearch(n_trials, **settings, **options).fit(data.R, data.y)
            seconds, clock = time.process_time() - start, time.perf_counter() - clock
            n_folds = sum(len(trial.intermediate_values) for trial in search.study_.trials)
            print(
                f"{n:7d} {n_trials:6d} {way:>14} {n_folds:6d} {seconds:8.1f} {clock:6.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

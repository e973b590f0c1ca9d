"""What does each base model of the pools add to the stack?

The pool "best" is fitted on at most --rows rows of each table of `automl_sets.py`, on a split of its
own; then the meta-learner is fitted on the same out-of-fold predictions without each model in turn,
and on those of smaller pools. The pools were chosen on one half of the tables and are judged on the
other. Prints a table of changes in log loss and average precision, and the seconds of each model's
fits; fits go to `recipes/.cache`, so that a run that was stopped goes on. About ten minutes on one
core.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from automl_fit import scores
from automl_sets import CHOSEN_ON, SETS, load_set
from joblib import Memory
from scipy.stats import wilcoxon
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from cfens_stack import CFEnsemble, StackingPipeline
from cfens_stack.stacking import default_estimators

SPLIT = 77  # of no other recipe
MAX_TEST_ROWS = 5000
PRESETS = ("fast", "default")
memory = Memory(Path(__file__).parent / ".cache", verbose=0)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2000, help="rows for the fit (default: 2000)")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    pool = [name for name, _ in default_estimators("best")]
    found = {
        name: changes(*matrices(name, arguments.rows, tuple(pool)), pool)
        for name in tqdm(arguments.sets, desc="sets", unit="set")
    }
    table = pd.DataFrame({name: rows for name, rows in found.items()})
    print(summary(table).to_string())


@memory.cache
def matrices(name, n_rows, pool):
    """Out-of-fold and test predictions of the pool "best", labels, and seconds by model."""
    X, y = load_set(name)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=SPLIT)
    X, y = _at_most(X, y, n_rows)
    X_test, y_test = _at_most(X_test, y_test, MAX_TEST_ROWS)
    stack = StackingPipeline(default_estimators("best"), cv=3, n_jobs=1, random_state=0).fit(X, y)
    R_test = stack.base_predictions(X_test)
    return stack.oof_, y, R_test, y_test, stack.fit_times_


def _at_most(X, y, n_rows):
    if len(y) <= n_rows:
        return X, y
    X, _, y, _ = train_test_split(X, y, train_size=n_rows, stratify=y, random_state=0)
    return X, y


def changes(R, y, R_test, y_test, seconds, pool):
    """(log loss, average precision, share of the seconds) of each smaller pool, less those of
    "best"; log loss in per cent.
    """
    presets = {name: [model for model, _ in default_estimators(name)] for name in PRESETS}
    default = set(presets["default"])
    packages = {"lightgbm", "xgboost", "catboost"}
    kept = {f"best without {model}": set(pool) - {model} for model in pool}
    kept |= {f"default without {model}": default - {model} for model in presets["default"]}
    kept |= {f"default with {model}": default | {model} for model in pool if model not in default}
    kept |= {"default": default, "fast": set(presets["fast"])}
    kept["best without packages"] = set(pool) - packages
    reference = {
        "best": _score(R, y, R_test, y_test, set(pool), pool),
        "default": _score(R, y, R_test, y_test, default, pool),
    }
    rows = {}
    for title, models in kept.items():
        to = "default" if title.startswith("default ") or title == "fast" else "best"
        loss, precision = _score(R, y, R_test, y_test, models, pool)
        rows[f"{title}, to {to}"] = (
            100 * (loss / reference[to][0] - 1),
            precision - reference[to][1],
            sum(seconds[model] for model in models) / sum(seconds.values()),
        )
    return rows


def _score(R, y, R_test, y_test, models, pool):
    columns = [pool.index(model) for model in pool if model in models]
    p = CFEnsemble().fit(R[:, columns], y).predict_proba(R_test[:, columns])[:, 1]
    found = scores(y_test, p)
    return found["log loss"], found["average precision"]


def summary(table):
    """Means over the half that the pools were chosen on, and over the other, with Wilcoxon's p."""
    halves = {
        "chosen": [name for name in table if name in CHOSEN_ON],
        "judged": [name for name in table if name not in CHOSEN_ON],
    }
    rows = {}
    for title, cells in table.iterrows():
        row = {"seconds, %": f"{100 * np.mean([cell[2] for cell in cells]):.0f}"}
        for half, names in halves.items():
            loss, precision = (np.array([cells[name][k] for name in names]) for k in (0, 1))
            if not len(loss):
                continue
            p = wilcoxon(loss).pvalue if np.any(loss) else 1.0
            row[f"log loss, %, {half}"] = f"{loss.mean():+.2f}"
            row[f"worse-better, {half}"] = f"{np.sum(loss > 0)}-{np.sum(loss < 0)}, p={p:.2f}"
            row[f"average precision, {half}"] = f"{precision.mean():+.4f}"
        rows[title] = row
    return pd.DataFrame(rows).T


if __name__ == "__main__":
    main()

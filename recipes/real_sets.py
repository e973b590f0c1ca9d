"""Base-model predictions on real imbalanced sets, made once and kept: what the other recipes compare meta-learners on.

For each KEEL set, `N_FOLDS` stratified outer folds. In each, `StackingPipeline` makes out-of-fold predictions on the
training part and predicts the test part with the refitted models, so that no model has seen a test row. Results lie in
`recipes/.cache`; delete it to start again. Run as a script to fill the cache; 16 sets take about ten minutes on two
cores.
"""

import argparse
from pathlib import Path

import numpy as np
from joblib import Memory
from sklearn.model_selection import StratifiedKFold
from tqdm import tqdm

from cfens_stack import CFEnsemble, StackingPipeline
from cfens_stack.datasets import keel_family, load_keel

N_FOLDS = 3
# One or two sets of each family of near-duplicates, with at least 20 positives and from 0.8 to 35 % of them.
SETS = [
    "abalone19",
    "abalone9-18",
    "car-good",
    "ecoli3",
    "flare-F",
    "glass1",
    "haberman",
    "page-blocks0",
    "pima",
    "poker-8-9_vs_5",
    "vehicle1",
    "vowel0",
    "winequality-red-4",
    "winequality-white-3_vs_7",
    "yeast1",
    "yeast4",
]

memory = Memory(Path(__file__).parent / ".cache", verbose=0)


@memory.cache
def predictions(name, fold, seed=0):
    """Predictions of the default pool of base models on one outer fold of a KEEL set.

    Returns
    -------
    R, y, R_test, y_test : ndarrays of shape (n, m), (n,), (n_test, m), (n_test,)
    """
    data = load_keel(name)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    train, test = list(folds.split(data.data, data.target))[fold]
    stack = StackingPipeline(meta=CFEnsemble(aggregator="mean"), n_jobs=2, random_state=seed)
    stack.fit(data.data[train], data.target[train])
    return stack.oof_, data.target[train], stack.base_predictions(data.data[test]), data.target[test]


def real_sets(names=SETS):
    """Every (name, family, fold, R, y, R_test, y_test), with a progress bar while the cache is being filled."""
    tasks = [(name, fold) for name in names for fold in range(N_FOLDS)]
    for name, fold in tqdm(tasks, desc="real sets", unit="fold"):
        yield (name, keel_family(name), fold, *predictions(name, fold))


def family_means(table, by):
    """Mean of a data frame's columns within families of near-duplicate sets first, then over families."""
    return table.groupby([*by, "family"], sort=False).mean(numeric_only=True).groupby(by, sort=False).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    import real_sets as module  # the cache goes by module name, which is not __main__ for the other recipes

    for name, family, fold, R, y, _, y_test in module.real_sets():
        if fold == 0:
            size = f"rows {len(y) + len(y_test):5d} positive {np.mean(y):6.1%} models {R.shape[1]}"
            print(f"{name:26s} family {family:14s} {size}")


if __name__ == "__main__":
    main()

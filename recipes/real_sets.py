"""Base-model predictions on real imbalanced sets, made once and kept: what the other recipes
compare meta-learners on.

For each KEEL set with at least 20 positives, five stratified outer folds. In each,
`StackingPipeline` makes out-of-fold predictions of 17 base models on the training part (four inner
folds) and predicts the test part with the refitted models, so that no model has seen a test row.
Results lie in `recipes/.cache`; delete it to start again. Run as a script to fill the cache, which
takes about an hour on two cores and goes on where it was stopped; --quick, enough for the recipes'
own --quick, takes about five minutes.
"""

import argparse
from pathlib import Path

import numpy as np
from base_models import base_models
from joblib import Memory, Parallel, delayed
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cfens_stack import CFEnsemble, StackingPipeline
from cfens_stack.datasets import keel_family, list_keel, load_keel

N_FOLDS = 5
MIN_POSITIVES = 20
# One or two sets of each family of near-duplicates: enough for a first look.
QUICK = [
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
def predictions(name, fold, collection):
    """Predictions of the base models on one outer fold of a KEEL set.

    Returns
    -------
    R, y, R_test, y_test : ndarrays of shape (n, m), (n,), (n_test, m), (n_test,)
        With K > 2 classes m counts columns, K a model.
    """
    data = load_keel(name, collection=collection)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    train, test = list(folds.split(data.data, data.target))[fold]
    stack = StackingPipeline(
        base_models(), meta=CFEnsemble(aggregator="mean"), cv=4, n_jobs=1, random_state=fold
    )
    with threadpool_limits(1):
        stack.fit(data.data[train], data.target[train])
        return (
            stack.oof_,
            data.target[train],
            stack.base_predictions(data.data[test]),
            data.target[test],
        )


def tasks(quick=False, collection="imbalanced"):
    """(name, fold) of every outer fold; the sets with at least 20 positives, or in every class."""
    several = collection == "balanced"
    names = (
        QUICK
        if quick
        else list_keel(collection, min_positives=MIN_POSITIVES, min_classes=3 if several else 2)
    )
    return [(name, fold) for fold in range(N_FOLDS) for name in names]


def real_sets(quick=False, collection="imbalanced"):
    """Every (name, family, fold, R, y, R_test, y_test), with a progress bar while the cache is
    being filled.
    """
    for name, fold in tqdm(tasks(quick, collection), desc="real sets", unit="fold"):
        yield (name, keel_family(name), fold, *predictions(name, fold, collection))


def family_means(table, by):
    """Mean of a data frame's columns within families of near-duplicate sets first, then over
    families.
    """
    return (
        table.groupby([*by, "family"], sort=False)
        .mean(numeric_only=True)
        .groupby(by, sort=False)
        .mean()
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"only {len(QUICK)} sets")
    parser.add_argument("--collection", choices=("imbalanced", "balanced"), default="imbalanced")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    arguments = parser.parse_args()
    # the cache goes by module name, which is not __main__ for the other recipes
    import real_sets as module

    todo = module.tasks(arguments.quick, arguments.collection)
    fits = (delayed(module.predictions)(name, fold, arguments.collection) for name, fold in todo)
    done = Parallel(arguments.jobs, return_as="generator_unordered")(fits)
    for _ in tqdm(done, total=len(todo), desc="real sets", unit="fold"):
        pass
    for name, family, fold, R, y, _, y_test in module.real_sets(
        arguments.quick, arguments.collection
    ):
        if fold == 0:
            rarest = np.bincount(y).min() / len(y)
            size = f"rows {len(y) + len(y_test):5d} rarest class {rarest:6.1%} columns {R.shape[1]}"
            print(f"{name:26s} family {family:14s} {size}")


if __name__ == "__main__":
    main()

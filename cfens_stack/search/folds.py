"""Folds that all trials of a search share: rows without a label are trained on, never scored."""

from numbers import Integral

import numpy as np

from cfens_stack.splits import make_splits
from cfens_stack.validation import UNLABELLED

# Rarest-class rows scored a trial, over all repetitions, before folds stop being repeated.
POSITIVES_WANTED = 100
MOST_REPETITIONS = 4


def make_folds(cv, R, y, groups, classes, seed):
    """Folds of any splitter, or repeated ones of an int: list of (train, test)."""
    metadata = {} if groups is None else {"groups": groups}
    repetitions = _repetitions(y) if isinstance(cv, Integral) else 1
    seeds = np.random.SeedSequence(seed).generate_state(repetitions)
    unlabelled = np.flatnonzero(y == UNLABELLED)
    return [
        (np.sort(np.concatenate([train, unlabelled])), test)
        for one in seeds
        for train, test in make_splits(cv, R, y, metadata, classes=classes, seed=int(one))
    ]


def _repetitions(y):
    """How often folds are drawn: the fewer rows of the rarest class, the more, up to four times."""
    rarest = np.bincount(y[y != UNLABELLED]).min()
    return int(np.clip(np.ceil(POSITIVES_WANTED / rarest), 1, MOST_REPETITIONS))

"""Which parameters of CFEnsembleSearch are valid, and what follows from them for given data."""

import os
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from cfens_stack.ensemble.estimators import CFEnsemble
from cfens_stack.ensemble.layout import find_layout
from cfens_stack.positive_class import doubtful_positive_class, positive_class
from cfens_stack.search.aims import OF_ONE_CLASS
from cfens_stack.search.selection import SELECTIONS
from cfens_stack.validation import refuse_classes, warn_user

TRAINERS = ("als", "pytorch")

CONSTRAINTS: dict = {
    "n_trials": [Interval(Integral, 1, None, closed="left"), None],
    "timeout": [Interval(Real, 0, None, closed="neither"), None],
    "cv": ["cv_object"],
    "scoring": [str, callable, tuple, list],
    "pos_label": "no_validation",
    "trainers": [StrOptions({"auto"}), "array-like"],
    "guide": ["boolean"],
    "storage": [str, os.PathLike, HasMethods(["create_new_study"]), None],
    "study_name": [str, None],
    "sampler": [HasMethods(["sample_independent"]), None],
    "pruner": [HasMethods(["prune"]), None],
    "n_jobs": [Integral, None],
    "refit": ["boolean"],
    "show_progress_bar": ["boolean"],
    "callbacks": [list, tuple, None],
    "random_state": ["random_state"],
    "estimator": [CFEnsemble, None],
    "space": [list, tuple, None],
    "selection": [StrOptions(set(SELECTIONS))],
    "n_average": [Interval(Integral, 1, None, closed="left")],
}


def check_settings(search):
    """Refuse what the constraints of single parameters let pass."""
    refuse_classes(sampler=search.sampler, pruner=search.pruner)
    for callback in search.callbacks or ():
        if not callable(callback):
            raise TypeError(f"callbacks holds {callback!r}: pass functions (study, trial) -> None.")
    if search.n_trials is None and search.timeout is None:
        raise ValueError("n_trials=None needs a timeout in seconds, or the search would never end.")


def check_trainers(trainers):
    """Trainers to search: tuple of str."""
    names = ("als",) if isinstance(trainers, str) else tuple(trainers)
    if not names or not set(names) <= set(TRAINERS):
        raise ValueError(f"trainers={trainers!r}: pass 'auto' or a sequence of some of {TRAINERS}.")
    return names


def positive_code(scoring, pos_label, classes, codes):
    """Code of the class that scores by name take for positive; warns where that is in doubt."""
    several = scoring if isinstance(scoring, tuple | list) else (scoring,)
    named = [name for name in several if isinstance(name, str) and name in OF_ONE_CLASS]
    if named:
        counts, metric = np.bincount(codes[codes >= 0]), f"scoring={named[0]!r}"
        doubt = doubtful_positive_class(pos_label, classes, counts, metric)
        if doubt is not None:
            warn_user(doubt)
    return positive_class(pos_label, classes)


def base_estimator(estimator, R, n_classes):
    """The estimator whose other parameters the trials vary; scores stay scores in folds that look
    otherwise.
    """
    base = CFEnsemble() if estimator is None else clone(estimator)
    if find_layout(R, n_classes, base.layout).kind == "scores":
        base.set_params(layout="scores")
    return base

"""What a configuration is worth: cross-validated score of CFEnsemble on rows of R, folds shared by
all trials.
"""

import inspect
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import joblib
import numpy as np
from sklearn import config_context
from sklearn.metrics import get_scorer

from cfens_stack.search.pruning import corrected_standard_error
from cfens_stack.splits import make_splits
from cfens_stack.validation import UNLABELLED

POSITIVES_WANTED = (
    100  # rarest-class rows scored a trial, over all repetitions, before folds stop being repeated
)
MOST_REPETITIONS = 4


@dataclass(frozen=True)
class Evaluation:
    """Cross-validation of parameters of CFEnsemble.

    Attributes
    ----------
    estimator : CFEnsemble
        Parameters that are not searched.
    R : ndarray of shape (n, m)
    labels : ndarray of shape (n,)
        What the estimator is fitted on.
    v : ndarray of shape (n,) or None
        Sample weights.
    splits : list of (train, test)
        Unlabelled rows are in every training part and in no test part.
    scorer : callable (estimator, R, y) -> float
    weighted : bool
        Whether the scorer takes sample weights.
    """

    estimator: Any
    R: np.ndarray
    labels: np.ndarray
    v: np.ndarray | None
    splits: list
    scorer: Any
    weighted: bool

    @property
    def n_folds(self):
        """Steps of a trial."""
        return len(self.splits)

    @property
    def overlap(self):
        """Mean of test rows over training rows of a fold."""
        return float(np.mean([len(test) / len(train) for train, test in self.splits]))

    def fold_scores(self, params):
        """The score of each fold in turn; FloatingPointError where it is no finite number."""
        for fold, (train, test) in enumerate(self.splits):
            score = float(self._score(params, train, test))
            if not np.isfinite(score):
                raise FloatingPointError(f"the score of fold {fold} is {score}")
            yield score

    def standard_error(self, scores):
        """Standard error of the mean score, corrected for overlapping training parts; NaN for one
        fold.
        """
        return corrected_standard_error(scores, self.overlap) if len(scores) > 1 else float("nan")

    def _score(self, params, train, test):
        model = type(self.estimator)(**{**self.estimator.get_params(deep=False), **params})
        weights = {} if self.v is None else {"sample_weight": self.v[train]}
        model.fit(self.R[train], self.labels[train], **weights)
        scored = {"sample_weight": self.v[test]} if self.v is not None and self.weighted else {}
        with config_context(
            enable_metadata_routing=False
        ):  # weights go to scorers that take them, requested or not
            return self.scorer(model, self.R[test], self.labels[test], **scored)


def make_evaluation(estimator, R, y, classes, v, groups, *, cv, scoring, seed):
    """Folds and scorer for the data at hand.

    Parameters
    ----------
    y : ndarray of int, shape (n,)
        Class codes, -1 where unlabelled.
    v : ndarray of shape (n,) or None
    groups : ndarray of shape (n,) or None
    cv : int, splitter or iterable of (train, test)
    scoring : str or callable
        A name is scored on class codes, so that it needs no `pos_label`; a callable on the labels
        themselves.
    seed : int

    Returns
    -------
    Evaluation
    """
    named = isinstance(scoring, str)
    scorer = get_scorer(scoring) if named else scoring
    return Evaluation(
        estimator=estimator,
        R=R,
        labels=_labels(y) if named else _labels(y, classes),
        v=v,
        splits=_splits(cv, R, y, groups, classes, seed),
        scorer=scorer,
        weighted=_takes_weights(scorer),
    )


def fingerprint(evaluation, scoring, space):
    """Text that changes with data, folds, score and space: a study is continued on its own ones
    only.
    """
    parts = (evaluation.R, evaluation.labels, evaluation.v, evaluation.splits)
    params = {
        name: _name(value) for name, value in evaluation.estimator.get_params(deep=False).items()
    }
    return f"{joblib.hash(parts)} {joblib.hash((repr(space), repr(params)))} {_name(scoring)}"


def _name(value):
    """A function by its name, which is the same in every process; anything else as it is."""
    return getattr(value, "__name__", type(value).__name__) if callable(value) else value


def _labels(y, classes=None):
    """Labels of class codes, missing where unlabelled."""
    unlabelled = y == UNLABELLED
    if not unlabelled.any():
        return y if classes is None else classes[y]
    if classes is None:
        return np.where(unlabelled, np.nan, y)
    return np.where(unlabelled, None, classes.astype(object)[y])


def _splits(cv, R, y, groups, classes, seed):
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


def _takes_weights(scorer):
    """Whether the metric behind a scorer, or the scoring function itself, has an argument for
    weights.
    """
    function = getattr(scorer, "_score_func", scorer)
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return False

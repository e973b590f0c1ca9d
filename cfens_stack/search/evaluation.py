"""What a configuration is worth: cross-validated scores of CFEnsemble on rows of R, folds shared by
all trials.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import joblib
import numpy as np
from sklearn.base import clone

from cfens_stack.ensemble.base import BaseCFEnsemble
from cfens_stack.ensemble.encoded import encoding_key
from cfens_stack.positive_class import positive_class
from cfens_stack.search.aims import Predicted, best_threshold, check_number_of_classes, make_aims
from cfens_stack.search.encodings import Encodings
from cfens_stack.search.folds import make_folds
from cfens_stack.search.pruning import corrected_standard_error
from cfens_stack.validation import UNLABELLED

LOG_SCORE = "neg_log_loss"


class Fold(NamedTuple):
    """What a configuration did on one fold.

    Attributes
    ----------
    scores : tuple of float
        One per aim; NaN for one of decisions, whose threshold is found when all folds are there.
    log_score : float
        Mean logarithm of the probability given to the true class.
    log_rows : ndarray of shape (n_test,)
        That of each row.
    P : ndarray of shape (n_test, K)
        Probabilities, the positive class last if there are two.
    """

    scores: tuple
    log_score: float
    log_rows: np.ndarray
    P: np.ndarray


class Result(NamedTuple):
    """What a configuration did on all folds: scores of the folds by name of the aim, the log score
    among them, and the threshold, None where the most probable class is predicted.
    """

    fold_scores: dict
    threshold: float | None


@dataclass(frozen=True)
class Evaluation:
    """Cross-validation of parameters of CFEnsemble.

    Attributes
    ----------
    estimator : CFEnsemble
        Parameters that are not searched.
    R : ndarray of shape (n, m)
    y : ndarray of int, shape (n,)
        Class codes, -1 where unlabelled.
    labels : ndarray of shape (n,)
        What the estimator is fitted on: codes if all scores are scikit-learn's by name, else the
        labels as given.
    classes : ndarray of shape (K,)
    v : ndarray of shape (n,) or None
        Sample weights.
    splits : list of (train, test)
        Unlabelled rows are in every training part and in no test part.
    aims : tuple of Aim
    positive : int
        Code of the class that scores by name take for positive, if there are two.
    encodings : Encodings
        What trials share.
    """

    estimator: Any
    R: np.ndarray
    y: np.ndarray
    labels: np.ndarray
    classes: np.ndarray
    v: np.ndarray | None
    splits: list
    aims: tuple
    positive: int
    encodings: Encodings = field(default_factory=Encodings, repr=False, compare=False)

    @property
    def n_folds(self):
        """Steps of a trial."""
        return len(self.splits)

    @property
    def overlap(self):
        """Mean of test rows over training rows of a fold."""
        return float(np.mean([len(test) / len(train) for train, test in self.splits]))

    @property
    def deciding(self):
        """The first aim of decisions if there are two classes, whose threshold is tuned; or
        None.
        """
        found = [aim for aim in self.aims if aim.is_of_decisions] if len(self.classes) == 2 else []
        return found[0] if found else None

    def folds(self, params):
        """What parameters do on each fold in turn; FloatingPointError where a score is no finite
        number.
        """
        for number in range(self.n_folds):
            fold = self._fold(params, number)
            for score in (*fold.scores, fold.log_score):
                if np.isinf(score) or (np.isnan(score) and self.deciding is None):
                    raise FloatingPointError(f"the score of fold {number} is {score}")
            yield fold

    def step_score(self, fold):
        """By which a trial is given up before its last fold: its score, or the log score where
        that waits for a threshold.
        """
        score = fold.scores[0]
        return fold.log_score if np.isnan(score) else score

    def row_z(self, folds, reference):
        """How many standard errors the rows seen so far are ahead of another configuration's in
        log score; NaN where a row is seen twice, in repeated folds.
        """
        rows = np.concatenate([test for _, test in self.splits[: len(folds)]])
        if len(np.unique(rows)) < len(rows):
            return float("nan")
        gains = np.concatenate(
            [a.log_rows - b.log_rows for a, b in zip(folds, reference, strict=False)]
        )
        v = np.ones(len(rows)) if self.v is None else self.v[rows]
        mean = np.average(gains, weights=v)
        error = np.sqrt(np.sum((v * (gains - mean)) ** 2)) / v.sum()
        return float(mean / error) if error > 0.0 else 0.0

    def result(self, folds):
        """Scores of all folds, those of decisions at one threshold on the pooled probabilities."""
        threshold = None
        if self.deciding is not None:
            rows = np.concatenate([test for _, test in self.splits])
            P = np.concatenate([fold.P for fold in folds])
            weights = None if self.v is None else self.v[rows]
            names = self._names(self.deciding)
            threshold = best_threshold(self.deciding, P, self._codes(rows), weights, names)
        by_fold = [self._with_decisions(fold, threshold, k) for k, fold in enumerate(folds)]
        scores = {aim.name: [one[k] for one in by_fold] for k, aim in enumerate(self.aims)}
        return Result({LOG_SCORE: [fold.log_score for fold in folds], **scores}, threshold)

    def standard_error(self, scores):
        """Standard error of the mean score, corrected for overlapping training parts; NaN for one
        fold.
        """
        return corrected_standard_error(scores, self.overlap) if len(scores) > 1 else float("nan")

    def _fit(self, params, number):
        """An estimator with these parameters, fitted on the training part of a fold."""
        train = self.splits[number][0]
        model = type(self.estimator)(**{**self.estimator.get_params(deep=False), **params})
        R = self.encodings.get(number, lambda: self.R[train])
        data = (R, self.labels[train], None if self.v is None else self.v[train])
        if type(model).fit is not BaseCFEnsemble.fit:  # a subclass that does more
            return model.fit(*data)
        key = (number, *encoding_key(model))
        return model.fit_encoded(self.encodings.get(key, lambda: model.encode(*data)))

    def _fold(self, params, number):
        test = self.splits[number][1]
        model = self._fit(params, number)
        P = model.predict_proba(self.R[test])
        v = None if self.v is None else self.v[test]
        truth = np.clip(P[np.arange(len(test)), self.y[test]], np.finfo(float).eps, 1.0)
        log_rows = np.log(truth)
        P = P[:, ::-1] if self._is_turned else P
        scores = [
            float("nan")
            if self.deciding is not None and aim.is_of_decisions
            else aim(Predicted(P.shape[1]), P, self._codes(test), v=v)
            if aim.is_named
            else aim(model, self.R[test], self.labels[test], v=v)
            for aim in self.aims
        ]
        return Fold(tuple(scores), float(np.average(log_rows, weights=v)), log_rows, P)

    def _with_decisions(self, fold, threshold, number):
        test = self.splits[number][1]
        v = None if self.v is None else self.v[test]
        return [
            aim.within_folds()(
                Predicted(2, threshold, self._names(aim)),
                fold.P,
                self._codes(test) if aim.is_named else self.labels[test],
                v=v,
            )
            if self.deciding is not None and aim.is_of_decisions
            else score
            for aim, score in zip(self.aims, fold.scores, strict=True)
        ]

    def _names(self, aim):
        """Labels of the codes that `_codes` gives, for an aim that sees labels; else None."""
        if aim.is_named:
            return None
        return self.classes[::-1] if self._is_turned else self.classes

    @property
    def _is_turned(self):
        return len(self.classes) == 2 and self.positive == 0

    def _codes(self, rows):
        """Codes as scores by name see them: 1 for the positive class of two."""
        return 1 - self.y[rows] if self._is_turned else self.y[rows]


def make_evaluation(estimator, R, y, classes, v, groups, *, cv, scoring, seed, positive=-1):
    """Folds and scores for the data at hand.

    Parameters
    ----------
    y : ndarray of int, shape (n,)
        Class codes, -1 where unlabelled.
    v : ndarray of shape (n,) or None
    groups : ndarray of shape (n,) or None
    cv : int, splitter or iterable of (train, test)
    scoring : str, callable, or tuple of them
        A name is scored on class codes; a callable on the labels themselves.
    seed : int
    positive : int
        Code of the positive class of two; -1 for the last.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If a score by name cannot judge as many classes.
    """
    aims = make_aims(scoring)
    check_number_of_classes(aims, len(classes))
    on_codes = all(aim.is_named for aim in aims)
    if on_codes and estimator.pos_label is not None:
        code = positive_class(estimator.pos_label, classes)
        estimator = clone(estimator).set_params(pos_label=code)
    return Evaluation(
        estimator=estimator,
        R=R,
        y=y,
        labels=_labels(y, None if on_codes else classes),
        classes=classes,
        v=v,
        splits=make_folds(cv, R, y, groups, classes, seed),
        aims=aims,
        positive=positive % len(classes),
    )


def fingerprint(evaluation, space):
    """Text that changes with data, folds, score and space: a study is continued on its own ones
    only.
    """
    parts = (evaluation.R, evaluation.y, evaluation.classes, evaluation.v, evaluation.splits)
    params = {
        name: _name(value) for name, value in evaluation.estimator.get_params(deep=False).items()
    }
    scores = [aim.text for aim in evaluation.aims]
    settings = joblib.hash((repr(space), repr(params), evaluation.positive))
    return f"{joblib.hash(parts)} {settings} {', '.join(scores)}"


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

"""Scores of given predictions: any scorer of scikit-learn, and how sure the score is."""

import inspect

import numpy as np
from scipy.stats import t as student_t
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer, log_loss, make_scorer

N_BLOCKS = 20  # of rows, left out in turn


class GivenPredictions(ClassifierMixin, BaseEstimator):
    """Stands in for a fitted classifier where the predictions are there already: its X are row
    numbers.

    Parameters
    ----------
    P : ndarray of shape (n, K)
    classes_ : ndarray of shape (K,)
    """

    def __init__(self, P, classes_):
        self.P = P
        self.classes_ = classes_

    def predict_proba(self, X):
        """Rows of P."""
        return self.P[np.ravel(X)]

    def predict(self, X):
        """The most probable class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class RowScorer:
    """Scores of predictions on some of the rows; larger is better.

    Parameters
    ----------
    scoring : str, callable or None
        Of scikit-learn; None: "neg_log_loss".
    y : ndarray of int, shape (n,)
        Class codes, -1 without a label.
    classes : ndarray of shape (K,)
        Labels, which callables see; scorers by name see the codes.
    sample_weight : ndarray of shape (n,) or None
        Used by scorers that take weights.
    blocks : list of ndarray of int
        Row numbers that are left out in turn for the interval; rows that belong together are in
        one block.
    """

    def __init__(self, scoring, y, classes, sample_weight, blocks):
        self.classes = classes if callable(scoring) else np.arange(len(classes))
        if scoring is None:  # with labels, for rows that lack a class
            scoring = make_scorer(
                log_loss,
                greater_is_better=False,
                response_method="predict_proba",
                labels=np.arange(len(classes)),
            )
        self.scorer = get_scorer(scoring)
        self.y = y
        self.weights = sample_weight if _takes_weights(self.scorer) else None
        self.blocks = blocks

    def score(self, P, rows):
        """Score of predictions on rows; NaN where it is not defined because the rows lack a
        class.
        """
        if len(rows) == 0:
            return np.nan
        weights = {} if self.weights is None else {"sample_weight": self.weights[rows]}
        try:
            given, labels = GivenPredictions(P, self.classes), self.classes[self.y[rows]]
            return float(self.scorer(given, rows[:, None], labels, **weights))
        except ValueError:
            if len(np.unique(self.y[rows])) < P.shape[1]:
                return np.nan
            raise

    def interval(self, P):
        """Score on the rows that have a label and predictions, and the ends of its 95 % interval.

        The delete-a-group jackknife: the variance is (g - 1) / g times the sum of squared
        deviations of the g scores without a block.
        """
        score, without = self._scores(P, self._usable(P))
        return score, *_ends(score, without)

    def difference(self, P, Q):
        """Score of P minus that of Q on the rows that have both, and the ends of its interval."""
        rows = self._usable(P) & self._usable(Q)
        (p, p_without), (q, q_without) = self._scores(P, rows), self._scores(Q, rows)
        return p - q, *_ends(p - q, p_without - q_without)

    def _usable(self, P):
        return np.isfinite(P).all(axis=1) & (self.y >= 0)

    def _scores(self, P, usable):
        """Score on rows, and the scores without each block of them."""
        without = []
        for block in self.blocks:
            rest = usable.copy()
            rest[block] = False
            without.append(self.score(P, np.flatnonzero(rest)))
        return self.score(P, np.flatnonzero(usable)), np.array(without)


def _ends(score, without):
    """Ends of the 95 % interval of the delete-a-group jackknife."""
    g = len(without)
    if g < 2:
        return np.nan, np.nan
    spread = without - without.mean()
    reach = student_t.ppf(0.975, g - 1) * np.sqrt((g - 1) / g * (spread**2).sum())
    return score - reach, score + reach


def _takes_weights(scorer):
    """Whether the metric behind a scorer, or the scoring function itself, takes sample weights."""
    function = getattr(scorer, "_score_func", scorer)
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return False

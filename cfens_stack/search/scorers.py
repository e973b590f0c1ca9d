"""Scores of decisions that scikit-learn has no name for: costs of mistakes, recall at a precision."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix


@dataclass(frozen=True)
class NegativeCost:
    """A scorer: minus the mean cost of the decisions, for `CFEnsembleSearch(scoring=...)`.

    Parameters
    ----------
    costs : array-like of shape (K, K)
        Cost of predicting class j (column) for a row of class i, in the order of `classes_`; with
        two classes and a `pos_label` of the search, the positive class is the last. Two classes: a
        mistake costs no less than being right.

    Raises
    ------
    ValueError
        If `costs` is not of that shape, not finite, or pays for mistakes.

    Examples
    --------
    >>> from cfens_stack import CFEnsembleSearch
    >>> from cfens_stack.datasets import make_predictions
    >>> from cfens_stack.search import NegativeCost
    >>> data = make_predictions(n_samples=400, n_models=8, random_state=0)
    >>> missed_is_dear = NegativeCost([[0, 1], [20, 0]])
    >>> search = CFEnsembleSearch(2, cv=3, scoring=missed_is_dear, random_state=0)
    >>> bool(search.fit(data.R, data.y).best_threshold_ < 0.5)
    True
    """

    costs: Any

    name = "negative_cost"

    def __call__(self, estimator, R, y, sample_weight=None):
        """Minus the mean cost: float."""
        costs, classes = np.asarray(self.costs, dtype=float), estimator.classes_
        if costs.shape != (len(classes), len(classes)) or not np.isfinite(costs).all():
            raise ValueError(
                f"costs={self.costs!r} must be {len(classes)} x {len(classes)} finite numbers, a row "
                "for each true class and a column for each predicted one."
            )
        if len(classes) == 2 and (costs < np.diag(costs)[:, None]).any():
            raise ValueError(
                f"costs={self.costs!r} pays for mistakes: no entry may be below the diagonal entry "
                "of its row."
            )
        counts = confusion_matrix(
            y, estimator.predict(R), labels=classes, sample_weight=sample_weight
        )
        return -float((counts * costs).sum() / counts.sum())


@dataclass(frozen=True)
class RecallAtPrecision:
    """A scorer for two classes: the recall of decisions whose precision is high enough.

    The threshold is the one with the best recall among those that reach the precision on the
    out-of-fold probabilities of all folds together; where none does, the one with the best
    precision. Folds are then scored by their recall.

    Parameters
    ----------
    precision : float in (0, 1]

    Raises
    ------
    ValueError
        If the precision is out of its range, or there are more than two classes.
    """

    precision: float

    name = "recall_at_precision"

    def __call__(self, estimator, R, y, sample_weight=None):
        """Recall; where the precision is not reached, what it lacks, below 0: float."""
        precision, recall = self._precision_and_recall(estimator, R, y, sample_weight)
        return recall if precision >= self.precision else precision - self.precision

    def within_folds(self, estimator, R, y, sample_weight=None):
        """Recall: float."""
        return self._precision_and_recall(estimator, R, y, sample_weight)[1]

    def _precision_and_recall(self, estimator, R, y, sample_weight):
        if not 0.0 < self.precision <= 1.0:
            raise ValueError(f"precision={self.precision!r} must be above 0 and at most 1.")
        classes = estimator.classes_
        if len(classes) != 2:
            raise ValueError(
                f"recall at a precision is for two classes, but there are {len(classes)}"
            )
        counts = confusion_matrix(
            y, estimator.predict(R), labels=classes, sample_weight=sample_weight
        )
        positive, found, right = counts[1].sum(), counts[:, 1].sum(), counts[1, 1]
        # Without a decision for the positive class none is wrong.
        precision = float(right / found) if found > 0 else 1.0
        return precision, float(right / positive) if positive > 0 else 0.0

"""Accuracy over the rows that have a label."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import check_consistent_length

from cfens_stack.validation import filled, known_labels


class LabelledScoreMixin(ClassifierMixin):
    """A classifier whose `score` takes labels as its `fit` does: missing ones, and objects."""

    def score(self, X, y, sample_weight=None):
        """Share of the labelled rows whose class is predicted.

        Parameters
        ----------
        X : what `predict` takes, n rows
        y : array-like of shape (n,)
            True labels; rows without one (NaN, None, pandas.NA, masked) do not count.
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        accuracy : float

        Raises
        ------
        ValueError
            If y has no label at all, or another length than X.
        """
        predicted = self.predict(X)
        _, labelled, known = known_labels(y)
        check_consistent_length(predicted, labelled, sample_weight)
        if sample_weight is not None:
            sample_weight = np.asarray(filled(sample_weight))[labelled]
        return accuracy_score(known, predicted[labelled], sample_weight=sample_weight)

"""Predictions of base models that are no plain arrays."""

import numpy as np
import pandas as pd
from numpy.testing import assert_array_equal
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB

from cfens_stack.stacking.base_predictions import predictions_of

X, Y = make_classification(150, 6, weights=[0.7], random_state=0)


class Presented(GaussianNB):
    """Probabilities in another form than an array of floats in the order of `classes_`."""

    def __init__(self, form):
        super().__init__()
        self.form = form

    def predict_proba(self, X):
        return self.form(super().predict_proba(X))


def by_names_reversed(P):
    return pd.DataFrame(P[:, ::-1], columns=[1, 0], index=np.arange(len(P))[::-1])


def second_half_masked(P):
    hidden = np.repeat((np.arange(len(P)) % 2 == 1)[:, None], 2, axis=1)
    return np.ma.masked_array(P, mask=hidden)


def test_columns_of_a_frame_are_taken_by_the_classes_that_they_name():
    labels, P = np.arange(2), GaussianNB().fit(X, Y).predict_proba(X)
    values = predictions_of(Presented(by_names_reversed).fit(X, Y), X, labels).values
    assert_array_equal(values[:, 0], P[:, 1])
    unnamed = predictions_of(Presented(pd.DataFrame).fit(X, Y), X, labels).values
    assert_array_equal(unnamed[:, 0], P[:, 1])


def test_masked_probabilities_are_missing():
    values = predictions_of(Presented(second_half_masked).fit(X, Y), X, np.arange(2)).values
    assert_array_equal(np.isnan(values[:, 0]), np.arange(len(X)) % 2 == 1)

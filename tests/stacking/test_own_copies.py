"""Base models that change what they are given: neither the caller nor other models see it."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cfens_stack import StackingPipeline

X, Y = make_classification(150, 6, weights=[0.7], random_state=0)
X = 3.0 * X + 5.0
FRAME = pd.DataFrame(X, columns=list("abcdef"))


class AddsColumn(TransformerMixin, BaseEstimator):
    """Writes a feature into the frame that it is given, as code of users often does."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        X["ratio"] = X["a"] / X["b"]
        X["a"] = 0.0
        return X


class Greedy(ClassifierMixin, BaseEstimator):
    """Changes rows and labels, in fit and in prediction."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.mean_ = X[:, 0].mean()
        X *= 0.0
        y[:] = 0
        return self

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(self.mean_ - X[:, 0]))
        X *= 0.0
        return np.column_stack([1 - p, p])


CHANGING = {
    "an array, by copy=False": (X, make_pipeline(StandardScaler(copy=False), LogisticRegression())),
    "a frame, by a column": (FRAME, make_pipeline(AddsColumn(), LogisticRegression())),
    "rows and labels": (X, Greedy()),
}


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("how", CHANGING)
def test_a_model_that_changes_its_data_changes_no_one_elses(how, n_jobs):
    table, changing = CHANGING[how]
    given, labels = table.copy(), Y.copy()
    models = [("changing", changing), ("bayes", GaussianNB())]
    stack = StackingPipeline(models, cv=3, random_state=0, n_jobs=n_jobs).fit(given, labels)
    R = stack.base_predictions(given)
    assert_array_equal(labels, Y)
    assert_array_equal(given, table)
    assert list(getattr(given, "columns", [])) == list(getattr(table, "columns", []))
    alone = StackingPipeline(models[1:], cv=3, random_state=0).fit(table, Y)
    assert_allclose(R[:, 1:], alone.base_predictions(table))
    assert_allclose(stack.oof_[:, 1:], alone.oof_)
    before = stack.predict_proba(given)
    assert_allclose(stack.refit_meta(None).predict_proba(given), before)

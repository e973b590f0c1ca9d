"""What docs/comparison.md says of scikit-learn and mlxtend, run."""

import numpy as np
import pytest
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import StackingPipeline


class Abstaining(DecisionTreeClassifier):
    """Has no prediction for the first row that it is asked for."""

    def predict_proba(self, X):
        P = super().predict_proba(X)
        P[0] = np.nan
        return P


class Raising(DecisionTreeClassifier):
    """Raises in some folds."""

    def fit(self, X, y, sample_weight=None):
        if X[0, 0] < 0.5:
            raise RuntimeError("boom")
        return super().fit(X, y)


def scikit_learn(model):
    return StackingClassifier([("bayes", GaussianNB()), ("other", model)])


def mlxtend(model):
    classifier = pytest.importorskip("mlxtend.classifier")
    return classifier.StackingCVClassifier(
        [GaussianNB(), model], LogisticRegression(), use_probas=True, cv=5, random_state=0
    )


def ours(model):
    return StackingPipeline([("bayes", GaussianNB()), ("other", model)], random_state=0)


@pytest.fixture
def rows():
    X = np.random.default_rng(0).normal(size=(120, 3))
    return X, (X[:, 0] > 0).astype(int)


@pytest.mark.filterwarnings(
    "ignore:invalid value encountered in cast:RuntimeWarning"
)  # scikit-learn's, of y
@pytest.mark.parametrize("stack", [scikit_learn, mlxtend])
def test_others_raise_where_a_model_raises_a_prediction_or_a_label_is_missing(stack, rows):
    X, y = rows
    with pytest.raises(RuntimeError, match="boom"):
        stack(Raising()).fit(X, y)
    with pytest.raises(ValueError, match="contains NaN"):
        stack(Abstaining()).fit(X, y)
    with pytest.raises(ValueError, match="contains NaN"):
        stack(GaussianNB()).fit(X, np.where(np.arange(120) < 5, np.nan, y))


@pytest.mark.filterwarnings("ignore::cfens_stack.BaseModelWarning")
@pytest.mark.parametrize("model", [Raising(), Abstaining()])
def test_this_package_goes_on(model, rows):
    X, y = rows
    stack = ours(model).fit(X, np.where(np.arange(120) < 5, np.nan, y))
    assert np.isnan(stack.oof_).any()
    assert np.isfinite(stack.predict_proba(X)).all()


def test_out_of_fold_predictions_are_kept_here_only(rows):
    X, y = rows
    assert ours(GaussianNB()).fit(X, y).oof_.shape == (120, 2)
    kept = [
        value
        for value in vars(scikit_learn(GaussianNB()).fit(X, y)).values()
        if np.shape(value) == (120, 2)
    ]
    assert kept == []

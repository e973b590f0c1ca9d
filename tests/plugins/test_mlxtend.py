"""CFEnsemble as meta-classifier of mlxtend's own StackingCVClassifier."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from cfens_stack import CFEnsemble, CFEnsembleSearch

classifier = pytest.importorskip("mlxtend.classifier", reason="mlxtend is not installed")

MODELS = [LogisticRegression(), GaussianNB()]
NAMES = np.array(["ant", "bee", "cat"])


def fitted(n_classes, labels, meta=None, **settings):
    X, y = make_classification(
        240, 6, n_informative=4, n_classes=n_classes, class_sep=1.5, random_state=0
    )
    stack = classifier.StackingCVClassifier(
        MODELS, meta or CFEnsemble(), use_probas=True, cv=3, random_state=0, **settings
    )
    return stack.fit(X, labels[y]), X, labels[y]


@pytest.mark.parametrize("labels", [np.arange(3), NAMES], ids=["integers", "strings"])
@pytest.mark.parametrize(("n_classes", "layout"), [(2, "positive"), (3, "model-major")])
def test_all_columns_arrive_and_are_recognised(n_classes, layout, labels):
    """mlxtend passes both columns of two classes, and the labels as they are."""
    stack, X, y = fitted(n_classes, labels)
    meta = stack.meta_clf_
    assert meta.n_features_in_ == n_classes * len(MODELS)
    assert meta.layout_ == layout
    np.testing.assert_array_equal(meta.classes_, labels[:n_classes])
    P = stack.predict_proba(X)
    np.testing.assert_allclose(P.sum(axis=1), 1.0)
    np.testing.assert_array_equal(P, meta.predict_proba(stack.predict_meta_features(X)))
    assert np.mean(stack.predict(X) == y) > 0.7


def test_search_as_meta_classifier():
    stack, X, y = fitted(2, NAMES, CFEnsembleSearch(3, cv=2, pos_label="bee", random_state=0))
    assert len(stack.meta_clf_.study_.trials) == 3
    assert np.mean(stack.predict(X) == y) > 0.7


def test_dropping_the_repeated_column_changes_nothing():
    """The first of two columns says what the second says, so the probabilities agree."""
    both, X, _ = fitted(2, NAMES)
    second, _, _ = fitted(2, NAMES, drop_proba_col="first")
    assert second.meta_clf_.n_features_in_ == len(MODELS)
    np.testing.assert_allclose(both.predict_proba(X), second.predict_proba(X), atol=1e-12)


def test_clones_with_its_meta_classifier():
    stack, _, _ = fitted(2, NAMES)
    assert clone(stack).set_params(meta_classifier__rho=0.25).meta_classifier.rho == 0.25

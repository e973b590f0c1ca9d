"""CFEnsemble as final estimator of FLAML's own stacked ensemble."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification

from cfens_stack import CFEnsemble, CFEnsembleSearch

with warnings.catch_warnings():  # FLAML warns of its own optional parts
    warnings.simplefilter("ignore")
    flaml = pytest.importorskip("flaml", reason="flaml is not installed")
    if not hasattr(flaml, "AutoML"):
        pytest.skip("flaml[automl] is not installed", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")  # what the toolkit warns of is not ours to mend
NAMES = np.array(["ant", "bee", "cat"])


def fitted(n_classes, final_estimator, **ensemble):
    X, y = make_classification(
        300, 6, n_informative=4, n_classes=n_classes, class_sep=1.5, random_state=0
    )
    X = pd.DataFrame(X, columns=list("abcdef"))
    automl = flaml.AutoML()
    automl.fit(
        X,
        NAMES[y],
        task="classification",
        metric="log_loss",
        time_budget=30,
        max_iter=9,  # an ensemble needs a fit of two learners; the clock alone would not promise it
        estimator_list=["rf", "extra_tree", "lrl1"],
        ensemble={"final_estimator": final_estimator, "passthrough": False} | ensemble,
        eval_method="cv",
        n_splits=3,
        n_jobs=1,
        seed=0,
        verbose=0,
    )
    assert automl.predict_proba(X).shape == (len(X), n_classes)
    assert np.mean(automl.predict(X) == NAMES[y]) > 0.7
    return automl.model


@pytest.mark.parametrize(("n_classes", "layout"), [(2, "positive"), (3, "model-major")])
def test_final_estimator_of_the_ensemble(n_classes, layout):
    stack = fitted(n_classes, CFEnsemble())
    meta = stack.final_estimator_
    assert type(meta) is CFEnsemble
    assert meta.layout_ == layout
    assert meta.n_features_in_ == len(stack.estimators_) * (1 if n_classes == 2 else n_classes)


def test_search_as_final_estimator():
    meta = fitted(2, CFEnsembleSearch(n_trials=3, cv=2, random_state=0)).final_estimator_
    assert len(meta.study_.trials) == 3


def test_features_passed_through_are_refused_and_flaml_goes_on_without():
    """It takes the ValueError for one of categorical features, which it knows a way around."""
    stack = fitted(2, CFEnsemble(), passthrough=True)
    assert not stack.passthrough
    assert stack.final_estimator_.n_features_in_ == len(stack.estimators_)

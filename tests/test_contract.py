"""scikit-learn's own checks, with no expected failure."""

from importlib.util import find_spec

import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from cfens_stack import CFEnsemble, CFEnsemblePyTorchTrainer, CFEnsembleSearch, CFEnsembleTrainer, StackingPipeline

ESTIMATORS = [
    CFEnsemble(),
    CFEnsemble(latent_dim=2, confidence="certainty", link="identity", use_class_weights=True, focal_gamma=2.0),
    CFEnsemble(aggregator_reg=1.0, nonnegative=False, confidence="calibration", posterior="weighted"),
    CFEnsemble(aggregator="mean", use_label_aware_confidence=True, rho=0.2),
    CFEnsembleTrainer(),
    StackingPipeline([("logistic", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=3))], cv=3),
    StackingPipeline([LogisticRegression(), RidgeClassifier()], meta=LogisticRegression(), cv=2),
    StackingPipeline([LinearSVC(dual=False), GaussianNB()], cv=2),
    CFEnsembleSearch(n_trials=2, cv=2, random_state=0),
]
if find_spec("torch"):
    ESTIMATORS += [
        CFEnsemblePyTorchTrainer(),
        CFEnsemble("pytorch", instance_factors="free", max_iter=10, use_class_weights=True, focal_gamma=1.0),
    ]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::cfens_stack.BaseModelWarning")  # a base model that does not take sparse rows
@parametrize_with_checks(ESTIMATORS)
def test_common_checks(estimator, check):
    check(estimator)

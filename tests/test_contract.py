"""scikit-learn's own checks, with no expected failure."""

from importlib.util import find_spec

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from cfens_stack import CFEnsemble, CFEnsemblePyTorchTrainer, CFEnsembleTrainer

ESTIMATORS = [
    CFEnsemble(),
    CFEnsemble(latent_dim=2, confidence="certainty", link="identity", use_class_weights=True, focal_gamma=2.0),
    CFEnsemble(aggregator_reg=1.0, nonnegative=False, confidence="calibration", posterior="weighted"),
    CFEnsemble(aggregator="mean", use_label_aware_confidence=True, rho=0.2),
    CFEnsembleTrainer(),
]
if find_spec("torch"):
    ESTIMATORS += [
        CFEnsemblePyTorchTrainer(),
        CFEnsemble("pytorch", instance_factors="free", max_iter=10, use_class_weights=True, focal_gamma=1.0),
    ]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_common_checks(estimator, check):
    check(estimator)

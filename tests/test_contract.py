"""scikit-learn's own checks. Expected to fail are those that want `fit_transform` to be what
`transform` gives: of a stack it is the out-of-fold predictions, as `TargetEncoder` does it.
"""

from importlib.util import find_spec

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from cfens_stack import (
    CFEnsemble,
    CFEnsemblePyTorchTrainer,
    CFEnsembleSearch,
    CFEnsembleTrainer,
    StackingPipeline,
)
from cfens_stack.datasets import make_predictions

ESTIMATORS = [
    CFEnsemble(),
    CFEnsemble(
        latent_dim=2,
        confidence="certainty",
        link="identity",
        use_class_weights=True,
        focal_gamma=2.0,
    ),
    CFEnsemble(
        aggregator_reg=1.0, nonnegative=False, confidence="calibration", posterior="weighted"
    ),
    CFEnsemble(aggregator="mean", use_label_aware_confidence=True, rho=0.2),
    CFEnsemble(layout="scores", link="identity", aggregator_reg=10.0),
    CFEnsemble(latent_dim=2, lambda_reg=1e-4, smoothing=0.5, nonnegative=True, rho=0.0),
    CFEnsembleTrainer(),
    StackingPipeline(
        [("logistic", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=3))], cv=3
    ),
    StackingPipeline([LogisticRegression(), RidgeClassifier()], meta=LogisticRegression(), cv=2),
    StackingPipeline([LinearSVC(dual=False), GaussianNB()], cv=2),
    CFEnsembleSearch(n_trials=2, cv=2, random_state=0),
    CFEnsembleSearch(
        n_trials=2, cv=2, selection="average", guide=False, scoring="neg_log_loss", random_state=0
    ),
]
if find_spec("torch"):
    ESTIMATORS += [
        CFEnsemblePyTorchTrainer(),
        CFEnsemble(
            "pytorch", instance_factors="free", max_iter=10, use_class_weights=True, focal_gamma=1.0
        ),
        CFEnsemble(
            "pytorch", latent_dim=2, max_iter=10, confidence="certainty", posterior="weighted"
        ),
    ]


def expected_failures(estimator):
    if not isinstance(estimator, StackingPipeline):
        return {}
    reason = "fit_transform gives out-of-fold predictions, which is not what transform gives"
    return dict.fromkeys(
        ["check_transformer_general", "check_transformer_data_not_an_array"], reason
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:layout='auto' found no groups:UserWarning")  # features, no R
@pytest.mark.filterwarnings("ignore:.* predict the opposite of their class:UserWarning")
@pytest.mark.filterwarnings(
    "ignore::cfens_stack.BaseModelWarning"
)  # a base model that does not take sparse rows
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_common_checks(estimator, check):
    check(estimator)


def requesting():
    """Estimators whose parts ask for the sample weights, as they have to with metadata routing."""
    models = [
        model.set_fit_request(sample_weight=True) for model in (LogisticRegression(), GaussianNB())
    ]
    meta = CFEnsemble().set_fit_request(sample_weight=True)
    return [
        CFEnsemble(),
        StackingPipeline(models, meta=meta, cv=2),
        CFEnsembleSearch(n_trials=1, cv=2, random_state=0),
    ]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning"
)  # array API needs a package that is not there
@pytest.mark.filterwarnings("ignore::cfens_stack.BaseModelWarning")
@pytest.mark.filterwarnings("ignore:layout='auto' found no groups:UserWarning")
@pytest.mark.filterwarnings("ignore:.* predict the opposite of their class:UserWarning")
@pytest.mark.parametrize(
    "which", [0, 1, 2], ids=["CFEnsemble", "StackingPipeline", "CFEnsembleSearch"]
)
def test_common_checks_with_metadata_routing(which):
    with config_context(enable_metadata_routing=True):
        estimator = requesting()[which]
        expected = expected_failures(estimator)
        results = check_estimator(estimator, on_fail=None, expected_failed_checks=expected)
    assert len(results) > 50
    assert [
        result for result in results if result["status"] not in ("passed", "skipped", "xfail")
    ] == []
    failed = {result["check_name"] for result in results if result["status"] == "xfail"}
    assert failed == set(expected)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_factors_as_a_data_frame(library):
    frames = pytest.importorskip(library)
    data = make_predictions(100, 4, random_state=0)
    meta = CFEnsemble(latent_dim=2).set_output(transform=library).fit(data.R, data.y)
    factors = meta.transform(data.R)
    assert isinstance(factors, frames.DataFrame)
    assert (
        list(factors.columns)
        == list(meta.get_feature_names_out())
        == ["cfensemble0", "cfensemble1"]
    )
    np.testing.assert_array_equal(
        factors.to_numpy(), meta.set_output(transform="default").transform(data.R)
    )


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables_and_arrays_give_the_same(library):
    frames = pytest.importorskip(library)
    data = make_predictions(100, 4, random_state=0)
    table = frames.DataFrame({f"model{u}": data.R[:, u] for u in range(4)})
    models = [LogisticRegression(), GaussianNB()]
    for estimator in (
        CFEnsemble(),
        StackingPipeline(models, cv=2, random_state=0),
        CFEnsembleSearch(1, cv=2),
    ):
        plain = clone(estimator).fit(data.R, data.y).predict_proba(data.R)
        labels = frames.Series(data.y.tolist())
        fitted = clone(estimator).fit(table, labels)
        assert list(fitted.feature_names_in_) == list(table.columns)
        np.testing.assert_allclose(fitted.predict_proba(table), plain, atol=1e-8)

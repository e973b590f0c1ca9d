"""CFEnsemble and CFEnsembleSearch as final estimators of scikit-learn's own StackingClassifier."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import CFEnsemble, CFEnsembleSearch

MODELS = [
    ("logistic", LogisticRegression()),
    ("bayes", GaussianNB()),
    ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
]
NAMES = np.array(["ant", "bee", "cat"])


def table(n_classes=2):
    return make_classification(
        240, 6, n_informative=4, n_classes=n_classes, class_sep=1.5, random_state=0
    )


def stack(final_estimator=None, models=MODELS, **settings):
    return StackingClassifier(
        models, final_estimator=final_estimator or CFEnsemble(), **{"cv": 3, **settings}
    )


def assert_probabilities(model, X, y):
    P = model.predict_proba(X)
    assert P.shape == (len(X), len(np.unique(y)))
    np.testing.assert_allclose(P.sum(axis=1), 1.0)
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    assert np.mean(model.predict(X) == y) > 0.7


@pytest.mark.parametrize("labels", [np.arange(3), NAMES], ids=["integers", "strings"])
@pytest.mark.parametrize(
    ("n_classes", "layout", "n_columns"), [(2, "positive", 3), (3, "model-major", 9)]
)
def test_classes_and_labels(n_classes, layout, n_columns, labels):
    X, y = table(n_classes)
    model = stack().fit(X, labels[y])
    assert model.final_estimator_.layout_ == layout
    assert model.final_estimator_.n_features_in_ == n_columns
    assert_probabilities(model, X, labels[y])


@pytest.mark.parametrize("routing", [False, True], ids=["unrouted", "routed"])
def test_sample_weight_reaches_the_final_estimator(routing):
    """With routing a base model must ask for the weights; scikit-learn hands them on to the final
    estimator unasked.
    """
    X, y = table()
    w = np.where(np.arange(len(y)) % 3, 1.0, 5.0)
    with config_context(enable_metadata_routing=routing):
        models = [(name, clone(base)) for name, base in MODELS]
        if routing:
            models = [
                (name, base.set_fit_request(sample_weight=name == "tree")) for name, base in models
            ]
        models = [
            (name, base.fit(X, y)) for name, base in models
        ]  # the weights then act on the final estimator alone
        weighted = stack(models=models, cv="prefit").fit(X, y, sample_weight=w)
        plain = stack(models=models, cv="prefit").fit(X, y)
    alone = CFEnsemble().fit(plain.transform(X), y, sample_weight=w)
    np.testing.assert_array_equal(
        weighted.predict_proba(X), alone.predict_proba(plain.transform(X))
    )
    assert np.abs(weighted.predict_proba(X) - plain.predict_proba(X)).max() > 1e-4


def test_sample_weight_reaches_models_and_final_estimator_in_cross_validation():
    X, y = table()
    w = np.where(np.arange(len(y)) % 3, 1.0, 5.0)
    model = stack().fit(X, y, sample_weight=w)
    assert_probabilities(model, X, y)
    assert np.abs(model.predict_proba(X) - stack().fit(X, y).predict_proba(X)).max() > 1e-4


def test_routed_sample_weight_that_no_model_asks_for_is_refused():
    """The request of the final estimator does not count for scikit-learn."""
    X, y = table()
    with config_context(enable_metadata_routing=True):
        models = [(name, clone(base).set_fit_request(sample_weight=False)) for name, base in MODELS]
        model = stack(CFEnsemble().set_fit_request(sample_weight=True), models)
        with pytest.raises(TypeError, match="not routed to any object"):
            model.fit(X, y, sample_weight=np.ones(len(y)))


# StackingClassifier fits its final estimator on an array and then predicts on the frame, whatever
# the final estimator
@pytest.mark.filterwarnings(
    "ignore:X has feature names, but CFEnsemble was fitted without:UserWarning"
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_pandas_output(n_classes):
    X, y = table(n_classes)
    X = pd.DataFrame(X, columns=[f"x{j}" for j in range(6)], index=np.arange(240) + 7)
    model = stack().set_output(transform="pandas").fit(X, NAMES[y])
    R = model.transform(X)
    assert isinstance(R, pd.DataFrame)
    assert R.index.equals(X.index)
    assert R.columns[0].startswith("stackingclassifier_logistic")
    assert_probabilities(model, X, NAMES[y])
    scores = model.final_estimator_.set_output(transform="pandas").transform(R.to_numpy())
    assert isinstance(scores, pd.DataFrame)


def test_grid_search_over_rho():
    X, y = table()
    search = GridSearchCV(
        stack(), {"final_estimator__rho": [0.1, 0.9]}, cv=2, scoring="roc_auc"
    ).fit(X, NAMES[y])
    assert (
        search.best_estimator_.final_estimator_.rho == search.best_params_["final_estimator__rho"]
    )
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert_probabilities(search, X, NAMES[y])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_calibrated(n_classes):
    X, y = table(n_classes)
    assert_probabilities(CalibratedClassifierCV(stack(), cv=2).fit(X, NAMES[y]), X, NAMES[y])


def test_tuned_threshold():
    X, y = make_classification(300, 6, n_informative=4, weights=[0.85], flip_y=0.1, random_state=0)
    tuned = TunedThresholdClassifierCV(stack(), scoring="balanced_accuracy", cv=2).fit(X, y)
    plain = tuned.estimator_.predict(X)
    assert tuned.best_threshold_ != 0.5
    assert balanced_accuracy_score(y, tuned.predict(X)) > balanced_accuracy_score(y, plain)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_prefit_models(n_classes):
    X, y = table(n_classes)
    y = NAMES[y]
    fitted = [(name, clone(base).fit(X[:120], y[:120])) for name, base in MODELS]
    model = stack(models=fitted, cv="prefit").fit(X[120:], y[120:])
    assert model.estimators_[0] is fitted[0][1]
    assert_probabilities(model, X[120:], y[120:])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_search_as_final_estimator(n_classes):
    X, y = table(n_classes)
    search = CFEnsembleSearch(n_trials=3, cv=2, trainers=["als"], random_state=0)
    if n_classes > 2:
        search.set_params(scoring="roc_auc_ovr")
    model = stack(search).fit(X, NAMES[y])
    assert len(model.final_estimator_.study_.trials) == 3
    assert_probabilities(model, X, NAMES[y])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_passed_through_features_are_refused(n_classes):
    """Unless they are declared to be scores, like the predictions beside them."""
    X, y = table(n_classes)
    with pytest.raises(ValueError, match=r"6 of the \d+ columns have values.*passthrough=False"):
        stack(passthrough=True).fit(X, y)
    stack(CFEnsemble(layout="scores"), passthrough=True).fit(X, y)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_column_selector_keeps_passed_through_features_out(n_classes):
    X, y = table(n_classes)
    m = 3 if n_classes == 2 else 9
    predictions_only = ColumnTransformer([("predictions", "passthrough", slice(0, m))])
    selected = stack(make_pipeline(predictions_only, CFEnsemble()), passthrough=True).fit(
        X, NAMES[y]
    )
    np.testing.assert_array_equal(
        selected.predict_proba(X), stack().fit(X, NAMES[y]).predict_proba(X)
    )

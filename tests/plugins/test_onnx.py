"""Fitted ensembles through skl2onnx, run by onnxruntime."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import CFEnsemble, CFEnsembleTrainer
from cfens_stack.datasets import make_predictions
from cfens_stack.plugins.onnx import register

skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
types = pytest.importorskip("skl2onnx.common.data_types", reason="skl2onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

NAMES = np.array(["ant", "bee", "cat"])
TYPES = {np.float32: types.FloatTensorType, np.float64: types.DoubleTensorType}


@pytest.fixture(scope="module", autouse=True)
def _registered():
    register()
    register(CFEnsembleTrainer)


def run(model, X, opset=18):
    """Labels and probabilities of the exported graph."""
    inputs = [("X", TYPES[X.dtype.type]([None, X.shape[1]]))]
    graph = skl2onnx.convert_sklearn(
        model, initial_types=inputs, options={"zipmap": False}, target_opset=opset
    )
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"X": X})


def assert_same(model, X, atol=1e-5, **settings):
    labels, P = run(model, X, **settings)
    expected = model.predict_proba(X)
    assert P.shape == expected.shape
    np.testing.assert_allclose(P, expected, rtol=0, atol=atol)
    # A tie may fall either way.
    certain = np.ptp(np.sort(expected, axis=1)[:, -2:], axis=1) > 2 * atol
    np.testing.assert_array_equal(np.asarray(labels)[certain], model.predict(X)[certain])


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("trainer", ["als", "pytorch"])
def test_same_probabilities(trainer, n_classes, missing, dtype):
    if trainer == "pytorch":
        pytest.importorskip("torch", reason="torch is not installed")
    data = make_predictions(300, 6, n_classes=n_classes, missing=missing, random_state=0)
    R = data.R.astype(dtype)
    model = CFEnsemble(trainer=trainer, max_iter=200, tol=1e-3).fit(R[:200], NAMES[data.y[:200]])
    R[-1] = np.nan  # a row that no model scored
    assert_same(model, R[200:])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {"confidence": "certainty"},
        {"confidence": "calibration", "link": "identity"},
        {"use_class_weights": True, "focal_gamma": 2.0},
        {"use_class_weights": True, "focal_gamma": 0.5, "posterior": "weighted"},
        {"use_class_weights": True},
        {"aggregator": "mean"},
        {"latent_dim": 1, "lambda_reg": 1e-6},
        {"smoothing": 1e-9},
    ],
    ids=str,
)
def test_every_setting_that_prediction_depends_on(settings, n_classes):
    data = make_predictions(300, 6, n_classes=n_classes, missing=0.3, random_state=0)
    model = CFEnsemble(**settings).fit(data.R, data.y)
    assert_same(model, data.R, atol=1e-9)


def test_both_columns_of_two_classes_a_model_without_predictions_and_scores():
    data = make_predictions(300, 4, missing=0.2, random_state=0)
    both = np.stack([1 - data.R, data.R], axis=2).reshape(300, -1)
    assert_same(CFEnsemble().fit(both, data.y), both, atol=1e-9)
    lost = np.column_stack([data.R, np.full(300, np.nan)])
    with pytest.warns(UserWarning, match="no prediction in any row"):
        model = CFEnsemble().fit(lost, data.y)
    assert_same(model, lost, atol=1e-9)
    scores = 10 * data.R - 3
    assert_same(CFEnsemble(confidence="certainty").fit(scores, data.y), scores, atol=1e-9)


def test_a_class_that_one_model_never_gave():
    """Its columns alone are missing: the centred log-ratio then averages over the others."""
    data = make_predictions(300, 4, n_classes=3, random_state=0)
    R = data.R.copy()
    R[:, 2] = np.nan
    assert_same(CFEnsemble(layout="model-major").fit(R, data.y), R, atol=1e-9)


@pytest.mark.parametrize("opset", [13, 15, 22])
def test_opsets(opset):
    data = make_predictions(200, 5, n_classes=3, missing=0.2, random_state=0)
    assert_same(CFEnsembleTrainer().fit(data.R, data.y), data.R, opset=opset)


@pytest.mark.parametrize("labels", [np.arange(3), NAMES], ids=["integers", "strings"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_final_estimator_of_a_stack(n_classes, labels):
    X, y = make_classification(
        300, 6, n_informative=4, n_classes=n_classes, flip_y=0.1, random_state=0
    )
    X = X.astype(np.float32)
    models = [
        ("logistic", LogisticRegression()),
        ("bayes", GaussianNB(var_smoothing=0.1)),
        ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
    ]
    assert_same(StackingClassifier(models, final_estimator=CFEnsemble(), cv=3).fit(X, labels[y]), X)


def test_a_function_has_no_graph():
    data = make_predictions(200, 5, random_state=0)
    model = CFEnsemble(confidence=lambda R, y: np.ones_like(R)).fit(data.R, data.y)
    with pytest.raises(ValueError, match="fit with a named one"):
        run(model, data.R)

"""A stack that was trimmed, stored by skops and as an ONNX graph."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import StackingPipeline

NAMES = np.array(["ant", "bee", "cat"])


def trimmed(n_classes):
    X, y = make_classification(
        300, 6, n_informative=4, n_classes=n_classes, flip_y=0.1, random_state=0
    )
    X = X.astype(np.float32)
    models = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
        "bayes": GaussianNB(var_smoothing=0.1),
        "tree": DecisionTreeClassifier(max_depth=3),
    }
    stack = StackingPipeline(models, cv=3, random_state=0).fit(X[:200], NAMES[y[:200]])
    served = stack.select(max_models=2, tolerance=0).for_serving()
    assert len(served.model_names_) == 2
    return X, y, served


@pytest.mark.parametrize("n_classes", [2, 3])
def test_skops_trusts_types_of_this_package_and_two_of_scikit_learn(n_classes):
    io = pytest.importorskip("skops.io", reason="skops is not installed")
    X, _, served = trimmed(n_classes)
    file = io.dumps(served)
    names = io.get_untrusted_types(data=file)
    foreign = {name for name in names if not name.startswith("cfens_stack.")}
    assert foreign <= {"sklearn.tree._tree.Tree", "sklearn.utils._bunch.Bunch"}
    loaded = io.loads(file, trusted=names)
    np.testing.assert_array_equal(loaded.predict_proba(X), served.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), served.predict(X))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_onnx_gives_the_same_probabilities(n_classes):
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from cfens_stack.plugins.onnx import register

    register()
    X, y, served = trimmed(n_classes)
    graph = skl2onnx.to_onnx(served, X[:1], options={"zipmap": False}, target_opset=18)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    labels, P = session.run(None, {"X": X})
    np.testing.assert_allclose(P, served.predict_proba(X), atol=2e-4)
    assert np.mean(labels == served.predict(X)) > 0.99
    svm = StackingPipeline({"svm": LinearSVC(), "bayes": GaussianNB()}, cv=2, random_state=0)
    with pytest.raises(ValueError, match="'svm' has no predict_proba"):
        skl2onnx.to_onnx(svm.fit(X, y), X[:1], options={"zipmap": False})

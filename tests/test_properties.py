"""What holds for any input: fit raises a documented error or gives probabilities, and what should
not matter does not.

Examples are drawn by hypothesis, always the same ones: bounds and shapes are wide, the number of
examples small.
"""

import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import CFEnsemble, CFEnsembleSearch, StackingPipeline
from cfens_stack.datasets import make_predictions

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:layout='auto' takes:UserWarning"),
    pytest.mark.filterwarnings("ignore:layout='auto' found no groups:UserWarning"),
    pytest.mark.filterwarnings("ignore:Columns .* have no prediction:UserWarning"),
    pytest.mark.filterwarnings("ignore:.* predict the opposite of their class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Columns .* of R have one value:UserWarning"),
]
TRAINERS = ["als", "pytorch"] if find_spec("torch") else ["als"]
MESSAGES = (  # how the documented errors of fit begin
    "R has no prediction",
    "R holds",
    "y has one class only",
    "y has no label",
    "No labelled row of class",
    "sample_weight gives class",
    "Sample weights must contain",
    "strict=True accepts",
    "use_label_aware_confidence=True does not apply",
    "layout=",
)


def examples(count):
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@st.composite
def matrices(draw):
    """R of 1..200 rows and 1..40 columns: values inside, at and outside [0, 1], constant and
    duplicate columns, NaN.
    """
    n, m = draw(st.integers(1, 200)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    R = rng.beta(
        draw(st.sampled_from([0.1, 1.0, 20.0])), draw(st.sampled_from([0.1, 1.0, 20.0])), (n, m)
    )
    kind = draw(
        st.sampled_from(
            ["plain", "hard", "tiny", "scores", "constant", "duplicate", "pairs", "huge"]
        )
    )
    if kind == "hard":
        R = np.round(R)
    elif kind == "tiny":
        R = R * 1e-300
    elif kind == "scores":
        R = rng.normal(scale=10.0 ** draw(st.integers(-8, 8)), size=(n, m))
    elif kind == "constant":
        R[:, rng.random(m) < 0.5] = draw(st.sampled_from([0.0, 0.5, 1.0]))
    elif kind == "duplicate":
        R = R[:, rng.integers(0, max(1, m // 4), m)]
    elif kind == "pairs":
        R = np.stack([1.0 - R, R], axis=2).reshape(n, -1)[:, : max(2, m)]
    elif kind == "huge":
        R[rng.integers(n), rng.integers(m)] = 10.0 ** draw(st.integers(1, 300))
    missing = draw(st.sampled_from(["none", "cells", "rows", "columns", "most"]))
    if missing in ("cells", "most"):
        R[rng.random(R.shape) < (0.3 if missing == "cells" else 0.95)] = np.nan
    elif missing == "rows":
        R[rng.random(n) < 0.3] = np.nan
    elif missing == "columns":
        R[:, rng.random(R.shape[1]) < 0.3] = np.nan
    if kind not in ("huge", "scores"):
        R = R.astype(draw(st.sampled_from([np.float64, np.float32, np.float16])))
    return R[::-1] if draw(st.booleans()) else np.asfortranarray(R)


@st.composite
def problems(draw):
    """R with labels of 1..4 classes, some missing, and weights or none."""
    R = draw(matrices())
    n = len(R)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y = rng.integers(0, draw(st.integers(1, 4)), n).astype(float)
    if draw(st.booleans()):
        y[rng.random(n) < draw(st.sampled_from([0.2, 0.9]))] = np.nan
    weights = draw(st.sampled_from(["none", "counts", "fractions"]))
    v = {"none": None, "counts": rng.integers(0, 4, n), "fractions": 0.2 + 5.0 * rng.random(n)}[
        weights
    ]
    return R, y, v


parameters = st.fixed_dictionaries(
    {
        "latent_dim": st.integers(1, 50),
        "rho": st.sampled_from([0.0, 0.3, 1.0]),
        "lambda_reg": st.sampled_from([1e-8, 1e-2, 1.0, 1e8]),
        "link": st.sampled_from(["logit", "identity"]),
        "smoothing": st.sampled_from([1e-300, 1e-12, 0.01, 0.49]),
        "confidence": st.sampled_from(["uniform", "certainty", "calibration"]),
        "use_label_aware_confidence": st.sampled_from([True, False, "auto"]),
        "use_class_weights": st.booleans(),
        "focal_gamma": st.sampled_from([0.0, 0.5, 2.0, 10.0]),
        "aggregator": st.sampled_from(["weighted", "mean"]),
        "aggregator_reg": st.sampled_from(["auto", 1e-2, 1.0, 1e6]),
        "nonnegative": st.booleans(),
        "posterior": st.sampled_from(["natural", "weighted"]),
        "strict": st.booleans(),
        "max_iter": st.sampled_from([1, 20]),
    }
)


def assert_documented_error_or_probabilities(problem, meta):
    R, y, v = problem
    try:
        meta.fit(R, y, sample_weight=v)
    except ValueError as error:
        assert str(error).startswith(MESSAGES)  # noqa: PT017 - some examples raise, some do not
        assert vars(meta) == meta.get_params()
        return
    P = meta.predict_proba(R)
    assert P.shape == (len(R), len(meta.classes_))
    assert np.isfinite(P).all()
    assert P.min() >= 0.0
    np.testing.assert_allclose(P.sum(axis=1), 1.0, atol=1e-9)
    assert np.isfinite(meta.transform(R)).all()
    seen = np.isfinite(R if v is None else R[v > 0]).any(axis=0)
    if meta.encoder_.layout.mirrors is not None:  # a pair of columns is read from its second
        seen = meta.encoder_.layout.columns
    assert np.isfinite(meta.reconstruct(R)[:, seen]).all()


@examples(300)
@given(problems(), parameters)
def test_a_documented_error_or_probabilities(problem, chosen):
    assert_documented_error_or_probabilities(problem, CFEnsemble(**chosen))


@examples(25)
@given(problems(), parameters, st.sampled_from(["projected", "free"]))
def test_a_documented_error_or_probabilities_with_pytorch(problem, chosen, instance_factors):
    pytest.importorskip("torch")
    meta = CFEnsemble("pytorch", instance_factors=instance_factors, **chosen | {"max_iter": 5})
    assert_documented_error_or_probabilities(problem, meta)


@st.composite
def usable(draw):
    """R and y with enough of both classes for a fit, with and without missing cells."""
    seed, n, m = draw(st.integers(0, 10_000)), draw(st.integers(20, 120)), draw(st.integers(2, 12))
    data = make_predictions(n, m, random_state=seed)
    y = data.y.copy()
    y[:4] = [0, 1, 0, 1]
    R = data.R.copy()
    if draw(st.booleans()):
        R[np.random.default_rng(seed).random(R.shape) < 0.2] = np.nan
        R[:4, 0] = 0.4
    return R, y, seed


exact = st.fixed_dictionaries(
    {
        "trainer": st.sampled_from(TRAINERS),
        "link": st.sampled_from(["logit", "identity"]),
        "nonnegative": st.booleans(),
        "posterior": st.sampled_from(["natural", "weighted"]),
        "aggregator_reg": st.sampled_from(["auto", 10.0]),
        "use_class_weights": st.booleans(),
        "focal_gamma": st.sampled_from([0.0, 2.0]),
        "confidence": st.sampled_from(["uniform", "calibration"]),
        "latent_dim": st.sampled_from([2, 32]),
    }
)


def fitted(R, y, v=None, **chosen):
    return CFEnsemble(max_iter=30, tol=0.0, **chosen).fit(R, y, sample_weight=v)


def assert_same(P, Q, trainer="als"):
    """L-BFGS of PyTorch takes another path for every order of the sums, and stops after as many
    steps.
    """
    np.testing.assert_allclose(P, Q, atol=1e-6 if trainer == "als" else 1e-4)


@examples(24)
@given(usable(), exact)
def test_neither_order_nor_copies_nor_empty_rows_and_columns_matter(problem, chosen):
    R, y, seed = problem
    rng = np.random.default_rng(seed)
    P = fitted(R, y, **chosen).predict_proba(R)
    rows, columns = rng.permutation(len(R)), rng.permutation(R.shape[1])
    assert_same(fitted(R[rows], y[rows], **chosen).predict_proba(R), P, chosen["trainer"])
    assert_same(
        fitted(R[:, columns], y, **chosen).predict_proba(R[:, columns]), P, chosen["trainer"]
    )
    R_row = np.vstack([R, np.full(R.shape[1], np.nan)])
    assert_same(fitted(R_row, np.append(y, 1), **chosen).predict_proba(R), P, chosen["trainer"])
    R_column = np.column_stack([R, np.full(len(R), np.nan)])
    assert_same(fitted(R_column, y, **chosen).predict_proba(R_column), P, chosen["trainer"])
    copies = rng.integers(0, 3, len(R))
    copies[:4] = 1
    twice = np.repeat(np.arange(len(R)), copies)
    weighted, repeated = fitted(R, y, copies, **chosen), fitted(R[twice], y[twice], **chosen)
    assert_same(weighted.predict_proba(R), repeated.predict_proba(R), chosen["trainer"])


@examples(24)
@given(usable(), exact)
def test_a_perfect_model_is_never_below_an_uninformative_one(problem, chosen):
    R, y, seed = problem
    rng = np.random.default_rng(seed)
    perfect = np.where(y == 1, 0.9, 0.1)
    R = np.column_stack([perfect, rng.permutation(perfect), np.full(len(y), 0.5)])
    meta = fitted(R, y, **chosen)
    assert meta.coef_[0] >= meta.coef_[1:].max()
    assert roc_auc_score(y, meta.predict_proba(R)[:, 1]) >= roc_auc_score(y, R[:, 1])


@examples(24)
@given(usable(), exact)
def test_save_clone_refit_and_set_params_change_nothing(problem, chosen):
    R, y, _ = problem
    meta = fitted(R, y, **chosen)
    P = meta.predict_proba(R)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(meta)).predict_proba(R), P)
    np.testing.assert_array_equal(clone(meta).fit(R, y).predict_proba(R), P)
    np.testing.assert_array_equal(meta.set_params(**meta.get_params()).predict_proba(R), P)
    np.testing.assert_array_equal(meta.fit(R, y).predict_proba(R), P)


@examples(16)
@given(usable(), exact)
def test_one_batch_row_by_row_and_threads_agree(problem, chosen):
    R, y, _ = problem
    meta = fitted(R, y, **chosen)
    P = meta.predict_proba(R)
    rows = [R[[i]] for i in range(len(R))]
    np.testing.assert_allclose(np.vstack([meta.predict_proba(row) for row in rows]), P, atol=1e-12)
    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_allclose(
            np.vstack(list(pool.map(meta.predict_proba, rows))), P, atol=1e-12
        )


@pytest.mark.parametrize("kind", ["pipeline", "search"])
def test_pipelines_and_searches_are_saved_cloned_refitted_and_read_row_by_row_alike(kind):
    data = make_predictions(150, 4, random_state=0)
    models = [GaussianNB(), DecisionTreeClassifier(max_depth=3)]
    pipeline, search = (
        StackingPipeline(models, cv=3, random_state=0),
        CFEnsembleSearch(2, cv=3, random_state=0),
    )
    one = pipeline if kind == "pipeline" else search
    P = one.fit(data.R, data.y).predict_proba(data.R)
    for other in (
        pickle.loads(pickle.dumps(one)),
        clone(one).fit(data.R, data.y),
        one.set_params(**one.get_params()),
    ):
        np.testing.assert_array_equal(other.predict_proba(data.R), P)
    rows = [data.R[[i]] for i in range(30)]
    with ThreadPoolExecutor(4) as pool:
        for read in (map(one.predict_proba, rows), pool.map(one.predict_proba, rows)):
            np.testing.assert_allclose(np.vstack(list(read)), P[:30], atol=1e-12)
    np.testing.assert_array_equal(one.fit(data.R, data.y).predict_proba(data.R), P)


def test_another_process_predicts_the_same(tmp_path):
    data = make_predictions(200, 6, random_state=0)
    meta = CFEnsemble().fit(data.R, data.y)
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps((meta, data.R)))
    code = (
        "import pickle, numpy as np; meta, R = pickle.load(open('meta.pkl', 'rb')); "
        "np.save('P', meta.predict_proba(R))"
    )
    path = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60, env=path)
    np.testing.assert_allclose(np.load(tmp_path / "P.npy"), meta.predict_proba(data.R), rtol=1e-12)


def test_a_cell_of_confidence_zero_is_as_good_as_missing():
    data = make_predictions(200, 5, random_state=1)
    hidden = np.random.default_rng(0).random(data.R.shape) < 0.3
    hidden[:, 4] = True
    R_wild, R_missing = np.where(hidden, 0.99, data.R), np.where(hidden, np.nan, data.R)
    trusted = CFEnsemble(confidence=lambda R, y: np.where(R == 0.99, 0.0, 1.0)).fit(R_wild, data.y)
    missing = CFEnsemble().fit(R_missing, data.y)
    assert_same(trusted.predict_proba(R_wild), missing.predict_proba(R_missing))


@pytest.mark.parametrize("first", ["never fitted", "fitted"])
def test_a_refused_fit_leaves_what_was_learned(first):
    data = make_predictions(100, 4, random_state=0)
    meta = CFEnsemble()
    if first == "fitted":
        meta.fit(data.R, data.y)
    before = vars(meta).copy()
    with pytest.raises(ValueError, match="No labelled row of class 'b'"):
        meta.fit(np.where(data.y[:, None] == 1, np.nan, data.R), np.where(data.y == 1, "b", "a"))
    assert vars(meta) == before


def test_weights_that_sum_to_one_are_reported():
    data = make_predictions(100, 4, random_state=0)
    with pytest.warns(UserWarning, match="Weights count rows.*rescale the weights to mean 1"):
        CFEnsemble().fit(data.R, data.y, sample_weight=np.full(100, 0.01))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("default", ConvergenceWarning)
        CFEnsemble(aggregator_reg=10.0).fit(data.R, data.y, sample_weight=np.full(100, 0.01))

"""What bad input gets: an error that says what was passed, what is valid and what to do."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.exceptions import NotFittedError

from cfens_stack import CFEnsemble, CFEnsembleTrainer
from cfens_stack.datasets import make_predictions

R = make_predictions(60, 4, random_state=0).R
Y = np.arange(60) % 2
TEXT = np.array([["a", "b"]] * 60)


def changed(cell, value):
    R_bad = R.copy()
    R_bad[cell] = value
    return R_bad


def weights(value, where=slice(None), other=1.0):
    v = np.full(60, other)
    v[where] = value
    return v


BAD_DATA = {
    "R infinite": ((changed((3, 1), np.inf), Y), ValueError, "Input X contains infinity"),
    "R minus infinite": ((changed((3, 1), -np.inf), Y), ValueError, "Input X contains infinity"),
    "R sparse": ((csr_matrix(R), Y), TypeError, "Sparse data was passed.*dense data is required"),
    "R complex": ((R + 1j, Y), ValueError, "Complex data not supported"),
    "R text": ((TEXT, Y), ValueError, "could not convert string to float: .*'a'"),
    "R one-dimensional": ((R[:, 0], Y), ValueError, "Expected 2D array, got 1D array.*reshape"),
    "R three-dimensional": ((R[:, :, None], Y), ValueError, "Found array with dim 3"),
    "R None": ((None, Y), ValueError, "Expected 2D array, got scalar array"),
    "R without rows": ((R[:0], Y[:0]), ValueError, r"0 sample\(s\).*minimum of 1 is required"),
    "R without columns": ((R[:, :0], Y), ValueError, r"0 feature\(s\).*minimum of 1 is required"),
    "R without predictions": ((np.full((60, 4), np.nan), Y), ValueError, "R has no prediction at all: every cell is"),
    "y None": ((R, None), ValueError, "requires y to be passed, but the target y is None"),
    "y too short": ((R, Y[:-1]), ValueError, r"inconsistent numbers of samples: \[60, 59\]"),
    "y two-dimensional": (
        (R, np.column_stack([Y, Y])),
        ValueError,
        r"should be a 1d array, got an array of shape \(60, 2\)",
    ),
    "y one class": ((R, np.ones(60)), ValueError, "y has one class only .*at least two"),
    "y continuous": ((R, np.linspace(0, 1, 60)), ValueError, "Unknown label type: continuous"),
    "y infinite": ((R, np.where(Y == 1, np.inf, 0.0)), ValueError, "Input y contains infinity"),
    "y without labels": ((R, np.full(60, np.nan)), ValueError, "y has no label: every entry is missing"),
    "class without predictions": (
        (np.where(Y[:, None] == 1, np.nan, R), Y),
        ValueError,
        "No labelled row of class .*1.* has a prediction",
    ),
    "weights too short": ((R, Y, np.ones(59)), ValueError, r"sample_weight.shape == \(59,\), expected \(60,\)"),
    "weights two-dimensional": ((R, Y, np.ones((60, 2))), ValueError, "Sample weights must be 1D array or scalar"),
    "weights negative": ((R, Y, weights(-1.0, 3)), ValueError, "Negative values in data passed to `sample_weight`"),
    "weights NaN": ((R, Y, weights(np.nan, 3)), ValueError, "Input sample_weight contains NaN"),
    "weights zero": ((R, Y, np.zeros(60)), ValueError, "Sample weights must contain at least one non-zero number"),
    "weights zero for a class": (
        (R, Y, weights(0.0, Y == 1)),
        ValueError,
        "sample_weight gives class .*1.* a total weight of 0: every class needs",
    ),
}


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_bad_data_in_fit(arguments, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        CFEnsemble().fit(*arguments)


STRICT = {"strict": True}
BAD_PARAMETERS = {
    "trainer": ({"trainer": "sgd"}, "'trainer' parameter of CFEnsemble must be a str among .*'als'.*Got 'sgd'"),
    "latent_dim 0": ({"latent_dim": 0}, r"'latent_dim' .* an int in the range \[1, inf\). Got 0"),
    "latent_dim fraction": ({"latent_dim": 2.5}, "'latent_dim' .* Got 2.5"),
    "latent_dim None": ({"latent_dim": None}, "'latent_dim' .* Got None"),
    "rho above 1": ({"rho": 1.5}, r"'rho' .* a float in the range \[0.0?, 1.0?\]. Got 1.5"),
    "rho negative": ({"rho": -0.1}, "'rho' .* Got -0.1"),
    "rho NaN": ({"rho": np.nan}, "'rho' .* Got nan"),
    "lambda_reg 0": ({"lambda_reg": 0.0}, r"'lambda_reg' .* range \(0.0?, inf\). Got 0.0"),
    "link": ({"link": "probit"}, "'link' .*'identity'.* Got 'probit'"),
    "smoothing 0": ({"smoothing": 0.0}, r"'smoothing' .* range \(0.0?, 1.0?\]. Got 0.0"),
    "smoothing 2": ({"smoothing": 2.0}, r"'smoothing' .* Got 2.0"),
    "confidence": ({"confidence": "high"}, "'confidence' .*'calibration'.* or a callable. Got 'high'"),
    "confidence array": ({"confidence": np.ones((60, 4))}, "'confidence' .* or a callable. Got array"),
    "use_label_aware_confidence": ({"use_label_aware_confidence": "yes"}, "'use_label_aware_confidence' .* Got 'yes'"),
    "use_class_weights": ({"use_class_weights": "balanced"}, "'use_class_weights' .* Got 'balanced'"),
    "focal_gamma": ({"focal_gamma": -1.0}, r"'focal_gamma' .* range \[0.0?, inf\). Got -1.0"),
    "aggregator": ({"aggregator": "median"}, "'aggregator' .*'weighted'.* Got 'median'"),
    "aggregator_reg word": ({"aggregator_reg": "strong"}, "'aggregator_reg' .*'auto'.* Got 'strong'"),
    "aggregator_reg negative": ({"aggregator_reg": -1.0}, "'aggregator_reg' .* Got -1.0"),
    "nonnegative": ({"nonnegative": None}, "'nonnegative' .* Got None"),
    "posterior": ({"posterior": "calibrated"}, "'posterior' .*'natural'.* Got 'calibrated'"),
    "layout": ({"layout": "wide"}, "'layout' .*'model-major'.* Got 'wide'"),
    "strict": ({"strict": "very"}, "'strict' .* Got 'very'"),
    "instance_factors": ({"instance_factors": "fixed"}, "'instance_factors' .*'projected'.* Got 'fixed'"),
    "max_iter": ({"max_iter": 0}, r"'max_iter' .* range \[1, inf\). Got 0"),
    "tol": ({"tol": -1e-3}, "'tol' .* Got -0.001"),
    "device": ({"device": 0}, "'device' .* Got 0"),
    "dtype": ({"dtype": "float16"}, "'dtype' .*'float32'.* Got 'float16'"),
    "random_state": ({"random_state": "seed"}, "'random_state' .* Got 'seed'"),
}


@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS.values(), ids=BAD_PARAMETERS.keys())
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        CFEnsemble(**parameters).fit(R, Y)


def test_every_parameter_has_a_bad_value_here():
    assert {
        name for parameters, _ in BAD_PARAMETERS.values() for name in parameters
    } == CFEnsemble().get_params().keys()


THREE = np.arange(60) % 3
BAD_COMBINATIONS = {
    "strict, above 1": (
        STRICT,
        changed((0, 0), 1.5),
        Y,
        r"strict=True accepts .*\[0, 1\], but 1 cells .* of value 1.5",
    ),
    "strict, below 0": (
        STRICT,
        changed((0, 0), -2),
        Y,
        "lie outside, the first of value -2. Pass probabilities, or strict",
    ),
    "one column of three classes": (
        {"layout": "positive"},
        R,
        THREE,
        "layout='positive' .* y has 3 classes.*model-major",
    ),
    "columns not a multiple": ({"layout": "model-major"}, R, THREE, "needs 3 columns a model, .* R has 4 columns"),
    "columns not a multiple, by class": ({"layout": "class-major"}, R, THREE, "layout='class-major' needs 3 columns"),
    "ambiguous": ({}, np.tile([0.3, 0.7, 0.7, 0.3], (60, 1)), Y, "layout='auto' is ambiguous: the 4 columns sum to 1"),
    "negative confidence": ({"confidence": lambda R, y: -np.ones(R.shape)}, R, Y, "negative, not finite or all zero"),
    "missing confidence": (
        {"confidence": lambda R, y: np.full(R.shape, np.nan)},
        R,
        Y,
        "numbers >= 0, some of them pos",
    ),
    "confidence of wrong shape": (
        {"confidence": lambda R, y: np.ones(len(R))},
        R,
        Y,
        r"returned shape \(60,\), but R has shape \(60, 4\)",
    ),
}


@pytest.mark.parametrize(
    ("parameters", "R_bad", "y", "message"), BAD_COMBINATIONS.values(), ids=BAD_COMBINATIONS.keys()
)
def test_bad_combinations(parameters, R_bad, y, message):
    with pytest.raises(ValueError, match=message):
        CFEnsemble(**parameters).fit(R_bad, y)


@pytest.mark.parametrize("value", [-0.5, 1.5, 1e6])
def test_finite_values_outside_the_unit_interval_are_accepted_by_default(value):
    R_odd = changed((0, 0), value)
    meta = CFEnsemble().fit(R_odd, Y)
    assert meta.layout_ == "scores"
    assert np.isfinite(meta.predict_proba(R_odd)).all()
    assert np.isfinite(CFEnsemble().fit(R, Y).predict_proba(R_odd)).all()


def test_strict_accepts_missing_cells_and_the_ends():
    R_fine = changed((0, slice(0, 3)), [0.0, 1.0, np.nan])
    assert CFEnsemble(strict=True).fit(R_fine, Y).layout_ == "positive"


def test_weight_zero_for_rows_of_a_class_that_keeps_others_is_fine():
    CFEnsemble().fit(R, Y, sample_weight=weights(0.0, slice(0, 20)))


@pytest.mark.parametrize("method", ["predict_proba", "predict", "transform", "reconstruct"])
class TestNewRows:
    frame = pd.DataFrame(R, columns=["a", "b", "c", "d"])

    def test_before_fit(self, method):
        with pytest.raises(NotFittedError, match="This CFEnsemble instance is not fitted yet"):
            getattr(CFEnsemble(), method)(R)

    @pytest.mark.parametrize(
        ("R_bad", "error", "message"),
        [
            (R[:, :3], ValueError, "X has 3 features, but CFEnsemble is expecting 4 features"),
            (np.hstack([R, R]), ValueError, "X has 8 features, but CFEnsemble is expecting 4"),
            (changed((0, 0), np.inf), ValueError, "Input X contains infinity"),
            (R[0], ValueError, "Expected 2D array, got 1D array"),
            (R[:0], ValueError, r"0 sample\(s\)"),
            (csr_matrix(R), TypeError, "Sparse data was passed"),
            (R + 1j, ValueError, "Complex data not supported"),
            (TEXT[:, [0, 0, 1, 1]], ValueError, "could not convert string to float"),
        ],
        ids=["column too few", "columns too many", "infinite", "one row alone", "empty", "sparse", "complex", "text"],
    )
    def test_bad_rows(self, method, R_bad, error, message):
        with pytest.raises(error, match=message):
            getattr(CFEnsemble().fit(R, Y), method)(R_bad)

    def test_renamed_columns(self, method):
        meta = CFEnsemble().fit(self.frame, Y)
        with pytest.raises(ValueError, match=r"(?s)feature names should match.*unseen at fit time:\n- e"):
            getattr(meta, method)(self.frame.rename(columns={"a": "e"}))

    def test_reordered_columns(self, method):
        meta = CFEnsemble().fit(self.frame, Y)
        with pytest.raises(ValueError, match=r"(?s)feature names should match.*must be in the same order"):
            getattr(meta, method)(self.frame[["b", "a", "c", "d"]])

    def test_names_lost(self, method):
        meta = CFEnsemble().fit(self.frame, Y)
        with pytest.warns(UserWarning, match="X does not have valid feature names, but CFEnsemble was fitted with"):
            getattr(meta, method)(R)

    def test_confidence_that_fails_on_new_rows(self, method):
        meta = CFEnsemble(confidence=lambda R, y: np.ones(R.shape) if y is not None else np.ones(3)).fit(R, Y)
        with pytest.raises(ValueError, match=r"returned shape \(3,\), but R has shape \(60, 4\)"):
            getattr(meta, method)(R)


@pytest.mark.parametrize("n_classifiers", [3, 5])
def test_number_of_classifiers_must_match(n_classifiers):
    message = f"n_classifiers={n_classifiers}, but R has predictions of 4 base models: .* leave n_classifiers=None"
    with pytest.raises(ValueError, match=message):
        CFEnsembleTrainer(n_classifiers=n_classifiers).fit(R, Y)


def test_number_of_classifiers_must_be_a_count():
    with pytest.raises(ValueError, match=r"'n_classifiers' parameter of CFEnsembleTrainer .* Got 0"):
        CFEnsembleTrainer(n_classifiers=0).fit(R, Y)


def test_a_refused_fit_alters_no_parameter():
    """A failed fit once rewrote rho (mistake 9)."""
    meta = CFEnsemble(rho=0.25, layout="model-major")
    before = meta.get_params()
    with pytest.raises(ValueError, match="needs 3 columns"):
        meta.fit(R, THREE)
    assert meta.get_params() == before

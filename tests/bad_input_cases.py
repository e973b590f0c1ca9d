"""Bad input, case by case: the one list behind tests/test_bad_input.py and docs/errors.md."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
from optuna.samplers import TPESampler
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from cfens_stack import (
    BaseModelError,
    CFEnsemble,
    CFEnsembleSearch,
    CFEnsembleTrainer,
    StackingPipeline,
    read_predictions,
    recommend,
)
from cfens_stack.datasets import make_predictions
from cfens_stack.display import (
    ContributionsDisplay,
    DisagreementDisplay,
    LatentSpaceDisplay,
    ParetoDisplay,
    ReconstructionDisplay,
    ReliabilityDisplay,
    SelectionPathDisplay,
    TrustDisplay,
)
from cfens_stack.ensemble.partitions import fit_partitions
from cfens_stack.search import NegativeCost, RecallAtPrecision
from cfens_stack.search.space import Param
from cfens_stack.stacking import default_estimators, score_models, select_models

R = make_predictions(60, 4, random_state=0).R
Y = np.arange(60) % 2
THREE = np.arange(60) % 3
TEXT = np.array([["a", "b"]] * 60)
FRAME = pd.DataFrame(R, columns=["a", "b", "c", "d"])
ROWS = np.arange(60)
BOTH = np.stack([1 - R, R], axis=2).reshape(60, -1)  # the two columns of each model


@dataclass(frozen=True)
class Case:
    """What is passed, in words; the error that it gets; a call that passes it, given an empty
    folder.

    The message stands as in the documents: "…" is what differs from case to case or between
    versions of scikit-learn.
    """

    what: str
    error: type[Exception]
    message: str
    call: Callable[[Path], object]


def fit(what, error, message, R=R, y=Y, v=None, **parameters):
    return Case(what, error, message, lambda _: CFEnsemble(**parameters).fit(R, y, sample_weight=v))


def parameter(what, valid, **parameters):
    """A refused parameter of CFEnsemble; scikit-learn's wording."""
    ((name, value),) = parameters.items()
    shown = "array" if isinstance(value, np.ndarray) else repr(value)
    return fit(
        what,
        ValueError,
        f"The '{name}' parameter of CFEnsemble must be {valid} … Got {shown} … instead.",
        **parameters,
    )


def new_rows(what, error, message, R_new, R=R):
    return Case(what, error, message, lambda _: CFEnsemble().fit(R, Y).predict(R_new))


def stack(what, error, message, X=R, y=Y, v=None, groups=None, **settings):
    settings = {"estimators": [("a", GaussianNB())], "cv": 3} | settings
    return Case(
        what,
        error,
        message,
        lambda _: StackingPipeline(**settings).fit(X, y, sample_weight=v, groups=groups),
    )


def fitted_stack(what, message, call):
    """Something done to a fitted pipeline."""
    models = [("a", GaussianNB())]
    return Case(what, ValueError, message, lambda _: call(StackingPipeline(models, cv=3).fit(R, Y)))


def search(what, error, message, R=R, y=Y, groups=None, **settings):
    settings = {"n_trials": 2, "cv": 3} | settings
    return Case(
        what, error, message, lambda _: CFEnsembleSearch(**settings).fit(R, y, groups=groups)
    )


def stored(what, error, message, name, content=None):
    """A search whose storage is a path, or a URL of one, in a folder; content is what the file
    holds before.
    """

    def call(folder):
        if content is not None:
            (folder / name.rpartition("/")[2]).write_bytes(content)
        storage = f"sqlite:///{folder}/{name}" if name.endswith(".db") else folder / name
        CFEnsembleSearch(2, cv=3, storage=storage).fit(R, Y)

    return Case(what, error, message, call)


def read(what, error, message, table, **columns):
    """A table of predictions; a str is the text of a CSV file."""

    def call(folder):
        if not isinstance(table, str):
            return read_predictions(table, **columns)
        (folder / "table.csv").write_text(table)
        return read_predictions(folder / "table.csv", **columns)

    return Case(what, error, message, call)


def display(what, error, message, R_shown=R, y=Y):
    return Case(
        what,
        error,
        message,
        lambda _: DisagreementDisplay.from_estimator(CFEnsemble().fit(R, Y), R_shown, y),
    )


def arrays(what, message, **given):
    """An npz file of these arrays."""

    def call(folder):
        np.savez(folder / "table.npz", **given)
        return read_predictions(folder / "table.npz", label="y" if "y" in given else None)

    return Case(what, ValueError, message, call)


def partitions(what, error, message, parts, y=Y, estimator=None):
    estimator = CFEnsemble() if estimator is None else estimator
    return Case(what, error, message, lambda _: fit_partitions(estimator, parts, y))


def other_data(folder):
    """A study that is continued on other data."""
    settings = {"n_trials": 1, "cv": 3, "storage": folder / "trials.log", "study_name": "s"}
    CFEnsembleSearch(**settings, random_state=0).fit(R, Y)
    CFEnsembleSearch(**settings, random_state=0).fit(R[::-1], Y)


class Presented(GaussianNB):
    """A base model whose probabilities are not presented as such."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def predict_proba(self, X):
        P = super().predict_proba(X)
        return np.log(P) if self.how == "log" else P[:, 1]


class TwoClasses(GaussianNB):
    """A classifier that says of itself that it takes two classes."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def changed(cell, value):
    R_bad = R.copy()
    R_bad[cell] = value
    return R_bad


def weights(value, where):
    return np.where(where, value, 1.0)


# fmt: off

DATA = [
    fit("R with an infinite value", ValueError, "Input X contains infinity", changed((3, 1), np.inf)),
    fit("R with minus infinity", ValueError, "Input X contains infinity", changed((3, 1), -np.inf)),
    fit("R with a value beyond 1e100", ValueError, "R holds 3e+100: scores are accepted up to 1e+100 in size. Rescale them.", changed((3, 1), 3e100)),
    fit("pos_label that is no class", ValueError, "pos_label=7 is none of the classes: pass one of [0, 1], or None for 1.", R, pos_label=7),
    fit("R sparse", TypeError, "Sparse data was passed … dense data is required", csr_matrix(R)),
    fit("R complex", ValueError, "Complex data not supported", R + 1j),
    fit("R of text", ValueError, "could not convert string to float: … 'a'", TEXT),
    fit("R one-dimensional", ValueError, "Expected 2D array, got 1D array … Reshape your data", R[:, 0]),
    fit("R three-dimensional", ValueError, "Found array with dim 3", R[:, :, None]),
    fit("R None", ValueError, "Expected 2D array, got scalar array", None),
    fit("R a dict", TypeError, "float() argument must be a string or a real number, not 'dict'", {"a": 1}),
    fit("R of rows that differ in length", ValueError, "setting an array element with a sequence … inhomogeneous shape", [[1, 2], [3]], [0, 1]),
    fit("R with column names of mixed types", TypeError, "Feature names are only supported if all input features have string names … convert them all to strings", pd.DataFrame(R, columns=["a", 1, 2, "b"])),
    fit("R without rows", ValueError, "0 sample(s) … minimum of 1 is required", R[:0], Y[:0]),
    fit("R without columns", ValueError, "0 feature(s) … minimum of 1 is required", R[:, :0]),
    fit("R without any prediction", ValueError, "R has no prediction at all: every cell is NaN, so no model has scored a row.", np.full((60, 4), np.nan)),
    fit("y None", ValueError, "fit requires y to be passed, but the target y is None.", y=None),
    fit("y too short", ValueError, "Found input variables with inconsistent numbers of samples: [60, 59]", y=Y[:-1]),
    fit("y two-dimensional", ValueError, "should be a 1d array, got an array of shape (60, 2)", y=np.column_stack([Y, Y])),
    fit("y of one class", ValueError, "y has one class only (1.0), but a classifier needs labelled rows of at least two.", y=np.ones(60)),
    fit("y continuous", ValueError, "Unknown label type: continuous", y=np.linspace(0, 1, 60)),
    fit("y infinite", ValueError, "Input y contains infinity", y=np.where(Y == 1, np.inf, 0.0)),
    fit("y of strings and numbers", TypeError, "y mixes strings and other types, such as 'a' and 1: pass labels of one type.", y=["a", 1] * 30),
    fit("y without any label", ValueError, "y has no label: every entry is missing. At least one row of each class must be labelled.", y=np.full(60, np.nan)),
    fit("a class without predictions", ValueError, "No labelled row of class 1 has a prediction: every class needs one.", np.where(Y[:, None] == 1, np.nan, R)),
    fit("sample_weight too short", ValueError, "sample_weight.shape == (59,), expected (60,)", v=np.ones(59)),
    fit("sample_weight two-dimensional", ValueError, "Sample weights must be 1D array or scalar", v=np.ones((60, 2))),
    fit("sample_weight negative", ValueError, "Negative values in data passed to `sample_weight`", v=weights(-1.0, ROWS == 3)),
    fit("sample_weight NaN", ValueError, "Input sample_weight contains NaN", v=weights(np.nan, ROWS == 3)),
    fit("sample_weight zero throughout", ValueError, "Sample weights must contain at least one non-zero number", v=np.zeros(60)),
    fit("sample_weight zero for a class", ValueError, "sample_weight gives class 1 a total weight of 0: every class needs a labelled row of positive weight.", v=weights(0.0, Y == 1)),
    fit("sample_weight of 1e160", ValueError, "sample_weight holds 1e+160, but weights count rows and are accepted up to 1e+100: rescale them to mean 1.", v=weights(1e160, ROWS == 3)),
    fit("sample_weight of 1e-320", ValueError, "sample_weight gives class 0 a total weight of 3e-319, but weights count rows, and each class needs at least 1e-100: rescale them to mean 1.", v=np.full(60, 1e-320)),
    fit("sample_weight with masked entries", ValueError, "Input sample_weight contains NaN", v=np.ma.masked_array(np.ones(60), mask=ROWS == 3)),
    fit("sample_weight infinite", ValueError, "Input sample_weight contains infinity", v=weights(np.inf, ROWS == 3)),
    fit("sample_weight of text", ValueError, "could not convert string to float: … 'heavy'", v=["heavy"] * 60),
    fit("R of matrix type", TypeError, "np.matrix is not supported. Please convert to a numpy array with np.asarray.", np.asmatrix(R)),
    fit("y a number", ValueError, "y should be a 1d array, got an array of shape () instead.", y=1),
    fit("y of bytes", TypeError, "Support for labels represented as bytes is not supported", y=np.where(Y == 1, b"a", b"b")),
    fit("y sparse", TypeError, "Sparse data was passed for y, but dense data is required", y=csr_matrix(Y)),
    fit("y complex", ValueError, "Complex data not supported", y=Y + 0j),
    fit("y of decimals", ValueError, "Unknown label type: unknown", y=[Decimal(int(label)) for label in Y]),
    Case("score without any label", ValueError, "y has no label: every entry is missing.", lambda _: CFEnsemble().fit(R, Y).score(R, [None] * 60)),
    Case("score with y None", ValueError, "y is None: pass the class label of each row.", lambda _: CFEnsemble().fit(R, Y).score(R, None)),
    Case("score with y too short", ValueError, "Found input variables with inconsistent numbers of samples: [60, 59]", lambda _: CFEnsemble().fit(R, Y).score(R, Y[:-1])),
    fit("y with all entries masked", ValueError, "y has no label: every entry is missing. At least one row of each class must be labelled.", y=np.ma.masked_array(Y, mask=True)),
]

PARAMETERS = [
    parameter("trainer unknown", "a str among", trainer="sgd"),
    parameter("latent_dim 0", "an int in the range [1, inf).", latent_dim=0),
    parameter("latent_dim a fraction", "an int in the range [1, inf).", latent_dim=2.5),
    parameter("latent_dim None", "an int in the range [1, inf).", latent_dim=None),
    parameter("rho above 1", "a float in the range [0.0, 1.0].", rho=1.5),
    parameter("rho negative", "a float in the range [0.0, 1.0].", rho=-0.1),
    parameter("rho NaN", "a float in the range [0.0, 1.0].", rho=float("nan")),
    parameter("lambda_reg 0", "a float in the range [1e-12, inf).", lambda_reg=0.0),
    parameter("link unknown", "a str among", link="probit"),
    parameter("smoothing 0", "a float in the range (0.0, 1.0].", smoothing=0.0),
    parameter("smoothing above 1", "a float in the range (0.0, 1.0].", smoothing=2.0),
    parameter("confidence unknown", "a str among … or a callable.", confidence="high"),
    parameter("confidence an array", "a str among … or a callable.", confidence=np.ones((60, 4))),
    parameter("use_label_aware_confidence a word", "an instance of 'bool' … or a str among {'auto'}.", use_label_aware_confidence="yes"),
    parameter("uncertainty a word", "an instance of 'bool' …", uncertainty="yes"),
    parameter("use_class_weights a word", "an instance of 'bool' …", use_class_weights="balanced"),
    parameter("focal_gamma negative", "a float in the range [0.0, inf).", focal_gamma=-1.0),
    parameter("aggregator unknown", "a str among", aggregator="median"),
    parameter("aggregator_reg unknown", "a str among {'auto'} or a float in the range [0.0, inf).", aggregator_reg="strong"),
    parameter("aggregator_reg negative", "a str among {'auto'} or a float in the range [0.0, inf).", aggregator_reg=-1.0),
    parameter("nonnegative None", "an instance of 'bool' …", nonnegative=None),
    parameter("posterior unknown", "a str among", posterior="calibrated"),
    parameter("layout unknown", "a str among", layout="wide"),
    parameter("strict a word", "an instance of 'bool' …", strict="very"),
    parameter("instance_factors unknown", "a str among", instance_factors="fixed"),
    parameter("max_iter 0", "an int in the range [1, inf).", max_iter=0),
    parameter("tol negative", "a float in the range [0.0, inf).", tol=-1e-3),
    parameter("device a number", "an instance of 'str'.", device=0),
    parameter("dtype unknown", "a str among", dtype="float16"),
    parameter("random_state a word", "an int in the range [0, 4294967295]", random_state="seed"),
    fit("pos_label a list", ValueError, "pos_label=[0, 1] is none of the classes: pass one of [0, 1], or None for 1.", pos_label=[0, 1]),
    fit("pos_label an array", ValueError, "pos_label=array([0, 1]) is none of the classes: pass one of [0, 1], or None for 1.", pos_label=np.array([0, 1])),
    fit("pos_label of another type", ValueError, "pos_label='1' is none of the classes: pass one of [0, 1], or None for 1.", pos_label="1"),
    parameter("lambda_reg of 1e-200", "a float in the range [1e-12, inf).", lambda_reg=1e-200),
    parameter("focal_gamma infinite", "a float in the range [0.0, inf).", focal_gamma=np.inf),
    parameter("random_state negative", "an int in the range [0, 4294967295]", random_state=-1),
    Case("set_params with a name that is none", ValueError, "Invalid parameter 'alpha' for estimator CFEnsemble(). Valid parameters are: …", lambda _: CFEnsemble().set_params(alpha=1)),
]

COMBINATIONS = [
    fit("strict=True and a value above 1", ValueError, "strict=True accepts probabilities in [0, 1], but 1 cells of R lie outside, the first of value 1.5. Pass probabilities, or strict=False to treat the columns as scores.", changed((0, 0), 1.5), strict=True),
    fit("strict=True and a negative value", ValueError, "strict=True accepts probabilities in [0, 1], but 1 cells of R lie outside, the first of value -2.", changed((0, 0), -2), strict=True),
    fit("layout='positive' and three classes", ValueError, "layout='positive' means one column per model, the probability of the second of two classes, but y has 3 classes. Pass K columns per model and layout='model-major' or 'class-major'.", y=THREE, layout="positive"),
    fit("layout='model-major' and 4 columns of 3 classes", ValueError, "layout='model-major' needs 3 columns per model, one for each class, but R has 4 columns, which is not a multiple of 3.", y=THREE, layout="model-major"),
    fit("layout='class-major' and 4 columns of 3 classes", ValueError, "layout='class-major' needs 3 columns per model, one for each class, but R has 4 columns, which is not a multiple of 3.", y=THREE, layout="class-major"),
    fit("features among the predictions", ValueError, "layout='auto' does not know what R holds: 1 of the … columns have values outside [0, 1], the first at index 0, while … look like probabilities. If features stand among the predictions, as under StackingClassifier(passthrough=True), set passthrough=False or put a ColumnTransformer that selects the predictions before the ensemble with make_pipeline.", changed((slice(None), 0), 7.0)),
    fit("columns that can be read both ways", ValueError, "layout='auto' is ambiguous: the 4 columns sum to 1 for 2 classes both model by model and class by class. Pass layout='model-major' … or layout='class-major'.", np.tile([0.3, 0.7, 0.7, 0.3], (60, 1))),
    fit("columns that may be read both ways by chance", ValueError, "layout='auto' is ambiguous: only 1 pairs of predictions tell whether two columns are two models or the two classes of one, and they sum to 1, as the two classes would. Pass layout='positive' if each column is a model of its own, or 'model-major' or 'class-major' if each model has a column for each class.", np.where(ROWS[:, None] == 0, [0.3, 0.7], np.where((ROWS < 30)[:, None], [0.2, np.nan], [np.nan, 0.4]))),
    fit("a confidence that is negative", ValueError, "returned values that are negative, not finite or all zero where R has predictions: return numbers >= 0, some of them positive.", confidence=lambda R, y: -np.ones(R.shape)),
    fit("a confidence that is NaN", ValueError, "returned values that are negative, not finite or all zero where R has predictions", confidence=lambda R, y: np.full(R.shape, np.nan)),
    fit("a confidence of another shape", ValueError, "returned shape (60,), but R has shape (60, 4): the shapes must agree.", confidence=lambda R, y: np.ones(len(R))),
    fit("pos_label and three classes", ValueError, "pos_label=1 is for two classes, but y has 3: leave it at None.", y=THREE, pos_label=1),
    fit("pos_label and a column for each class", ValueError, "pos_label=0 says whose probability one column per model gives, but R has a column for each class: leave pos_label=None.", BOTH, pos_label=0, layout="model-major"),
    fit("label-aware confidence and the PyTorch trainer", ValueError, "use_label_aware_confidence=True does not apply to the PyTorch trainer: … Use trainer='als', or use_label_aware_confidence='auto' or False.", trainer="pytorch", use_label_aware_confidence=True),
    fit("a confidence that changes R in place", ValueError, "output array is read-only", confidence=lambda R, y: R.__imul__(0.0) + 1.0),
    fit("a confidence that returns text", ValueError, "could not convert string to float: 'high'", confidence=lambda R, y: "high"),
    fit("a confidence of one argument", TypeError, "takes 1 positional argument but 2 were given", confidence=lambda R: R),
    fit("a confidence that returns nothing", ValueError, "returned shape (), but R has shape (60, 4): the shapes must agree.", confidence=lambda R, y: None),
    Case("reconstruct(return_std=True) of a fit without uncertainty", ValueError, "return_std=True needs the normal model of complete rows, but this ensemble was fitted with uncertainty=False: fit with uncertainty=True.", lambda _: CFEnsemble(uncertainty=False).fit(R, Y).reconstruct(R, return_std=True)),
    Case("n_classifiers that is not the number of models", ValueError, "n_classifiers=3, but R has predictions of 4 base models: pass R with the columns of 3, or leave n_classifiers=None to take the number from R.", lambda _: CFEnsembleTrainer(3).fit(R, Y)),
    Case("n_classifiers 0", ValueError, "The 'n_classifiers' parameter of CFEnsembleTrainer must be an int in the range [1, inf) or None. Got 0 instead.", lambda _: CFEnsembleTrainer(0).fit(R, Y)),
    Case("recommend(...).params of an unknown trainer", ValueError, "trainer='sgd' is not valid: pass 'als', 'pytorch', or None for the advised one.", lambda _: recommend(R, Y).params("sgd")),
]

NEW_ROWS = [
    Case("before fit", NotFittedError, "This CFEnsemble instance is not fitted yet. Call 'fit' with appropriate arguments before using this estimator.", lambda _: CFEnsemble().predict(R)),
    new_rows("a column too few", ValueError, "X has 3 features, but CFEnsemble is expecting 4 features as input.", R[:, :3]),
    new_rows("columns too many", ValueError, "X has 8 features, but CFEnsemble is expecting 4 features as input.", np.hstack([R, R])),
    new_rows("an infinite value", ValueError, "Input X contains infinity", changed((0, 0), np.inf)),
    new_rows("a value beyond 1e100", ValueError, "R holds -1e+101: scores are accepted up to 1e+100 in size. Rescale them.", changed((0, 0), -1e101)),
    Case("per cent, with strict=True", ValueError, "strict=True: … predictions are outside [0, 1], from … to …, but this ensemble was fitted on probabilities. Pass probabilities.", lambda _: CFEnsemble(strict=True).fit(R, Y).predict(100 * R)),
    Case("transform before fit", NotFittedError, "This CFEnsemble instance is not fitted yet.", lambda _: CFEnsemble().transform(R)),
    new_rows("one row as a vector", ValueError, "Expected 2D array, got 1D array", R[0]),
    new_rows("no row", ValueError, "0 sample(s) … minimum of 1 is required", R[:0]),
    new_rows("sparse rows", TypeError, "Sparse data was passed", csr_matrix(R)),
    new_rows("complex values", ValueError, "Complex data not supported", R + 1j),
    new_rows("text", ValueError, "could not convert string to float", TEXT[:, [0, 0, 1, 1]]),
    new_rows("renamed columns", ValueError, "The feature names should match those that were passed during fit. … unseen at fit time: … - e", FRAME.rename(columns={"a": "e"}), FRAME),
    new_rows("columns in another order", ValueError, "Feature names must be in the same order as they were in fit.", FRAME[["b", "a", "c", "d"]], FRAME),
    Case("a confidence that returns another shape for new rows", ValueError, "returned shape (3,), but R has shape (60, 4): the shapes must agree.", lambda _: CFEnsemble(confidence=lambda R, y: np.ones(R.shape if y is not None else 3)).fit(R, Y).predict(R)),
]

PIPELINE = [
    stack("X None", ValueError, "Expected 2D array, got scalar array", None),
    stack("X one-dimensional", ValueError, "Expected 2D array, got 1D array", R[:, 0]),
    stack("X three-dimensional", ValueError, "Found array with dim 3", R[:, :, None]),
    stack("X of text, and a model of numbers", ValueError, "No base model is left: each failed in every fold or in the final fit. … 'a', fold 0, fold 1, fold 2, final fit: ValueError: …", TEXT),
    stack("X with an infinite value, and a model that refuses it", ValueError, "No base model is left: … 'a', fold …: ValueError: Input X contains infinity", changed((3, 1), np.inf)),
    stack("X without rows", ValueError, "X has shape (0, 4), but at least one row and one column are needed.", FRAME[:0], []),
    stack("X sparse, and the default base models", TypeError, "The default base models need a dense table, but X is sparse: pass estimators that take it.", csr_matrix(R), estimators=None),
    stack("y None", ValueError, "fit requires y to be passed, but the target y is None.", y=None),
    stack("y of one class", ValueError, "y has one class only (0.0), but a classifier needs labelled rows of at least two.", y=np.zeros(60)),
    stack("two classes, one of a single row", ValueError, "Class 1 has 1 row: it cannot be both learnt and held out. Pass more rows of that class, or leave it out.", y=(ROWS < 1).astype(int)),
    stack("more folds than rows of any class", ValueError, "Class 0 has 30 rows, too few for cv=31 folds with one in each. Pass cv=30 or less, a splitter of your own, or more rows of that class.", cv=31),
    stack("a frozen model", ValueError, "estimators: 'a' is, or holds, a frozen model, which no fold fits anew: its predictions would not be out of fold. Pass the model itself; or pass all base models fitted, cv='prefit', and rows that none of them has seen.", estimators=[("a", FrozenEstimator(GaussianNB().fit(R, Y)))]),
    stack("cv='prefit' and a model that is not fitted", ValueError, "No base model is left: … 'a', final fit: NotFittedError: This GaussianNB instance is not fitted yet.", cv="prefit"),
    stack("cv='prefit' and a model of other labels", ValueError, "No base model is left: … 'a', final fit: ValueError: its classes_ are …, not among the codes 0 to 1", estimators=[("a", GaussianNB().fit(R, np.array(["no", "yes"])[Y]))], cv="prefit"),
    stack("y too short", ValueError, "Found input variables with inconsistent numbers of samples: [60, 59]", y=Y[:-1]),
    stack("meta a regressor", TypeError, "meta=Ridge() is a regressor, whose numbers are no classes: pass a classifier, such as CFEnsemble() or LogisticRegression().", meta=Ridge()),
    stack("meta an outlier detector", TypeError, "meta=IsolationForest() is an outlier detector, whose numbers are no classes", meta=IsolationForest()),
    stack("meta a clusterer", TypeError, "meta=KMeans() is a clusterer, whose numbers are no classes", meta=KMeans()),
    stack("meta for two classes, y with three", ValueError, "Only binary classification is supported by meta=TwoClasses(), but y has 3 classes. Pass a meta that takes several.", y=THREE, meta=TwoClasses()),
    stack("a model that fails, with on_failure='raise'", BaseModelError, "base model 'a', fold 0: ValueError: … (on_failure='raise')", TEXT, on_failure="raise"),
    stack("a model of logarithms of probabilities", ValueError, "No base model is left: … predict_proba returned rows that are negative or do not sum to 1, 20 of 20, the first of them […]; CalibratedClassifierCV around the model makes probabilities of them", estimators=[("a", Presented("log"))]),
    stack("a model of one column of probabilities", ValueError, "No base model is left: … predict_proba returned shape (20,), but 20 rows and 2 classes make (20, 2)", estimators=[("a", Presented("one column"))]),
    stack("a model that is None", TypeError, "estimators: 'a' is None, but a base model is an instance (not a class) with fit and one of predict_proba, decision_function and predict.", estimators=[("a", None)]),
    stack("a model's name that is a number", TypeError, "estimators: 'tuple' is (1, GaussianNB()), but a base model is an instance", estimators=[(1, GaussianNB())]),
    stack("a word for the models", ValueError, "The 'estimators' parameter of StackingPipeline must be an instance of 'list', … Got 'all' instead.", estimators="all"),
    stack("cv a function", ValueError, "The 'cv' parameter of StackingPipeline must be an int in the range [2, inf), …", cv=lambda X, y: 3),
    stack("n_jobs a word", ValueError, "The 'n_jobs' parameter of StackingPipeline must be an instance of 'int' or None. Got 'all' instead.", n_jobs="all"),
    stack("progress a word", ValueError, "The 'progress' parameter of StackingPipeline must be an instance of 'bool' … Got 'yes' instead.", progress="yes"),
    stack("random_state a word", ValueError, "The 'random_state' parameter of StackingPipeline must be an int in the range [0, 4294967295]", random_state="seed"),
    stack("max_predict_time 0", ValueError, "The 'max_predict_time' parameter of StackingPipeline must be a float in the range (0.0, inf) or None. Got 0 instead.", max_predict_time=0),
    Case("memory that is a file", NotADirectoryError, "Not a directory", lambda folder: ((folder / "file").touch(), StackingPipeline([GaussianNB()], cv=3, memory=folder / "file").fit(R, Y))),
    stack("sample_weight too short", ValueError, "sample_weight.shape == (3,), expected (60,)", v=np.ones(3)),
    stack("sample_weight zero for a class", ValueError, "sample_weight gives class 1 a total weight of 0: every class needs a labelled row of positive weight.", v=1 - Y),
    stack("groups too short", ValueError, "groups has shape (5,), but X has 60 rows: pass one group per row.", groups=np.zeros(5)),
    stack("groups with masked entries", ValueError, "groups has masked entries: every row needs a group.", groups=np.ma.masked_array(Y, mask=ROWS == 3)),
    stack("groups with missing entries", ValueError, "groups has missing entries: every row needs a group.", groups=np.where(Y == 1, np.nan, ROWS)),
    stack("groups of strings and None", ValueError, "groups has missing entries: every row needs a group.", groups=["a", "b", None] * 20),
    stack("groups two-dimensional", ValueError, "groups has shape (60, 2), but X has 60 rows: pass one group per row.", groups=np.zeros((60, 2))),
    stack("fewer groups than folds", ValueError, "groups has 2 different values, too few for cv=3 folds. Pass a smaller cv.", groups=Y),
    stack("a splitter of groups without groups", ValueError, "The 'groups' parameter should not be None.", cv=GroupKFold(3)),
    stack("no base model", ValueError, "Got estimators=[], which has no base model: pass a list of (name, estimator) or a dict.", estimators=[]),
    stack("every base model dropped", ValueError, "Got estimators=[('a', 'drop')], which has no base model: pass a list of (name, estimator) or a dict.", estimators=[("a", "drop")]),
    stack("estimators a model, not a list", ValueError, "The 'estimators' parameter of StackingPipeline must be an instance of 'list', … Got GaussianNB() instead.", estimators=GaussianNB()),
    stack("two models of one name", ValueError, "estimators: the name 'a' is taken twice, contains '__', or is a parameter of the pipeline. Got names=['a', 'a']; give each base model a name of its own.", estimators=[("a", GaussianNB()), ("a", GaussianNB())]),
    stack("a name with '__'", ValueError, "estimators: the name 'a__b' is taken twice, contains '__', or is a parameter", estimators=[("a__b", GaussianNB())]),
    stack("a name that is a parameter", ValueError, "estimators: the name 'cv' is taken twice, contains '__', or is a parameter", estimators=[("cv", GaussianNB())]),
    stack("a class instead of a model", TypeError, "estimators: 'a' is <class 'sklearn.naive_bayes.GaussianNB'>, but a base model is an instance (not a class) with fit and one of predict_proba, decision_function and predict.", estimators=[("a", GaussianNB)]),
    stack("a transformer instead of a model", TypeError, "estimators: 'a' is StandardScaler(), but a base model is an instance (not a class) with fit and one of predict_proba, decision_function and predict.", estimators=[("a", StandardScaler())]),
    stack("meta a word", ValueError, "The 'meta' parameter of StackingPipeline must be an object implementing 'fit' and 'predict' or None. Got 'logistic' instead.", meta="logistic"),
    stack("meta a class", TypeError, "meta=LogisticRegression is a class: pass an instance, LogisticRegression(...).", meta=LogisticRegression),
    stack("meta that refuses missing cells", ValueError, "meta=LogisticRegression(random_state=…) could not be fitted on predictions of which … of 120 are missing (NaN): … Use a meta that takes NaN, such as CFEnsemble(), or put an imputer before it.", estimators=[GaussianNB(), LogisticRegression(C=-1)], meta=LogisticRegression()),
    stack("cv 1", ValueError, "The 'cv' parameter of StackingPipeline must be an int in the range [2, inf), … Got 1 instead.", cv=1),
    stack("cv a word", ValueError, "The 'cv' parameter of StackingPipeline must be an int in the range [2, inf), … Got 'five' instead.", cv="five"),
    stack("cv without folds", ValueError, "cv=[] holds out no row in any fold: out-of-fold predictions need test rows.", cv=[]),
    stack("a fold that is no pair", ValueError, "cv: fold 0 is ([0, 1],), but each fold is a pair (train, test) of row numbers, or of masks with one entry for each of the 60 rows.", cv=[([0, 1],)]),
    stack("a fold of a mask of another length", ValueError, "but each fold is a pair (train, test) of row numbers, or of masks with one entry for each of the 60 rows.", cv=[(np.ones(50, dtype=bool), ROWS[50:])]),
    stack("a fold of fractions", ValueError, "but each fold is a pair (train, test) of row numbers, or of masks", cv=[(ROWS[:40] / 2, ROWS[40:])]),
    stack("a fold without training rows", ValueError, "cv: fold 0 has no training rows. Leave the fold out, or give it some.", cv=[([], ROWS)]),
    stack("a row on both sides", ValueError, "cv: fold 0 has 10 rows on both sides, the first of them 30. Predictions of rows that a model was trained on are not out of fold; take them out of one side.", cv=[(ROWS[:40], ROWS[30:])]),
    stack("a row that is not there", ValueError, "cv: fold 0 names row 69, but X has rows 0 to 59.", cv=[(ROWS[:40], np.arange(50, 70))]),
    stack("test folds without a class", ValueError, "No row of class 1 has an out-of-fold prediction, so meta cannot learn it. Pass a cv whose test folds hold every class.", cv=[(ROWS % 4 != 0, ROWS % 4 == 0)]),
    stack("n_jobs 0", ValueError, "n_jobs == 0 in Parallel has no meaning", n_jobs=0),
    stack("on_failure unknown", ValueError, "The 'on_failure' parameter of StackingPipeline must be a str among … Got 'ignore' instead.", on_failure="ignore"),
    stack("memory a number", ValueError, "The 'memory' parameter of StackingPipeline must be … Got 3 instead.", memory=3),
    stack("time_limit 0", ValueError, "The 'time_limit' parameter of StackingPipeline must be a float in the range (0.0, inf) or None. Got 0 instead.", time_limit=0),
    stack("a time_limit that ends before anything is whole", ValueError, "No base model is left: … 'a', fold 0, fold 1, fold 2, final fit: not started, since time_limit=1e-09 seconds were over or would have been", time_limit=1e-9),
    stack("max_models 0", ValueError, "The 'max_models' parameter of StackingPipeline must be an int in the range [1, inf) or None. Got 0 instead.", max_models=0),
    stack("a max_predict_time that no model keeps to", ValueError, "No subset keeps to max_models=None and a cost of 1e-09: the smallest has 1 models and costs …", max_predict_time=1e-9),
    Case("a preset of base models that is none", ValueError, "preset='slow': pass one of 'fast', 'default', 'best'.", lambda _: default_estimators("slow")),
    fitted_stack("leaderboard by a score that is none", "'nonsense' is not a valid scoring value.", lambda stack: stack.leaderboard(scoring="nonsense")),
    fitted_stack("leaderboard of rows some of which have no label", "leaderboard(X, y) needs a label of each row, of those that the fit has seen: [0, 1].", lambda stack: stack.leaderboard(R, [None, *Y[1:]])),
    fitted_stack("leaderboard of what for_serving made", "This stack was made by for_serving() and has no data of the fit: use the one that it was made from.", lambda stack: stack.for_serving().leaderboard()),
    fitted_stack("add with 'drop'", "estimator='drop' drops the model: pass one to be fitted.", lambda stack: stack.add("b", "drop", R)),
    fitted_stack("add with other columns", "X has 3 features, but StackingPipeline is expecting 4 features as input.", lambda stack: stack.add("b", GaussianNB(), R[:, :3])),
    fitted_stack("add of a frozen model", "estimators: 'b' is, or holds, a frozen model, which no fold fits anew", lambda stack: stack.add("b", FrozenEstimator(GaussianNB().fit(R, Y)), R)),
    fitted_stack("select with a tolerance that is a word", "tolerance='2se': pass '1se' or a number of at least 0.", lambda stack: stack.select(tolerance="2se")),
    fitted_stack("select with a negative tolerance", "tolerance=-1: pass '1se' or a number of at least 0.", lambda stack: stack.select(tolerance=-1)),
    fitted_stack("select with a limit that is a word", "max_models='few': pass a number, or None for no limit.", lambda stack: stack.select(max_models="few")),
    fitted_stack("refit_meta with a word", "The 'meta' parameter of StackingPipeline must be an object implementing 'fit' and 'predict' or None. Got 'logistic' instead.", lambda stack: stack.refit_meta("logistic")),
    fitted_stack("new rows that every model refuses", "No base model is left: each failed to predict the new rows. … 'a', final fit: ValueError: Input X contains infinity", lambda stack: stack.predict(changed((0, 0), np.inf))),
    fitted_stack("no new row", "0 sample(s) … minimum of 1 is required", lambda stack: stack.predict(R[:0])),
    fitted_stack("one new row as a vector", "Expected 2D array, got 1D array", lambda stack: stack.predict(R[0])),
    Case("refit_meta with a regressor", TypeError, "meta=Ridge() is a regressor, whose numbers are no classes", lambda _: StackingPipeline([GaussianNB()], cv=3).fit(R, Y).refit_meta(Ridge())),
    Case("new columns in another order", ValueError, "Feature names must be in the same order as they were in fit.", lambda _: StackingPipeline([GaussianNB()], cv=3).fit(FRAME, Y).predict(FRAME[["b", "a", "c", "d"]])),
    Case("set_params of a model that is not there", ValueError, "Invalid parameter 'forest' for estimator StackingPipeline(", lambda _: StackingPipeline([("a", GaussianNB())]).set_params(forest=GaussianNB())),
    Case("names of columns before fit", NotFittedError, "This StackingPipeline instance is not fitted yet.", lambda _: StackingPipeline([GaussianNB()]).get_feature_names_out()),
    fitted_stack("leaderboard of rows without labels", "leaderboard(X, y) needs a label of each row, of those that the fit has seen: [0, 1].", lambda stack: stack.leaderboard(R)),
    fitted_stack("leaderboard of rows with other labels", "leaderboard(X, y) needs a label of each row, of those that the fit has seen: [0, 1].", lambda stack: stack.leaderboard(R, THREE)),
    fitted_stack("add with rows in another order", "X is not the table that the stack was fitted on, of 60 rows, or its rows stand in another order: pass the same, or call fit.", lambda stack: stack.add("b", GaussianNB(), R[::-1])),
    fitted_stack("add with a name that is taken", "estimators: the name 'a' is taken twice", lambda stack: stack.add("a", GaussianNB(), R)),
    fitted_stack("select with limits that nothing keeps to", "No subset keeps to max_models=0 and a cost of None: the smallest has 1 models and costs 1.", lambda stack: stack.select(max_models=0)),
    fitted_stack("select with a meta-learner without probabilities", "meta=LinearSVC(random_state=…) has no predict_proba, but subsets are judged by log loss: pass a meta that has, such as CFEnsemble().", lambda stack: stack.refit_meta(LinearSVC()).select()),
    fitted_stack("a refit of what for_serving made", "This stack was made by for_serving() and has no data of the fit: use the one that it was made from.", lambda stack: stack.for_serving().refit_meta(None)),
    Case("a parameter of scikit-learn's StackingClassifier", TypeError, "StackingPipeline has no final_estimator, a parameter of scikit-learn's StackingClassifier: pass it as meta.", lambda _: StackingPipeline(final_estimator=CFEnsemble())),
    Case("the same, in set_params", ValueError, "StackingPipeline has no passthrough: the meta-learner sees predictions alone.", lambda _: StackingPipeline().set_params(passthrough=True)),
    fitted_stack("a positive class of the meta-learner that is no label", "pos_label=7 is none of the classes: pass one of [0, 1], or None for 1.", lambda stack: stack.refit_meta(CFEnsemble(pos_label=7))),
    fitted_stack("a limit at prediction that is no time", "time_limit=0: pass a positive number of seconds, or None.", lambda stack: stack.predict_proba(R, time_limit=0)),
    fitted_stack("a limit at prediction with a meta-learner that does not take NaN", "time_limit=1.0 leaves cells missing, which meta=LogisticRegression(random_state=…) does not take: use a meta that takes NaN, such as CFEnsemble(), or put an imputer before it.", lambda stack: stack.refit_meta(LogisticRegression()).predict_proba(R, time_limit=1.0)),
    fitted_stack("a picture of the path of subsets before select", "No models of this pipeline were chosen: call select(), or pass max_models= or max_predict_time=.", SelectionPathDisplay.from_estimator),
    Case("a picture of an empty path of subsets", ValueError, "path is empty: pass what select_models returns.", lambda _: SelectionPathDisplay.from_path([])),
    Case("select_models with max_models=0", ValueError, "max_models=0: pass an int of at least 1, or None.", lambda _: select_models(R, Y, max_models=0)),
    Case("score_models of columns that are no probabilities", ValueError, "The columns are no probabilities of the classes, so models cannot be scored: pass probabilities, and the layout if it cannot be read off them.", lambda _: score_models(10 * R, Y)),
    Case("score_models with names that do not fit", ValueError, "names has 2 entries, but R has 4 columns.", lambda _: score_models(R, Y, names=["a", "b"])),
    Case("contributions of a class that is none of three", ValueError, "label=9: pass one of the classes, [0, 1, 2].", lambda _: ContributionsDisplay.from_estimator(CFEnsemble(layout="model-major").fit(make_predictions(60, 2, n_classes=3, random_state=0).R, THREE), make_predictions(60, 2, n_classes=3, random_state=0).R, label=9)),
    Case("contributions of an average of configurations", ValueError, "selection='average' averages 2 configurations, whose log-odds are no sum over models: search with another selection, such as 'beyond-noise'.", lambda _: CFEnsembleSearch(2, cv=2, selection="average", n_average=2, random_state=0).fit(R, Y).contributions(R)),
    Case("select_models with values that are no probabilities", ValueError, "R has 1 values outside [0, 1], such as 7: pass probabilities.", lambda _: select_models(changed((3, 1), 7.0), Y)),
    Case("select_models with both columns of each model", ValueError, "The 8 columns of R sum to 1 in pairs, as the two classes of one model do: pass one column per model, the probability of the second class.", lambda _: select_models(BOTH, Y)),
    Case("select_models with y too short", ValueError, "Found input variables with inconsistent numbers of samples: [60, 59]", lambda _: select_models(R, Y[:-1])),
    Case("select_models with costs that do not fit", ValueError, "costs=array([1., 2.]): pass one positive number for each of the 4 models.", lambda _: select_models(R, Y, costs=[1, 2])),
    Case("select_models with columns that are no multiple of the classes", ValueError, "R has 4 columns, which is no multiple of the 3 classes: pass K columns per model for K > 2 classes.", lambda _: select_models(R, THREE)),
    Case("predict before fit", NotFittedError, "This StackingPipeline instance is not fitted yet. Call 'fit' with appropriate arguments", lambda _: StackingPipeline([GaussianNB()]).predict(R)),
    Case("refit_meta before fit", NotFittedError, "This StackingPipeline instance is not fitted yet. Call 'fit' with appropriate arguments", lambda _: StackingPipeline([GaussianNB()]).refit_meta(None)),
    Case("refit_meta after a base model was added to the parameters", ValueError, "estimators has 'b', which the fit did not have: call fit for base models to be fitted.", lambda _: StackingPipeline([("a", GaussianNB())], cv=3).fit(R, Y).set_params(estimators=[("a", GaussianNB()), ("b", GaussianNB())]).refit_meta(None)),
    Case("new rows of another number of columns", ValueError, "X has 3 features, but StackingPipeline is expecting 4 features as input.", lambda _: StackingPipeline([GaussianNB()], cv=3).fit(R, Y).predict(R[:, :3])),
]

SEARCH = [
    search("R without any prediction", ValueError, "R has no prediction at all: every cell is NaN, so no model has scored a row.", np.full((60, 4), np.nan)),
    search("more folds than rows of a class", ValueError, "Class 0 has 30 rows, too few for cv=200 folds with one in each. Pass cv=30 or less", cv=200),
    search("groups too short", ValueError, "groups has shape (6,), but X has 60 rows: pass one group per row.", groups=np.zeros(6)),
    search("n_trials 0", ValueError, "The 'n_trials' parameter of CFEnsembleSearch must be an int in the range [1, inf) or None. Got 0 instead.", n_trials=0),
    search("neither n_trials nor timeout", ValueError, "n_trials=None needs a timeout in seconds, or the search would never end.", n_trials=None),
    search("timeout 0", ValueError, "The 'timeout' parameter of CFEnsembleSearch must be a float in the range (0.0, inf) or None. Got 0 instead.", timeout=0),
    search("a timeout that ends before the first trial", ValueError, "trials was completed: raise timeout or n_trials.", timeout=1e-9),
    search("scoring unknown", ValueError, "'nonsense' is not a valid scoring value. Use sklearn.metrics.get_scorer_names() to get valid options.", scoring="nonsense"),
    search("a scorer that raises", ValueError, "No trial was completed; 2 failed. Reasons: … TypeError: …", scoring=lambda: 0.5),
    search("costs of another shape", ValueError, "costs=[[0, 1]] must be 2 x 2 finite numbers, a row for each true class and a column for each predicted one.", scoring=NegativeCost([[0, 1]])),
    search("costs below the diagonal", ValueError, "costs=[[0, 1], [1, 2]] pays for mistakes: no entry may be below the diagonal entry of its row.", scoring=NegativeCost([[0, 1], [1, 2]])),
    search("recall at a precision above 1", ValueError, "scoring='recall_at_precision' cannot score 2 classes (precision=1.5 must be above 0 and at most 1.): pass …", scoring=RecallAtPrecision(1.5)),
    search("scoring empty", ValueError, "scoring=() is empty: pass a name, or several.", scoring=()),
    search("scoring that names a score twice", ValueError, "scoring=('f1', 'f1') names a score twice: pass each once.", scoring=("f1", "f1")),
    search("scoring of a number", ValueError, "scoring holds 3: pass names of scikit-learn scorers, or callables (estimator, R, y) -> float.", scoring=("f1", 3)),
    search("scoring for two classes, y with three", ValueError, "scoring='f1' cannot score 3 classes (…): pass 'f1_macro' or 'f1_weighted'.", scoring="f1", R=np.tile(R[:, :1], (1, 6)), y=np.arange(60) % 3, estimator=CFEnsemble(layout="model-major")),
    search("pos_label that is no class", ValueError, "pos_label='spam' is none of the classes: pass one of [0, 1], or None for 1.", pos_label="spam"),
    search("trainers unknown", ValueError, "trainers=['adam']: pass 'auto' or a sequence of some of ('als', 'pytorch').", trainers=["adam"]),
    search("trainers empty", ValueError, "trainers=[]: pass 'auto' or a sequence of some of ('als', 'pytorch').", trainers=[]),
    search("estimator of another kind", ValueError, "The 'estimator' parameter of CFEnsembleSearch must be an instance of 'cfens_stack.ensemble.estimators.CFEnsemble' or None. Got LogisticRegression() instead.", estimator=LogisticRegression()),
    search("selection unknown", ValueError, "The 'selection' parameter of CFEnsembleSearch must be a str among … Got 'luck' instead.", selection="luck"),
    search("n_average 0", ValueError, "The 'n_average' parameter of CFEnsembleSearch must be an int in the range [1, inf). Got 0 instead.", n_average=0),
    search("sampler a class", TypeError, "sampler=TPESampler is a class: pass an instance, TPESampler(...).", sampler=TPESampler),
    search("pruner a number", ValueError, "The 'pruner' parameter of CFEnsembleSearch must be an object implementing 'prune' or None. Got 3 instead.", pruner=3),
    search("a callback that cannot be called", TypeError, "callbacks holds 3: pass functions (study, trial) -> None.", callbacks=[3]),
    search("space empty", ValueError, "space is empty: pass Param objects to search over, or None for SEARCH_SPACE.", space=[]),
    search("space of names", ValueError, "space has 'latent_dim', but its entries are Param objects, each named like a parameter of CFEnsemble.", space=["latent_dim"]),
    search("space of a parameter that is none", ValueError, "space has Param(name='depth', …), but its entries are Param objects, each named like a parameter of CFEnsemble.", space=[Param("depth", low=1, high=3)]),
    search("scoring without an end", ValueError, "No trial was completed; 2 failed. Reasons: … FloatingPointError: the score of fold 0 is inf", scoring=lambda estimator, R, y: np.inf),
    search("folds that train on one class", ValueError, "No trial was completed; 2 failed. Reasons: … ValueError: y has one class only", cv=[(np.flatnonzero(Y == 0), np.flatnonzero(Y == 1))]),
    search("y too short", ValueError, "Found input variables with inconsistent numbers of samples: [60, 59]", y=Y[:-1]),
    search("pos_label a list", ValueError, "pos_label=[0, 1] is none of the classes", pos_label=[0, 1]),
    search("space a dict", ValueError, "The 'space' parameter of CFEnsembleSearch must be an instance of 'list', an instance of 'tuple' or None.", space={"rho": (0, 1)}),
    search("trainers a word", ValueError, "The 'trainers' parameter of CFEnsembleSearch must be a str among {'auto'} or an array-like. Got 'als' instead.", trainers="als"),
    search("callbacks a function", ValueError, "The 'callbacks' parameter of CFEnsembleSearch must be an instance of 'list', an instance of 'tuple' or None.", callbacks=print),
    search("study_name a number", ValueError, "The 'study_name' parameter of CFEnsembleSearch must be an instance of 'str' or None. Got 3 instead.", study_name=3),
    search("n_jobs 0", ValueError, "n_jobs == 0 in Parallel has no meaning", n_jobs=0),
    search("cv='prefit'", ValueError, "The 'cv' parameter of CFEnsembleSearch must be an int in the range [2, inf), … Got 'prefit' instead.", cv="prefit"),
    search("a range outside of what the parameter may be", ValueError, "No trial was completed; 2 failed. Reasons: … The 'rho' parameter of CFEnsemble must be a float in the range [0.0, 1.0]. Got 2.0 instead.", space=[Param("rho", low=2.0, high=3.0)]),
    Case("a range that ends before it begins", ValueError, "Param('rho') has low=1.0 and high=0.0: pass low <= high, or choices.", lambda _: Param("rho", low=1.0, high=0.0)),
    Case("a Param without a range", ValueError, "Param('rho') has neither a range nor choices: pass low= and high=, or choices=.", lambda _: Param("rho")),
    Case("a range from 0 on a logarithmic scale", ValueError, "Param('lambda_reg') has low=0.0 with log=True: a range that is searched on the scale of logarithms begins above 0.", lambda _: Param("lambda_reg", low=0.0, high=1.0, log=True)),
    Case("a study of other data", ValueError, "study_name='s' in this storage was searched on other data, folds, scoring or space. Pass the same R, y, cv, scoring, … to continue it, or another study_name.", other_data),
    Case("new rows with a column too few", ValueError, "X has 3 features, but CFEnsembleSearch is expecting 4 features as input.", lambda _: CFEnsembleSearch(1, cv=3).fit(R, Y).predict(R[:, :3])),
    search("storage a word", ValueError, "storage='trials' is neither a URL nor a journal file: pass 'sqlite:///trials.db', a path that ends in .log, .journal, .jsonl, 'journal:///path', or 'postgresql+psycopg://user@host/database'.", storage="trials"),
    search("a database URL without its scheme", ValueError, "storage='me:***@host/db' is neither a URL nor a journal file: pass 'sqlite:///trials.db', …", storage="me:s3cret@host/db"),
    search("the connection string of a driver", ValueError, "storage='host=localhost user=me password=*** dbname=db' is neither a URL nor a journal file: …", storage="host=localhost user=me password=s3cret dbname=db"),
    search("a database URL that is none", ValueError, "storage='postgresql://me:***@host:port/db' is not the URL of a database: pass 'sqlite:///trials.db' or 'postgresql+psycopg://user@host:port/database', special characters of a password percent-encoded.", storage="postgresql://me:s3cret@host:port/db"),
    stored("a journal in a folder that is not there", FileNotFoundError, "No such file or directory: …trials.log", "absent/trials.log"),
    stored("a journal that is another file", ValueError, "is a file that does not begin like a journal of Optuna, and is left as it is: pass a new path, or move it away.", "notes.log", b"first line\nsecond line\n"),
    stored("a journal with a broken line", ValueError, "Line 2 of the journal … is not a record of Optuna. The trials before it are intact, and the file is left as it is: take that line out, and start again.", "trials.log", b'{"op_code":0,"worker_id":"w","study_name":"s","directions":[2]}\n{broken\n{"op_code":9}\n'),
    stored("a sqlite file that is none", ValueError, "cannot be opened: file is not a database. Pass a database that can be reached, of Optuna's or empty; for sqlite a file in a folder that exists, on a disk with room.", "trials.db", b"no database" * 100),
    stored("a sqlite file in a folder that is not there", ValueError, "cannot be opened: unable to open database file. Pass a database that can be reached", "absent/trials.db"),
    Case("predict with refit=False", AttributeError, "This 'CFEnsembleSearch' has no attribute 'predict'", lambda _: CFEnsembleSearch(2, cv=3, refit=False).fit(R, Y).predict(R)),
    Case("predict before fit", NotFittedError, "This CFEnsembleSearch instance is not fitted yet. Call 'fit' with appropriate arguments", lambda _: CFEnsembleSearch().predict(R)),
]

TABLES = [
    read("a matrix", TypeError, "table is of type ndarray: pass the path of a file, or a data frame.", R),
    read("a column that is not there", ValueError, "The table has no column 'y'; it has a, b, c, d.", FRAME, label="y"),
    read("a column of text", ValueError, "The table: column 'e' is not numeric. Name it in label=, fold=, id= or ignore=, or the predictions in models=.", FRAME.assign(e="x")),
    read("a column twice", ValueError, "column 'a' is there, or asked for, more than once.", "a,b,a\n0.1,0.2,0.3\n"),
    read("a column without a name", ValueError, "has a column without a name, perhaps of row numbers: pass id='' or models=.", ",a\n1,0.2\n"),
    read("rows longer than the header", ValueError, "has more values in a row than names in its first line: give the first column a name too, and write decimals with a point.", "a,b\n1,0.2,0.3\n"),
    read("an empty file", ValueError, "cannot be read as CSV (comma-separated, UTF-8): No columns to parse from file", ""),
    read("no row", ValueError, "has no rows.", "a,b\n"),
    read("only other columns", ValueError, "The table has no column of predictions.", FRAME, ignore=list("abcd")),
    read("weights that are negative", ValueError, "The table: column 'w' of weights is negative, infinite or missing in some rows.", FRAME.assign(w=-1.0), weight="w"),
    read("weights with a gap", ValueError, "The table: column 'w' of weights is negative, infinite or missing in some rows.", FRAME.assign(w=np.where(Y == 1, np.nan, 1.0)), weight="w"),
    read("a model that is not there", ValueError, "The table has no column 'forest'; it has a, b, c, d.", FRAME, models=["a", "forest"]),
    read("a column asked for twice", ValueError, "column 'a' is there, or asked for, more than once.", FRAME, label="a", models=["a", "b"]),
    arrays("an npz file without R", "has no array 'R' of predictions; it has P.", P=R),
    arrays("an npz file with R of one dimension", "R has shape (60,); it must be (rows, models).", R=R[:, 0]),
    arrays("an npz file with names for other columns", "2 model_names for the 4 columns of R.", R=R, model_names=["a", "b"]),
    arrays("an npz file with labels for other rows", "array 'y' has shape (59,); it must be (60,), as R has rows.", R=R, y=Y[:-1]),
    Case("a file that is not there", FileNotFoundError, "There is no file '…absent.csv'.", lambda folder: read_predictions(folder / "absent.csv")),
    Case("a file of another kind", ValueError, "table='…table.xlsx' ends in '.xlsx'; valid are .csv, .parquet, .pq, .npz.", lambda folder: read_predictions(folder / "table.xlsx")),
]

DISPLAYS = [
    display("features where predictions are expected", ValueError, "The ensemble was fitted on 4 columns of predictions, but got 8. Pass the predictions of the same base models. If these are features, pass a StackingPipeline, or the predictions that its base_predictions makes of them.", np.hstack([R, R])),
    display("features where probabilities are expected", ValueError, "The ensemble was fitted on probabilities, but 1 cells lie outside [0, 1], the first of value 40. Pass the predictions of the base models. If these are features, pass a StackingPipeline, or the predictions that its base_predictions makes of them.", changed((3, 1), 40.0)),
    display("a label that the fit did not know", ValueError, "y has the label 2, which is not among the classes that the estimator was fitted on: [0, 1].", y=THREE),
    display("no labels", ValueError, "y is None: pass the class label of each row.", y=None),
    display("rows without any prediction", ValueError, "No row has both a label and a prediction: nothing can be compared.", np.full((60, 4), np.nan)),
    Case("a reliability diagram of labels that are words", ValueError, "y holds values other than True, False, 1 and 0: pass where the rows are of the class, such as y == 'fraud'.", lambda _: ReliabilityDisplay.from_predictions(["ok", "fraud"] * 30, {"p": R[:, 0]})),
    Case("trust in rows that the estimator was not fitted on", ValueError, "A refit on these rows gives other weights than the estimator has: pass the X, y and sample_weight that it was fitted on, of a pipeline features or its oof_, and the parameters that it was fitted with.", lambda _: TrustDisplay.from_estimator(CFEnsemble().fit(R, Y), R, 1 - Y)),
    Case("a reconstruction beside other predictions", ValueError, "R_complete differs from the predictions where these are not missing: pass the same rows and columns, with the missing cells known.", lambda _: ReconstructionDisplay.from_estimator(CFEnsemble().fit(R, Y), R, R[:, ::-1])),
    Case("a picture before fit", NotFittedError, "This CFEnsemble instance is not fitted yet.", lambda _: DisagreementDisplay.from_estimator(CFEnsemble(), R, Y)),
    Case("disagreement of scores", ValueError, "The columns are scores, not probabilities of classes: there is no plain average to compare.", lambda _: DisagreementDisplay.from_estimator(CFEnsemble(layout="scores").fit(R, Y), R, Y)),
    Case("names for other columns", ValueError, "names has 1 entries, but the estimator has 4 columns: pass one per column.", lambda _: LatentSpaceDisplay.from_estimator(CFEnsemble().fit(R, Y), names=["a"])),
    Case("a reliability diagram of probabilities without a name", ValueError, "probabilities has no name for its curves: pass a dict such as {'ensemble': p}.", lambda _: ReliabilityDisplay.from_predictions(Y, R[:, 0])),
    Case("a reliability diagram of nothing", ValueError, "probabilities has no name for its curves: pass a dict such as {'ensemble': p}.", lambda _: ReliabilityDisplay.from_predictions(Y, {})),
    Case("a reliability diagram of per cent", ValueError, "y_prob has values outside [0, 1].", lambda _: ReliabilityDisplay.from_predictions(Y, {"p": 100 * R[:, 0]})),
    Case("a reliability diagram of masked labels", ValueError, "y holds values other than True, False, 1 and 0", lambda _: ReliabilityDisplay.from_predictions(np.ma.masked_array(Y, mask=ROWS < 9), {"p": R[:, 0]})),
    Case("a reliability diagram of a class that is none", ValueError, "pos_label='spam' is not a class: pass one of [0, 1].", lambda _: ReliabilityDisplay.from_estimator(CFEnsemble().fit(R, Y), R, Y, pos_label="spam")),
    Case("a reconstruction beside fewer rows", ValueError, "R_complete has shape (3, 4), but the predictions have (60, 4): pass the same cells.", lambda _: ReconstructionDisplay.from_estimator(CFEnsemble().fit(R, Y), R, R[:3])),
    Case("a Pareto front of one score", ValueError, "The search is by 'average_precision' alone: a picture of the Pareto front needs two", lambda _: ParetoDisplay.from_estimator(CFEnsembleSearch(1, cv=3).fit(R, Y))),
    Case("trust from half a refit", ValueError, "n_bootstrap=2.5: pass an int of at least 1.", lambda _: TrustDisplay.from_estimator(CFEnsemble().fit(R, Y), R, Y, n_bootstrap=2.5)),
    Case("trust from no refit", ValueError, "n_bootstrap=0: pass an int of at least 1.", lambda _: TrustDisplay.from_estimator(CFEnsemble().fit(R, Y), R, Y, n_bootstrap=0)),
    Case("trust at a level in percent", ValueError, "level=90: pass a number between 0 and 1, such as 0.9.", lambda _: TrustDisplay.from_estimator(CFEnsemble().fit(R, Y), R, Y, level=90)),
    Case("trust of a pipeline in new rows", ValueError, "X has 30 rows, but the pipeline was fitted on 60. The meta-learner is refitted on the out-of-fold predictions: pass the X and y of fit.", lambda _: TrustDisplay.from_estimator(StackingPipeline([GaussianNB()], cv=3).fit(R, Y), R[:30], Y[:30])),
    Case("a picture of another meta-learner", TypeError, "has no latent factors: pass a fitted CFEnsemble, trainer or search (with selection='best' or 'one-standard-error'), or a StackingPipeline with one as its meta-learner.", lambda _: LatentSpaceDisplay.from_estimator(GaussianNB().fit(R, Y))),
]

PARTITIONS = [
    partitions("partitions of other columns", ValueError, "The partitions have shapes [(30, 4), (30, 3)]: pass two-dimensional ones with the same columns.", [R[:30], R[30:, :3]]),
    partitions("partitions of other names", ValueError, "The partitions have columns of different names or order: pass the same columns in all.", [FRAME[:30], FRAME[30:][["b", "a", "c", "d"]]]),
    partitions("no partition", ValueError, "The partitions have shapes []: pass two-dimensional ones with the same columns.", []),
    partitions("rows instead of partitions", ValueError, "The partitions have shapes [(4,), (4,)]: pass two-dimensional ones", list(R[:2])),
    partitions("one array", ValueError, "partitions is one table, of shape (60, 4): pass a list of arrays that R is cut into, [R] for one.", R),
    partitions("labels of one partition", ValueError, "Found input variables with inconsistent numbers of samples: [60, 30]. R has 60 rows, but y has 30 entries.", [R[:30], R[30:]], Y[:30]),
    partitions("a callable confidence", ValueError, "Partitions are fitted with a named confidence and projected instance factors, but …: pass confidence='uniform', 'certainty' or 'calibration' and instance_factors='projected'.", [R], estimator=CFEnsemble(confidence=lambda R, y: np.ones(R.shape))),
    partitions("an estimator of another kind", TypeError, "estimator=LogisticRegression() is not fitted on partitions: pass a CFEnsemble, CFEnsembleTrainer or CFEnsemblePyTorchTrainer.", [R], estimator=LogisticRegression()),
]

GUIDE = [
    Case("a guide that is none", ValueError, "The 'guide' parameter of recommend must be a str among … Got 'best' instead.", lambda _: recommend(R, Y, guide="best")),
    Case("a layout that is none", ValueError, "The 'layout' parameter of recommend must be a str among … Got 'wide' instead.", lambda _: recommend(R, Y, layout="wide")),
    Case("y None", ValueError, "fit requires y to be passed, but the target y is None.", lambda _: recommend(R, None)),
    Case("y too short", ValueError, "Found input variables with inconsistent numbers of samples: [60, 59]", lambda _: recommend(R, Y[:-1])),
    Case("y of one class", ValueError, "y has one class only (1.0), but a classifier needs labelled rows of at least two.", lambda _: recommend(R, np.ones(60))),
    Case("R sparse", TypeError, "Sparse data was passed for R, but dense data is required", lambda _: recommend(csr_matrix(R), Y)),
    Case("pos_label that is no class", ValueError, "pos_label=7 is none of the classes: pass one of [0, 1], or None for 1.", lambda _: recommend(R, Y, pos_label=7)),
    Case("advice of another guide", ValueError, "guide='best' is not valid: pass one of ('published', 'measured').", lambda _: recommend(R, Y).following("best")),
]

GENERATED = [
    Case("no row", ValueError, "The 'n_samples' parameter of make_predictions must be an int in the range [1, inf). Got 0 instead.", lambda _: make_predictions(0, 4)),
    Case("all cells missing", ValueError, "The 'missing' parameter of make_predictions must be a float in the range [0.0, 1.0). Got 1.0 instead.", lambda _: make_predictions(60, 4, missing=1.0)),
    Case("shares that do not sum to 1", ValueError, "Got weights=[0.5, 0.6], but expected n_classes=2 positive shares that sum to 1.", lambda _: make_predictions(60, 4, weights=[0.5, 0.6])),
]

# fmt: on

SECTIONS = {
    "`CFEnsemble().fit(R, y, sample_weight)`": DATA,
    "Parameters of `CFEnsemble`": PARAMETERS,
    "Data and parameters that do not go together": COMBINATIONS,
    "New rows: `predict`, `predict_proba`, `transform`, `reconstruct`": NEW_ROWS,
    "`StackingPipeline`": PIPELINE,
    "`CFEnsembleSearch`": SEARCH,
    "`fit_partitions`": PARTITIONS,
    "`recommend`": GUIDE,
    "`read_predictions`": TABLES,
    "Pictures in `cfens_stack.display`": DISPLAYS,
    "`make_predictions`": GENERATED,
}

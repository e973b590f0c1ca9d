"""The default base models: ten kinds that differ in what they get wrong, on tables with columns of
any type.
"""

from importlib.util import find_spec

from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from cfens_stack.stacking.small_tables import BatchesAtMost, NeighboursAtMost
from cfens_stack.stacking.tables import as_floats, as_strings, categorical_columns, numeric_columns

MAX_CATEGORIES = 32  # one-hot columns per column; the rarer categories share one
# Leaves grow with the rows (2000 at most per tree), so that a forest's cost per row does not, and on
# large tables its probabilities are means over many rows.
LEAF_SHARE = 0.0005

ORDER = (
    "logistic",
    "discriminant",
    "additive",
    "neighbours",
    "kernel",
    "neural_network",
    "random_forest",
    "balanced_forest",
    "extra_trees",
    "gradient_boosting",
    "balanced_boosting",
    "lightgbm",
    "xgboost",
    "catboost",
)
PRESETS = ("fast", "default", "best")


def default_estimators(preset="default"):
    """Named base models for numeric, boolean, categorical, string and date columns, with missing
    values.

    At least one of them weighs the classes, so that the pool looks at a rare class from both sides.

    Parameters
    ----------
    preset : {"fast", "default", "best"}, default="default"
        "default": ten models of scikit-learn. "fast": eight of them, without the neural network and
        the random forest. "best": eleven, with more trees, and one each of LightGBM, XGBoost and
        CatBoost, where these are installed.

    Returns
    -------
    estimators : list of (str, estimator)

    Raises
    ------
    ValueError
        If there is no such preset.

    Notes
    -----
    "fast" and "default" do not depend on what is installed besides scikit-learn. How the pools were
    chosen, what each model adds and how they compare with AutoML toolkits is on the page about
    AutoML of the documentation.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset={preset!r}: pass one of {', '.join(map(repr, PRESETS))}.")
    models = _quick_models(50 if preset != "best" else 120)
    if preset != "fast":
        models["random_forest"] = _complete(
            RandomForestClassifier(60 if preset == "default" else 150, max_samples=0.4)
        )
        models["neural_network"] = _complete(
            # Twenty epochs, and no word of it: an improvement is never enough from the second on.
            BatchesAtMost(
                (32,),
                alpha=0.03,
                batch_size=64,
                learning_rate_init=0.005,
                n_iter_no_change=18,
                tol=1e9,
            )
        )
    if preset == "best":
        models |= _large_models()
    return [(name, models[name]) for name in ORDER if name in models]


def _quick_models(n_trees):
    boosting = {"learning_rate": 0.08, "max_iter": 100}
    if n_trees > 100:
        boosting = {"learning_rate": 0.05, "max_iter": 160}
    return {
        "logistic": _complete(LogisticRegression(max_iter=2000)),
        "discriminant": _complete(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")),
        "additive": make_pipeline(
            _table(_splines(), _one_hot()), LogisticRegression(C=0.3, max_iter=2000)
        ),
        "neighbours": _complete(NeighboursAtMost(n_neighbors=50, weights="distance")),
        "kernel": _complete(
            RBFSampler(gamma="scale", n_components=200), LogisticRegression(max_iter=2000)
        ),
        "extra_trees": _target_coded(
            ExtraTreesClassifier(n_trees, min_samples_leaf=LEAF_SHARE, max_features=0.5)
        ),
        "gradient_boosting": _target_coded(
            HistGradientBoostingClassifier(
                max_leaf_nodes=20,
                max_features=0.5,
                l2_regularization=1.0,
                **boosting,
            )
        ),
        # With weights each bin's edge is a weighted quantile of its own, which costs more than the trees.
        "balanced_boosting": _ordinal(
            HistGradientBoostingClassifier(
                learning_rate=0.15,
                max_iter=50,
                max_leaf_nodes=6,
                max_bins=63,
                class_weight="balanced",
            )
        ),
    }


def _large_models():
    """What "best" has besides: a forest with class weights, and the boosting packages that are
    installed.
    """
    models = {
        "balanced_forest": _ordinal(
            RandomForestClassifier(
                100,
                max_samples=0.6,
                min_samples_leaf=LEAF_SHARE,
                class_weight="balanced_subsample",
            )
        )
    }
    if find_spec("lightgbm"):
        from lightgbm import LGBMClassifier

        models["lightgbm"] = _ordinal(
            LGBMClassifier(
                n_estimators=150,
                learning_rate=0.06,
                subsample=0.8,
                subsample_freq=1,
                colsample_bytree=0.7,
                reg_lambda=1.0,
                n_jobs=1,
                verbose=-1,
            )
        )
    if find_spec("xgboost"):
        from xgboost import XGBClassifier

        models["xgboost"] = _ordinal(
            XGBClassifier(
                n_estimators=150,
                learning_rate=0.05,
                max_depth=4,
                subsample=0.8,
                colsample_bytree=0.6,
                min_child_weight=2,
                n_jobs=1,
            )
        )
    if find_spec("catboost"):
        from catboost import CatBoostClassifier

        models["catboost"] = _ordinal(
            CatBoostClassifier(
                iterations=200,
                learning_rate=0.06,
                depth=5,
                thread_count=1,
                verbose=False,
                allow_writing_files=False,
            )
        )
    return models


def _complete(*steps):
    """Models on a table without gaps: standardised numbers, 0/1 columns for categories and for what
    was missing.

    Scaling before imputation keeps the 0/1 columns as they are; standardised, rare ones would rule
    every distance.
    """
    scaled = make_pipeline(
        _as_floats(), StandardScaler(), SimpleImputer(strategy="median", add_indicator=True)
    )
    return make_pipeline(_table(scaled, _one_hot()), *steps)


def _ordinal(model):
    """Models that split on codes of the categories, and on missing numbers by themselves."""
    ordinal = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, max_categories=254
    )
    return _coded(ordinal, model)


def _target_coded(model):
    """The same with each category replaced by the share of the classes in it, cross-fitted: near
    categories then belong together, and one split parts many of them.
    """
    encoder = TargetEncoder()
    if encoder.random_state == "deprecated":  # from scikit-learn 1.9 on its folds have the seed
        encoder.set_params(cv=StratifiedKFold(5, shuffle=True, random_state=0))
    return _coded(encoder, model)


def _coded(encoder, model):
    return make_pipeline(_table(_as_floats(), make_pipeline(_as_strings(), encoder)), model)


def _table(numeric, categorical):
    return ColumnTransformer(
        [("numeric", numeric, numeric_columns), ("categorical", categorical, categorical_columns)]
    )


def _splines():
    """Quadratic splines, linear beyond the data: a generalised additive model."""
    splines = SplineTransformer(n_knots=6, degree=2, knots="quantile", extrapolation="linear")
    return make_pipeline(_as_floats(), StandardScaler(), SimpleImputer(strategy="median"), splines)


def _one_hot():
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, sparse_output=False
    )
    return make_pipeline(_as_strings(), encoder)


def _as_floats():
    return FunctionTransformer(as_floats)


def _as_strings():
    return FunctionTransformer(as_strings)

"""The eight models of scikit-learn that its own stack and mlxtend's combine in `host_fits.py`: a
fixed list, for tables of any kind, so that the results do not move with the default pool.
"""

from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    SplineTransformer,
    StandardScaler,
)

from cfens_stack.stacking.tables import (
    as_floats,
    as_strings,
    categorical_columns,
    numeric_columns,
)


def pool(seed):
    """(name, estimator) pairs."""
    floats, strings = FunctionTransformer(as_floats), FunctionTransformer(as_strings)
    bins = SplineTransformer(n_knots=8, degree=1, knots="quantile", extrapolation="constant")
    one_hot = make_pipeline(
        strings,
        OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=32, sparse_output=False),
    )
    ordinal = make_pipeline(
        strings,
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, max_categories=254),
    )
    imputer = SimpleImputer(strategy="median", add_indicator=True)
    complete = _table(make_pipeline(floats, StandardScaler(), imputer), one_hot)
    binned = _table(make_pipeline(floats, SimpleImputer(strategy="median"), bins), one_hot)
    with_gaps = _table(floats, ordinal)  # boosting splits on missing numbers by itself
    models = {
        "logistic": [complete, LogisticRegression(max_iter=2000)],
        "discriminant": [complete, LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")],
        "naive_bayes": [binned, MultinomialNB()],
        "neighbours": [complete, KNeighborsClassifier(n_neighbors=10, weights="distance")],
        "kernel": [
            complete,
            RBFSampler(gamma="scale", n_components=200, random_state=seed),
            LogisticRegression(max_iter=2000),
        ],
        "extra_trees": [complete, ExtraTreesClassifier(100, random_state=seed)],
        "gradient_boosting": [
            with_gaps,
            HistGradientBoostingClassifier(learning_rate=0.05, random_state=seed),
        ],
        "balanced_boosting": [
            with_gaps,
            HistGradientBoostingClassifier(
                max_leaf_nodes=6, class_weight="balanced", random_state=seed
            ),
        ],
    }
    return [(name, make_pipeline(*steps)) for name, steps in models.items()]


def _table(numeric, categorical):
    return ColumnTransformer(
        [("numeric", numeric, numeric_columns), ("categorical", categorical, categorical_columns)]
    )

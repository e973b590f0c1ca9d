"""The default base models: ten kinds that differ in what they get wrong, on tables with columns of any type."""

from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from cfens_stack.tables import as_floats, as_strings, categorical_columns, numeric_columns

MAX_CATEGORIES = 32  # one-hot columns a column; the rarer categories share one


def default_estimators():
    """Named base models for numeric, boolean, categorical, string and date columns, with missing values.

    Two of the ten weigh the classes, so that the pool looks at a rare class from both sides.

    Returns
    -------
    estimators : list of (str, estimator)
    """
    return [
        ("logistic", _scaled(LogisticRegression(max_iter=2000))),
        ("discriminant", _scaled(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))),
        ("naive_bayes", _scaled(GaussianNB(var_smoothing=0.01))),
        ("neighbours", _scaled(KNeighborsClassifier(n_neighbors=10, weights="distance"))),
        ("kernel", _scaled(RBFSampler(gamma="scale", n_components=200), LogisticRegression(max_iter=2000))),
        ("random_forest", _trees(RandomForestClassifier(200))),
        ("balanced_forest", _trees(RandomForestClassifier(200, class_weight="balanced_subsample", min_samples_leaf=3))),
        ("extra_trees", _trees(ExtraTreesClassifier(200))),
        ("gradient_boosting", _boosting(HistGradientBoostingClassifier(learning_rate=0.05))),
        ("balanced_boosting", _boosting(HistGradientBoostingClassifier(learning_rate=0.05, class_weight="balanced"))),
    ]


def _scaled(*steps):
    return make_pipeline(_table(_imputed(), _one_hot()), StandardScaler(), *steps)


def _trees(forest):
    return make_pipeline(_table(_imputed(), _one_hot()), forest)


def _boosting(model):
    """Gradient boosting splits on missing numbers by itself."""
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, max_categories=254)
    return make_pipeline(_table(_as_floats(), make_pipeline(_as_strings(), ordinal)), model)


def _table(numeric, categorical):
    return ColumnTransformer([("numeric", numeric, numeric_columns), ("categorical", categorical, categorical_columns)])


def _imputed():
    return make_pipeline(_as_floats(), SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True))


def _one_hot():
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, sparse_output=False)
    return make_pipeline(_as_strings(), encoder)


def _as_floats():
    return FunctionTransformer(as_floats)


def _as_strings():
    return FunctionTransformer(as_strings)

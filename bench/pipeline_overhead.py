"""What StackingPipeline adds to the fits and predictions of its base models: ten models, five
folds.

Each base model notes the seconds that its own fit and predict_proba take. Overhead is the wall time
of the pipeline's fit less their sum; the meta-learner's fit, part of it, is shown by itself. About
four minutes.
"""

import argparse
import time

import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from cfens_stack import CFEnsemble, StackingPipeline

SECONDS = {"fit": 0.0, "predict": 0.0}


class Timed(ClassifierMixin, BaseEstimator):
    """A model whose own fits and predictions are timed."""

    def __init__(self, model):
        self.model = model

    def fit(self, X, y):
        start = time.perf_counter()
        self.model_ = clone(self.model).fit(X, y)
        self.classes_ = self.model_.classes_
        SECONDS["fit"] += time.perf_counter() - start
        return self

    def predict_proba(self, X):
        start = time.perf_counter()
        P = self.model_.predict_proba(X)
        SECONDS["predict"] += time.perf_counter() - start
        return P


class TimedMeta(CFEnsemble):
    """The default meta-learner, timed."""

    def fit(self, R, y, sample_weight=None):
        start = time.perf_counter()
        super().fit(R, y, sample_weight)
        SECONDS["meta"] = time.perf_counter() - start
        return self


def pool():
    trees = [DecisionTreeClassifier(max_depth=depth) for depth in (4, 8, 12)]
    boosted = [HistGradientBoostingClassifier(max_iter=n) for n in (30, 60, 100)]
    logistic = [LogisticRegression(C=C, max_iter=500) for C in (0.01, 1.0, 100.0)]
    return [
        (f"model{i}", Timed(model))
        for i, model in enumerate([GaussianNB(), *trees, *boosted, *logistic])
    ]


def row(n):
    X, y = make_classification(n, n_features=20, n_informative=8, weights=[0.9], random_state=0)
    SECONDS.update(fit=0.0, predict=0.0)
    start = time.perf_counter()
    StackingPipeline(pool(), meta=TimedMeta(), random_state=0).fit(X, y)
    wall = time.perf_counter() - start
    overhead = wall - SECONDS["fit"] - SECONDS["predict"]
    return {"n": n, "wall s": wall, **SECONDS, "overhead s": overhead, "share": overhead / wall}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    with threadpool_limits(1):
        print(
            pd.DataFrame([row(n) for n in parser.parse_args().rows]).round(3).to_string(index=False)
        )


if __name__ == "__main__":
    main()

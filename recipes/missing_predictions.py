"""Does the factorisation fill missing predictions better than imputing them first?

Predictions of 17 base models on 16 real imbalanced sets (`recipes/real_sets.py --quick`, five
minutes the first time), of which some are removed in six ways: 30 and 50 % of the cells at random;
groups, where each third of the models is missing for 30 % of the rows; a missing modality, where
six rows in ten lack one third of the models; failed folds, where every other model did not predict
one of four folds of the training rows; and at prediction only, where 75 % of the cells of new rows
are missing and none in training. `CFEnsemble` takes what is left as it is, with and without what
missing cells leave uncertain. The same ensemble and logistic regression are given imputed
predictions instead: column means, row means, scikit-learn's IterativeImputer. Scored on held-out
rows by average precision, log loss, and the mean probability as a share of the prevalence; means
over families of near-duplicate sets, Wilcoxon's signed-rank test over sets. Prints a table, writes
a picture. Takes about ten minutes; --quick about four.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from imputation import row_mean
from matplotlib import pyplot
from real_sets import N_FOLDS, QUICK, family_means, keel_family, predictions
from scipy.special import expit, logit
from scipy.stats import wilcoxon
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cfens_stack import CFEnsemble

METRICS = {"average precision": 1.0, "log loss": -1.0}  # sign: larger is better
OURS = "CFEnsemble"
PATTERNS = (
    "30 % of cells",
    "50 % of cells",
    "groups",
    "missing modality",
    "failed folds",
    "at prediction only",
)
SHARES = {
    "30 % of cells": (0.3, 0.3),
    "50 % of cells": (0.5, 0.5),
    "at prediction only": (0.0, 0.75),
}
MEAN = "mean / prevalence"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="one outer fold of each set instead of three"
    )
    parser.add_argument("--picture", type=Path, default=Path("missing_predictions.png"))
    arguments = parser.parse_args()
    tasks = [
        (name, fold) for name in QUICK for fold in range(1 if arguments.quick else min(3, N_FOLDS))
    ]
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of the imputer, after its ten rounds
        table = pd.DataFrame(row for task in tqdm(tasks, unit="fold") for row in run(*task))
    for pattern in PATTERNS:
        part = table[table["pattern"] == pattern].drop(columns="fold")
        means = family_means(part, ["method"])[[*METRICS, MEAN, "seconds"]]
        print(f"\n{pattern}, {part['cells'].mean():.0%} of the training cells missing")
        print(means.join(against(part)).to_string(float_format="{:.4f}".format, na_rep=""))
    draw(table, arguments.picture)
    print(f"\npicture: {arguments.picture.resolve()}")


def run(name, fold):
    """Scores of every method on one outer fold, for every pattern."""
    R, y, R_test, y_test = predictions(name, fold, "imbalanced")
    rng = np.random.default_rng(fold)
    for pattern in PATTERNS:
        train, test = remove(R, R_test, pattern, rng)
        for method, (imputer, meta) in methods().items():
            start = time.perf_counter()
            p = meta.fit(imputer.fit_transform(train), y).predict_proba(imputer.transform(test))[
                :, 1
            ]
            yield {
                "pattern": pattern,
                "cells": np.isnan(train).mean(),
                "method": method,
                "set": name,
                "family": keel_family(name),
                "fold": fold,
                "average precision": average_precision_score(y_test, p),
                "log loss": log_loss(y_test, p),
                MEAN: p.mean() / y.mean(),
                "seconds": time.perf_counter() - start,
            }


def remove(R, R_test, pattern, rng):
    """Training and test predictions with cells removed."""
    n, m = R.shape
    if pattern == "failed folds":
        fails_in = np.where(np.arange(m) % 2 == 0, rng.integers(4, size=m), -1)
        return np.where(rng.integers(4, size=n)[:, None] == fails_in, np.nan, R), R_test
    if pattern in SHARES:
        return tuple(
            np.where(rng.random(matrix.shape) < share, np.nan, matrix)
            for matrix, share in zip((R, R_test), SHARES[pattern], strict=True)
        )
    modality = np.arange(m) * 3 // m
    if pattern == "groups":
        return tuple(
            np.where((rng.random((len(X), 3)) < 0.3)[:, modality], np.nan, X) for X in (R, R_test)
        )
    lacks = [
        np.where(rng.random(len(X)) < 0.6, rng.integers(3, size=len(X)), -1) for X in (R, R_test)
    ]
    return tuple(
        np.where(lack[:, None] == modality, np.nan, X)
        for lack, X in zip(lacks, (R, R_test), strict=True)
    )


class RowMean:
    """Row means as an imputer."""

    def fit_transform(self, R):
        self.R_ = R
        return self.transform(R)

    def transform(self, R):
        return row_mean(self.R_, R)[1]


class Iterative(IterativeImputer):
    """scikit-learn's IterativeImputer on clipped log-odds, as good a scale for it as we found."""

    def fit_transform(self, R, y=None):
        return expit(super().fit_transform(logit(np.clip(R, 0.01, 0.99))))

    def transform(self, R):
        return expit(super().transform(logit(np.clip(R, 0.01, 0.99))))


class Nothing:
    """Leaves missing cells missing."""

    def fit_transform(self, R):
        return R

    def transform(self, R):
        return R


def methods():
    """(imputer, meta-learner) by name."""
    return {
        OURS: (Nothing(), CFEnsemble()),
        "uncertainty=False": (Nothing(), CFEnsemble(uncertainty=False)),
        "column means + CFEnsemble": (SimpleImputer(), CFEnsemble()),
        "row means + CFEnsemble": (RowMean(), CFEnsemble()),
        "iterative + CFEnsemble": (Iterative(random_state=0), CFEnsemble()),
        "row means + logistic": (RowMean(), LogisticRegression()),
        "iterative + logistic": (Iterative(random_state=0), LogisticRegression()),
    }


def against(part):
    """Sets won and lost by CFEnsemble against each other method, and Wilcoxon's p."""
    columns = {}
    for metric, sign in METRICS.items():
        wide = sign * part.groupby(["set", "method"])[metric].mean().unstack()
        for other in wide.columns.drop(OURS):
            gain = (wide[OURS] - wide[other]).to_numpy()
            text = f"{(gain > 0).sum()}-{(gain < 0).sum()}, p={wilcoxon(gain).pvalue:.3f}"
            columns.setdefault(f"won-lost, {metric}", {})[other] = text
    return pd.DataFrame(columns)


def draw(table, path):
    """Loss of each imputation against CFEnsemble, mean and standard error over families."""
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
    for ax, (metric, sign) in zip(axes, METRICS.items(), strict=True):
        wide = table.groupby(["pattern", "family", "method"])[metric].mean().unstack()
        loss = sign * wide.sub(wide[OURS], axis=0).drop(columns=OURS)
        for place, (pattern, marker) in enumerate(zip(PATTERNS, "os^vDx", strict=True)):
            part = loss.loc[pattern][[method for method in methods() if method != OURS]]
            style = {"fmt": marker, "color": str(0.15 * place), "capsize": 2, "label": pattern}
            ax.errorbar(
                part.mean(),
                np.arange(part.shape[1]) + 0.12 * (place - 2.5),
                xerr=part.sem(),
                **style,
            )
        ax.axvline(0.0, color="0.6", linewidth=1)
        ax.set_yticks(np.arange(part.shape[1]), part.columns)
        ax.set(xlabel=f"{metric}: better than CFEnsemble to the right")
    axes[0].invert_yaxis()
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()

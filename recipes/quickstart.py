"""Base models drop out: what is left of the ensemble's prediction?

Eight real imbalanced sets of the KEEL repository, four splits each. `StackingPipeline` fits nine
base models, one of which fails in some folds. Then predictions go missing, as they do when a model
times out or a row lacks its inputs: 30 to 90 % of the cells, first in prediction only, then in
training too. The peers combine the same predictions: logistic regression
on log-odds with its strength by cross-validation, bagged greedy selection, the plain average, and
HistGradientBoosting. The average and boosting take missing cells as they are. The other two get
them filled by row means or by IterativeImputer, whichever turns out to have the lower log loss.

Scored on held-out rows: log loss as a share of what the prevalence alone has (1: no better than
knowing nothing), probabilities clipped to [.001, .999], and average precision. Prints a table,
writes a picture. Takes about two minutes on two cores.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from imputation import as_classes, by_imputer, row_mean
from joblib import Parallel, delayed
from matplotlib import pyplot
from peers import LOWEST, PEERS
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from cfens_stack import CFEnsemble, StackingPipeline
from cfens_stack.datasets import load_keel

BASE_MODELS = [
    ("logistic", make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))),
    ("discriminant", make_pipeline(StandardScaler(), LinearDiscriminantAnalysis())),
    ("linear_svm", make_pipeline(StandardScaler(), LinearSVC(class_weight="balanced"))),
    ("naive_bayes", GaussianNB()),
    ("neighbours", make_pipeline(StandardScaler(), KNeighborsClassifier(15))),
    # raises where a row has no neighbour
    ("radius", make_pipeline(StandardScaler(), RadiusNeighborsClassifier(4.5))),
    ("random_forest", RandomForestClassifier(100)),
    ("extra_trees", ExtraTreesClassifier(100, class_weight="balanced")),
    ("boosting", HistGradientBoostingClassifier(max_iter=50)),
]
# Of each family of the KEEL sets that the other recipes use for a first look, the first with 500 to
# 2500 rows.
SETS = (
    "abalone9-18",
    "car-good",
    "flare-F",
    "pima",
    "vehicle1",
    "vowel0",
    "winequality-red-4",
    "yeast1",
)
MISSING = (0.0, 0.3, 0.6, 0.8, 0.9)
WHERE = ("in prediction only", "in training too")
OURS = "CFEnsemble"
IMPUTATIONS = {
    "row means": row_mean,
    "iterative": by_imputer(lambda: IterativeImputer(min_value=0.0, max_value=1.0, random_state=0)),
}
COMBINERS = {
    "logistic on logits": "logistic, logits, CV",
    "bagged greedy": "greedy, log loss, bagged",
}
STYLES = {
    OURS: {"color": "C3", "marker": "o", "linewidth": 2.5},
    "logistic on logits": {"color": "C0", "marker": "s", "linestyle": "--"},
    "bagged greedy": {"color": "C2", "marker": "^", "linestyle": "-."},
    "plain average": {"color": "0.4", "marker": "x", "linestyle": ":"},
    "boosting": {"color": "C1", "marker": "D", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
}
METRICS = {
    "log loss": "log loss / that of the prevalence",
    "average precision": "average precision",
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=SETS, help="names of KEEL sets")
    parser.add_argument("--splits", type=int, default=4, help="splits of each set (default: 4)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--picture", type=Path, default=Path("quickstart.png"))
    arguments = parser.parse_args()
    tasks = [(name, split) for name in arguments.sets for split in range(arguments.splits)]
    runs = Parallel(arguments.jobs, return_as="generator")(delayed(run)(*task) for task in tasks)
    bar = tqdm(runs, total=len(tasks), unit="split")
    results = best_imputation(pd.DataFrame([row for rows in bar for row in rows]))
    lost = results.groupby(["set", "split"])["lost cells"].first()
    print(
        f"{len(arguments.sets)} sets, {arguments.splits} splits; a base model failed in "
        f"{(lost > 0).sum()} of {len(lost)} fits and left up to {lost.max():.1%} of the cells missing"
    )
    for where in WHERE:
        for metric in METRICS:
            print(f"\nCells missing {where}: {METRICS[metric]}")
            print(table(results[results["where"] == where], metric).to_string())
    print(
        "\nMean over the sets, standard deviation over the splits, number of sets that CFEnsemble wins"
    )
    for narrow in (False, True):
        path = arguments.picture.with_stem(arguments.picture.stem + "_phone" * narrow)
        draw(results, path, narrow)
        print(f"picture: {path.resolve()}")


def run(name, split):
    """Scores of every method on one split of a set."""
    data = load_keel(name)
    X, X_test, y, y_test = train_test_split(
        data.data, data.target, test_size=0.25, stratify=data.target, random_state=split
    )
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # models that fail or do not converge
        stack = StackingPipeline(BASE_MODELS, meta=CFEnsemble(), random_state=split).fit(X, y)
        R, R_test = stack.oof_, stack.base_predictions(X_test)
        lost = float(np.isnan(R).mean())
        used = np.isfinite(R).any(axis=0) & np.isfinite(R_test).any(axis=0)
        R, R_test = R[:, used], R_test[:, used]
        rng = np.random.default_rng(split)
        tests = {share: without(R_test, share, rng) for share in MISSING}
        trains = {share: without(R, share, rng) for share in MISSING}
        cases = [(WHERE[0], R, tests)]
        cases += [(WHERE[1], trains[share], {share: tests[share]}) for share in MISSING]
        rows = [row for where, *case in cases for row in scores(where, *case, y, y_test)]
    return [{"set": name, "split": split, "lost cells": lost, **row} for row in rows]


def without(R, share, rng):
    """The matrix with a share of its cells missing."""
    return np.where(rng.random(R.shape) < share, np.nan, R)


def scores(where, R, tests, y, y_test):
    """One dict for each method, imputation and share of missing cells; a method is fitted once for
    all shares.
    """
    shares, n = list(tests), len(y_test)
    R_test = np.vstack(list(tests.values()))
    prevalence = log_loss(y_test, np.full(n, y.mean()))
    for (method, imputation), p in predictions(R, y, R_test).items():
        p = np.clip(p, LOWEST, 1 - LOWEST).reshape(len(shares), n)
        for share, part in zip(shares, p, strict=True):
            yield {
                "where": where,
                "missing": share,
                "method": method,
                "imputation": imputation,
                "log loss": log_loss(y_test, part) / prevalence,
                "average precision": average_precision_score(y_test, part),
            }


def predictions(R, y, R_test):
    """Probabilities of the new rows, by method and imputation."""
    found = {
        (OURS, ""): CFEnsemble().fit(R, y).predict_proba(R_test)[:, 1],
        ("plain average", ""): row_mean(R, R_test)[1].mean(axis=1),
        ("boosting", ""): HistGradientBoostingClassifier(random_state=0)
        .fit(R, y)
        .predict_proba(R_test)[:, 1],
    }
    for imputation, fill in IMPUTATIONS.items():
        P, P_test = (as_classes(filled) for filled in fill(R, R_test))
        for method, peer in COMBINERS.items():
            found[method, imputation] = PEERS[peer](P, y, P_test)[1][:, 1]
    return found


def best_imputation(results):
    """The results, of each method and share those of the imputation with the lowest mean log
    loss.
    """
    cell = ["where", "missing", "method"]
    means = results.groupby([*cell, "imputation"])["log loss"].mean()
    best = means.groupby(cell).idxmin().tolist()
    return results.set_index([*cell, "imputation"]).loc[best].reset_index()


def table(results, metric):
    """Mean over sets and deviation over splits, and in how many sets CFEnsemble is better."""
    sign = -1 if metric == "log loss" else 1
    columns = {}
    for share, part in results.groupby("missing"):
        by_split = part.groupby(["split", "method"])[metric].mean().unstack()
        by_set = sign * part.groupby(["set", "method"])[metric].mean().unstack()
        wins = by_set.lt(by_set[OURS], axis=0).sum()
        columns[f"{share:.0%}"] = [
            f"{by_split[method].mean():.3f} ±{by_split[method].std():.3f}".replace("±0", "±")
            + (f" ({wins[method]})" if method != OURS else "    ")
            for method in STYLES
        ]
    return pd.DataFrame(columns, index=list(STYLES))


def draw(results, path, narrow):
    """Curves over the share of missing cells, with the spread over splits; `narrow` for a phone."""
    shape, size = ((2, 1), (4.4, 7.5)) if narrow else ((2, 2), (10, 7))
    figure, axes = pyplot.subplots(
        *shape, figsize=size, layout="constrained", sharex=True, squeeze=False
    )
    panels = [(where, metric) for where in WHERE[: shape[1]] for metric in METRICS]
    for ax, (where, metric) in zip(axes.flat, panels, strict=True):
        part = results[results["where"] == where]
        by_split = part.groupby(["missing", "split", "method"])[metric].mean().unstack()
        mean, spread = (by_split.groupby("missing").agg(f) for f in ("mean", "std"))
        percent = 100 * mean.index
        for method, style in STYLES.items():
            ax.plot(percent, mean[method], label=method, **style)
            low, high = mean[method] - spread[method], mean[method] + spread[method]
            ax.fill_between(percent, low, high, color=style["color"], alpha=0.15, linewidth=0)
        ax.set(title=f"missing {where}", ylabel=METRICS[metric], xticks=percent)
        if metric == "log loss":
            ax.axhline(1.0, color="0.7", linewidth=1)
            ax.text(70, 1.01, "the prevalence alone", ha="center", fontsize=8, color="0.4")
            ax.set_ylim(0.5, 1.2)  # boosting leaves it
    for ax in axes[-1]:
        ax.set_xlabel("cells missing, %")
    axes.flat[1].legend(fontsize=9, loc="lower left")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    main()

"""Do unlabelled rows help when labels are scarce?

On real sets, all but 5, 10 or 30 % of the training labels are hidden. The base models learn from
the labelled rows; the refitted models also predict the unlabelled ones, and `CFEnsemble` factorises
all predictions while its aggregator sees labelled rows only. Compared on held-out rows with the
same ensemble on the labelled rows alone, with logistic stacking and with the plain average. Prints
a table, writes a picture. Takes about six minutes on two cores; --quick about two.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot
from scipy.stats import wilcoxon
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from cfens_stack import CFEnsemble, StackingPipeline
from cfens_stack.datasets import load_keel

SETS = ["page-blocks0", "pima", "segment0", "vehicle1", "winequality-red-4", "yeast1", "yeast3"]
SHARES = [0.05, 0.1, 0.3]
METHODS = {
    "CFEnsemble, all rows": "o-",
    "CFEnsemble, labelled rows": "s--",
    "logistic stacking": "^:",
    "plain average": "v-.",
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one repeat instead of three")
    parser.add_argument("--picture", type=Path, default=Path("few_labels.png"))
    arguments = parser.parse_args()
    tasks = [
        (name, share, seed)
        for name in SETS
        for share in SHARES
        for seed in range(1 if arguments.quick else 3)
    ]
    table = pd.concat([run(*task) for task in tqdm(tasks, unit="fit")], ignore_index=True)
    means = (
        table.groupby(["method", "labels"], sort=False)[["average precision", "log loss"]]
        .mean()
        .unstack()
    )
    print(means.to_string(float_format="{:.4f}".format))
    report(table)
    draw(table, arguments.picture)
    print(f"picture: {arguments.picture.resolve()}")


def run(name, share, seed):
    """Scores of each method on one set with one share of the labels."""
    data = load_keel(name)
    X, X_test, y, y_test = train_test_split(
        data.data, data.target, test_size=0.3, stratify=data.target, random_state=seed
    )
    labelled, _ = train_test_split(
        np.arange(len(y)), train_size=share, stratify=y, random_state=seed
    )
    partial = np.full(len(y), np.nan)
    partial[labelled] = y[labelled]
    folds = int(min(4, partial[labelled].sum(), (partial[labelled] == 0).sum()))
    stack = StackingPipeline(cv=folds, n_jobs=2, random_state=seed).fit(X, partial)
    R, R_test = stack.oof_, stack.base_predictions(X_test)
    known, y_known = R[labelled], y[labelled]
    logistic = LogisticRegression().fit(known, y_known)
    probabilities = {
        "CFEnsemble, all rows": CFEnsemble().fit(R, partial).predict_proba(R_test)[:, 1],
        "CFEnsemble, labelled rows": CFEnsemble().fit(known, y_known).predict_proba(R_test)[:, 1],
        "logistic stacking": logistic.predict_proba(R_test)[:, 1],
        "plain average": R_test.mean(axis=1),
    }
    return pd.DataFrame(
        {
            "set": name,
            "labels": share,
            "seed": seed,
            "method": method,
            "average precision": average_precision_score(y_test, p),
            "log loss": log_loss(y_test, p),
        }
        for method, p in probabilities.items()
    )


def report(table):
    """Wins over the sets, and Wilcoxon's signed-rank test, of the first method against each
    other.
    """
    first, *others = METHODS
    for metric, sign in (("average precision", 1.0), ("log loss", -1.0)):
        wide = sign * table.groupby(["method", "set", "labels"])[metric].mean().unstack("method")
        for other in others:
            gain = (wide[first] - wide[other]).to_numpy()
            p = wilcoxon(gain).pvalue
            print(
                f"{metric}: all rows beat {other} in {np.sum(gain > 0)} of {len(gain)} set x "
                f"share, p = {p:.3f}"
            )


def draw(table, path):
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for ax, metric in zip(axes, ("average precision", "log loss"), strict=True):
        for method, style in METHODS.items():
            means = table[table["method"] == method].groupby("labels")[metric].mean()
            ax.plot(means.index, means, style, label=method)
        ax.set(xlabel="share of the labels", ylabel=f"{metric}, held-out rows", xscale="log")
        ax.set_xticks(SHARES, [f"{share:.0%}" for share in SHARES], minor=False)
        ax.minorticks_off()
    axes[0].legend(fontsize=8)
    figure.suptitle(f"Mean over {table['set'].nunique()} real sets")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()

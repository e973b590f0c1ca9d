"""Is CFEnsemble better than what people use to combine models on imbalanced data?

Ten base models on real sets of the KEEL repository (`recipes/real_sets.py`, ten minutes the first time), with complete
predictions and with 10, 30 and 50 % of the cells removed at random. Every combiner sees the same out-of-fold
predictions and is scored on the same held-out rows. Families of near-duplicate sets are averaged first; mean ranks and
Wilcoxon's signed-rank test are over sets. Peers that cannot take missing cells get the row mean, the best simple
imputation here. Prints tables, writes a CSV of every fold and a picture of the mean ranks. About five minutes; --quick
two.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot
from real_sets import family_means, real_sets
from scipy.optimize import nnls
from scipy.stats import wilcoxon
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from cfens_stack import CFEnsemble

OURS = "CFEnsemble"
METRICS = {"average precision": 1, "ROC AUC": 1, "log loss": -1, "Brier": -1}  # sign: larger is better
LOWEST = 1e-3  # greedy and NNLS weights give exact zeros and ones, whose log loss would be infinite


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="complete predictions and 30 %% missing only")
    parser.add_argument("--csv", type=Path, default=Path("benchmark_imbalanced.csv"))
    parser.add_argument("--picture", type=Path, default=Path("benchmark_imbalanced.png"))
    arguments = parser.parse_args()
    shares = [0.0, 0.3] if arguments.quick else [0.0, 0.1, 0.3, 0.5]
    table = pd.DataFrame(row for task in real_sets() for share in shares for row in run(share, *task))
    table.to_csv(arguments.csv, index=False)
    for share, part in table.groupby("missing"):
        print(f"\n{share:.0%} of the cells missing, {part['set'].nunique()} sets, {part['family'].nunique()} families")
        print(summary(part).to_string(float_format="{:.4f}".format))
        print(against_peers(part).to_string())
    draw(table, arguments.picture)
    print(f"\n{arguments.csv.resolve()}\n{arguments.picture.resolve()}")


def run(share, name, family, fold, R, y, R_test, y_test):
    """Scores of every combiner on one fold with a share of the cells removed."""
    rng = np.random.default_rng([fold, int(100 * share)])
    R, R_test = (np.where(rng.random(matrix.shape) < share, np.nan, matrix) for matrix in (R, R_test))
    for method, p in combine(R, y, R_test).items():
        p = np.clip(p, LOWEST, 1 - LOWEST)
        yield {
            "missing": share,
            "set": name,
            "family": family,
            "fold": fold,
            "method": method,
            "average precision": average_precision_score(y_test, p),
            "ROC AUC": roc_auc_score(y_test, p),
            "log loss": log_loss(y_test, p),
            "Brier": brier_score_loss(y_test, p),
        }


def combine(R, y, R_test):
    """Held-out probabilities by method, each as its users run it."""
    full, full_test = (np.where(np.isnan(matrix), row_means(matrix), matrix) for matrix in (R, R_test))
    logits, logits_test = (np.log(np.clip(m, 0.01, 0.99) / np.clip(1 - m, 0.01, 0.99)) for m in (full, full_test))
    best = max(range(R.shape[1]), key=lambda u: average_precision_score(y, full[:, u]))
    weights = {"super learner": nnls(full, y.astype(float))[0], "greedy selection": greedy_weights(full, y)}
    classifiers = {
        OURS: (CFEnsemble(), R, R_test),
        "logistic, probabilities": (LogisticRegression(), full, full_test),
        "logistic, logits, CV": (LogisticRegressionCV(l1_ratios=[0.0], scoring="neg_log_loss"), logits, logits_test),
        "logistic, balanced": (LogisticRegression(class_weight="balanced"), full, full_test),
        "random forest": (RandomForestClassifier(200, min_samples_leaf=5, n_jobs=2, random_state=0), full, full_test),
    }
    predictions = {}
    for method, (classifier, train, test) in classifiers.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            predictions[method] = classifier.fit(train, y).predict_proba(test)[:, 1]
    predictions["plain average"] = np.nanmean(full_test, axis=1)
    predictions["best single"] = full_test[:, best]
    for method, w in weights.items():
        predictions[method] = full_test @ (w / w.sum()) if w.sum() > 0 else full_test.mean(axis=1)
    return predictions


def row_means(R):
    """Mean of the predictions that a row has; the overall mean for a row without any. Shape (n, 1)."""
    count = np.isfinite(R).sum(axis=1, keepdims=True)
    return np.where(count > 0, np.nansum(R, axis=1, keepdims=True) / np.maximum(count, 1), np.nanmean(R))


def greedy_weights(R, y, rounds=50):
    """Ensemble selection with replacement by log loss (Caruana et al. 2004)."""
    counts, total = np.zeros(R.shape[1]), np.zeros(len(R))
    for size in range(1, rounds + 1):
        candidates = np.clip((total[:, None] + R) / size, LOWEST, 1 - LOWEST)
        losses = -np.mean(np.where(y[:, None] == 1, np.log(candidates), np.log1p(-candidates)), axis=0)
        chosen = losses.argmin()
        counts[chosen] += 1
        total = total + R[:, chosen]
    return counts


def summary(part):
    """Family means of each metric, and the mean rank over sets."""
    means = family_means(part.drop(columns=["fold", "missing"]), ["method"])[list(METRICS)]
    for metric, ranks in mean_ranks(part).items():
        means[f"rank, {metric}"] = ranks
    return means.sort_values("rank, average precision")


def mean_ranks(part):
    by_set = part.groupby(["set", "method"])[list(METRICS)].mean()
    return {
        metric: (sign * by_set[metric]).unstack().rank(axis=1, ascending=False).mean()
        for metric, sign in list(METRICS.items())[:3]
    }


def against_peers(part):
    """Wins, losses and Wilcoxon's p of CFEnsemble over sets."""
    rows = {}
    for metric, sign in list(METRICS.items())[:3]:
        wide = sign * part.groupby(["set", "method"])[metric].mean().unstack()
        for peer in wide.columns.drop(OURS):
            gain = (wide[OURS] - wide[peer]).to_numpy()
            wins, losses = np.sum(gain > 1e-12), np.sum(gain < -1e-12)
            rows.setdefault(peer, {})[metric] = f"{wins}-{losses}, p={wilcoxon(gain).pvalue:.3f}"
    return pd.DataFrame(rows).T.rename_axis("CFEnsemble against (wins-losses)")


def draw(table, path):
    """Mean rank of each method in average precision and log loss, one panel a share of missing cells."""
    shares = sorted(table["missing"].unique())
    figure, axes = pyplot.subplots(1, len(shares), figsize=(3.6 * len(shares), 4), layout="constrained", sharey=True)
    order = None
    for ax, share in zip(axes, shares, strict=True):
        ranks = mean_ranks(table[table["missing"] == share])
        order = ranks["average precision"].sort_values(ascending=False).index if order is None else order
        places = np.arange(len(order))
        ax.plot(ranks["average precision"][order], places, "o", color="black", label="average precision")
        ax.plot(ranks["log loss"][order], places, "s", color="black", fillstyle="none", label="log loss")
        ax.set_yticks(places, order)
        ax.grid(axis="x", color="0.9")
        ax.set(title=f"{share:.0%} missing", xlabel="mean rank (1 is best)")
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()

"""What is each piece of the decision guide's advice worth?

Label-aware confidence, class weights and focal loss, each switched on alone around the default, and the guide's whole
advice, under both trainers, on real imbalanced sets. Scored on held-out rows by average precision, log loss and
balanced accuracy at probability 1/2, with probabilities at the training prevalence ("natural") and as trained
("weighted"). Differences to all switches off are paired by set and averaged within families of near-duplicate sets;
p is Wilcoxon's signed-rank test over families. Prints tables, writes `guide_ablation.csv` and `guide_ablation.png`.
Takes about five minutes once the base-model predictions are there (`recipes/real_sets.py`, ten minutes the first time);
--quick about one.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot
from real_sets import real_sets
from scipy.stats import wilcoxon
from sklearn.metrics import average_precision_score, balanced_accuracy_score, log_loss
from threadpoolctl import threadpool_limits

from cfens_stack import recommend
from cfens_stack.guide import HIGH_DISAGREEMENT

OFF = {"use_label_aware_confidence": False, "use_class_weights": False, "focal_gamma": 0.0}
VARIANTS = {
    "off": OFF,
    "label-aware confidence": OFF | {"use_label_aware_confidence": True},
    "class weights": OFF | {"use_class_weights": True},
    "focal loss": OFF | {"focal_gamma": 2.0},
    "the guide's advice": {},
}
PREVALENCE = "threshold at prevalence"
METRICS = ["average precision", "log loss", "balanced accuracy"]
GROUPS = {
    "all": lambda table: table["imbalance"] >= 0,
    "rarest class < 20 %": lambda table: table["imbalance"] < 0.2,
    "rarest class >= 20 %": lambda table: table["imbalance"] >= 0.2,
    "high disagreement": lambda table: table["disagreement"] >= HIGH_DISAGREEMENT,
    "low disagreement": lambda table: table["disagreement"] < HIGH_DISAGREEMENT,
}
QUICK = 5  # every how many sets


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="first fold of each set only")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the CSV and the picture")
    arguments = parser.parse_args()
    rows = []
    with threadpool_limits(1):  # the fits are small: threads of their own only get in each other's way
        for name, family, fold, *data in real_sets():
            if fold == 0 or not arguments.quick:
                rows += [{"set": name, "family": family, "fold": fold, **row} for row in compare(*data)]
    table = pd.DataFrame(rows)
    table.to_csv(arguments.out / "guide_ablation.csv", index=False)
    sets = table.groupby(["trainer", "variant", "posterior", "family", "set"], sort=False).mean(numeric_only=True)
    gains = differences(sets.drop(columns="fold").reset_index())
    print(describe_disagreement(gains))
    for group, members in GROUPS.items():
        print(f"\nChange against all switches off: {group}\n{summary(gains[members(gains)])}")
    draw(gains, arguments.out / "guide_ablation.png")
    print(f"\npicture and CSV: {arguments.out.resolve()}")


def compare(R, y, R_test, y_test):
    """Scores of every trainer, variant and posterior on one fold."""
    guidance = recommend(R, y)
    measured = {"imbalance": guidance.imbalance, "disagreement": guidance.disagreement}
    for trainer in ("als", "pytorch"):
        for variant, overrides in VARIANTS.items():
            if trainer == "pytorch" and variant == "label-aware confidence":
                continue  # exact gradients need no approximation: refused
            meta = guidance.estimator(trainer, **overrides).fit(R, y)
            for posterior in ("natural", "weighted"):
                p = meta.set_params(posterior=posterior).predict_proba(R_test)[:, 1]
                row = {"trainer": trainer, "variant": variant, "posterior": posterior, **measured}
                yield row | scores(y_test, p)
                if variant == "off":
                    yield row | {"variant": PREVALENCE} | scores(y_test, p, threshold=np.mean(y))


def scores(y, p, threshold=0.5):
    values = average_precision_score(y, p), log_loss(y, p), balanced_accuracy_score(y, p > threshold)
    return dict(zip(METRICS, values, strict=True))


def differences(sets):
    """Each variant minus all switches off, by trainer, posterior and set."""
    key = ["trainer", "posterior", "set"]
    off = sets[sets["variant"] == "off"].set_index(key)[METRICS]
    rest = sets[sets["variant"] != "off"].set_index(key)
    rest[METRICS] -= off.loc[rest.index]
    return rest.reset_index()


def describe_disagreement(gains):
    values = gains.groupby("set")["disagreement"].first()
    quantiles = values.quantile([0, 0.25, 0.5, 0.75, 1]).map("{:.3f}".format)
    names = ["least", "lower quartile", "median", "upper quartile", "most"]
    above = f"{(values >= HIGH_DISAGREEMENT).sum()} of {len(values)} sets reach the threshold {HIGH_DISAGREEMENT:g}"
    figures = ", ".join(f"{name} {value}" for name, value in zip(names, quantiles, strict=True))
    return f"Disagreement of the base models: {figures}; {above}.\n{values.sort_values().to_string()}"


def summary(gains):
    """Mean difference over families, and Wilcoxon's p, as text."""
    by = ["trainer", "variant", "posterior"]
    families = gains.groupby([*by, "family"], sort=False)[METRICS].mean()
    table = families.groupby(by, sort=False).agg(["mean", p_value])
    text = pd.DataFrame(
        {m: [f"{mean:+.4f} ({p:.2f})" for mean, p in table[m].itertuples(index=False)] for m in METRICS},
        index=table.index,
    )
    return f"{gains['family'].nunique()} families, {gains['set'].nunique()} sets; (p)\n{text.to_string()}"


def p_value(differences):
    return wilcoxon(differences).pvalue if np.any(differences != 0) else 1.0


def draw(gains, path):
    """Change of each metric by switch, with standard errors over families; focal loss against disagreement."""
    figure, axes = pyplot.subplots(1, 4, figsize=(16, 5), layout="constrained")
    shown = {"all": "o", "rarest class < 20 %": "s", "high disagreement": "^"}
    by = ["trainer", "variant", "posterior"]
    for ax, metric in zip(axes, METRICS, strict=False):
        for offset, (group, marker) in enumerate(shown.items()):
            families = gains[GROUPS[group](gains)].groupby([*by, "family"], sort=False)[metric].mean()
            effect = families.groupby(by, sort=False).agg(["mean", "sem"])
            position = np.arange(len(effect)) + 0.2 * (offset - 1)
            grey = str(0.3 * offset)
            ax.errorbar(effect["mean"], position, xerr=effect["sem"], fmt=marker, color=grey, label=group, capsize=2)
        ax.axvline(0.0, color="0.6", linewidth=1)
        ax.set(xlabel=f"change of {metric}", yticks=[])
    axes[0].set_yticks(np.arange(len(effect)), [", ".join(index) for index in effect.index], fontsize=8)
    axes[0].legend(fontsize=8)
    focal = gains[(gains["variant"] == "focal loss") & (gains["posterior"] == "natural")]
    for (trainer, part), marker in zip(focal.groupby("trainer"), "ox", strict=True):
        axes[3].plot(part["disagreement"], part["log loss"], marker, color="0.2", label=trainer)
    axes[3].axvline(HIGH_DISAGREEMENT, color="0.4", linestyle=":", label="threshold")
    axes[3].axhline(0.0, color="0.6", linewidth=1)
    axes[3].set(xlabel="disagreement of the base models", ylabel="change of log loss by focal loss, natural posterior")
    axes[3].legend(fontsize=8)
    figure.suptitle("Switches of the guide against all off, means and standard errors over families, held-out rows")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()

"""What is each piece of the decision guide's advice worth?

Label-aware confidence, class weights and focal loss, each switched on alone, and the guide's whole
advice, against all switches off, under both trainers, on real imbalanced sets; also with four
fifths of the labels hidden, where the guide raises rho. Scored on held-out rows by average
precision, log loss and balanced accuracy at probability 1/2, with probabilities at the training
prevalence ("natural") and as trained ("weighted"). Differences are paired by set and averaged
within families of near-duplicate sets; p is Wilcoxon's signed-rank test over families. Also looks
for the disagreement from which on focal loss helps, on one half of the families, and tries it on
the other. Prints tables, writes `guide_ablation.csv` and `guide_ablation.png`. Takes about three
minutes once the base-model predictions are there (`recipes/real_sets.py --quick`, five minutes the
first time); --quick about one.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot
from real_sets import real_sets
from scipy.stats import wilcoxon
from sklearn.metrics import average_precision_score, balanced_accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from cfens_stack import recommend
from cfens_stack.guide.guidance import HIGH_DISAGREEMENT

OFF = {
    "rho": 0.5,
    "use_label_aware_confidence": False,
    "use_class_weights": False,
    "focal_gamma": 0.0,
}
VARIANTS = {
    "off": OFF,
    "label-aware confidence": OFF | {"use_label_aware_confidence": True},
    "class weights": OFF | {"use_class_weights": True},
    "focal loss": OFF | {"focal_gamma": 2.0},
    "rho by labels": {name: value for name, value in OFF.items() if name != "rho"},
    "the guide's advice": {},
}
# Nothing to measure: exact gradients refuse label-aware confidence, and under ALS rho acts through
# it alone.
NOT_APPLICABLE = {("pytorch", "label-aware confidence"), ("als", "rho by labels")}
PREVALENCE = "threshold at prevalence"
METRICS = {
    "average precision": ("average precision", "natural"),
    "log loss": ("log loss", "natural"),
    "bal. acc.": ("balanced accuracy", "natural"),
    "log loss, weighted": ("log loss", "weighted"),
    "bal. acc., weighted": ("balanced accuracy", "weighted"),
}
GROUPS = {
    "all labels": "labels == 1",
    "rarest class < 20 %": "labels == 1 and imbalance < 0.2",
    "rarest class >= 20 %": "labels == 1 and imbalance >= 0.2",
    "high disagreement": f"labels == 1 and disagreement >= {HIGH_DISAGREEMENT}",
    "low disagreement": f"labels == 1 and disagreement < {HIGH_DISAGREEMENT}",
    "20 % of the labels": "labels < 1",
}
KEY = ["trainer", "variant"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="first fold of each set only")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        help="folder for the CSV and the picture (default: here)",
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    with threadpool_limits(
        1
    ):  # the fits are small: threads of their own only get in each other's way
        for name, family, fold, R, y, R_test, y_test in real_sets(quick=True):
            if fold == 0 or not arguments.quick:
                for labels in (1.0, 0.2):
                    found = compare(R, y, hide(y, labels, seed=fold), R_test, y_test)
                    rows += [
                        {"set": name, "family": family, "fold": fold, "labels": labels, **row}
                        for row in found
                    ]
    table = pd.DataFrame(rows)
    table.to_csv(arguments.out / "guide_ablation.csv", index=False)
    gains = differences(table)
    print(describe_disagreement(gains))
    for group, condition in GROUPS.items():
        print(f"\n{group}: change against all switches off\n{summary(gains.query(condition))}")
    draw(gains, arguments.out / "guide_ablation.png")
    print(f"\npicture and CSV: {arguments.out.resolve()}")


def hide(y, labels, seed):
    """y as floats, with NaN for all but a stratified share of the labels."""
    partial = y.astype(float)
    if labels < 1.0:
        hidden, _ = train_test_split(
            np.arange(len(y)), test_size=labels, stratify=y, random_state=seed
        )
        partial[hidden] = np.nan
    return partial


def compare(R, y, partial, R_test, y_test):
    """Scores of every trainer and variant on one fold, with one column per metric."""
    guidance = recommend(R, partial)
    imbalance, disagreement = recommend(R, y).imbalance, guidance.disagreement
    for trainer in ("als", "pytorch"):
        for variant, overrides in VARIANTS.items():
            unchanged = variant == "rho by labels" and guidance.params()["rho"] == OFF["rho"]
            if (trainer, variant) not in NOT_APPLICABLE and not unchanged:
                row = {
                    "trainer": trainer,
                    "variant": variant,
                    "imbalance": imbalance,
                    "disagreement": disagreement,
                }
                meta = guidance.estimator(trainer, **overrides).fit(R, partial)
                natural = meta.predict_proba(R_test)[:, 1]
                weighted = meta.set_params(posterior="weighted").predict_proba(R_test)[:, 1]
                yield row | scores(y_test, natural, weighted)
                if variant == "off":
                    yield (
                        row
                        | {"variant": PREVALENCE}
                        | scores(y_test, natural, weighted, threshold=imbalance)
                    )


def scores(y, natural, weighted, threshold=0.5):
    functions = {
        "average precision": average_precision_score,
        "log loss": log_loss,
        "balanced accuracy": lambda y, p: balanced_accuracy_score(y, p > threshold),
    }
    p = {"natural": natural, "weighted": weighted}
    return {
        column: functions[metric](y, p[posterior])
        for column, (metric, posterior) in METRICS.items()
    }


def differences(table):
    """Each variant minus all switches off, one row per trainer, variant, share of labels and set; folds
    averaged.
    """
    pair = ["trainer", "labels", "set"]
    sets = (
        table.groupby([*pair, "family", "variant"], sort=False)
        .mean(numeric_only=True)
        .drop(columns="fold")
    )
    sets = sets.reset_index(["family", "variant"])
    off = sets.loc[sets["variant"] == "off", list(METRICS)]
    rest = sets[sets["variant"] != "off"].copy()
    rest[list(METRICS)] -= off.loc[rest.index]
    return rest.reset_index()


def describe_disagreement(gains):
    """Its distribution over the sets, and what thresholds for focal loss are worth, as text."""
    values = gains.query("labels == 1").groupby("set")["disagreement"].first().sort_values()
    quartiles = ", ".join(f"{value:.3f}" for value in values.quantile([0.25, 0.5, 0.75]))
    lines = [
        f"disagreement, quartiles over sets: {quartiles}",
        ", ".join(f"{n} {d:.3f}" for n, d in values.items()),
    ]
    focal = gains.query("labels == 1 and variant == 'focal loss'")
    first_half = focal["family"].isin(sorted(focal["family"].unique())[::2])
    for trainer in ("als", "pytorch"):
        for metric, sign in (("average precision", 1.0), ("log loss", -1.0)):
            for chosen_on in (first_half, ~first_half):
                chosen, other = (
                    focal[half & (focal["trainer"] == trainer)] for half in (chosen_on, ~chosen_on)
                )
                best = max(
                    [np.inf, *chosen["disagreement"]],
                    key=lambda d: sign * focal_effect(chosen, metric, d),
                )
                inside, outside = (
                    focal_effect(chosen, metric, best),
                    focal_effect(other, metric, best),
                )
                lines.append(
                    f"{trainer}: best threshold for focal loss by {metric} on half of the "
                    f"families {best:.3f} (inf: never), changing it by {inside:+.4f}, on the "
                    f"other half by {outside:+.4f}"
                )
    return "\n".join(lines)


def focal_effect(focal, metric, threshold):
    """Mean change over families if focal loss is used from a disagreement of `threshold` on."""
    return (
        (focal[metric] * (focal["disagreement"] >= threshold))
        .groupby(focal["family"])
        .mean()
        .mean()
    )


def summary(gains):
    """Mean difference over families, and Wilcoxon's p in brackets, as text."""
    families = gains.groupby([*KEY, "family"], sort=False)[list(METRICS)].mean()
    effects = families.groupby(KEY, sort=False).agg(["mean", p_value])
    columns = {
        m: [f"{mean:+.4f} ({p:.3f})" for mean, p in effects[m].itertuples(index=False)]
        for m in METRICS
    }
    heading = f"{gains['set'].nunique()} sets in {gains['family'].nunique()} families"
    return f"{heading}\n{pd.DataFrame(columns, index=effects.index).to_string()}"


def p_value(changes):
    changes = changes[
        changes != 0
    ]  # as Wilcoxon does; SciPy would go through all permutations for the ties of zeros
    return wilcoxon(changes).pvalue if len(changes) else 1.0


def draw(gains, path):
    """Change of each metric by switch, with standard errors over families; focal loss against
    disagreement.
    """
    figure, axes = pyplot.subplots(1, 4, figsize=(16, 4.5), layout="constrained")
    groups = {
        "all labels": "o",
        "rarest class < 20 %": "s",
        "high disagreement": "^",
        "20 % of the labels": "x",
    }
    metrics = ["average precision", "log loss", "bal. acc., weighted"]
    variants = gains.groupby(KEY, sort=False).size().index
    for ax, metric in zip(axes, metrics, strict=False):
        for place, (group, marker) in enumerate(groups.items()):
            families = (
                gains.query(GROUPS[group]).groupby([*KEY, "family"], sort=False)[metric].mean()
            )
            effect = families.groupby(KEY, sort=False).agg(["mean", "sem"]).reindex(variants)
            height = np.arange(len(effect)) + 0.2 * (place - 1.5)
            style = {"fmt": marker, "color": str(0.2 * place), "markersize": 4, "capsize": 2}
            ax.errorbar(effect["mean"], height, xerr=effect["sem"], label=group, **style)
        ax.axvline(0.0, color="0.6", linewidth=1)
        ax.set(xlabel=f"change of {metric}", yticks=[])
        ax.invert_yaxis()
    axes[0].set_yticks(
        np.arange(len(variants)), [f"{variant}, {trainer}" for trainer, variant in variants]
    )
    axes[0].legend(fontsize=8)
    focal = gains.query("labels == 1 and variant == 'focal loss'")
    for (trainer, part), marker in zip(focal.groupby("trainer"), "ox", strict=True):
        axes[3].plot(
            part["disagreement"], part["average precision"], marker, color="0.2", label=trainer
        )
    axes[3].axvline(HIGH_DISAGREEMENT, color="0.4", linestyle=":", label="threshold of the guide")
    axes[3].axhline(0.0, color="0.6", linewidth=1)
    axes[3].set(
        xlabel="disagreement of the base models", ylabel="change of average precision by focal loss"
    )
    axes[3].legend(fontsize=8)
    figure.suptitle(
        "Switches of the guide against all off: held-out rows, means and standard errors over "
        "families"
    )
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
